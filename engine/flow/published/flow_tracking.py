"""Dense backward flow and generated depth become displacements of the avatar's controllers.

Equal to the published loops over pixels, without one; for networks of our own see `engine.flow.ours.flow_following`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics
from core.errors import InputError
from engine.flow.flow_landing import FlowLanding
from engine.flow.published.flow_options import Unprojection

_LEVELS = 65535  # generated depth is stored in 16 bits
_JUMP_SIGMAS = 2.0


@dataclass(frozen=True, eq=False)
class FlowControllers:
    """Controllers as the avatar's picture shows them.

    Attributes:
        pixels: [K, 2] int64 column and row, no two alike.
        depth: [K] float64 camera depth there.
        depth_range: least and greatest depth of the avatar in its picture.
        intrinsics: camera of that (square) picture.
        T_camera_world: [4, 4] float64.
    """

    pixels: NDArray[np.int64]
    depth: NDArray[np.float64]
    depth_range: tuple[float, float]
    intrinsics: Intrinsics
    T_camera_world: NDArray[np.float64]

    def __post_init__(self) -> None:
        size = (self.intrinsics.width, self.intrinsics.height)
        if self.pixels.ndim != 2 or self.pixels.shape[1] != 2 or len(self.pixels) != len(self.depth):
            raise ValueError(f"expected pixels [K, 2] and depth [K], got {self.pixels.shape} and {self.depth.shape}")
        if ((self.pixels < 0) | (self.pixels >= size)).any() or len(np.unique(self.pixels, axis=0)) != len(self.pixels):
            raise ValueError("controllers must lie on distinct pixels inside the avatar's picture")
        if size[0] != size[1]:
            raise InputError(
                f"the flow engine needs a square avatar picture, got {size[0]}x{size[1]}; prepare it again"
            )


class FlowTracker:
    """Follows one avatar's controllers through flow. Holds look-up tables only: no state from frame to frame."""

    def __init__(self, controllers: FlowControllers, unprojection: Unprojection = "published") -> None:
        self._at = controllers
        self._unprojection = unprojection
        self.size = size = controllers.intrinsics.width
        self._landing = FlowLanding(controllers.pixels, size)
        self._rest = self._unproject(controllers.pixels.astype(np.float64), controllers.depth)

    def track(
        self, flow: NDArray[np.float32], depth: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """flow [N, N, 2] in [-1, 1] (x first) and depth [N, N] -> displacement [K, 3] in world axes, tracked [K].

        A controller is untracked, its displacement zero, where no pixel landed on it, where its new place touches the
        picture's border, or where the generated depth differs between its old and new place by more than the mean and
        two standard deviations of all such differences.
        """
        assert flow.shape == (self.size, self.size, 2)
        assert depth.shape == (self.size, self.size)
        position, tracked = self._landing(flow)
        landed = np.floor(np.where(tracked[:, None], position, 0.0)).astype(np.int64)
        tracked &= ((landed > 0) & (landed < self.size - 1)).all(axis=1)
        new_depth = self._camera_depth(depth, landed)
        jump = np.abs(new_depth - self._camera_depth(depth, self._at.pixels))
        if tracked.any():
            among = jump[tracked]
            tracked &= jump <= among.mean() + _JUMP_SIGMAS * among.std()
        displacement = self._unproject(np.where(tracked[:, None], position, 0.0), new_depth) - self._rest
        return np.where(tracked[:, None], displacement, 0.0), tracked

    def _camera_depth(self, depth: NDArray[np.float32], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        """[K] generated depth at pixels, stretched from its own range in the picture to the avatar's."""
        low, high = np.clip((depth.min(), depth.max()), -1.0, 1.0)
        value = np.clip(depth[pixels[:, 1], pixels[:, 0]], -1.0, 1.0)
        level = np.floor((value - low) / max(high - low, np.float32(1e-12)) * np.float32(_LEVELS)) / _LEVELS
        near, far = self._at.depth_range
        stretched: NDArray[np.float64] = level.astype(np.float64) * (far - near) + near
        return stretched

    def _unproject(self, pixels: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float64]:
        """[K, 3] points in world axes (relative to the camera: only differences are used)."""
        camera = self._at.intrinsics
        if self._unprojection == "pinhole":
            points = camera.unproject(pixels + 0.5, depth)
        else:
            ndc = 1.0 - 2.0 * pixels / (self.size - 1)
            centre, focal = np.array([camera.cx, camera.cy]), np.array([camera.fx, camera.fy])
            points = np.concatenate([(centre - ndc) / focal * depth[:, None], depth[:, None]], axis=1)
        world: NDArray[np.float64] = points @ self._at.T_camera_world[:3, :3]
        return world
