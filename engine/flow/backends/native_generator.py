"""Coded live graphs on the CPU through kernels of their own, in float32 and on the thread that calls: this project's
compact network. Convolutions at one size go through Winograd's F(4x4, 3x3), a quarter of the products; the widest
blend is never formed; flow is enlarged once, at the end. What does not depend on the code was worked out when the
weights were packed (`generator_packing`).
"""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import NativeError, loaded
from core.networks.alignment import aligned
from engine.flow.backends.compiled import MotionFields

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
    """

    widths: tuple[int, ...]
    styles: tuple[int, ...]
    scale: int
    source_alpha: Array
    arrays: dict[str, Array]


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


class NativeGenerator:
    """Packed weights and the buffers between the kernels' steps. Owned by one thread."""

    def __init__(self, packed: PackedGenerator, kernels: ctypes.CDLL) -> None:
        self._kernels, self._held = kernels, []
        arrays, widths = packed.arrays, packed.widths
        levels = len(widths) - 1
        self._levels = (_Level * levels)()
        scratch = 0
        for number, level in enumerate(self._levels):
            size, depth, results = 8 << number, widths[number], widths[number + 1]
            level.size, level.depth, level.results = size, depth, results
            places = packed.styles[2 * number : 2 * number + 2]
            places += packed.styles[2 * (levels + number) : 2 * (levels + number) + 2]
            level.up_style, level.same_style, level.flow_style, level.motion_style = places
            begin = f"level{number}."
            for name, value in arrays.items():
                if name.startswith(begin + "up_weights"):
                    level.up_weights[int(name[-1])] = self._address(value)
                elif name.startswith(begin):
                    setattr(level, name.removeprefix(begin), self._address(value))
            half = size // 2
            level.padded = self._room(half + 2, half + 2, depth)
            level.raw = self._room(size + 3, size + 1, results)
            level.x, level.y = self._room(size, size, results), self._room(size, size, results)
            level.planes = self._room(_PLANES, size + 2, size + 2 * _MARGIN)
            scratch = max(scratch, kernels.same_scratch(_LONG(size), _LONG(results), _LONG(results)))
        side, codes = 4 << levels, packed.source_alpha.shape[1]
        count = len(arrays["styles_bias"])
        self._generator = _Generator(levels, codes, count, packed.styles[-1], packed.scale, self._levels)
        for name in ("styles", "styles_bias", "first", "first_bias", "first_energy", "first_activation"):
            setattr(self._generator, name, self._address(arrays[name]))
        for name in ("student", "student_bias"):
            setattr(self._generator, name, self._address(arrays[name]))
        self._generator.style, self._generator.start = self._room(count), self._room(16, widths[0])
        self._generator.fields = self._room(_FIELDS, side + 2, side + 2 * _MARGIN)
        self._generator.scratch = self._room(scratch)
        large = side * packed.scale
        self._code, self._source_alpha = aligned(codes), packed.source_alpha
        self._results = aligned(large, large, 2), aligned(large, large), aligned(large, large)
        pointers = [_POINTER(array.ctypes.data) for array in (self._code, *self._results)]
        self._arguments: list[Any] = [ctypes.byref(self._generator), *pointers]

    def __call__(self, _driving: Array, alpha_offset: Array) -> MotionFields:
        np.add(self._source_alpha[0], alpha_offset[0], out=self._code)
        self._kernels.generate(*self._arguments)
        flow, depth, mask = self._results
        return MotionFields(flow, depth, self._source_alpha, mask)

    def _room(self, *shape: int) -> int:
        """Where zeros of that shape begin."""
        return self._address(aligned(*shape))

    def _address(self, array: Array) -> int:
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        self._held.append(array)
        return array.ctypes.data


@functools.cache
def generator_kernels(cache_dir: Path | None = None) -> ctypes.CDLL:
    """The kernels, compiled if need be. Raises NativeError."""
    try:
        kernels = loaded(SOURCE, cache_dir, "generate")
    except NativeError as error:
        raise NativeError(f"{error}; use another backend") from error
    return _prepared(kernels)


def _prepared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    kernels.same_scratch.restype = kernels.panel_width.restype = _LONG
    kernels.generate.restype = None
    return kernels
