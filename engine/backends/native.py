"""The live graph on the CPU through this project's own kernels: exact in float32, about twice as fast as direct
convolution allows, because 3x3 convolutions go through Winograd's F(4x4, 3x3), which needs a quarter of the products.

Blur, modulation, demodulation, bias and activation run inside the passes that move the data anyway, and each head is
one pass over the pixels: nothing is stored that the next step does not read.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.backends.backend import BackendError, CompileRequest, MotionFields
from engine.backends.native_library import NativeError, Scratch, aligned, library, missing, pointer
from engine.motion_network import MotionNetwork
from engine.network.live import LiveBlock, LiveHeads, LiveStyledConv

Array = NDArray[np.float32]
_PANEL = 64
_HEAD = 16
_WINOGRAD_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


class NativeBackend:
    """Needs a C compiler on the machine and channel counts divisible by 64, as the published network has."""

    name = "native"
    precision = "fp32"

    def missing(self) -> str | None:
        return missing()

    def compile(self, request: CompileRequest) -> "NativeMotion":
        config = request.network.config
        widths = {config.widths[size] for size in config.resolutions(from_size=4)}
        if any(width % _PANEL for width in widths) or config.depth_motion_dim != 5 or config.input_channels != 4:
            raise BackendError(
                f"--backend native: expected channels divisible by {_PANEL}, 4 inputs and 5 depth directions, "
                f"got widths {sorted(widths)}; use --backend openvino"
            )
        try:
            return NativeMotion(request.network, library())
        except NativeError as error:
            raise BackendError(f"--backend native: {error}") from error


class NativeMotion:
    """Weights in the kernels' order and the buffers between them."""

    def __init__(self, network: MotionNetwork, kernels: ctypes.CDLL) -> None:
        self._k, self._scratch = kernels, Scratch()
        size = self._size = network.config.image_size
        stem = network.encoder.stem
        self._stem = _numpy(stem.weight[:, :, 0, 0].T), _numpy(stem.bias)
        self._picture = aligned(size, size, len(stem.bias))
        self._blocks = []
        for block in network.encoder.blocks:
            self._blocks.append(_Down(self._k, self._scratch, block, size))  # type: ignore[arg-type]
            size //= 2
        channels = self._blocks[-1].c_out
        matrix = network.encoder.to_alpha.reshape(-1, channels, 4, 4).permute(0, 2, 3, 1)
        self._to_alpha = _numpy(matrix.reshape(len(matrix), -1)), _numpy(network.encoder.alpha_bias)
        self._styles = _numpy(network.style_matrix), _numpy(network.style_bias)
        self._splits = np.cumsum(network.style_widths)[:-1]
        self._first = _First(network)
        self._levels, size = [], 4
        for i, head in enumerate(network.heads):
            size *= 2
            up, same = network.convs[2 * i], network.convs[2 * i + 1]
            self._levels.append(_Level(self._k, self._scratch, up, same, head, size))  # type: ignore[arg-type]
        self._scratch.allocate()
        self._student = _numpy(network.student.weight[:2]), _numpy(network.student.bias[:2])
        self._flow, self._depth = aligned(self._size, self._size, 2), aligned(self._size, self._size)

    def __call__(self, driving: Array, alpha_offset: Array) -> MotionFields:
        alpha = self._encode(driving)
        styles = np.split(self._styles[0] @ (alpha + alpha_offset[0]) + self._styles[1], self._splits)
        levels = len(self._levels)
        convs, heads = styles[1 : 1 + 2 * levels], styles[1 + 2 * levels :]
        x, previous = self._first(alpha + alpha_offset[0], styles[0]), None
        for i, level in enumerate(self._levels):
            x, previous = level(x, previous, convs[2 * i : 2 * i + 2], heads[2 * i : 2 * i + 2])
        weight = np.ascontiguousarray(self._student[0] * styles[-1][None, :, None, None])
        self._k.final_flow(
            pointer(previous),
            pointer(weight),
            pointer(self._student[1]),
            pointer(self._flow),
            pointer(self._depth),
            ctypes.c_long(self._size),
        )
        return MotionFields(self._flow, self._depth, alpha[None])

    def _encode(self, driving: Array) -> Array:
        """Motion code [M]."""
        weight, bias = self._stem
        planes = np.ascontiguousarray(driving, np.float32)
        pixels, channels = ctypes.c_long(self._size**2), ctypes.c_long(len(bias))
        self._k.stem(pointer(planes), pointer(weight), pointer(bias), pointer(self._picture), pixels, channels)
        x = self._picture
        for block in self._blocks:
            x = block(x)
        matrix, offset = self._to_alpha
        alpha: Array = matrix @ x.ravel() + offset
        return alpha


