"""How a window stands on the desktop."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

WindowMode = Literal["normal", "clean", "transparent", "chroma"]


@dataclass(frozen=True)
class WindowStyle:
    """A window with borders and overlays ("normal"), or with neither, for whoever captures it.

    Attributes:
        mode: "transparent" asks for a framebuffer that the desktop can be seen through.
        on_top: above all other windows.
    """

    mode: WindowMode = "normal"
    on_top: bool = False

    @property
    def bare(self) -> bool:
        """Whether it has neither borders nor overlays."""
        return self.mode != "normal"

    def ask(self, glfw: Any) -> None:
        """Set GLFW's hints for the window that is made next."""
        glfw.window_hint(glfw.DECORATED, not self.bare)
        glfw.window_hint(glfw.TRANSPARENT_FRAMEBUFFER, self.mode == "transparent")
        glfw.window_hint(glfw.FLOATING, self.on_top)

    def refused(self, glfw: Any, handle: Any) -> list[str]:
        """What of it the desktop did not give the window, a line each with what would help."""
        lines = []
        if self.mode == "transparent" and not glfw.get_window_attrib(handle, glfw.TRANSPARENT_FRAMEBUFFER):
            helps = (
                "start a compositor (the desktop's own effects, or picom) and start again"
                if sys.platform == "linux"
                else "switch the desktop's transparency on and start again"
            )
            lines.append(f"--window transparent: this desktop shows the window before black; {helps}, or use chroma")
        if self.on_top and glfw.get_platform() == glfw.PLATFORM_WAYLAND:
            lines.append(
                "--on-top: Wayland does not let programs do that; use the window's menu or a rule of the desktop"
            )
        return lines
