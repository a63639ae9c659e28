"""The live graph on the CPU through this project's own kernels, in float32. 3x3 convolutions go through Winograd's
F(4x4, 3x3), which needs a quarter of the products, or, where the processor multiplies matrices itself, all convolutions
through that (`native_split`); `native_packing` says for which of the two it packs.

The calls of a frame are written down once, and then run in the kernels without coming back to Python (`Plan`).
Blur, modulation, demodulation, bias and activation run inside the passes that move the data anyway, and each head is
one pass over the pixels: nothing is stored that the next step does not read. Runs without torch.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import NativeError, pointer
from core.networks.alignment import aligned
from engine.flow.backends.compiled import MotionFields
from engine.flow.backends.native_layout import PANEL
from engine.flow.backends.native_library import Plan, Scratch
from engine.flow.backends.native_split import Filtering, SplitConv, SplitPicture, SplitSame, strided_offsets

Array = NDArray[np.float32]
_HEAD = 16
UP_TAPS = {0: ((0, 1), (2, 0)), 1: ((1, 1),)}
"""Transposed convolution by parity of the output: (tap, position in the padded picture). Output 2i collects tap 0 from
pixel i and tap 2 from pixel i - 1, output 2i + 1 tap 1 from pixel i."""


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """Weights in the kernels' order, by name. `native_packing.packed` makes them."""

    image_size: int
    style_widths: tuple[int, ...]
    arrays: dict[str, Array]

    def part(self, prefix: str) -> dict[str, Array]:
        """What lies under `prefix`, without it."""
        begin = prefix + "."
        return {name.removeprefix(begin): value for name, value in self.arrays.items() if name.startswith(begin)}

    @property
    def for_matrix_unit(self) -> bool:
        return "block0.conv1.taps" in self.arrays


class NativeMotion:
    """Packed weights and the buffers between the kernels. Raises NativeError where the weights are packed for a matrix
    unit that this processor lacks."""

    def __init__(self, weights: PackedWeights, kernels: ctypes.CDLL) -> None:
        if weights.for_matrix_unit and not kernels.matrix_parts():
            raise NativeError("native kernels: the weights are packed for a processor with AMX; pack them again")
        self._k, self._scratch = kernels, Scratch()
        split = SplitPicture(kernels) if weights.for_matrix_unit else None
        size, arrays = weights.image_size, weights.arrays
        self._size, self.weights = size, weights
        self._picture = aligned(size, size, len(arrays["stem.bias"]))
        levels = size.bit_length() - 3  # one for each doubling from 4
        tools = _Tools(kernels, self._scratch, split)
        self._blocks = [_down(tools, weights.part(f"block{i}"), size >> i) for i in range(levels)]
        self._first = _First(kernels, weights.part("first"))
        self._levels = [_Level(tools, weights.part(f"level{i}"), 8 << i) for i in range(levels)]
        self._levels[-1].last = True
        self._scratch.allocate()
        if split is not None:
            split.allocate()
        self._flow, self._depth = aligned(size, size, 2), aligned(size, size)
        codes = len(arrays["to_alpha.bias"])
        self._driving, self._offset = aligned(4, size, size), aligned(codes)
        self._alpha, self._code = aligned(codes), aligned(codes)
        self._stacked = aligned(len(arrays["styles.bias"]))
        self._styles = np.split(self._stacked, np.cumsum(weights.style_widths)[:-1])
        self._student = aligned(*arrays["student.weight"].shape)
        self._plan = Plan(kernels, self._frame)

    def __call__(self, driving: Array, alpha_offset: Array) -> MotionFields:
        self._driving[:] = driving[0]
        self._offset[:] = alpha_offset[0]
        self._plan()
        return MotionFields(self._flow, self._depth, self._alpha[None].copy())

    def _frame(self) -> None:
        """Every operation of a frame, in order, on buffers that stay where they are."""
        arrays = self.weights.arrays
        self._encode()
        style_weights(self._k, self._alpha, self._code, summand=self._offset)
        affine(self._k, arrays["styles.weight"], self._code, arrays["styles.bias"], self._stacked)
        levels, styles = len(self._levels), self._styles
        convs, heads = styles[1 : 1 + 2 * levels], styles[1 + 2 * levels :]
        x, previous = self._first(self._code, styles[0]), None
        for i, level in enumerate(self._levels):
            x, previous = level(x, previous, convs[2 * i : 2 * i + 2], heads[2 * i : 2 * i + 2])
        style_weights(self._k, arrays["student.weight"].reshape(2, 3, 9), self._student, styles[-1])
        operands = (previous, self._student, arrays["student.bias"], self._flow, self._depth)
        self._k.final_flow(*(pointer(array) for array in operands), ctypes.c_long(self._size))

    def _encode(self) -> None:
        """The driving picture becomes the motion code."""
        arrays = self.weights.arrays
        operands = (self._driving, arrays["stem.weight"], arrays["stem.bias"], self._picture)
        shape = ctypes.c_long(self._size**2), ctypes.c_long(self._picture.shape[2])
        self._k.stem(*(pointer(array) for array in operands), *shape)
        x = self._picture
        for block in self._blocks:
            x = block(x)
        affine(self._k, arrays["to_alpha.weight"], x, arrays["to_alpha.bias"], self._alpha)


