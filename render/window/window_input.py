"""From GLFW's callbacks to the viewer's controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from render.gl.gl_context import GlWindow
from render.window.viewer_controls import ViewerControls

_CLICK_UNITS = 4  # of window units that the mouse may move between press and release of a click
_NAMED_KEYS = (
    "SPACE",
    "ESCAPE",
    "LEFT",
    "RIGHT",
    "UP",
    "DOWN",
    "PAGE_UP",
    "PAGE_DOWN",
    "F1",
    "BACKSPACE",
    "ENTER",
    "TAB",
)


def connect_input(window: GlWindow, controls: ViewerControls, world_per_unit: Callable[[], float]) -> None:
    """Let the window's keys and mouse act on `controls`.

    Letters go by what is printed on the key, whatever the keyboard's layout.
    """
    glfw = window.glfw
    names = {getattr(glfw, f"KEY_{name}"): name for name in _NAMED_KEYS}
    buttons = {glfw.MOUSE_BUTTON_LEFT: "left", glfw.MOUSE_BUTTON_RIGHT: "right", glfw.MOUSE_BUTTON_MIDDLE: "middle"}
    pressed_at: list[tuple[float, float]] = []
    moving_from: list[tuple[float, float]] = []  # where a window without borders is held
    last = list(glfw.get_cursor_pos(window.handle))  # from here on as of each event, not as of now

    def on_key(_: Any, key: int, scancode: int, action: int, _mods: int) -> None:
        if action == glfw.RELEASE:
            return
        name = names.get(key)
        if name is None:
            printed = glfw.get_key_name(key, scancode) or (chr(key) if ord("A") <= key <= ord("Z") else "")
            name = printed.upper()
        controls.press(name, again=action == glfw.REPEAT)

    def on_button(_: Any, button: int, action: int, mods: int) -> None:
        moving_from.clear()
        if window.style.bare and action == glfw.PRESS and mods & glfw.MOD_CONTROL:
            moving_from.append((last[0], last[1]))
            controls.grab(None)
            return
        pressed = buttons.get(button) if action == glfw.PRESS else None
        controls.grab(pressed, shift=bool(mods & glfw.MOD_SHIFT))
        if button != glfw.MOUSE_BUTTON_LEFT:
            return
        x, y = last
        if action == glfw.PRESS:
            pressed_at[:] = [(x, y)]
        elif pressed_at and max(abs(x - pressed_at[0][0]), abs(y - pressed_at[0][1])) <= _CLICK_UNITS:
            width, height = glfw.get_window_size(window.handle)
            controls.click(x / max(width, 1), y / max(height, 1))

    def on_move(_: Any, x: float, y: float) -> None:
        if moving_from:  # the place is counted in the window, which follows
            window.move(x - moving_from[0][0], y - moving_from[0][1])
            last[:] = moving_from[0]
            return
        controls.drag(x - last[0], y - last[1], world_per_unit())
        last[:] = x, y

    def on_scroll(_: Any, _x: float, y: float) -> None:
        controls.scroll(y)

    def on_change(*_: Any) -> None:
        controls.changed = True

    glfw.set_key_callback(window.handle, on_key)
    glfw.set_mouse_button_callback(window.handle, on_button)
    glfw.set_cursor_pos_callback(window.handle, on_move)
    glfw.set_scroll_callback(window.handle, on_scroll)
    glfw.set_framebuffer_size_callback(window.handle, on_change)
    glfw.set_window_refresh_callback(window.handle, on_change)
