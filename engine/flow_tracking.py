"""Dense backward flow and generated depth become displacements of the avatar's controllers.

Every pixel of the result says where in the avatar's picture it looks. Read backwards, it splats itself, bilinearly
weighted, onto the four source pixels around that place; a controller moves to the weighted mean of the pixels that
landed on its own. Equal to the published loops over pixels, without one: only the few hundred pixels that look at a
controller take part.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.backends.native_library import NativeError, library, pointer, thread_count
from render.camera import Intrinsics
from render.errors import InputError

Unprojection = Literal["published", "pinhole"]
"""How pixels return to space. pinhole: through the camera, pixel centres at +0.5. published: what the released code
does, which feeds coordinates 1 - 2x/255 into the inverse of a matrix that yields pixels. All points then lie near the
picture's corner ray, so that displacement sideways shrinks to 1/128 of the true one and a share of the change in depth
appears sideways instead. Kept for exact comparison and selectable."""

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
        # one column and row of margin before and two after, so that any clipped place has four neighbours
        self._stride = size + 3
        self._controller_at = np.full(self._stride * self._stride, -1, np.int32)
        self._corners = np.array([0, 1, self._stride, self._stride + 1])
        columns, rows = controllers.pixels.T
        home = (rows + 1) * self._stride + columns + 1
        self._controller_at[home] = np.arange(len(home), dtype=np.int32)
        self._wanted = np.zeros(self._stride * self._stride, bool)
        for corner in self._corners:
            self._wanted[home - corner] = True
        self._rest = self._unproject(controllers.pixels.astype(np.float64), controllers.depth)
        self._splat = _NativeSplat.where_possible(self._controller_at, self._wanted, size, len(home))

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
        position, tracked = self._new_positions(flow)
        landed = np.floor(np.where(tracked[:, None], position, 0.0)).astype(np.int64)
        tracked &= ((landed > 0) & (landed < self.size - 1)).all(axis=1)
        new_depth = self._camera_depth(depth, landed)
        jump = np.abs(new_depth - self._camera_depth(depth, self._at.pixels))
        if tracked.any():
            among = jump[tracked]
            tracked &= jump <= among.mean() + _JUMP_SIGMAS * among.std()
        displacement = self._unproject(np.where(tracked[:, None], position, 0.0), new_depth) - self._rest
        return np.where(tracked[:, None], displacement, 0.0), tracked

    def _new_positions(self, flow: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """[K, 2] weighted mean of the pixels that landed on each controller; [K] whether any did."""
        total, sum_x, sum_y = self._splat(flow) if self._splat is not None else self._sums(flow)
        landed = total > 0
        return np.stack([sum_x, sum_y], axis=1) / np.where(landed, total, 1.0)[:, None], landed

    def _sums(self, flow: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        """Each [K], over the pixels that landed on each controller: weight, weight · column, weight · row."""
        half = np.float32(self.size / 2)
        place = flow.reshape(-1, 2) * half  # x and y in pixels, one added for the margin
        place += half + 1
        np.clip(place, 0.0, np.float32(self.size + 1), out=place)
        whole = place.astype(np.int32)
        base = whole[:, 1] * self._stride
        base += whole[:, 0]
        pixel = np.flatnonzero(self._wanted[base])
        fraction = place[pixel] - whole[pixel]
        target = self._controller_at[base[pixel, None] + self._corners]  # [n, 4]
        x, y = fraction[:, 0].astype(np.float64), fraction[:, 1].astype(np.float64)
        weight = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=1)
        hit = (target >= 0) & (weight > 0)
        rows, columns = np.divmod(pixel, self.size)
        count, which, share = len(self._at.depth), target[hit], weight[hit]
        total = np.bincount(which, share, count)
        shape = target.shape
        sum_x = np.bincount(which, share * np.broadcast_to(columns[:, None], shape)[hit], count)
        sum_y = np.bincount(which, share * np.broadcast_to(rows[:, None], shape)[hit], count)
        return np.asarray(total, np.float64), np.asarray(sum_x, np.float64), np.asarray(sum_y, np.float64)

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


class _NativeSplat:
    """`FlowTracker._sums` in one pass over the pixels, by the native kernels."""

    def __init__(
        self,
        kernel: Callable[..., object],
        controller_at: NDArray[np.int32],
        wanted: NDArray[np.bool_],
        size: int,
        controllers: int,
    ) -> None:
        self._kernel, self._held = kernel, (controller_at, wanted)
        self._sums = np.zeros((thread_count(), controllers, 3))
        self._places = pointer(controller_at), pointer(wanted), pointer(self._sums)
        self._numbers = ctypes.c_long(size), ctypes.c_long(controllers)

    @staticmethod
    def where_possible(*tables: Any) -> "_NativeSplat | None":
        """None where there is no compiler."""
        try:
            return _NativeSplat(library().splat_flow, *tables)
        except NativeError:
            return None

    def __call__(self, flow: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        self._sums.fill(0.0)
        self._kernel(pointer(np.ascontiguousarray(flow, np.float32)), *self._places, *self._numbers)
        return tuple(self._sums.sum(axis=0).T)