class Winograd:
    """3x3 convolution at one size, activation included."""

    def __init__(self, kernels: ctypes.CDLL, scratch: Scratch, weight: Array, bias: Array, size: int) -> None:
        """weight [panels, 36, c_in, 64] transformed, bias [c_out]."""
        self._k, self._scratch = kernels, scratch
        self.c_out, self.c_in = len(weight) * PANEL, weight.shape[2]
        self._u, self._bias = weight, bias
        self._shape = (ctypes.c_long(size), ctypes.c_long(self.c_in), ctypes.c_long(self.c_out))
        scratch.wish(kernels.winograd_scratch(ctypes.c_long(size), ctypes.c_long(self.c_in)))

    def __call__(self, x: Array, out: Array, style: Array | None = None, scale: Array | None = None) -> Array:
        operands = (pointer(array) for array in (x, style, self._u, scale, self._bias, out))
        self._k.winograd(*operands, *self._shape, self._scratch.pointers)
        return out


@dataclass(frozen=True, eq=False)
class _Tools:
    """What all layers work with. `split`: where weights are packed for a matrix unit."""

    kernels: ctypes.CDLL
    scratch: Scratch
    split: SplitPicture | None

    def same(self, weights: dict[str, Array], name: str, size: int) -> "Winograd | SplitSame":
        """The 3x3 convolution of that name."""
        bias = weights[f"{name}.bias"]
        if self.split is not None:
            return SplitSame(self.split, weights[f"{name}.taps"], bias, size)
        return Winograd(self.kernels, self.scratch, weights[f"{name}.weight"], bias, size)

    def filter(self, x: Array, y: Array, pad: int, stride: int) -> None:
        _filter(self.kernels, x, y, pad, stride, 1.0, self.scratch)


def _down(tools: _Tools, weights: dict[str, Array], size: int) -> "_Down":
    return _Down(tools, weights, size) if tools.split is None else _SplitDown(tools, weights, size, tools.split)


class _Down:
    """The encoder's residual block."""

    def __init__(self, tools: _Tools, weights: dict[str, Array], size: int) -> None:
        self._tools, self._size, half = tools, size, size // 2
        self._conv1 = tools.same(weights, "conv1", size)
        self._conv2, self._skip, self._bias = (weights[name] for name in ("conv2.weight", "skip.weight", "conv2.bias"))
        self.c_out, c_in = len(self._bias), self._conv1.c_in
        row = (size + 1) * c_in
        self._offsets = np.array([i * row + j * c_in for i in range(3) for j in range(3)], np.int64)
        self._nowhere = np.zeros(1, np.int64)
        self._full, self._blurred = aligned(size, size, c_in), aligned(size + 1, size + 1, c_in)
        self._small, self._out = aligned(half, half, c_in), aligned(half, half, self.c_out)
        tools.scratch.wish((size + 4) * c_in)

    def __call__(self, x: Array) -> Array:
        self._conv1(x, self._full)
        self._to_half(x)
        return self._out

    def _to_half(self, x: Array) -> None:
        """The rest of the way: `_full` through its filter and convolution, x beside it."""
        self._tools.filter(self._full, self._blurred, 2, 1)
        self._tools.filter(x, self._small, 1, 2)
        kernels, size, half, c_in = self._tools.kernels, self._size, self._size // 2, self._conv1.c_in
        run_taps(
            kernels, self._blurred, self._conv2, self._out, (half, half), (2 * (size + 1) * c_in, 2 * c_in),
            (half * self.c_out, self.c_out), self._offsets,
        )  # fmt: skip
        pixels, channels = ctypes.c_long(half * half), ctypes.c_long(self.c_out)
        kernels.activate(pointer(self._out), None, pointer(self._bias), pixels, channels)
        run_taps(
            kernels, self._small, self._skip, self._out, (half, half), (half * c_in, c_in),
            (half * self.c_out, self.c_out), self._nowhere, add=True,
        )  # fmt: skip


