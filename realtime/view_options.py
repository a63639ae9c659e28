"""Options of the picture: its window, what stands behind the head, where it is seen from."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from calib.preparation_options import Vector
from core.camera import PUBLISHED_EYE, OrbitCamera
from core.errors import InputError
from realtime.optional_value import OptionalValue, refuse_source
from render.gl.background import TRANSPARENT, Background, plain, read_background, read_color
from render.gl.window_style import WindowMode, WindowStyle

_KEY_COLOR = "lime"  # 00ff00

_background = lru_cache(maxsize=2)(read_background)  # checked with the options, used later: a picture is decoded once


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Where the avatar is seen from; key P prints what it is in the window. The motion does not depend on it."""

    eye: Vector | None = None
    """Position of the camera, looking at the origin (published convention: 0 0 8)."""

    translation: Vector | None = None
    """Shift of the avatar before its camera, in avatar units."""

    size: tuple[int, int] = (960, 720)
    """Width and height of the picture."""

    background: str | None = None
    """What stands behind the head, in films too, instead of the studio: a colour (a name such as white, or RRGGBB), two
    of them with a comma between (top,bottom), or a picture file."""

    def camera(self) -> OrbitCamera:
        """Raises InputError where nothing can be seen from there."""
        return OrbitCamera(np.array(self.eye or PUBLISHED_EYE), np.array(self.translation or (0.0, 0.0, 0.0)))

    def backdrop(self) -> Background | None:
        """What stands behind the head; None: the studio. Raises InputError."""
        return None if self.background is None else _background(self.background)

    def check(self) -> None:
        """Raises InputError."""
        width, height = self.size
        if not (64 <= width <= 8192 and 64 <= height <= 8192):
            raise InputError(f"--size {width} {height}: expected width and height between 64 and 8192 pixels")
        self.camera()
        self.backdrop()


@dataclass(frozen=True, kw_only=True)
class WindowOptions(ViewOptions):
    """The picture, and where the avatar in it is seen from (key P prints that)."""

    headless: bool = False
    """Render without a window (EGL); use with --record, --report or --seconds."""

    mirror: bool = False
    """Show the avatar as in a mirror."""

    window: WindowMode = "normal"
    """clean, transparent, chroma: a window without borders and with nothing but the avatar in it, for programs that
    capture windows: before its background, before nothing, or before one colour (--background, or 00ff00). Key I shows
    status and messages there, Ctrl and drag moves it."""

    on_top: bool = False
    """Keep the window above all others."""

    full_resolution: bool = False
    """Never draw the picture smaller and enlarge it, however many frames are passed over."""

    @property
    def style(self) -> WindowStyle:
        return WindowStyle(self.window, on_top=self.on_top)

    def backdrop(self) -> Background | None:
        """See `ViewOptions.backdrop`."""
        if self.window == "transparent":
            return TRANSPARENT
        if self.window == "chroma":
            return _key(self.background or _KEY_COLOR)
        return super().backdrop()

    def check(self) -> None:
        """Raises InputError."""
        super().check()
        if self.window == "transparent" and self.background is not None:
            raise InputError(f"--window transparent --background {self.background}: leave one of the two out")
        if self.headless and (self.window != "normal" or self.on_top):
            given = "--on-top" if self.window == "normal" else f"--window {self.window}"
            raise InputError(f"--headless {given}: there is no window without one; leave one of the two out")


@lru_cache(maxsize=2)
def _key(color: str) -> Background:
    return plain(read_color(color, "--window chroma --background"))


@dataclass(frozen=True, kw_only=True)
class VirtualCameraOptions:
    """The avatar as a camera that other programs can choose."""

    virtual_camera: OptionalValue = None
    """Offer the avatar's picture as a camera to other programs (extra virtual-camera): v4l2loopback on Linux, OBS's on
    Windows and macOS. NAME (such as /dev/video10) where there are several."""

    virtual_camera_size: tuple[int, int] | None = None
    """Width and height of its pictures; those of --size when not given."""

    virtual_camera_fps: float = 30.0
    """Its pictures a second."""

    virtual_camera_background: Literal["scene", "chroma"] = "scene"
    """What stands behind the head there: the same as in the window, or the green 00ff00. Chroma green, and pictures of
    another shape than the window's, are drawn in addition."""

    def check(self) -> None:
        """Raises InputError."""
        if self.virtual_camera is None:
            given = [
                name
                for name, is_given in (
                    ("--virtual-camera-size", self.virtual_camera_size is not None),
                    ("--virtual-camera-fps", self.virtual_camera_fps != 30.0),
                    ("--virtual-camera-background", self.virtual_camera_background != "scene"),
                )
                if is_given
            ]
            if given:
                raise InputError(f"{given[0]}: only --virtual-camera uses it; add that, or leave it out")
        refuse_source("--virtual-camera", self.virtual_camera)
        width, height = self.virtual_camera_size or (64, 64)
        if not (64 <= width <= 4096 and 64 <= height <= 4096) or width % 2 or height % 2:
            raise InputError(
                f"--virtual-camera-size {width} {height}: expected even width and height between 64 and 4096 pixels"
            )
        if not (math.isfinite(self.virtual_camera_fps) and 1 <= self.virtual_camera_fps <= 240):
            raise InputError(f"--virtual-camera-fps {self.virtual_camera_fps:g}: expected 1 to 240 pictures a second")

    def size(self, window: tuple[int, int]) -> tuple[int, int]:
        """Of its pictures, where the window's is this."""
        return self.virtual_camera_size or (min(window[0], 4096) // 2 * 2, min(window[1], 4096) // 2 * 2)

    def backdrop(self, window: Background | None) -> Background | None:
        """What stands behind the head, where in the window this does."""
        return _key(_KEY_COLOR) if self.virtual_camera_background == "chroma" else window
