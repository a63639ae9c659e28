"""Spectacles for avatars of training sets: some scans wear them, and what is worn does not move with the face.

They are set before the eyes that the face finder sees, so that any head can wear them.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import FaceFinder
from core.camera import transform_points
from core.mesh import Material, Mesh, MeshPart
from engine.training.flow.avatar_shots import CLOSE_UP, SIZE, T_CAMERA_WORLD, Actor, as_prepared
from render.gl.rgbd import RgbdCamera

_EYE_CORNERS = ((33, 133), (362, 263))  # landmarks: of the eye at picture left, then right
_DARK_SHARE = 0.2  # of spectacles: with lenses that hide the eyes
_AROUND, _THROUGH = 40, 6  # corners around a rim, and around its wire

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Wearer:
    """A head that wears something stiff; `engine.training.flow.avatar_shots.Actor`.

    Attributes:
        actor: whose head.
        worn: [n, 3] vertices of what it wears, in the head's frame.
        shown: the head with it.
    """

    actor: Actor
    worn: Points
    shown: Mesh

    @staticmethod
    def of(actor: Actor, worn: Points, faces: NDArray[np.int32], color: tuple[float, float, float, float]) -> "Wearer":
        """The head with vertices [n, 3] and faces [m, 3] in one colour, which come last in its mesh."""
        mesh = actor.mesh()
        uvs, faces_uv, colors = mesh.uvs, mesh.faces_uv, mesh.vertex_colors
        if uvs is not None and faces_uv is not None:
            uvs = np.concatenate([uvs, np.zeros((1, 2), np.float32)])
            faces_uv = np.concatenate([faces_uv, np.full_like(faces, len(uvs) - 1)])
        if colors is not None:
            colors = np.concatenate([colors, np.ones((len(worn), 3), np.float32)])
        bare = mesh.parts or (MeshPart("head", 0, len(mesh.faces), 0),)
        shown = replace(
            mesh,
            vertices=np.concatenate([mesh.vertices, worn.astype(np.float32)]),
            faces=np.concatenate([mesh.faces, faces + np.int32(len(mesh.vertices))]),
            uvs=uvs,
            faces_uv=faces_uv,
            vertex_colors=colors,
            parts=(*bare, MeshPart("worn", len(mesh.faces), len(faces), len(mesh.materials))),
            materials=(*mesh.materials, Material("worn", color, double_sided=True)),
            morphs=None,
        )
        return Wearer(actor, worn, shown)

    def mesh(self) -> Mesh:
        return self.shown

    def vertices(self, weights: Points) -> NDArray[np.floating]:
        return np.concatenate([self.actor.vertices(weights), self.worn])


def with_spectacles(actor: Actor, finder: FaceFinder, rng: np.random.Generator) -> Wearer:
    """The same head with spectacles of its own. Makes an OpenGL context for the time. Raises ValueError where no face
    is found."""
    eyes, forward = _eyes(actor.mesh(), finder, rng)
    vertices, faces = spectacles(eyes, forward, rng)
    dark = tuple(float(value) for value in rng.uniform(0.02, 0.3) * rng.uniform(0.6, 1.4, 3))
    return Wearer.of(actor, vertices, faces, (dark[0], dark[1], dark[2], 1.0))


def spectacles(eyes: Points, forward: Points, rng: np.random.Generator) -> tuple[Points, NDArray[np.int32]]:
    """Vertices [n, 3] and faces [m, 3] of some spectacles.

    Args:
        eyes: [2, 3] middles of the eyes' openings, that at picture left first.
        forward: [3] unit vector out of the face.
    """
    across = eyes[1] - eyes[0]
    apart = float(np.linalg.norm(across))
    across = across / apart
    up = np.cross(forward, across)
    half_width = apart * rng.uniform(0.34, 0.44)
    half_height = half_width * rng.uniform(0.6, 1.0)
    roundness, wire = rng.uniform(2, 5), apart * rng.uniform(0.015, 0.05)
    centres = eyes + forward * apart * rng.uniform(0.25, 0.35) - up * apart * rng.uniform(0.0, 0.1)
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    # A superellipse: 2 is round, 5 nearly square.
    x, y = (np.sign(way) * np.abs(way) ** (2 / roundness) for way in (np.cos(angle), np.sin(angle)))
    rims = [centre + np.outer(half_width * x, across) + np.outer(half_height * y, up) for centre in centres]
    inner, outer = (half_width + wire) * across, half_width * across
    lift = up * half_height * 0.3
    over_nose = centres.mean(axis=0) + 1.6 * lift + 0.15 * apart * forward
    bridge = np.stack([centres[0] + inner + lift, over_nose, centres[1] - inner + lift])
    arms = [np.stack([hinge, hinge - forward * apart * 1.5]) for hinge in (centres[0] - outer, centres[1] + outer)]
    pieces = [_tube(rim, wire, forward, closed=True) for rim in rims]
    pieces += [_tube(path, wire, forward + 0.1 * up, closed=False) for path in (bridge, *arms)]
    if rng.random() < _DARK_SHARE:
        pieces += [_fan(rim) for rim in rims]
    counts = np.cumsum([0, *(len(vertices) for vertices, _ in pieces)])
    faces = [faces + first for (_, faces), first in zip(pieces, counts, strict=False)]
    return np.concatenate([vertices for vertices, _ in pieces]), np.concatenate(faces).astype(np.int32)


def _eyes(mesh: Mesh, finder: FaceFinder, rng: np.random.Generator) -> tuple[Points, Points]:
    """[2, 3] middles of the eyes' openings and [3] the way out of the face, in the mesh's frame."""
    with RgbdCamera(mesh) as camera:
        T = as_prepared(finder, rng)(camera, mesh)
        placed = transform_points(T, mesh.vertices.astype(np.float64))
        picture = camera.take(T_CAMERA_WORLD, CLOSE_UP.intrinsics, placed.astype(np.float32))
    found = finder.find(picture.rgb)
    if found is None:
        raise ValueError("no face was found on the avatar")
    corners = found[np.array(_EYE_CORNERS).ravel(), :2]
    column, row = np.clip(corners.astype(int), 0, SIZE - 1).T
    depth = picture.depth[row, column].astype(np.float64)
    if not (depth > 0).all():
        raise ValueError("the corners of the avatar's eyes were found where it has no surface")
    points = CLOSE_UP.intrinsics.unproject(corners, depth)
    T_mesh_camera = np.asarray(np.linalg.inv(T_CAMERA_WORLD @ T), np.float64)
    eyes = transform_points(T_mesh_camera, points).reshape(2, 2, 3).mean(axis=1)
    forward = np.linalg.inv(T)[:3, 2]
    across = (eyes[1] - eyes[0]) / np.linalg.norm(eyes[1] - eyes[0])
    forward = forward - across * (forward @ across)
    return eyes, forward / np.linalg.norm(forward)


def _tube(path: Points, radius: float, aside: Points, *, closed: bool) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and faces around a path [k, 3]; `aside`: [3] a way that it nowhere goes."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    first = np.cross(ahead, aside)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(first, ahead)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, _THROUGH, endpoint=False)
    around = np.cos(angle)[:, None, None] * first + np.sin(angle)[:, None, None] * second
    vertices = (path + radius * around).transpose(1, 0, 2).reshape(-1, 3)
    count = len(path)
    faces = []
    for step in range(count if closed else count - 1):
        here, there = step * _THROUGH, (step + 1) % count * _THROUGH
        for side in range(_THROUGH):
            other = (side + 1) % _THROUGH
            faces += [
                (here + side, here + other, there + side),
                (here + other, there + other, there + side),
            ]
    return vertices, np.array(faces)


def _fan(rim: Points) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and faces of what a rim [k, 3] holds, to be seen from the front."""
    count = len(rim)
    number = np.arange(count)
    return np.concatenate([rim, rim.mean(axis=0, keepdims=True)]), np.stack(
        [number, (number + 1) % count, np.full(count, count)], axis=1
    )