class _SplitDown(_Down):
    """The same by a matrix unit."""

    def __init__(self, tools: _Tools, weights: dict[str, Array], size: int, split: SplitPicture) -> None:
        super().__init__(tools, weights, size)
        half, c_in, self._split = size // 2, self._conv1.c_in, split
        offsets = strided_offsets(half + 1)
        self._strided = SplitConv(tools.kernels, self._conv2, (half, half), half + 1, offsets)
        self._beside = SplitConv(tools.kernels, self._skip, (half, half), half, [0])
        split.wish(size + 1, c_in, phases=2)
        split.wish(half, c_in)

    def _to_half(self, x: Array) -> None:
        scratch = self._tools.scratch
        self._beside(self._split.filtered(x, Filtering(1, 2), scratch), self._out)
        picture = self._split.filtered(self._full, Filtering(2, 1), scratch, phases=2)
        self._strided(picture, self._out, bias=self._bias, add=True)


class _First:
    """The first styled convolution, affine in the motion code."""

    def __init__(self, kernels: ctypes.CDLL, weights: dict[str, Array]) -> None:
        self._k, self._w = kernels, weights
        self._x, self._scale = aligned(4, 4, len(weights["bias"])), aligned(len(weights["bias"]))

    def __call__(self, code: Array, style: Array) -> Array:
        weights = self._w
        affine(self._k, weights["weight"], code, weights["offset"], self._x)
        affine(self._k, weights["energy"], style, None, self._scale)
        operands = (pointer(array) for array in (self._x, self._scale, weights["bias"]))
        self._k.activate(*operands, ctypes.c_long(16), ctypes.c_long(len(self._scale)))
        return self._x


