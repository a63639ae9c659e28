"""Live graphs of this project's own networks, such as the compact one, on the CPU: through kernels of their own, in
float32 and on the thread that calls. 3x3 convolutions at one size go through Winograd's F(4x4, 3x3), a quarter of the
products; the widest blend is never formed; flow is enlarged once, at the end. What does not depend on the motion code
was worked out when the weights were packed (`generator_packing`). Runs without torch.
"""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import pointer
from core.networks.alignment import aligned
from engine.flow.backends.compiled import MotionFields
from engine.flow.backends.native_library import backend_kernels

SOURCE = Path(__file__).with_name("generator_kernels.c")
LANES = 8
"""Channels come in multiples of it."""
MOST_SIZE, MOST_WIDTH = 512, 512
UP_TAPS = {0: (0, 2), 1: (1,)}
"""Of a transposed convolution, by parity of the output's row or column: which taps it collects."""
_PLANES, _FIELDS, _MARGIN = 9, 4, 8

Array = NDArray[np.float32]
_LONG, _POINTER = ctypes.c_long, ctypes.c_void_p


@dataclass(frozen=True, eq=False)
class PackedGenerator:
    """Weights in the kernels' order, and sizes. `generator_packing.packed_generator` makes them.

    Attributes:
        widths: channels from 4 pixels on, one more than there are levels.
        styles: where the styles begin: of two convolutions and two heads for each level, then of the flow generator.
        scale: of flow over the last level: 1 or 2.
        source_alpha: [1, M] motion code of the avatar's picture.
        arrays: by name; those of a level begin with "level" and its number.
        encoder: the same of the encoder, those of a block begin with "block" and its number; None where the graph is
            a coded one.
    """

    widths: tuple[int, ...]
    styles: tuple[int, ...]
    scale: int
    source_alpha: Array
    arrays: dict[str, Array]
    encoder: dict[str, Array] | None = None


class _Level(ctypes.Structure):
    _fields_ = (
        *((name, _LONG) for name in ("size", "depth", "results")),
        *((name, _LONG) for name in ("up_style", "same_style", "flow_style", "motion_style")),
        *((name, _POINTER) for name in ("up_energy", "up_bias")),
        ("up_weights", _POINTER * 4),
        *((name, _POINTER) for name in ("same_energy", "same_bias", "same_weights")),
        *((name, _POINTER) for name in ("feature", "seen", "warped", "bias", "mix")),
        *((name, _POINTER) for name in ("padded", "raw", "x", "y", "planes")),
    )


class _Generator(ctypes.Structure):
    _fields_ = (
        *((name, _LONG) for name in ("levels", "codes", "style_count", "student_style", "scale")),
        ("level", ctypes.POINTER(_Level)),
        *((name, _POINTER) for name in ("styles", "styles_bias")),
        *((name, _POINTER) for name in ("first", "first_bias", "first_energy", "first_activation")),
        *((name, _POINTER) for name in ("student", "student_bias")),
        *((name, _POINTER) for name in ("style", "start", "fields", "scratch")),
    )


class _Block(ctypes.Structure):
    _fields_ = (
        *((name, _LONG) for name in ("size", "depth", "results")),
        *((name, _POINTER) for name in ("same_weights", "same_bias", "down_weights", "down_bias", "skip_weights")),
        *((name, _POINTER) for name in ("full", "blurred", "small", "skipped", "y")),
    )


class _Encoder(ctypes.Structure):
    _fields_ = (
        *((name, _LONG) for name in ("blocks", "codes", "scale")),
        ("block", ctypes.POINTER(_Block)),
        *((name, _POINTER) for name in ("stem", "stem_bias", "to_alpha", "to_alpha_bias")),
        *((name, _POINTER) for name in ("picture", "scratch")),
    )


class _Room:
    """Memory that kernels are told of by its address, held as long as this."""

    def __init__(self) -> None:
        self._held: list[Array] = []

    def of(self, *shape: int) -> int:
        """Where zeros of that shape begin."""
        return self.address(aligned(*shape))

    def address(self, array: Array) -> int:
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        self._held.append(array)
        return array.ctypes.data

    def point(self, structure: ctypes.Structure, arrays: dict[str, Array]) -> None:
        """Fill in the addresses of arrays by name."""
        for name, value in arrays.items():
            assert hasattr(structure, name)
            setattr(structure, name, self.address(value))


