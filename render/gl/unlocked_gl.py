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

from core.spans import span

if TYPE_CHECKING:
    import moderngl

log = logging.getLogger(__name__)

_TRIANGLES, _TRIANGLE_STRIP, _UNSIGNED_INT = 0x0004, 0x0005, 0x1405
_INDEX_BYTES = 4
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
