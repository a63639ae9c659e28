"""Avatars as their preparation pictures them, and the dense motion of an expression on them: truth for training.

Everything is in the close-up of the published avatar camera (`calib.close_up`), 256², and then averaged down to the
network's own size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calib.close_up import CloseUp
from calib.survey.face_finder import FaceFinder
from calib.survey.placement import FACE_HEIGHT
from core.camera import PUBLISHED_EYE, PUBLISHED_INTRINSICS, Intrinsics, look_at, transform_points
from core.closeable import Closeable
from core.face_regions import FACE_OVAL
from core.mesh import Mesh
from core.rigid_motion import rotation_matrix
from render.gl.rgbd import RgbdCamera, RgbdPicture

SIZE = PUBLISHED_INTRINSICS.width
_HIDDEN = 0.04  # avatar units behind the neutral picture's surface: what is there cannot be seen in it
_FIRST_GUESS = 7.2  # avatar units a metre of a head
_TILT_RAD = np.radians(3.0)
_DEPTH_SPREAD = 0.03  # avatar units by which preparation misses the middle of a face
T_CAMERA_WORLD = np.asarray(look_at(PUBLISHED_EYE))
CLOSE_UP = CloseUp.of(PUBLISHED_INTRINSICS, T_CAMERA_WORLD)

Points = NDArray[np.float64]


class Actor(Protocol):
    """A head that can be pictured and moved by 52 units; metres, x to picture-right, y up, z forward."""

    def mesh(self) -> Mesh:
        """At rest, with its looks."""
        ...

    def vertices(self, weights: Points) -> NDArray[np.floating]:
        """[V, 3] of that mesh for unit weights [52], in the order of `core.expression_units.UNIT_NAMES`."""
        ...


Place = Callable[[RgbdCamera, Mesh], Points]
"""Of a head before the camera: [4, 4] avatar world from its own frame. Raises ValueError where no face is found."""


def as_prepared(finder: FaceFinder, rng: np.random.Generator) -> Place:
    """Framed as preparation frames a face; `rng`: preparation is not exact, and neither are avatars' proportions."""
    return lambda camera, mesh: _placed(camera, mesh, finder, rng)


def already_placed(_camera: RgbdCamera, _mesh: Mesh) -> Points:
    """Prepared avatars stand where they should."""
    return np.eye(4)


@dataclass(frozen=True, eq=False)
class AvatarShot:
    """An avatar with an expression.

    Attributes:
        rgbd: [4, N, N] float32 in [-1, 1], depth as `calib.close_up` measures it.
        offset: [N, N, 2] float32 backward flow less the identity: twice the way in pixels over the picture's side.
        known: [N, N] float32 share of the pixel whose way is known: on the face and not hidden in the neutral.
    """

    rgbd: NDArray[np.float32]
    offset: NDArray[np.float32]
    known: NDArray[np.float32]