class _Winograd:
    """3x3 convolution at one size, activation included."""

    def __init__(self, kernels: ctypes.CDLL, scratch: Scratch, weight: Tensor, bias: Tensor, size: int) -> None:
        self._k, self._scratch = kernels, scratch
        self.c_out, self.c_in = weight.shape[:2]
        self._u, self._bias = _winograd_weights(weight.double().numpy()), _numpy(bias.reshape(-1))
        self._shape = (ctypes.c_long(size), ctypes.c_long(self.c_in), ctypes.c_long(self.c_out))
        scratch.wish(kernels.winograd_scratch(ctypes.c_long(size), ctypes.c_long(self.c_in)))

    def __call__(self, x: Array, out: Array, style: Array | None = None, scale: Array | None = None) -> Array:
        operands = (pointer(array) for array in (x, style, self._u, scale, self._bias, out))
        self._k.winograd(*operands, *self._shape, self._scratch.pointers)
        return out


class _Down:
    """The encoder's residual block."""

    def __init__(self, kernels: ctypes.CDLL, scratch: Scratch, block: LiveBlock, size: int) -> None:
        self._k, self._scratch = kernels, scratch
        self._size, half = size, size // 2
        self._conv1 = _Winograd(kernels, scratch, block.conv1.weight, block.conv1.bias, size)
        self.c_out, c_in = block.conv2.weight.shape[:2]
        self._conv2 = _tap_weights([block.conv2.weight[:, :, i, j] for i in range(3) for j in range(3)])
        self._skip, self._bias = _tap_weights([block.skip[:, :, 0, 0]]), _numpy(block.conv2.bias)
        row = (size + 1) * c_in
        self._offsets = np.array([i * row + j * c_in for i in range(3) for j in range(3)], np.int64)
        self._full, self._blurred = aligned(size, size, c_in), aligned(size + 1, size + 1, c_in)
        self._small, self._out = aligned(half, half, c_in), aligned(half, half, self.c_out)
        scratch.wish((size + 4) * c_in)

    def __call__(self, x: Array) -> Array:
        size, half, c_in = self._size, self._size // 2, x.shape[2]
        self._conv1(x, self._full)
        _filter(self._k, self._full, self._blurred, 2, 1, 1.0, self._scratch)
        _taps(
            self._k, self._blurred, self._conv2, self._out, (half, half), (2 * (size + 1) * c_in, 2 * c_in),
            (half * self.c_out, self.c_out), self._offsets,
        )  # fmt: skip
        pixels, channels = ctypes.c_long(half * half), ctypes.c_long(self.c_out)
        self._k.activate(pointer(self._out), pointer(self._bias), pixels, channels)
        _filter(self._k, x, self._small, 1, 2, 1.0, self._scratch)
        _taps(
            self._k, self._small, self._skip, self._out, (half, half), (half * c_in, c_in),
            (half * self.c_out, self.c_out), np.zeros(1, np.int64), add=True,
        )  # fmt: skip
        return self._out


