"""The pose that a viewer shows, drawn smaller than its window and enlarged: for machines too slow for all of it.

Enlarged by cubic convolution (Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP,
1981; its parameter -0.75 as OpenCV has it, the sharper end of what is usual). Sharpening on top of it was looked at and
left out: it draws a halo round every iris.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from render.gl.backdrop import Backdrop
from render.gl.background import Background
from render.gl.render_target import RenderTarget
from render.gl.shader_programs import make_program, set_uniforms
from render.gl.unlocked_gl import has_screen_order
from render.mesh.openings import Box
from render.window.side_picture import SidePicture

if TYPE_CHECKING:
    import moderngl

SCALES = (1.0, 3 / 4, 2 / 3, 1 / 2)
LEAST_ROWS = 480  # of the shorter side: of fewer, gaps between teeth and lashes break up
_REACH = 3  # pixels around what changed that enlarging reads
_LARGEST_BLOCK = 12  # pixels of the smaller picture that make a whole number of the larger one's


def scales_for(size: tuple[int, int]) -> tuple[float, ...]:
    """Shares of its width and height that a picture of this size may be drawn in, the whole first."""
    return tuple(scale for scale in SCALES if scale == 1.0 or scale * min(size) >= LEAST_ROWS)


class ReducedPicture:
    """Where such a picture is drawn, and how it gets to the size of the window.

    Args:
        software: whether the processor draws; it enlarges then, too.
    """

    def __init__(self, ctx: moderngl.Context, background: Background | None, samples: int, *, software: bool) -> None:
        self._ctx = ctx
        self._side = SidePicture(ctx, background, samples)
        self._by_processor = software and has_screen_order()
        self._large: NDArray[np.uint32] = np.zeros((0, 0), dtype=np.uint32)
        self._small_size = (0, 0)
        self._program: moderngl.Program | None = None

    def draw(self, scale: float, onto: RenderTarget, render: Callable[[RenderTarget, Backdrop], None]) -> None:
        """Have `render` draw this share of the width and height of `onto`, which gets the enlarged picture."""
        width, height = (max(round(side * scale), 1) for side in onto.size)
        small = self._side.drawn((width, height), render)
        if self._by_processor:
            self._enlarge(small, onto)
        else:
            self._draw_larger(small, onto)

    def _enlarge(self, small: RenderTarget, onto: RenderTarget) -> None:
        picture, changed = small.bgra()
        same = self._large.shape == onto.size[::-1] and self._small_size == small.size
        if not same:
            self._large, self._small_size = np.empty(onto.size[::-1], dtype=np.uint32), small.size
        known = changed is not None and same and onto.holds(self._large)
        blocks = _blocks(changed, small.size, onto.size) if known and changed is not None else None
        if blocks is None:
            np.copyto(_bytes(self._large), _enlarged(_bytes(picture), onto.size))
            onto.put(self._large)
            return
        read, made, kept = blocks
        pixels = _enlarged(_part(picture, read), made[2:])
        inside = (kept[0] - made[0], kept[1] - made[1], *kept[2:])
        np.copyto(_part(self._large, kept), _cut(pixels, inside))
        onto.put(self._large, kept)

    def _draw_larger(self, small: RenderTarget, onto: RenderTarget) -> None:
        if self._program is None:
            self._program = make_program(self._ctx, "screen", "enlarge", frozenset())
            self._screen = self._ctx.vertex_array(self._program, [])
        small.framebuffer  # noqa: B018  what was put there goes to the graphics side when it is asked for
        onto.begin_whole()
        self._ctx.disable(self._ctx.DEPTH_TEST | self._ctx.CULL_FACE | self._ctx.BLEND)
        small.texture.use(0)
        set_uniforms(self._program, size=onto.size)
        self._screen.render(vertices=3)

    def release(self) -> None:
        """Free the memory on the graphics side."""
        self._side.release()
        if self._program is not None:
            self._screen.release()
            self._program.release()


def _bytes(picture: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """[H, W, 4] of [H, W]."""
    return picture.view(np.uint8).reshape(*picture.shape, 4)


def _enlarged(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _cut(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    left, first, width, height = box
    return pixels[first : first + height, left : left + width]


def _part(picture: NDArray[np.uint32], box: Box) -> NDArray[np.uint8]:
    return _cut(_bytes(picture), box)


def _blocks(changed: Box, small: tuple[int, int], large: tuple[int, int]) -> tuple[Box, Box, Box] | None:
    """What is to be read of the smaller picture where this box of it changed, what it becomes of the larger one, and
    what of that is as in the whole picture enlarged: not where reading ended. None where nothing is gained, or where
    pixels of one are no whole number of the other's."""
    blocks = [of // gcd(of, to) for of, to in zip(small, large, strict=True)]
    if max(blocks) > _LARGEST_BLOCK or 0 in changed[2:]:
        return None
    x, y = (_span(changed[axis], changed[axis + 2], blocks[axis], small[axis], large[axis]) for axis in (0, 1))
    read, made, kept = ((x[way][0], y[way][0], x[way][1], y[way][1]) for way in range(3))
    return read, made, kept


def _span(first: int, count: int, block: int, small: int, large: int) -> tuple[tuple[int, int], ...]:
    """Along one side: first and count of each."""
    low = max((first - 2 * _REACH) // block * block, 0)
    high = min(-(-(first + count + 2 * _REACH) // block) * block, small)
    to_low, to_high = (end * large // small for end in (low, high))
    kept_low = 0 if low == 0 else (low + _REACH) * large // small + 1
    kept_high = large if high == small else (high - _REACH) * large // small
    return (low, high - low), (to_low, to_high - to_low), (kept_low, kept_high - kept_low)
