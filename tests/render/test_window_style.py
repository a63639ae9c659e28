"""Windows without borders and overlays, for programs that capture them, on a virtual screen."""

import os
import shutil
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from render.gl.window_style import WindowStyle
from render.window.viewer import Viewer
from render.window.viewer_controls import KEY_HELP

SCRIPT = """
    import subprocess, sys, time
    import numpy as np
    from core.mesh import Mesh
    from render.gl.background import TRANSPARENT
    from render.gl.window_style import WindowStyle
    from render.window.viewer import Viewer

    points = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 0.5]])
    faces = np.int32([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    mode, on_top = sys.argv[1], sys.argv[2] == "top"
    background = TRANSPARENT if mode == "transparent" else None
    style = WindowStyle(mode, on_top=on_top)

    def run(*words):
        return subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout

    def on_screen(viewer):
        viewer._make_current()
        data = viewer._ctx.screen.read(viewport=(0, 0, 400, 300), components=4, alignment=1)
        return np.frombuffer(data, np.uint8).reshape(300, 400, 4)[::-1]

    with Viewer(Mesh(points, faces), (400, 300), title="vfa style", background=background, style=style,
                vsync=False) as viewer:
        def draw():
            viewer.poll()
            viewer.show(points, np.eye(4), None, "streaming · REC")

        def until(done):
            ends_s = time.monotonic() + 60
            while not done():
                if time.monotonic() > ends_s:
                    raise SystemExit("waited in vain")
                draw()
                time.sleep(0.02)

        viewer.notify("a message")
        draw()
        window = run("xdotool", "search", "--sync", "--name", "vfa style").split()[-1]
        print(run("xprop", "-id", window, "_MOTIF_WM_HINTS").strip())
        print([line for line in run("xwininfo", "-id", window).splitlines() if "Depth" in line][0].strip())
        print(viewer.refused())
        same = (on_screen(viewer)[..., :3] == viewer.read_rgb()).all()
        same &= not background or (on_screen(viewer)[..., 3] == viewer.read_rgba()[..., 3]).all()
        print("bare" if same else "covered")
        print("corner", on_screen(viewer)[2, 2].tolist()[3], "middle", on_screen(viewer)[150, 200].tolist()[3])
        run("xdotool", "windowfocus", "--sync", window)
        run("xdotool", "key", "i")
        until(lambda: viewer.controls.show_hud)
        print("shown", (on_screen(viewer)[260:290, 16:60, :3] != on_screen(viewer)[260, 380, :3]).any())
        before = run("xdotool", "getwindowgeometry", window).split()[3]
        run("xdotool", "mousemove", "--window", window, 200, 150)
        run("xdotool", "keydown", "ctrl", "mousedown", 1)
        until(lambda: True); draw(); time.sleep(0.1); draw()
        eye = viewer.controls.camera.eye.tolist()
        for step in range(1, 6):
            run("xdotool", "mousemove_relative", "--", 12, 8)
            time.sleep(0.05)
            draw()
        run("xdotool", "mouseup", 1, "keyup", "ctrl")
        draw()
        after = run("xdotool", "getwindowgeometry", window).split()[3]
        print("moved", before != after, viewer.controls.camera.eye.tolist() == eye)
"""


def shown(virtual_screen, mode, top="no"):
    if shutil.which("xprop") is None or shutil.which("xwininfo") is None:
        pytest.skip("needs xprop and xwininfo (Debian: x11-utils)")
    environment = {**os.environ, "DISPLAY": virtual_screen}
    environment.pop("WAYLAND_DISPLAY", None)
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), mode, top]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_normal_window_has_borders_and_overlays(virtual_screen):
    lines = shown(virtual_screen, "normal")
    assert lines[0] == "_MOTIF_WM_HINTS:  not found."
    assert lines[3] == "covered"
    assert lines[-1] == "moved False False", "Ctrl and drag turns the head there, as drag does"


def test_a_clean_window_has_neither_and_is_moved_by_ctrl_and_drag(virtual_screen):
    lines = shown(virtual_screen, "clean")
    assert lines[0] == "_MOTIF_WM_HINTS(_MOTIF_WM_HINTS) = 0x2, 0x0, 0x0, 0x0, 0x0"
    assert lines[2] == "[]"
    assert lines[3:] == ["bare", "corner 255 middle 255", "shown True", "moved True True"]


def test_a_transparent_window_has_an_alpha_channel_and_says_what_it_needs(virtual_screen):
    lines = shown(virtual_screen, "transparent")
    assert lines[1] == "Depth: 32"
    assert "before black; start a compositor" in lines[2]
    assert lines[3:] == ["bare", "corner 0 middle 255", "shown True", "moved True True"]


def test_a_window_on_top_asks_for_it_and_wayland_is_told_of():
    asked, wayland = [], 0x00060003
    glfw = SimpleNamespace(
        DECORATED="decorated",
        TRANSPARENT_FRAMEBUFFER="transparent",
        FLOATING="floating",
        PLATFORM_WAYLAND=wayland,
        window_hint=lambda name, value: asked.append((name, value)),
        get_platform=lambda: wayland,
    )
    style = WindowStyle("clean", on_top=True)
    style.ask(glfw)
    assert asked == [("decorated", False), ("transparent", False), ("floating", True)]
    (line,) = style.refused(glfw, None)
    assert "Wayland" in line


def test_bare_windows_show_what_is_asked_for_and_nothing_else(ctx, toy_head):
    driver = np.full((48, 64, 3), 255, np.uint8)
    with Viewer(toy_head, (320, 240), headless=True, style=WindowStyle("clean")) as viewer:
        viewer.show(toy_head.vertices, np.eye(4), driver, "streaming · REC")
        viewer.notify("a message")
        np.testing.assert_array_equal(viewer.read_rgb(overlays=True), viewer.read_rgb())
        viewer.prompt("smile")
        assert (viewer.read_rgb(overlays=True) != viewer.read_rgb()).any(), "who asked for prompts has to see them"
        viewer.prompt("")
        np.testing.assert_array_equal(viewer.read_rgb(overlays=True), viewer.read_rgb())
        viewer.controls.press("I")
        overlaid = (viewer.read_rgb(overlays=True) != viewer.read_rgb()).any(axis=2)
        assert overlaid[16:60, 240:300].mean() > 0.8, "the driver"
        viewer.controls.press("I")
        viewer.controls.press("H")
        assert (viewer.read_rgb(overlays=True) != viewer.read_rgb()).any()


def test_moving_the_window_is_in_the_help():
    assert ("Ctrl drag", "move a window without borders") in KEY_HELP
