"""The live graph on the CPU through this project's own kernels: exact in float32, about twice as fast as direct
convolution allows, because 3x3 convolutions go through Winograd's F(4x4, 3x3), which needs a quarter of the products.

Blur, modulation, demodulation, bias and activation run inside the passes that move the data anyway, and each head is
one pass over the pixels: nothing is stored that the next step does not read. Runs without torch.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.networks.alignment import aligned
from engine.flow.backends.compiled import MotionFields
from engine.flow.backends.native_layout import PANEL
from engine.flow.backends.native_library import Scratch, pointer

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


class NativeMotion:
    """Packed weights and the buffers between the kernels."""

    def __init__(self, weights: PackedWeights, kernels: ctypes.CDLL) -> None:
        self._k, self._scratch = kernels, Scratch()
        size, arrays = weights.image_size, weights.arrays
        self._size, self.weights = size, weights
        self._picture = aligned(size, size, len(arrays["stem.bias"]))
        levels = size.bit_length() - 3  # one for each doubling from 4
        self._blocks = [_Down(kernels, self._scratch, weights.part(f"block{i}"), size >> i) for i in range(levels)]
        self._splits = np.cumsum(weights.style_widths)[:-1]
        self._first = _First(weights.part("first"))
        self._levels = [_Level(kernels, self._scratch, weights.part(f"level{i}"), 8 << i) for i in range(levels)]
        self._levels[-1].last = True
        self._scratch.allocate()
        self._flow, self._depth = aligned(size, size, 2), aligned(size, size)

    def __call__(self, driving: Array, alpha_offset: Array) -> MotionFields:
        arrays = self.weights.arrays
        alpha = self._encode(driving)
        code = alpha + alpha_offset[0]
        styles = np.split(arrays["styles.weight"] @ code + arrays["styles.bias"], self._splits)
        levels = len(self._levels)
        convs, heads = styles[1 : 1 + 2 * levels], styles[1 + 2 * levels :]
        x, previous = self._first(code, styles[0]), None
        for i, level in enumerate(self._levels):
            x, previous = level(x, previous, convs[2 * i : 2 * i + 2], heads[2 * i : 2 * i + 2])
        weight = np.ascontiguousarray(arrays["student.weight"] * styles[-1][None, :, None, None])
        operands = (previous, weight, arrays["student.bias"], self._flow, self._depth)
        self._k.final_flow(*(pointer(array) for array in operands), ctypes.c_long(self._size))
        return MotionFields(self._flow, self._depth, alpha[None])

    def _encode(self, driving: Array) -> Array:
        """Motion code [M]."""
        arrays = self.weights.arrays
        weight, bias = arrays["stem.weight"], arrays["stem.bias"]
        planes = np.ascontiguousarray(driving, np.float32)
        pixels, channels = ctypes.c_long(self._size**2), ctypes.c_long(len(bias))
        self._k.stem(pointer(planes), pointer(weight), pointer(bias), pointer(self._picture), pixels, channels)
        x = self._picture
        for block in self._blocks:
            x = block(x)
        alpha: Array = arrays["to_alpha.weight"] @ x.ravel() + arrays["to_alpha.bias"]
        return alpha


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


class _Down:
    """The encoder's residual block."""

    def __init__(self, kernels: ctypes.CDLL, scratch: Scratch, weights: dict[str, Array], size: int) -> None:
        self._k, self._scratch = kernels, scratch
        self._size, half = size, size // 2
        self._conv1 = Winograd(kernels, scratch, weights["conv1.weight"], weights["conv1.bias"], size)
        self._conv2, self._skip, self._bias = (weights[name] for name in ("conv2.weight", "skip.weight", "conv2.bias"))
        self.c_out, c_in = len(self._bias), self._conv1.c_in
        row = (size + 1) * c_in
        self._offsets = np.array([i * row + j * c_in for i in range(3) for j in range(3)], np.int64)
        self._full, self._blurred = aligned(size, size, c_in), aligned(size + 1, size + 1, c_in)
        self._small, self._out = aligned(half, half, c_in), aligned(half, half, self.c_out)
        scratch.wish((size + 4) * c_in)

    def __call__(self, x: Array) -> Array:
        size, half, c_in = self._size, self._size // 2, x.shape[2]
        self._conv1(x, self._full)
        _filter(self._k, self._full, self._blurred, 2, 1, 1.0, self._scratch)
        run_taps(
            self._k, self._blurred, self._conv2, self._out, (half, half), (2 * (size + 1) * c_in, 2 * c_in),
            (half * self.c_out, self.c_out), self._offsets,
        )  # fmt: skip
        pixels, channels = ctypes.c_long(half * half), ctypes.c_long(self.c_out)
        self._k.activate(pointer(self._out), pointer(self._bias), pixels, channels)
        _filter(self._k, x, self._small, 1, 2, 1.0, self._scratch)
        run_taps(
            self._k, self._small, self._skip, self._out, (half, half), (half * c_in, c_in),
            (half * self.c_out, self.c_out), np.zeros(1, np.int64), add=True,
        )  # fmt: skip
        return self._out