class AvatarStage(Closeable):
    """One head as an avatar. A context manager that owns an OpenGL context.

    Args:
        person: who; people of `capture.synthetic` cut as avatars are (`bust`).
        place: where it stands, see `as_prepared` and `already_placed`.
        size: of the network's pictures; divides 256.

    Attributes:
        source: [4, N, N] the neutral avatar, as the network is given it.

    Raises ValueError where no face is found.
    """

    def __init__(self, person: Actor, place: Place, size: int) -> None:
        self._person, self._size = person, size
        mesh = person.mesh()
        self._faces = mesh.faces
        self._camera = RgbdCamera(mesh)
        try:
            self._T = place(self._camera, mesh)
            self._neutral = transform_points(self._T, mesh.vertices.astype(np.float64))
            self._picture = self._take(self._neutral)
            whole = self._take(self._neutral, PUBLISHED_INTRINSICS)
            self.source = averaged(CLOSE_UP.network_input(*CLOSE_UP.cut(whole.rgb, whole.depth)), size)
        except BaseException:
            self._camera.close()
            raise

    def shoot(self, weights: Points) -> AvatarShot:
        """The avatar with 52 unit weights."""
        moved = transform_points(self._T, self._person.vertices(weights).astype(np.float64))
        picture = self._take(moved)
        way, known = self._way_back(picture)
        rgbd = averaged(CLOSE_UP.network_input(picture.rgb, picture.depth), self._size)
        share = averaged(known[None], self._size)[0]
        mean_way = averaged((way * known[..., None]).transpose(2, 0, 1), self._size) / np.maximum(share, 1e-6)
        offset = (mean_way * np.float32(2 / SIZE)).transpose(1, 2, 0)
        return AvatarShot(rgbd, offset, share)

    def _way_back(self, picture: RgbdPicture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[256, 256, 2] way in pixels to where each was in the neutral picture; [256, 256] 1 where seen there."""
        on = picture.face_id >= 0
        corners = self._neutral[self._faces[picture.face_id[on]]]  # [n, 3, 3]
        before = np.einsum("nk,nkd->nd", picture.barycentric[on].astype(np.float64), corners)
        camera = transform_points(T_CAMERA_WORLD, before)
        pixels = CLOSE_UP.intrinsics.project(camera)
        rows, columns = np.nonzero(on)
        column, row = (np.clip(pixels[:, axis].astype(int), 0, SIZE - 1) for axis in (0, 1))
        surface = self._picture.depth[row, column]
        seen = (surface > 0) & (camera[:, 2] - surface < _HIDDEN)
        way = np.zeros((SIZE, SIZE, 2), np.float32)
        way[on] = pixels - np.stack([columns + 0.5, rows + 0.5], axis=1)
        known = np.zeros((SIZE, SIZE), np.float32)
        known[on] = seen
        return way, known

    def _take(self, vertices: Points, intrinsics: Intrinsics = CLOSE_UP.intrinsics) -> RgbdPicture:
        return self._camera.take(T_CAMERA_WORLD, intrinsics, vertices.astype(np.float32))

    def close(self) -> None:
        self._camera.close()


def averaged(planes: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """[C, H, W] → [C, size, size], whole blocks averaged, as the live graph does."""
    block = planes.shape[1] // size
    blocks = planes.reshape(len(planes), size, block, size, block)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32))


def _placed(camera: RgbdCamera, mesh: Mesh, finder: FaceFinder, rng: np.random.Generator) -> Points:
    """[4, 4] avatar world from the head's frame: the face framed as by preparation, give or take."""
    T = np.eye(4)
    T[:3, :3] = rotation_matrix(rng.normal(0, _TILT_RAD / 2, 3)) * _FIRST_GUESS
    T[1, 3] = 0.03 * _FIRST_GUESS
    first = camera.take(
        T_CAMERA_WORLD, PUBLISHED_INTRINSICS, transform_points(T, mesh.vertices.astype(np.float64)).astype(np.float32)
    )
    found = finder.find(first.rgb)
    if found is None:
        raise ValueError("no face was found on the avatar")
    oval = found[list(FACE_OVAL), :2]
    unit_px = PUBLISHED_INTRINSICS.fx / PUBLISHED_EYE[2]
    factor = FACE_HEIGHT * unit_px / np.ptp(oval[:, 1]) * rng.uniform(0.94, 1.06)
    middle = ((oval.min(axis=0) + oval.max(axis=0)) / 2 - SIZE / 2) / unit_px * [1, -1]
    T[:2, 3] -= middle
    T[:3] *= factor
    at = np.clip(found[:, :2].astype(int), 0, SIZE - 1)
    seen = first.depth[at[:, 1], at[:, 0]]
    T[2, 3] += factor * (float(seen[seen > 0].mean()) - PUBLISHED_EYE[2])  # its landmarks' mean to the origin
    T[:3, 3] += rng.normal(0, _DEPTH_SPREAD, 3)
    return T