class _First:
    """The first styled convolution, affine in the motion code."""

    def __init__(self, network: MotionNetwork) -> None:
        matrix, bias = network.first_matrix, network.first_bias[0]
        channels = len(bias)
        self._shape = (4, 4, channels)
        self._matrix = _numpy(matrix.reshape(channels, 16, -1).transpose(0, 1).reshape(16 * channels, -1))
        self._offset = _numpy(bias.permute(1, 2, 0).reshape(-1))
        self._demodulation = _Demodulation(network.first)
        self._bias = _numpy(network.first.bias.reshape(-1))

    def __call__(self, code: Array, style: Array) -> Array:
        x = (self._matrix @ code + self._offset).reshape(self._shape) * self._demodulation(style) + self._bias
        return np.ascontiguousarray(np.maximum(x, np.float32(0.2) * x))


class _Demodulation:
    def __init__(self, conv: LiveStyledConv) -> None:
        self._energy = _numpy(conv.energy)

    def __call__(self, style: Array) -> Array:
        return np.asarray(1 / np.sqrt(self._energy @ np.square(style) + np.float32(5e-9)), np.float32)


class _Level:
    """One resolution of the generator: up, same, heads."""

    def __init__(
        self,
        kernels: ctypes.CDLL,
        scratch: Scratch,
        up: LiveStyledConv,
        same: LiveStyledConv,
        head: LiveHeads,
        size: int,
    ) -> None:
        self._k, self._scratch, self._size = kernels, scratch, size
        self.c_in, self.c_out = up.weight.shape[:2]
        half, wide = size // 2, size + 1
        self._up_demodulation, self._same_demodulation = _Demodulation(up), _Demodulation(same)
        self._up_bias = _numpy(up.bias.reshape(-1))
        self._same = _Winograd(kernels, scratch, same.weight, same.bias, size)
        self._phases = self._transposed_phases(up, half)
        self._padded, self._raw = aligned(half + 2, half + 2, self.c_in), aligned(wide, wide, self.c_out)
        self._x, self._y = aligned(size, size, self.c_out), aligned(size, size, self.c_out)
        self._heads = aligned(size, size, _HEAD)
        self._last = head.last
        self._feature = _numpy(head.feature[0].permute(1, 2, 0))
        self._flow, self._motion = _numpy(head.flow_weight), _numpy(head.motion_weight)
        self._depth = _numpy(head.depth_weight[0])
        self._head_bias = aligned(_HEAD)
        self._head_bias[:8] = np.concatenate([_numpy(head.flow_bias).ravel(), _numpy(head.motion_bias).ravel()])
        mix = [_numpy(value).ravel() for value in (head.depth_mix, head.depth_bias, head.depth_offset)]
        self._mix = np.concatenate(mix)
        scratch.wish((wide + 3) * self.c_out)

    def _transposed_phases(self, up: LiveStyledConv, half: int) -> list[tuple[Any, ...]]:
        """For each parity (row, column) of the doubled picture: size, first output, weights and input offsets.

        Output (2i + a, 2j + b) collects the taps of equal parity: tap 0 or 1 from pixel i, tap 2 from pixel i - 1.
        """
        row, phases = (half + 2) * self.c_in, []
        sources = {0: ((0, 1), (2, 0)), 1: ((1, 1),)}  # parity: (tap, position in the padded picture)
        for a in (0, 1):
            for b in (0, 1):
                taps = [(ti, tj, pi, pj) for ti, pi in sources[a] for tj, pj in sources[b]]
                weights = _tap_weights([up.weight[:, :, ti, tj].T for ti, tj, _, _ in taps])
                offsets = np.array([pi * row + pj * self.c_in for _, _, pi, pj in taps], np.int64)
                start = (a * (2 * half + 1) + b) * self.c_out
                phases.append(((half + 1 - a, half + 1 - b), start, weights, offsets))
        return phases

    def __call__(
        self, x: Array, previous: Array | None, styles: list[Array], head_styles: list[Array]
    ) -> tuple[Array, Array]:
        half, wide, c_in, c_out = self._size // 2, self._size + 1, self.c_in, self.c_out
        size_in, channels_in = ctypes.c_long(half), ctypes.c_long(c_in)
        style = np.ascontiguousarray(styles[0])
        self._k.scale_and_pad(pointer(x), pointer(style), pointer(self._padded), size_in, channels_in)
        for count, start, weights, offsets in self._phases:
            _taps(
                self._k, self._padded, weights, self._raw.reshape(-1)[start:], count, ((half + 2) * c_in, c_in),
                (2 * wide * c_out, 2 * c_out), offsets, channels=(c_in, c_out),
            )  # fmt: skip
        scale = self._up_demodulation(styles[0])
        _filter(self._k, self._raw, self._x, 1, 1, 2.0, self._scratch, scale, self._up_bias)
        style = np.ascontiguousarray(styles[1])
        self._same(self._x, self._y, style, self._same_demodulation(styles[1]))
        self._head(previous, *head_styles)
        return self._y, self._heads

    def _head(self, previous: Array | None, flow_style: Array, motion_style: Array) -> None:
        flow, motion = self._flow * flow_style, self._motion * motion_style
        blended = None if self._last else self._y
        operands = (self._y, self._feature, previous, flow, motion, self._depth, self._head_bias, self._mix, blended)
        shape = ctypes.c_long(self._size), ctypes.c_long(self.c_out)
        self._k.heads(*(pointer(array) for array in operands), pointer(self._heads), *shape)