class NativeEncoder:
    """The driver's picture becomes its motion code. Owned by one thread."""

    def __init__(self, packed: PackedGenerator, arrays: dict[str, Array], kernels: ctypes.CDLL) -> None:
        self._kernels, self._room = kernels, _Room()
        room, widths, codes = self._room, packed.widths[::-1], packed.source_alpha.shape[1]
        blocks, side = len(widths) - 1, 4 << (len(widths) - 1)
        self._blocks, scratch = (_Block * blocks)(), 0
        for number, block in enumerate(self._blocks):
            size, depth, results = side >> number, widths[number], widths[number + 1]
            block.size, block.depth, block.results = size, depth, results
            room.point(block, part(arrays, f"block{number}."))
            half, wide = size // 2, size + 1
            block.full, block.blurred = room.of(size, size, depth), room.of(wide, wide, depth)
            block.small, block.skipped = room.of(half, half, depth), room.of(half, half, results)
            block.y = room.of(half, half, results)
            scratch = max(scratch, kernels.same_scratch(_LONG(size), _LONG(depth), _LONG(depth)))
        self._encoder = _Encoder(blocks, codes, packed.scale, self._blocks)
        room.point(self._encoder, part(arrays, ""))
        self._encoder.picture, self._encoder.scratch = room.of(side, side, widths[0]), room.of(scratch)
        self._alpha, self._codes = aligned(len(arrays["to_alpha_bias"])), codes
        self._shape = 4, side * packed.scale, side * packed.scale

    def __call__(self, driving: Array) -> Array:
        """[M] of a picture [4, N, N]; valid until the next call."""
        seen = np.ascontiguousarray(driving, np.float32)
        assert seen.shape == self._shape
        self._kernels.encode(ctypes.byref(self._encoder), pointer(seen), pointer(self._alpha))
        return self._alpha[: self._codes]


def part(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """What begins with `prefix`, without it; of no prefix, what belongs to no level or block."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


class NativeGenerator:
    """Packed weights and the buffers between the kernels' steps. Owned by one thread."""

    def __init__(self, packed: PackedGenerator, kernels: ctypes.CDLL) -> None:
        self._kernels, self._room = kernels, _Room()
        self._encode = None if packed.encoder is None else NativeEncoder(packed, packed.encoder, kernels)
        room, arrays, levels = self._room, packed.arrays, len(packed.widths) - 1
        self._levels = (_Level * levels)()
        scratch = max(self._fill(level, number, packed) for number, level in enumerate(self._levels))
        side, codes = 4 << levels, packed.source_alpha.shape[1]
        count = len(arrays["styles_bias"])
        self._generator = _Generator(levels, codes, count, packed.styles[-1], packed.scale, self._levels)
        room.point(self._generator, part(arrays, ""))
        self._generator.style, self._generator.start = room.of(count), room.of(16, packed.widths[0])
        self._generator.fields = room.of(_FIELDS, side + 2, side + 2 * _MARGIN)
        self._generator.scratch = room.of(scratch)
        large = side * packed.scale
        self._code, self._source_alpha = aligned(codes), packed.source_alpha
        self._results = aligned(large, large, 2), aligned(large, large), aligned(large, large)
        pointers = [_POINTER(array.ctypes.data) for array in (self._code, *self._results)]
        self._arguments: list[Any] = [ctypes.byref(self._generator), *pointers]

    def _fill(self, level: _Level, number: int, packed: PackedGenerator) -> int:
        """Sizes, weights and buffers of one level. Returns how many floats of scratch it needs."""
        room, levels, half = self._room, len(packed.widths) - 1, 4 << number
        size, depth, results = 2 * half, packed.widths[number], packed.widths[number + 1]
        level.size, level.depth, level.results = size, depth, results
        level.up_style, level.same_style = packed.styles[2 * number : 2 * number + 2]
        level.flow_style, level.motion_style = packed.styles[2 * (levels + number) : 2 * (levels + number) + 2]
        own = part(packed.arrays, f"level{number}.")
        level.up_weights[:] = [room.address(own.pop(f"up_weights{parity}")) for parity in range(4)]
        room.point(level, own)
        level.padded, level.raw = room.of(half + 2, half + 2, depth), room.of(size + 3, size + 1, results)
        level.x, level.y = room.of(size, size, results), room.of(size, size, results)
        level.planes = room.of(_PLANES, size + 2, size + 2 * _MARGIN)
        return int(self._kernels.same_scratch(_LONG(size), _LONG(results), _LONG(results)))

    def __call__(self, driving: Array, alpha_offset: Array) -> MotionFields:
        alpha = self._source_alpha if self._encode is None else self._encode(driving[0])[None].copy()
        np.add(alpha[0], alpha_offset[0], out=self._code)
        self._kernels.generate(*self._arguments)
        flow, depth, mask = self._results
        return MotionFields(flow, depth, alpha, mask)


@functools.cache
def generator_kernels(cache_dir: Path | None = None) -> ctypes.CDLL:
    """The kernels, compiled if need be. Raises NativeError."""
    return _prepared(backend_kernels(SOURCE, cache_dir, "encode"))


def _prepared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    kernels.same_scratch.restype = kernels.panel_width.restype = _LONG
    kernels.generate.restype = kernels.encode.restype = None
    return kernels