class _Level:
    """One resolution of the generator: up, same, heads."""

    last = False  # at the last one the blend is never formed

    def __init__(self, tools: _Tools, weights: dict[str, Array], size: int) -> None:
        self._k, self._scratch, self._split = tools.kernels, tools.scratch, tools.split
        self._size, self._w = size, weights
        self.c_out, self.c_in = weights["up.energy"].shape
        half, wide = size // 2, size + 1
        self._same = tools.same(weights, "same", size)
        self._phases = self._transposed_phases(half)
        self._split_phases: list[SplitConv] = []
        if self._split is not None:
            self._split_phases = [
                SplitConv(self._k, weights, count, half + 2, [int(offset) // self.c_in for offset in offsets])
                for count, _, weights, offsets in self._phases
            ]
            self._split.wish(half, self.c_in, pad=1)
        self._padded, self._raw = aligned(half + 2, half + 2, self.c_in), aligned(wide, wide, self.c_out)
        self._x, self._y = aligned(size, size, self.c_out), aligned(size, size, self.c_out)
        self._heads = aligned(size, size, _HEAD)
        self._head_bias = aligned(_HEAD)
        self._head_bias[:8] = weights["head_bias"]
        self._scales = aligned(self.c_out), aligned(self.c_out)
        self._flow, self._motion = aligned(*weights["flow"].shape), aligned(*weights["motion"].shape)
        self._scratch.wish((wide + 3) * self.c_out)

    def _transposed_phases(self, half: int) -> list[tuple[Any, ...]]:
        """For each parity (row, column) of the doubled picture: size, first output, weights and input offsets."""
        row, phases = (half + 2) * self.c_in, []
        for a in (0, 1):
            for b in (0, 1):
                offsets = [pi * row + pj * self.c_in for _, pi in UP_TAPS[a] for _, pj in UP_TAPS[b]]
                start = (a * (2 * half + 1) + b) * self.c_out
                weights = self._w[f"up.weight{a}{b}"]
                phases.append(((half + 1 - a, half + 1 - b), start, weights, np.array(offsets, np.int64)))
        return phases

    def __call__(
        self, x: Array, previous: Array | None, styles: list[Array], head_styles: list[Array]
    ) -> tuple[Array, Array]:
        self._twice(x, styles[0])
        (scale, scale_same), style, bias = self._scales, styles[1], self._w["up.bias"]
        affine(self._k, self._w["up.energy"], styles[0], None, scale)
        affine(self._k, self._w["same.energy"], style, None, scale_same)
        if self._split is not None and isinstance(self._same, SplitSame):
            filtering, activation = Filtering(1, 1, 2.0), (scale, bias)
            picture = self._split.filtered(
                self._raw, filtering, self._scratch, pad=1, style=style, activation=activation
            )
            self._same.of(picture, self._y, scale_same)
        else:
            _filter(self._k, self._raw, self._x, 1, 1, 2.0, self._scratch, scale, bias)
            self._same(self._x, self._y, style, scale_same)
        self._head(previous, *head_styles)
        return self._y, self._heads

    def _twice(self, x: Array, style: Array) -> None:
        """The transposed convolution, before its filter."""
        half, wide, c_in, c_out = self._size // 2, self._size + 1, self.c_in, self.c_out
        step, raw = (2 * wide * c_out, 2 * c_out), self._raw.reshape(-1)
        if self._split is not None:
            picture = self._split(x, pad=1, style=style)
            for conv, (_, start, _, _) in zip(self._split_phases, self._phases, strict=True):
                conv(picture, raw[start:], step)
            return
        size_in, channels_in = ctypes.c_long(half), ctypes.c_long(c_in)
        self._k.scale_and_pad(pointer(x), pointer(style), pointer(self._padded), size_in, channels_in)
        for count, start, weights, offsets in self._phases:
            run_taps(
                self._k, self._padded, weights, raw[start:], count, ((half + 2) * c_in, c_in), step, offsets,
                channels=(c_in, c_out),
            )  # fmt: skip

    def _head(self, previous: Array | None, flow_style: Array, motion_style: Array) -> None:
        weights = self._w
        style_weights(self._k, weights["flow"][..., None], self._flow, flow_style)
        style_weights(self._k, weights["motion"][..., None], self._motion, motion_style)
        blended = None if self.last else self._y
        fixed = weights["depth"], self._head_bias, weights["mix"]
        operands = (self._y, weights["feature"], previous, self._flow, self._motion, *fixed, blended)
        shape = ctypes.c_long(self._size), ctypes.c_long(self.c_out)
        self._k.heads(*(pointer(array) for array in operands), pointer(self._heads), *shape)


def _filter(
    kernels: ctypes.CDLL, x: Array, y: Array, pad: int, stride: int, gain: float, scratch: Scratch,
    scale: Array | None = None, bias: Array | None = None,
) -> None:  # fmt: skip
    numbers = [ctypes.c_long(n) for n in (len(x), len(y), x.shape[2], pad, stride)]
    arrays = (pointer(array) for array in (x, scale, bias, y))
    kernels.filter_picture(*arrays, *numbers, ctypes.c_float(gain), scratch.pointers)


def run_taps(
    kernels: ctypes.CDLL, x: Array, weights: Array, y: Array, count: tuple[int, int], x_step: tuple[int, int],
    y_step: tuple[int, int], offsets: NDArray[np.int64], *, add: bool = False, channels: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """A convolution as a sum of matrix products, one for each tap. weights [taps, panels, c_in, 64]."""
    c_in, c_out = channels or (x.shape[2], y.shape[2])
    numbers = [ctypes.c_long(n) for n in (*count, *x_step, *y_step, c_in, c_out, len(offsets), int(add))]
    kernels.convolve_taps(pointer(x), pointer(weights), pointer(y), *numbers, pointer(offsets))


def affine(kernels: ctypes.CDLL, matrix: Array, x: Array, bias: Array | None, y: Array) -> None:
    """y = matrix x + bias, for matrix [rows, columns]; without a bias 1 / √(matrix x² + ε), the demodulation."""
    rows, columns = matrix.shape
    operands = (pointer(array) for array in (matrix, x, bias, y))
    kernels.affine(*operands, ctypes.c_long(rows), ctypes.c_long(columns))


def style_weights(
    kernels: ctypes.CDLL, x: Array, y: Array, factor: Array | None = None, summand: Array | None = None
) -> None:
    """y = x · factor + summand, both for the second axis of x [outer, channels, inner], or for its only one."""
    shape = x.shape if x.ndim == 3 else (1, len(x), 1)
    operands = (pointer(array) for array in (x, factor, summand, y))
    kernels.style_weights(*operands, *map(ctypes.c_long, shape))


def aligned_copy(array: Array) -> Array:
    """The same values from a cache line on."""
    held = aligned(*array.shape)
    held[:] = array
    return held
