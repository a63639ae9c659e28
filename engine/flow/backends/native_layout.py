"""What arrays the native kernels need for a network's sizes. They follow addresses, not shapes: an array that is too
short would be read beyond its end."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect

PANEL = 64
_DEPTH_DIRECTIONS = 5
_SIZES = (8, 16, 32, 64, 128, 256, 512)

Shapes = dict[str, tuple[int, ...]]


def check_layout(image_size: int, style_widths: tuple[int, ...], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises KeyError or ValueError where sizes and arrays are not those of one network, or a number is not finite."""
    if image_size not in _SIZES:
        raise ValueError(f"expected an image size of {', '.join(map(str, _SIZES))}, got {image_size}")
    levels = image_size.bit_length() - 3  # one for each doubling from 4
    widths = [len(arrays["first.bias"]), *(len(arrays[f"level{level}.up.bias"]) for level in range(levels))]
    if any(not width or width % PANEL for width in widths):
        raise ValueError(f"expected channels divisible by {PANEL}, got {widths}")
    styles = _style_widths(widths)
    if style_widths != styles:
        raise ValueError(f"expected styles for {styles} channels, got {style_widths}")
    for_matrix_unit = "block0.conv1.taps" in arrays
    shapes = layout(widths, len(arrays["to_alpha.bias"]), for_matrix_unit=for_matrix_unit)
    if extra := set(arrays) - set(shapes):
        raise ValueError(f"{', '.join(sorted(extra)[:3])}: not part of a packed network")
    for name, shape in shapes.items():
        expect(arrays, name, np.float32, *shape)


def _style_widths(widths: list[int]) -> tuple[int, ...]:
    """Channels of the first convolution, of the two of each level, of its two heads, and of the flow generator."""
    convolutions = [width for pair in pairwise(widths) for width in pair]
    heads = [own for own in widths[1:] for _ in range(2)]
    return (widths[0], *convolutions, *heads, 3)


def layout(widths: list[int], codes: int, *, for_matrix_unit: bool) -> Shapes:
    """Shapes by name, for channels by resolution (from 4 on) and the length of the motion code. See
    `native_packing.packed`."""
    coarse, fine, styles = widths[0], widths[-1], sum(_style_widths(widths))
    shapes: Shapes = {
        "stem.weight": (4, fine),
        "stem.bias": (fine,),
        "to_alpha.weight": (codes, 16 * coarse),
        "to_alpha.bias": (codes,),
        "styles.weight": (styles, codes),
        "styles.bias": (styles,),
        "student.weight": (2, 3, 3, 3),
        "student.bias": (2,),
        "source_alpha": (1, codes),
        "first.weight": (16 * coarse, codes),
        "first.offset": (16 * coarse,),
        "first.energy": (coarse, coarse),
        "first.bias": (coarse,),
    }
    for number, (c_in, c_out) in enumerate(pairwise(widths[::-1])):
        shapes |= {f"block{number}.{name}": shape for name, shape in _block(c_in, c_out, for_matrix_unit).items()}
    for number, (c_in, c_out) in enumerate(pairwise(widths)):
        shapes |= {
            f"level{number}.{name}": shape for name, shape in _level(c_in, c_out, 8 << number, for_matrix_unit).items()
        }
    return shapes


def _same(name: str, channels: int, for_matrix_unit: bool) -> Shapes:
    panels = channels // PANEL
    if for_matrix_unit:
        return {f"{name}.taps": (9, panels, channels, PANEL)}
    return {f"{name}.weight": (panels, 36, channels, PANEL)}


def _block(c_in: int, c_out: int, for_matrix_unit: bool) -> Shapes:
    return {
        **_same("conv1", c_in, for_matrix_unit),
        "conv1.bias": (c_in,),
        "conv2.weight": (9, c_out // PANEL, c_in, PANEL),
        "conv2.bias": (c_out,),
        "skip.weight": (1, c_out // PANEL, c_in, PANEL),
    }


def _level(c_in: int, c_out: int, size: int, for_matrix_unit: bool) -> Shapes:
    panels = c_out // PANEL
    taps = {"00": 4, "01": 2, "10": 2, "11": 1}
    return {
        "up.energy": (c_out, c_in),
        "up.bias": (c_out,),
        **{f"up.weight{parity}": (count, panels, c_in, PANEL) for parity, count in taps.items()},
        "same.energy": (c_out, c_out),
        **_same("same", c_out, for_matrix_unit),
        "same.bias": (c_out,),
        "feature": (size, size, c_out),
        "flow": (3, c_out),
        "motion": (_DEPTH_DIRECTIONS, c_out),
        "depth": (c_out,),
        "head_bias": (3 + _DEPTH_DIRECTIONS,),
        "mix": (_DEPTH_DIRECTIONS + 2,),
    }