def _filter(
    kernels: ctypes.CDLL, x: Array, y: Array, pad: int, stride: int, gain: float, scratch: Scratch,
    scale: Array | None = None, bias: Array | None = None,
) -> None:  # fmt: skip
    numbers = [ctypes.c_long(n) for n in (len(x), len(y), x.shape[2], pad, stride)]
    arrays = (pointer(array) for array in (x, scale, bias, y))
    kernels.filter_picture(*arrays, *numbers, ctypes.c_float(gain), scratch.pointers)


def _taps(
    kernels: ctypes.CDLL, x: Array, weights: Array, y: Array, count: tuple[int, int], x_step: tuple[int, int],
    y_step: tuple[int, int], offsets: NDArray[np.int64], *, add: bool = False, channels: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    c_in, c_out = channels or (x.shape[2], y.shape[2])
    numbers = [ctypes.c_long(n) for n in (*count, *x_step, *y_step, c_in, c_out, len(offsets), int(add))]
    kernels.convolve_taps(pointer(x), pointer(weights), pointer(y), *numbers, pointer(offsets))


def _tap_weights(taps: list[Tensor]) -> Array:
    """Matrices [c_out, c_in] -> [taps, panels, c_in, 64]."""
    stacked = np.stack([_numpy(tap) for tap in taps])
    count, c_out, c_in = stacked.shape
    held = aligned(count, c_out // _PANEL, c_in, _PANEL)
    held[:] = stacked.reshape(count, c_out // _PANEL, _PANEL, c_in).transpose(0, 1, 3, 2)
    return held


def _winograd_weights(weight: NDArray[np.float64]) -> Array:
    """[c_out, c_in, 3, 3] -> [panels, 36, c_in, 64], transformed in float64."""
    c_out, c_in = weight.shape[:2]
    both_axes = np.kron(_WINOGRAD_G, _WINOGRAD_G)  # [36, 9]
    held = aligned(c_out // _PANEL, 36, c_in, _PANEL)
    for panel, rows in enumerate(weight.reshape(-1, _PANEL * c_in, 9)):
        held[panel] = (both_axes @ rows.T).reshape(36, _PANEL, c_in).transpose(0, 2, 1)
    return held


def _numpy(value: Tensor) -> Array:
    return np.ascontiguousarray(value.detach().float().numpy())
