"""OpenGL's long calls, made so that Python's other threads run meanwhile.

moderngl keeps the interpreter's lock during every call. Where the processor draws, a draw call takes milliseconds and
a copy waits for the whole picture, and all that time capture and tracking would stand still. ctypes lets go of it.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.spans import span

if TYPE_CHECKING:
    import moderngl

    from render.mesh.openings import Box

log = logging.getLogger(__name__)

_TRIANGLES, _TRIANGLE_STRIP, _UNSIGNED_INT = 0x0004, 0x0005, 0x1405
_INDEX_BYTES = 4
_READ_FRAMEBUFFER, _DRAW_FRAMEBUFFER, _COLOR_BUFFER_BIT, _NEAREST = 0x8CA8, 0x8CA9, 0x4000, 0x2600
_TEXTURE_2D, _RGBA8, _BGRA, _UNSIGNED_BYTE = 0x0DE1, 0x8058, 0x80E1, 0x1401
_UNPACK_ROW_LENGTH = 0x0CF2
_LIBRARIES = {"linux": "libGL.so.1", "darwin": "/System/Library/Frameworks/OpenGL.framework/OpenGL"}


@cache
def _library() -> ctypes.CDLL | None:
    """The OpenGL library this process has loaded already; None where it does not offer these calls by name."""
    name = _LIBRARIES.get(sys.platform)
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        library.glDrawElements.argtypes = [ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
        library.glDrawElements.restype = None
        library.glDrawArraysInstanced.argtypes = [ctypes.c_uint, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        library.glDrawArraysInstanced.restype = None
        library.glUseProgram.argtypes = library.glBindVertexArray.argtypes = [ctypes.c_uint]
        library.glFinish.argtypes = []
        library.glBindFramebuffer.argtypes = [ctypes.c_uint, ctypes.c_uint]
        library.glBlitFramebuffer.argtypes = [ctypes.c_int] * 8 + [ctypes.c_uint, ctypes.c_uint]
        library.glPixelStorei.argtypes = [ctypes.c_uint, ctypes.c_int]
        library.glBindTexture.argtypes = [ctypes.c_uint, ctypes.c_uint]
        library.glTexSubImage2D.argtypes = [ctypes.c_uint, *[ctypes.c_int] * 5, *[ctypes.c_uint] * 2, ctypes.c_void_p]
        library.glTexImage2D.argtypes = [ctypes.c_uint, *[ctypes.c_int] * 5, *[ctypes.c_uint] * 2, ctypes.c_void_p]
    except (OSError, AttributeError) as error:
        log.info("drawing keeps Python's lock (%s): tracking may wait for the picture", error)
        return None
    return library


def draw_triangles(array: moderngl.VertexArray, indices: int, first: int) -> None:
    """Draw `indices` indices from number `first` on of an array with a buffer of 32-bit indices."""
    library = _library()
    if library is None:
        array.render(vertices=indices, first=first)
        return
    with span("gl"):
        library.glUseProgram(array.program.glo)
        library.glBindVertexArray(array.glo)
        library.glDrawElements(_TRIANGLES, indices, _UNSIGNED_INT, first * _INDEX_BYTES)


def draw_quads(array: moderngl.VertexArray, count: int) -> None:
    """Draw `count` instances of a strip of four vertices."""
    library = _library()
    if library is None:
        array.render(_TRIANGLE_STRIP, vertices=4, instances=count)
        return
    with span("gl"):
        library.glUseProgram(array.program.glo)
        library.glBindVertexArray(array.glo)
        library.glDrawArraysInstanced(_TRIANGLE_STRIP, 0, 4, count)


def finish(ctx: moderngl.Context) -> None:
    """Wait until all that was drawn is there, so that what reads it next has nothing to wait for."""
    library = _library()
    if library is None:
        ctx.finish()
    else:
        with span("gl"):
            library.glFinish()


def store_as_screen(texture: moderngl.Texture) -> None:
    """Give an RGBA texture whose pixels were not written yet the order of bytes that screens have.

    Copies to a window, and between such textures, then are copies of memory where the processor draws; otherwise each
    pixel would be drawn (2 ms of 960x720 instead of 0.2). What shaders and reading see is the same.
    """
    library = _library()
    if library is not None:
        library.glBindTexture(_TEXTURE_2D, texture.glo)
        library.glTexImage2D(_TEXTURE_2D, 0, _RGBA8, *texture.size, 0, _BGRA, _UNSIGNED_BYTE, None)


def has_screen_order() -> bool:
    """Whether `store_as_screen` has an effect."""
    return _library() is not None


def write_as_screen(texture: moderngl.Texture, picture: NDArray[np.uint32], box: Box) -> None:
    """Fill a box of a texture that is stored as the screen's from [H, W] 0xAARRGGBB; needs `has_screen_order`."""
    library = _library()
    assert library is not None
    with span("gl"):
        library.glBindTexture(_TEXTURE_2D, texture.glo)
        left, first, width, height = box
        address = picture.ctypes.data + (first * picture.shape[1] + left) * picture.itemsize
        library.glPixelStorei(_UNPACK_ROW_LENGTH, picture.shape[1])
        library.glTexSubImage2D(_TEXTURE_2D, 0, left, first, width, height, _BGRA, _UNSIGNED_BYTE, address)
        library.glPixelStorei(_UNPACK_ROW_LENGTH, 0)


def copy_box(
    ctx: moderngl.Context, onto: moderngl.Framebuffer, source: moderngl.Framebuffer, box: Box, *, turned: bool = False
) -> bool:
    """Copy the colours in a box (left, first row, width, height) of `source` to that of `onto`, which is as large.

    `turned`: upside down, the box counted from the last row. Which framebuffer is bound afterwards is not said. Returns
    whether it could be done: only turning may fail, and then has to be drawn.
    """
    library = _library()
    left, first, width, height = box
    if library is None:
        if turned:
            return False
        onto.scissor = box
        onto.use()
        ctx.copy_framebuffer(onto, source)
        onto.scissor = (0, 0, *source.size)
        return True
    ends = (source.height - first, source.height - first - height) if turned else (first, first + height)
    onto.scissor = (0, 0, *source.size)
    onto.use()  # without a scissor, which would cut the copy
    library.glBindFramebuffer(_READ_FRAMEBUFFER, source.glo)
    library.glBindFramebuffer(_DRAW_FRAMEBUFFER, onto.glo)
    with span("gl"):
        library.glBlitFramebuffer(
            left, first, left + width, first + height, left, ends[0], left + width, ends[1], _COLOR_BUFFER_BIT, _NEAREST
        )
    return True
