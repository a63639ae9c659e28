"""The window itself, on a screen, and what is said where there is none."""

import os
import subprocess
import sys
import textwrap

import pytest

from core.errors import InputError
from render.gl import gl_context
from render.gl.gl_context import GlWindow, create_context
from render.window.viewer import Viewer


def test_without_a_display_the_message_says_what_to_do():
    code = "from render.gl.gl_context import GlWindow\nGlWindow(64, 64, 'x')"
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "InputError: no window can be opened" in done.stderr
    assert "--headless" in done.stderr


def test_without_egl_the_message_names_the_packages(monkeypatch):
    import moderngl

    def refuse(**_):
        raise Exception("libEGL.so not loaded")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(InputError, match=r"libEGL.so not loaded.*libegl1.*libgl1-mesa-dri"):
        create_context(headless=True)


def test_failed_viewer_leaves_nothing_open(ctx, monkeypatch, toy_head):
    released = []
    make = gl_context.create_context

    def make_watched():
        context = make()
        release = context.release
        monkeypatch.setattr(context, "release", lambda: (released.append(True), release()))
        return context

    monkeypatch.setattr("render.window.viewer.create_context", make_watched)
    monkeypatch.setattr("render.window.viewer.MeshRenderer", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        Viewer(toy_head, headless=True)
    assert released == [True]


WINDOW_SCRIPT = '''
    import subprocess, time
    import numpy as np
    from core.mesh import Mesh
    from render.window.viewer import Viewer

    points = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 0.5]])
    faces = np.int32([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    driver = np.full((40, 60, 3), 255, np.uint8)

    def xdo(*words):
        return subprocess.run(["xdotool", *map(str, words)], check=True, capture_output=True, text=True).stdout

    with Viewer(Mesh(points, faces), (400, 300), title="vfa test window") as viewer:
        def until(done):
            """Commands of the window's turns until this is true of them."""
            commands, ends_s = [], time.monotonic() + 60
            while not done(commands):
                if time.monotonic() > ends_s:
                    raise SystemExit(f"waited in vain; commands so far: {commands}")
                commands += [command.name for command in viewer.poll()]
                viewer.show(points, np.eye(4), driver, "streaming")
                time.sleep(0.02)
            return commands

        viewer.show(points, np.eye(4), driver, "streaming")
        window = xdo("search", "--sync", "--name", "vfa test window").split()[-1]
        xdo("windowfocus", "--sync", window)
        for key in ("n", "v", "m", "m"):
            xdo("key", key)
        print(until(lambda commands: len(commands) >= 4))
        xdo("mousemove", "--window", window, 200, 150)
        xdo("mousedown", 1)
        xdo("mousemove", "--window", window, 240, 150)
        xdo("mouseup", 1)
        until(lambda _: viewer.controls.camera.eye[0] < -0.5)
        print("eye left")
        xdo("key", "r")
        xdo("windowsize", window, 500, 350)
        until(lambda _: viewer.controls.camera.eye[0] > -1e-9 and viewer.read_rgb().shape == (350, 500, 3))
        rgb = viewer.read_rgb()
        print(rgb.shape, rgb[175, 250].tolist() != rgb[5, 5].tolist())
        shown = viewer.read_rgb(overlays=True)
        viewer._make_current()
        data = viewer._ctx.screen.read(viewport=(0, 0, 500, 350), components=3, alignment=1)
        on_screen = np.frombuffer(data, np.uint8).reshape(350, 500, 3)[::-1]
        print(shown.shape, int(np.abs(shown.astype(int) - on_screen).max()) <= 2)
        viewer._window.glfw.set_window_should_close(viewer._window.handle, True)
        print(viewer.poll())
'''


def test_window_under_a_virtual_screen(virtual_screen):
    command = [sys.executable, "-c", textwrap.dedent(WINDOW_SCRIPT)]
    environment = {**os.environ, "DISPLAY": virtual_screen}
    environment.pop("WAYLAND_DISPLAY", None)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == [
        "['NEUTRAL', 'RECORD', 'MIRROR', 'MIRROR']",
        "eye left",
        "(350, 500, 3) True",
        "(350, 500, 3) True",
        "[<ViewerCommand.QUIT: 'quit'>]",
    ]


TURNS_SCRIPT = """
    import numpy as np
    from core.camera import PUBLISHED_INTRINSICS
    from core.mesh import Mesh
    from render.gl.rgbd import RgbdCamera
    from render.window.viewer import Viewer

    points = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 0.5]])
    mesh = Mesh(points, np.int32([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]))
    view = np.diag([1.0, -1, -1, 1]); view[2, 3] = 8

    def covered(camera):
        return int((camera.take(view, PUBLISHED_INTRINSICS).depth > 0).sum())

    camera = RgbdCamera(mesh)
    first = covered(camera)
    camera.close()
    left_open = RgbdCamera(mesh)
    for _ in range(2):  # what was current without a display does not keep a window from opening, and the reverse
        with Viewer(mesh, (200, 150)) as viewer:
            viewer.show(points, np.eye(4), None, "")
            assert covered(left_open) == first
            other = RgbdCamera(mesh)
            assert covered(other) == first
            viewer.show(points, np.eye(4), None, "")
            other.close()
            viewer.show(points, np.eye(4), None, "")
            assert viewer.read_rgb()[75, 100].tolist() != viewer.read_rgb()[2, 2].tolist()
        assert covered(left_open) == first
    print("all drawn", first)
"""


def test_a_window_opens_after_pictures_were_drawn_without_one(virtual_screen):
    environment = {**os.environ, "DISPLAY": virtual_screen}
    environment.pop("WAYLAND_DISPLAY", None)
    command = [sys.executable, "-c", textwrap.dedent(TURNS_SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all drawn")


def test_window_class_closes_twice_without_complaint():
    window = GlWindow.__new__(GlWindow)
    window.handle = None
    window.close()
    window.close()