class _First:
    """The first styled convolution, affine in the motion code."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._w = weights

    def __call__(self, code: Array, style: Array) -> Array:
        raw = (self._w["weight"] @ code + self._w["offset"]).reshape(4, 4, -1)
        x = raw * _demodulation(self._w["energy"], style) + self._w["bias"]
        return np.ascontiguousarray(np.maximum(x, np.float32(0.2) * x))


def _demodulation(energy: Array, style: Array) -> Array:
    return np.asarray(1 / np.sqrt(energy @ np.square(style) + np.float32(5e-9)), np.float32)


class _Level:
    """One resolution of the generator: up, same, heads."""

    last = False  # at the last one the blend is never formed

    def __init__(self, kernels: ctypes.CDLL, scratch: Scratch, weights: dict[str, Array], size: int) -> None:
        self._k, self._scratch, self._size, self._w = kernels, scratch, size, weights
        self.c_out, self.c_in = weights["up.energy"].shape
        half, wide = size // 2, size + 1
        self._same = Winograd(kernels, scratch, weights["same.weight"], weights["same.bias"], size)
        self._phases = self._transposed_phases(half)
        self._padded, self._raw = aligned(half + 2, half + 2, self.c_in), aligned(wide, wide, self.c_out)
        self._x, self._y = aligned(size, size, self.c_out), aligned(size, size, self.c_out)
        self._heads = aligned(size, size, _HEAD)
        self._head_bias = aligned(_HEAD)
        self._head_bias[:8] = weights["head_bias"]
        scratch.wish((wide + 3) * self.c_out)

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
        half, wide, c_in, c_out = self._size // 2, self._size + 1, self.c_in, self.c_out
        size_in, channels_in = ctypes.c_long(half), ctypes.c_long(c_in)
        style = np.ascontiguousarray(styles[0])
        self._k.scale_and_pad(pointer(x), pointer(style), pointer(self._padded), size_in, channels_in)
        for count, start, weights, offsets in self._phases:
            run_taps(
                self._k, self._padded, weights, self._raw.reshape(-1)[start:], count, ((half + 2) * c_in, c_in),
                (2 * wide * c_out, 2 * c_out), offsets, channels=(c_in, c_out),
            )  # fmt: skip
        scale = _demodulation(self._w["up.energy"], styles[0])
        _filter(self._k, self._raw, self._x, 1, 1, 2.0, self._scratch, scale, self._w["up.bias"])
        style = np.ascontiguousarray(styles[1])
        self._same(self._x, self._y, style, _demodulation(self._w["same.energy"], styles[1]))
        self._head(previous, *head_styles)
        return self._y, self._heads

    def _head(self, previous: Array | None, flow_style: Array, motion_style: Array) -> None:
        weights = self._w
        flow, motion = weights["flow"] * flow_style, weights["motion"] * motion_style
        blended = None if self.last else self._y
        fixed = weights["depth"], self._head_bias, weights["mix"]
        operands = (self._y, weights["feature"], previous, flow, motion, *fixed, blended)
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


def aligned_copy(array: Array) -> Array:
    """The same values from a cache line on."""
    held = aligned(*array.shape)
    held[:] = array
    return held
