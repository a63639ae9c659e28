"""Convolutions for processors that multiply matrices themselves (AMX): float32 in and out, each product of two numbers
as three of their bfloat16 parts, summed in float32. See native_kernels.c.

A picture is split once for all convolutions that look at it; every kind of convolution is then the same walk over its
positions, with other offsets.
"""

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import pointer
from core.networks.alignment import aligned
from engine.flow.backends.native_library import Scratch

Array = NDArray[np.float32]
_AT_ONCE = 32  # positions that the kernel reads beyond the last one wanted


class Filtering(NamedTuple):
    """The four-tap filter: empty pixels before and after, pixels from one result to the next, gain of one axis."""

    pad: int
    stride: int
    gain: float = 1.0

    def size(self, size: int) -> int:
        """Side of the result for a picture of that side."""
        return (size + 2 * self.pad - 4) // self.stride + 1


class SplitPicture:
    """One buffer that holds the picture which is being looked at, with an empty border of `pad` pixels."""

    def __init__(self, kernels: ctypes.CDLL) -> None:
        self.kernels = kernels
        self.positions = 0
        self._floats = 0
        self._buffer = aligned(0)

    @staticmethod
    def _positions(size: int, pad: int, phases: int) -> int:
        side = -(-(size + 2 * pad) // phases)
        return (phases * side) ** 2 + _AT_ONCE

    def wish(self, size: int, channels: int, pad: int = 0, phases: int = 1) -> None:
        """Make room for such a picture; before `allocate`."""
        self._floats = max(self._floats, self._positions(size, pad, phases) * channels)  # two halves make one float

    def allocate(self) -> None:
        self._buffer = aligned(self._floats)

    def __call__(self, x: Array, pad: int = 0, phases: int = 1, style: Array | None = None) -> "SplitPicture":
        """Split x [N, N, C], scaled by style [C]. `phases` 2 parts even from odd rows and columns."""
        self.positions = self._positions(len(x), pad, phases)
        numbers = [ctypes.c_long(n) for n in (len(x), x.shape[2], self.positions, pad, phases)]
        self.kernels.split_picture(pointer(x), pointer(style), pointer(self._buffer), *numbers)
        return self

    def filtered(
        self,
        x: Array,
        filtering: Filtering,
        scratch: Scratch,
        *,
        pad: int = 0,
        phases: int = 1,
        style: Array | None = None,
        activation: tuple[Array, Array] | None = None,
    ) -> "SplitPicture":
        """The same of x filtered, and activated with (scale [C], bias [C]), in one pass."""
        size = filtering.size(len(x))
        self.positions = self._positions(size, pad, phases)
        arrays = (pointer(array) for array in (x, *(activation or (None, None)), style, self._buffer))
        numbers = [ctypes.c_long(n) for n in (len(x), size, x.shape[2], filtering.pad, filtering.stride)]
        where = [ctypes.c_long(n) for n in (self.positions, pad, phases)]
        gain = ctypes.c_float(filtering.gain)
        self.kernels.filter_and_split(*arrays, *numbers, gain, scratch.pointers, *where)
        return self

    @property
    def address(self) -> ctypes.c_void_p | None:
        return pointer(self._buffer)


class SplitConv:
    """A convolution over positions of a split picture.

    Args:
        kernels: with a matrix unit.
        weight: [taps, panels, c_in, 64].
        count: rows and columns of results.
        row_positions: from one row of the split picture to the next.
        offsets: [taps] the position each tap looks at for the first result.
    """

    def __init__(
        self, kernels: ctypes.CDLL, weight: Array, count: tuple[int, int], row_positions: int, offsets: list[int]
    ) -> None:
        self._k = kernels
        taps, panels, self.c_in, panel = weight.shape
        self.c_out = panels * panel
        self._weights = aligned(weight.size)  # two halves make one float
        sizes = [ctypes.c_long(n) for n in (taps, self.c_in, self.c_out)]
        kernels.split_weights(pointer(np.ascontiguousarray(weight)), pointer(self._weights), *sizes)
        self._count, self._row_positions = count, row_positions
        self._offsets = np.array(offsets, np.int64)

    def __call__(
        self,
        picture: SplitPicture,
        out: Array,
        step: tuple[int, int] | None = None,
        *,
        scale: Array | None = None,
        bias: Array | None = None,
        add: bool = False,
    ) -> Array:
        """Into `out`, from one row and column of results to the next by `step` floats. With a bias [c_out], scaled by
        scale [c_out] and activated; `add` adds to what is there, after that."""
        y_row, y_column = step or (self._count[1] * self.c_out, self.c_out)
        numbers = [picture.positions, *self._count, self._row_positions, y_row, y_column, self.c_in, self.c_out]
        numbers += [len(self._offsets), int(add)]
        arrays = (pointer(array) for array in (self._weights, scale, bias, out))
        self._k.convolve_split(picture.address, *arrays, *map(ctypes.c_long, numbers), pointer(self._offsets))
        return out


class SplitSame:
    """3x3 at one size, activation included: what `native_motion.Winograd` does."""

    def __init__(self, split: SplitPicture, weight: Array, bias: Array, size: int) -> None:
        """weight [9, panels, c_in, 64], bias [c_out]."""
        wide = size + 2
        self._conv = SplitConv(split.kernels, weight, (size, size), wide, square_offsets(wide))
        self.c_in, self.c_out = self._conv.c_in, self._conv.c_out
        self._split, self._bias = split, bias
        split.wish(size, self.c_in, pad=1)

    def __call__(self, x: Array, out: Array, style: Array | None = None, scale: Array | None = None) -> Array:
        return self.of(self._split(x, pad=1, style=style), out, scale)

    def of(self, picture: SplitPicture, out: Array, scale: Array | None = None) -> Array:
        """Of a picture that is split already, with one empty pixel around it."""
        return self._conv(picture, out, scale=scale, bias=self._bias)


def square_offsets(wide: int) -> list[int]:
    """Of 3x3 taps in a picture `wide` positions wide."""
    return [i * wide + j for i in range(3) for j in range(3)]


def strided_offsets(side: int) -> list[int]:
    """Of 3x3 taps at every second pixel, in a picture whose even and odd rows and columns are `side` wide each."""
    phase = side * side
    return [(i % 2 * 2 + j % 2) * phase + i // 2 * side + j // 2 for i in range(3) for j in range(3)]
