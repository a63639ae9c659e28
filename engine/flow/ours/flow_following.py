"""Dense flow and depth in an avatar's close-up become displacements of the avatar's own controllers.

For networks trained by this project. Their motion is taken relative to what they make of the neutral face, so that
nothing they get wrong at rest moves the avatar; their depth is metric (`calib.close_up`).
"""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from calib.close_up import CloseUp
from calib.rig.controllers import Controllers, Role
from core.camera import transform_points
from core.face_regions import (
    FACE_LANDMARKS,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LIDS,
    UPPER_LIP,
    lower_lip_mask,
    mask,
    upper_lip_mask,
)
from core.native.compiled_library import pointer
from engine.flow.flow_landing import FlowLanding
from engine.flow.following_kernels import compiled_kernels

_INTO_FLESH_PX = 2.5  # from an edge between lips or lids, where flow of both is mixed
_AROUND_PX = 5  # within which a lip is found beside an open mouth
_HIDDEN = 0.08  # avatar units behind what the picture shows: what is deeper is hidden
_NEIGHBOURS, _SOFTENING = 6, 0.02  # avatar units
_ACROSS = 0.4  # added to the distance of controllers on the other side of an opening
_FARTHEST = 0.6  # avatar units: nothing in a face moves farther
_AT_HOME_PX = 6.0  # what lands farther off even at rest says nothing of how the face moves

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MotionPicture:
    """What a network says of one frame: backward flow [N, N, 2] in [-1, 1] (x first), its depth channel [N, N], and
    mask [N, N], below a half where the avatar's picture does not show what the pixel looks for."""

    flow: NDArray[np.float32]
    depth: NDArray[np.float32]
    mask: NDArray[np.float32]


