"""Where places of the avatar's picture went, read off dense backward flow.

Every pixel of the result says where in the avatar's picture it looks. Read backwards, it splats itself, bilinearly
weighted, onto the four source pixels around that place; a place moves to the weighted mean of the pixels that landed on
its own. Only the few hundred pixels that look at such a place take part.
"""

import ctypes

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import pointer
from engine.flow.following_kernels import compiled_kernels

_SHOWN, _NOWHERE = 0.5, np.float32(4.0)


class FlowLanding:
    """Follows pixels [K, 2] (int64 column and row, no two alike) of a square picture through flow.

    Holds look-up tables only: no state from frame to frame.
    """

    def __init__(self, pixels: NDArray[np.int64], size: int) -> None:
        self.size = size
        # one column and row of margin before and two after, so that any clipped place has four neighbours
        self._stride = size + 3
        self._controller_at = np.full(self._stride * self._stride, -1, np.int32)
        self._corners = np.array([0, 1, self._stride, self._stride + 1])
        columns, rows = pixels.T
        self._home = home = (rows + 1) * self._stride + columns + 1
        self._controller_at[home] = np.arange(len(home), dtype=np.int32)
        self._wanted = np.zeros(self._stride * self._stride, bool)
        for corner in self._corners:
            self._wanted[home - corner] = True
        kernels = compiled_kernels()
        self._splat = None if kernels is None else _NativeSplat(kernels, self._controller_at, self._wanted, size)

    def __call__(
        self, flow: NDArray[np.float32], mask: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """[K, 2] weighted mean of the pixels that landed on each controller; [K] whether any did. Pixels whose mask
        [size, size] is below a half land nowhere."""
        sums = self._sums(flow, mask) if self._splat is None else self._splat(flow, mask, len(self._home))
        total = sums[:, 0]
        landed = total > 0
        return sums[:, 1:] / np.where(landed, total, 1.0)[:, None], landed

    def _sums(self, flow: NDArray[np.float32], mask: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """[K, 3] over the pixels that landed on each controller: weight, weight · column, weight · row."""
        if mask is not None:
            flow = np.where(mask[..., None] < _SHOWN, _NOWHERE, flow)  # far outside the picture
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
        count, which, share = len(self._home), target[hit], weight[hit]
        total = np.bincount(which, share, count)
        shape = target.shape
        sum_x = np.bincount(which, share * np.broadcast_to(columns[:, None], shape)[hit], count)
        sum_y = np.bincount(which, share * np.broadcast_to(rows[:, None], shape)[hit], count)
        return np.stack([total, sum_x, sum_y], axis=1)


class _NativeSplat:
    """`FlowLanding._sums` in one pass over the pixels."""

    def __init__(
        self, kernels: ctypes.CDLL, controller_at: NDArray[np.int32], wanted: NDArray[np.bool_], size: int
    ) -> None:
        self._kernel, self._held = kernels.splat_flow, (controller_at, wanted)
        self._tables, self._size = (pointer(controller_at), pointer(wanted)), ctypes.c_long(size)

    def __call__(self, flow: NDArray[np.float32], mask: NDArray[np.float32] | None, count: int) -> NDArray[np.float64]:
        sums = np.zeros((count, 3))
        hidden = None if mask is None else np.ascontiguousarray(mask, np.float32)
        places = np.ascontiguousarray(flow, np.float32)
        self._kernel(pointer(places), pointer(hidden), *self._tables, pointer(sums), self._size)
        return sums
