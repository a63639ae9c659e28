"""What the pictures of an offline run show of a frame, one beside the other."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from core.frame import RgbdFrame
from core.rigid_motion import rotation_matrix
from core.source import AnyFrame
from engine.motion.protocol import AvatarPose
from render.window.viewer import Viewer

OfflineFilm = Literal["both", "avatar", "grid"]
"""both: driver beside avatar. grid, as the published tool's: driver, the avatar at rest, what the network paints of it
(networks that paint), the animated avatar, and the same turned."""

GRID_HEIGHT = 480  # pixels at most: five pictures stand in a row

Picture = NDArray[np.uint8]
"""[H, W, 3], R first."""


def _turned_aside() -> NDArray[np.float64]:
    """[4, 4] the published second view: rotation angles about x, y and z, one after the other, and a shift."""
    T = np.eye(4)
    for axis, angle in zip(np.eye(3), (0.19897363, -0.32896024, -0.03197825), strict=True):
        T[:3, :3] = rotation_matrix(angle * axis) @ T[:3, :3]
    T[0, 3] = -0.1
    return T


TURNED_ASIDE = _turned_aside()


class Panels:
    """Draws what a film or still shows of each frame.

    Args:
        viewer: shows `avatar`, off screen.
        painted: the network's own picture of the avatar for the frame answered last; None where none paints.
    """

    def __init__(
        self, avatar: Avatar, viewer: Viewer, film: OfflineFilm, painted: Callable[[], Picture] | None = None
    ) -> None:
        self.film: OfflineFilm = film
        self._avatar, self._viewer, self._painted = avatar, viewer, painted

    def __call__(self, frame: AnyFrame, pose: AvatarPose) -> dict[str, Picture]:
        """Pictures by name, from left to right, of any size."""
        animated = self._seen(pose, pose.T_world_head)
        if self.film == "avatar":
            return {"animated": animated}
        driving = frame.picture if isinstance(frame, RgbdFrame) else None
        pictures = {} if driving is None else {"driving": driving}
        if self.film == "grid":
            pictures["source"] = self._avatar.source_rgb
            if self._painted is not None:
                pictures["generated"] = self._painted()
        pictures["animated"] = animated
        if self.film == "grid":
            pictures["turned"] = self._seen(pose, TURNED_ASIDE @ pose.T_world_head)
        return pictures

    def _seen(self, pose: AvatarPose, T_world_head: NDArray[np.float64]) -> Picture:
        self._viewer.show(pose.vertices, T_world_head, None, "")
        return self._viewer.read_rgb()