class FlowFollower:
    """Follows one avatar's controllers through its network's flow.

    Attributes:
        followed: [K] which controllers the avatar's picture shows, and flow should tell of.
        steady: [K] those of them that flow leaves where they are while the face is at rest.

    Args:
        controllers: of the avatar's rig, avatar units.
        close_up: camera of the flow.
        T_camera_world: [4, 4].
        shown: [N, N] camera depth in the close-up, 0 where empty.
        rest: what the network makes of the neutral face.
    """

    def __init__(
        self,
        controllers: Controllers,
        close_up: CloseUp,
        T_camera_world: NDArray[np.float64],
        shown: NDArray[np.float32],
        rest: MotionPicture,
    ) -> None:
        self._close_up, self._R = close_up, T_camera_world[:3, :3]
        side = flesh_side(controllers)
        points = transform_points(T_camera_world, controllers.rest)
        places = close_up.intrinsics.project(points)
        places = places + _INTO_FLESH_PX * _into_flesh(controllers)
        roles = [Role.LANDMARK, Role.UPPER_LID, Role.LOWER_LID, Role.UPPER_LIP, Role.LOWER_LIP]
        followed = np.asarray(np.isin(controllers.role, roles)) & _seen(places, points[:, 2], shown)
        self.followed, self._where = followed, np.flatnonzero(followed)
        where = self._where
        self._rest_px, self._rest_depth = places[where], points[where, 2]
        pixels, self._pixel_of = np.unique(np.floor(places[where]).astype(np.int64), axis=0, return_inverse=True)
        self._landing = FlowLanding(pixels, shown.shape[0])
        self._affinity = _affinity(controllers.rest, where, side)
        at, landed = self._landing(rest.flow, rest.mask)
        self._rest_at = np.where(landed[:, None], at, pixels)
        steady = landed & (np.abs(at - pixels).max(axis=1) < _AT_HOME_PX)
        self.steady = np.zeros(len(followed), bool)
        self.steady[where] = steady[self._pixel_of]
        self._lip = np.zeros(len(pixels), bool)
        self._lip[self._pixel_of[np.isin(side[where], (1, 2))]] = True
        self._around = np.where(self._lip, _AROUND_PX // 2, 0).astype(np.uint8)
        self._kernels = compiled_kernels()
        self._rest_channel = self._channel(rest, self._rest_at)

    def displacement(self, now: MotionPicture) -> tuple[Points, NDArray[np.bool_]]:
        """[K, 3] of all controllers, avatar units in world axes, and [K] which of them flow itself says.

        Those that flow says nothing of go with their neighbours on their side of mouth and eyes.
        """
        at, landed = self._landing(now.flow, now.mask)
        shift = np.where(landed[:, None], at - self._rest_at, 0.0)
        rise = np.where(landed, self._channel(now, at) - self._rest_channel, 0.0)
        rise *= self._close_up.depth_per_channel
        known = landed[self._pixel_of]
        moved = self._moved(shift[self._pixel_of], rise[self._pixel_of])
        share = self._affinity @ known.astype(np.float64)
        filled = (self._affinity @ np.where(known[:, None], moved, 0.0)) / np.maximum(share, 1e-9)[:, None]
        filled[self._where[known]] = moved[known]
        tracked = np.zeros(len(filled), bool)
        tracked[self._where[known]] = True
        return filled, tracked

    def _channel(self, picture: MotionPicture, at: Points) -> Points:
        """[P] the depth channel at these places; on lips not that of the dark behind them."""
        if self._kernels is not None:
            depth, places = np.ascontiguousarray(picture.depth, np.float32), np.ascontiguousarray(at, np.float64)
            values, size, count = np.empty(len(at)), ctypes.c_long(len(depth)), ctypes.c_long(len(at))
            given = pointer(depth), size, pointer(places), pointer(self._around), pointer(values), count
            self._kernels.sample_picture(*given)
            return values
        return np.where(self._lip, _sampled(_nearest_around(picture.depth), at), _sampled(picture.depth, at))

    def _moved(self, shift_px: Points, rise: Points) -> Points:
        """[k, 3] world displacement of what was followed, from shifts in the picture and changes in depth."""
        camera = self._close_up.intrinsics
        now = camera.unproject(self._rest_px + shift_px, self._rest_depth + rise)
        moved = (now - camera.unproject(self._rest_px, self._rest_depth)) @ self._R
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        return np.asarray(moved * np.minimum(1.0, _FARTHEST / np.maximum(length, 1e-9)))


def flesh_side(controllers: Controllers) -> NDArray[np.int64]:
    """[K] which side of an opening each controller belongs to: 1, 2 upper and lower lip, 3 and 4, 5 and 6 the lids of
    the picture-left and of the picture-right eye, 0 none."""
    side = np.zeros(len(controllers.rest), np.int64)
    side[:FACE_LANDMARKS][upper_lip_mask()] = 1
    side[:FACE_LANDMARKS][lower_lip_mask()] = 2
    side[controllers.role == Role.UPPER_LIP] = 1
    side[controllers.role == Role.LOWER_LIP] = 2
    for eye in range(2):
        side[:FACE_LANDMARKS][mask(UPPER_LIDS[eye][1:-1])] = 3 + 2 * eye
        side[:FACE_LANDMARKS][mask(LOWER_LIDS[eye][1:-1])] = 4 + 2 * eye
        side[controllers.of(Role.UPPER_LID, eye)] = 3 + 2 * eye
        side[controllers.of(Role.LOWER_LID, eye)] = 4 + 2 * eye
    return side


def _into_flesh(controllers: Controllers) -> Points:
    """[K, 2] ways in the picture, of length 1, that lead rims of lips and lids into the flesh; 0 elsewhere."""
    way = np.zeros((len(controllers.rest), 2))
    up, down = np.array([0.0, -1.0]), np.array([0.0, 1.0])
    inner = (UPPER_LIP[-1], up), (LOWER_LIP[-1], down)
    rims = *inner, *((lids[eye], to) for eye in range(2) for lids, to in ((UPPER_LIDS, up), (LOWER_LIDS, down)))
    for chain, to in rims:
        way[list(chain[1:-1])] = to
    for role, to in ((Role.UPPER_LIP, up), (Role.LOWER_LIP, down), (Role.UPPER_LID, up), (Role.LOWER_LID, down)):
        way[controllers.role == role] = to
    return way


def _seen(places: Points, depth: Points, shown: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[K] whether places [K, 2] at camera depth [K] are what the picture shows there."""
    at = np.floor(places).astype(np.int64)
    inside = np.asarray(((at >= 0) & (at < shown.shape[::-1])).all(axis=1))
    at = np.where(inside[:, None], at, 0)
    surface: NDArray[np.float32] = shown[at[:, 1], at[:, 0]]
    return np.asarray(inside & (surface > 0) & (depth - surface < _HIDDEN))


def _nearest_around(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.erode(depth, np.ones((_AROUND_PX, _AROUND_PX), np.uint8)))


def _sampled(picture: NDArray[np.float32], at: Points) -> Points:
    """[K] bilinear look-up at indices [K, 2] (column, row), those of the border repeated beyond it."""
    size = picture.shape[0]
    at = np.clip(at, 0, size - 1.001)
    low = at.astype(np.int64)
    share = at - low
    column, row = low.T
    top = picture[row, column] * (1 - share[:, 0]) + picture[row, column + 1] * share[:, 0]
    bottom = picture[row + 1, column] * (1 - share[:, 0]) + picture[row + 1, column + 1] * share[:, 0]
    return np.asarray(top * (1 - share[:, 1]) + bottom * share[:, 1], dtype=np.float64)


def _affinity(rest: Points, followed: NDArray[np.int64], side: NDArray[np.int64]) -> csr_matrix:
    """[K, k] how alike controllers move, by distance [K, 3] at rest, to the nearest of those that are followed."""
    distance = np.linalg.norm(rest[:, None] - rest[followed], axis=2)
    across = (side[:, None] != side[followed]) & (side[:, None] > 0) & (side[followed] > 0)
    distance = distance + _ACROSS * across
    nearest = np.argsort(distance, axis=1)[:, :_NEIGHBOURS]
    near = np.take_along_axis(distance, nearest, axis=1)
    weight = 1.0 / (near**2 + _SOFTENING**2)
    rows = np.repeat(np.arange(len(rest)), nearest.shape[1])
    return csr_matrix((weight.ravel(), (rows, nearest.ravel())), shape=(len(rest), len(followed)))
