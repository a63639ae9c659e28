"""The avatar's face as networks trained by this project are given it: cut closer than the published picture, with depth
in the same measure as the driver's (`capture.face.head_crop`)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calib.survey.placement import FACE_HEIGHT
from capture.face.head_crop import FARTHEST_M, NEAREST_M, cut_colors, cut_depth, depth_channel
from capture.face.preprocess import NETWORK_SIZE, network_input
from core.camera import Intrinsics

UNITS_PER_METRE = FACE_HEIGHT / 0.177  # avatar units in a metre of an average head: that is its face's height
_SIDE = 1.536  # avatar units that the cut shows, at the depth of the head
_CENTRE_Y = -0.064  # below the middle of the face: an open mouth needs room
_ORIGIN_BEHIND = 0.035 * UNITS_PER_METRE  # the head's origin behind the middle of its landmarks, which is the world's


class Pictured(Protocol):
    """An avatar before its camera (`calib.avatar.Avatar`)."""

    @property
    def source_rgb(self) -> NDArray[np.uint8]: ...
    @property
    def source_depth(self) -> NDArray[np.float32]: ...
    @property
    def intrinsics(self) -> Intrinsics: ...
    @property
    def T_camera_world(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, eq=False)
class CloseUp:
    """A square camera on the face.

    Attributes:
        intrinsics: of its picture of 256².
        window: x, y, width, height of it in the picture it is cut from, pixels.
        origin: camera depth of the head's origin, avatar units.
    """

    intrinsics: Intrinsics
    window: tuple[float, float, float, float]
    origin: float

    @staticmethod
    def of(intrinsics: Intrinsics, T_camera_world: NDArray[np.float64]) -> "CloseUp":
        """For an avatar's camera; the avatar's face is at the world's origin (`calib.survey.placement`)."""
        centre = T_camera_world[:3, :3] @ np.array([0.0, _CENTRE_Y, 0.0]) + T_camera_world[:3, 3]
        x, y = intrinsics.project(centre[None])[0]
        width, height = (_SIDE * focal / centre[2] for focal in (intrinsics.fx, intrinsics.fy))
        window = (float(x - width / 2), float(y - height / 2), float(width), float(height))
        scale_x, scale_y = NETWORK_SIZE / width, NETWORK_SIZE / height
        closer = Intrinsics(
            intrinsics.fx * scale_x,
            intrinsics.fy * scale_y,
            (intrinsics.cx - window[0]) * scale_x,
            (intrinsics.cy - window[1]) * scale_y,
            NETWORK_SIZE,
            NETWORK_SIZE,
        )
        return CloseUp(closer, window, float(T_camera_world[2, 3]) + _ORIGIN_BEHIND)

    def cut(self, rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """This camera's colour [256, 256, 3] and depth [256, 256] out of the larger picture's."""
        x, y, width, height = self.window
        A = np.array([[width / NETWORK_SIZE, 0.0, x], [0.0, height / NETWORK_SIZE, y]])
        return cut_colors(rgb, A).astype(np.uint8), cut_depth(depth, A)

    def network_input(self, rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """[4, 256, 256] in [-1, 1] of this camera's picture; see `capture.face.head_crop.depth_channel`."""
        planes = np.empty((4, *depth.shape), np.float32)
        planes[:3] = rgb.transpose(2, 0, 1) / 255.0 * 2 - 1
        planes[3] = depth_channel(depth, self.origin, UNITS_PER_METRE)
        return planes

    @property
    def depth_per_channel(self) -> float:
        """Avatar units that a change of 1 in the depth channel stands for."""
        return (NEAREST_M - FARTHEST_M) * UNITS_PER_METRE / 2


def network_picture(avatar: Pictured, *, head_motion: bool) -> NDArray[np.float32]:
    """[4, 256, 256] in [-1, 1] the avatar as a network is given it.

    Networks that know head motion take the published picture, the others the close-up.
    """
    if head_motion:
        return network_input(avatar.source_rgb, avatar.source_depth)
    close_up = CloseUp.of(avatar.intrinsics, avatar.T_camera_world)
    return close_up.network_input(*close_up.cut(avatar.source_rgb, avatar.source_depth))
