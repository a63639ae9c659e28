"""The only place where OpenGL contexts are made: without a display through EGL, or with a GLFW window.

A thread has one current context. The two kinds do not take over from each other (GLX ends the program with `BadAccess`
where a context of EGL is still current, a released one included), so each lets go of the other here.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.closeable import Closeable
from core.errors import InputError
from render.gl.window_style import WindowStyle

if TYPE_CHECKING:
    import moderngl

REQUIRED_VERSION = 330
_EGL_HINT = (
    "install Mesa's libraries (Debian and Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri) or the graphics driver"
)


class _Current(threading.local):
    """What is current on this thread: a context without a display, or the window of one, or neither."""

    headless: moderngl.Context | None = None
    window: GlWindow | None = None

    def let_go(self) -> None:
        """Leave no context current."""
        if self.headless is not None and sys.platform == "linux":
            # moderngl's own way makes the context before current again
            egl = ctypes.CDLL("libEGL.so.1")  # loaded already, or nothing of it could be current
            egl.eglGetCurrentDisplay.restype = ctypes.c_void_p
            egl.eglMakeCurrent.argtypes = [ctypes.c_void_p] * 4
            if (display := egl.eglGetCurrentDisplay()) is not None:
                egl.eglMakeCurrent(display, None, None, None)
        if self.window is not None:
            self.window.glfw.make_context_current(None)
        self.headless = self.window = None


_current = _Current()


_LEAST_FREE_BYTES = 64 << 20
OTHERWISE = "run with --headless to go without a window, or "


def _spare_full_disk() -> None:
    """Keep Mesa from its cache of shaders where the disk is full: it writes to it as memory, and the process would end.

    To be called before the first context.
    """
    folder = Path(os.environ.get("MESA_SHADER_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        full = shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        full = True
    if full:
        os.environ.setdefault("MESA_SHADER_CACHE_DISABLE", "true")


def create_context(headless: bool = True) -> moderngl.Context:
    """A context to draw with: a new one without any display (headless), or that of the window just made current.

    Whoever makes one without a display gives it back to `release_context`, on the same thread.

    Raises InputError where the machine's OpenGL is missing or older than 3.3.
    """
    import moderngl

    if not headless:
        return moderngl.create_context(require=REQUIRED_VERSION)
    _current.let_go()
    _spare_full_disk()
    if sys.platform != "linux":
        made = _try_context({})
    else:
        made = _try_context({"backend": "egl"}, {"backend": "egl", "libgl": "libGL.so.1", "libegl": "libEGL.so.1"})
    _current.headless = made
    return made


def _try_context(*settings: dict[str, Any]) -> moderngl.Context:
    import moderngl

    reason = ""
    for setting in settings:
        try:
            return moderngl.create_context(standalone=True, require=REQUIRED_VERSION, **setting)
        except Exception as error:  # glcontext raises plain Exception for every cause
            reason = reason or str(error) or type(error).__name__
    raise InputError(f"OpenGL 3.3 without a display (EGL) is not available here ({reason}): {_EGL_HINT}")


def make_current(ctx: moderngl.Context) -> None:
    """Let what follows on this thread act on a context that was made without a display.

    It stays current until another is: moderngl's `with ctx` would leave none current afterwards.
    """
    if _current.window is not None:
        _current.let_go()
    ctx.__enter__()
    _current.headless = ctx


def release_context(ctx: moderngl.Context) -> None:
    """Free a context that was made without a display. Where it is current on this thread, none is afterwards."""
    if _current.headless is ctx:
        _current.let_go()
    ctx.release()


def is_software(ctx: moderngl.Context) -> bool:
    """Whether pictures are drawn by the processor, so that every pixel costs time the tracker needs."""
    renderer = str(ctx.info["GL_RENDERER"]).lower()
    return any(name in renderer for name in ("llvmpipe", "softpipe", "swrast", "swiftshader", "software"))


class GlWindow(Closeable):
    """A GLFW window and its context. Only for the main thread; close it, or use it as a context manager.

    Args:
        style: with or without borders, see-through, on top.
        otherwise: what whoever has no display can do instead, for the message.

    Raises InputError where there is no display or the window cannot be opened.
    """

    def __init__(
        self,
        width: int,
        height: int,
        title: str,
        *,
        vsync: bool = True,
        style: WindowStyle | None = None,
        otherwise: str = OTHERWISE,
    ) -> None:
        import glfw

        _spare_full_disk()
        _current.let_go()  # GLFW makes the window's context current while it opens it
        self.glfw = glfw
        glfw.set_error_callback(self._keep_error)
        self._error = ""
        self._way_out = f"{otherwise}start it on a desktop with a working graphics driver"
        if not glfw.init():
            raise InputError(f"no window can be opened ({self._error or 'no display'}): {self._way_out}")
        glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, REQUIRED_VERSION // 100)
        glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, REQUIRED_VERSION // 10 % 10)
        glfw.window_hint(glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE)
        glfw.window_hint(glfw.OPENGL_FORWARD_COMPAT, True)
        glfw.window_hint(glfw.SCALE_TO_MONITOR, True)
        self.style = style or WindowStyle()
        self.style.ask(glfw)
        self.handle: Any = glfw.create_window(width, height, title, None, None)
        if not self.handle:
            glfw.terminate()
            raise InputError(f"no window with OpenGL 3.3 can be opened ({self._error}): {self._way_out}")
        self.make_current()
        glfw.swap_interval(1 if vsync else 0)
        try:
            self.ctx = create_context(headless=False)
        except Exception as error:
            self.close()
            raise InputError(f"the window's OpenGL cannot be used ({error}): {self._way_out}") from None

    def refused(self) -> list[str]:
        """What of its style the desktop did not give it, a line each; once its events were polled for a while."""
        return self.style.refused(self.glfw, self.handle)

    def move(self, right: float, down: float) -> None:
        """Move the whole window on the desktop, where that lets programs do so."""
        x, y = self.glfw.get_window_pos(self.handle)
        self.glfw.set_window_pos(self.handle, round(x + right), round(y + down))

    def _keep_error(self, code: int, text: bytes | str) -> None:
        self._error = f"{text.decode('utf-8', 'replace') if isinstance(text, bytes) else text} [{code:#x}]"

    @property
    def framebuffer_size(self) -> tuple[int, int]:
        """Pixels to draw, which on a dense screen are more than the window's own units; (0, 0) while minimised."""
        width, height = self.glfw.get_framebuffer_size(self.handle)
        return int(width), int(height)

    @property
    def pixels_per_unit(self) -> float:
        """Framebuffer pixels per window unit: 2 on a dense screen."""
        width, _ = self.glfw.get_window_size(self.handle)
        return self.framebuffer_size[0] / width if width else 1.0

    def make_current(self) -> None:
        """Let drawing on this thread go to this window's context."""
        if _current.headless is not None:
            _current.let_go()
        self.glfw.make_context_current(self.handle)
        _current.window = self

    def poll_events(self) -> None:
        """Run the callbacks of what happened since the last call."""
        self.glfw.poll_events()

    def take_close_request(self) -> bool:
        """Whether the user asked to close the window since the last call."""
        asked = bool(self.glfw.window_should_close(self.handle))
        if asked:
            self.glfw.set_window_should_close(self.handle, False)
        return asked

    def swap(self) -> None:
        """Show what was drawn."""
        self.glfw.swap_buffers(self.handle)

    def close(self) -> None:
        """Close the window and GLFW. Safe to call twice."""
        if self.handle:
            if _current.window is self:
                _current.let_go()
            self.glfw.destroy_window(self.handle)
            self.handle = None
            self.glfw.terminate()
