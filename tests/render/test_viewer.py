"""The viewer: what keys and mouse do, what it shows, with a window and without."""

import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from core.camera import OrbitCamera
from core.errors import InputError
from render.gl import gl_context
from render.gl.gl_context import GlWindow, create_context
from render.window import viewer as viewer_module
from render.window.text_panel import line_panel, table_panel
from render.window.viewer import Viewer, ViewerCommand
from render.window.viewer_controls import KEY_HELP, ViewerControls

IDENTITY = np.eye(4)


@pytest.fixture
def viewer(ctx, toy_head):
    with Viewer(toy_head, (320, 240), headless=True) as made:
        yield made


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("N", ViewerCommand.NEUTRAL),
        ("F", ViewerCommand.NEXT_FACE),
        ("SPACE", ViewerCommand.PAUSE),
        ("V", ViewerCommand.RECORD),
        ("X", ViewerCommand.SCREENSHOT),
        ("B", ViewerCommand.HEAD_POSE),
        ("M", ViewerCommand.MIRROR),
        ("ESCAPE", ViewerCommand.QUIT),
    ],
)
def test_each_command_has_a_key_and_comes_out_once(key, command):
    controls = ViewerControls()
    controls.press(key)
    controls.press(key, again=True)
    assert controls.take_commands() == [command]
    assert controls.take_commands() == []


def test_commands_keep_their_order_and_closing_is_one_quit():
    controls = ViewerControls()
    for key in ("N", "V"):
        controls.press(key)
    controls.quit()
    controls.quit()
    assert controls.take_commands() == [ViewerCommand.NEUTRAL, ViewerCommand.RECORD, ViewerCommand.QUIT]


@pytest.mark.parametrize(("there", "back"), [("A", "D"), ("W", "S"), ("Q", "E"), ("LEFT", "RIGHT"), ("UP", "DOWN")])
def test_camera_keys_come_in_pairs_that_undo_each_other(there, back):
    controls = ViewerControls()
    before = controls.camera.T_camera_world()
    controls.press(there, again=True)
    assert not np.allclose(controls.camera.T_camera_world(), before)
    controls.press(back)
    np.testing.assert_allclose(controls.camera.T_camera_world(), before, atol=1e-9)


def test_reset_key_and_page_keys():
    controls = ViewerControls(OrbitCamera([1, 0, 6], [0, 0.1, 0]))
    before = controls.camera.command_line()
    controls.press("PAGE_UP")
    controls.press("A")
    assert controls.camera.command_line() != before
    controls.press("R")
    assert controls.camera.command_line() == before


def test_mouse_turns_moves_and_scales_what_is_seen_the_way_the_hand_goes():
    controls = ViewerControls()
    controls.drag(50, 0, 0.01)
    assert controls.camera.eye[0] == 0, "not before a button is held"
    controls.grab("left")
    controls.drag(50, 0, 0.01)
    assert controls.camera.eye[0] < 0, "the front turns to the right, so the eye goes left"
    controls.grab(None)
    controls.press("R")
    controls.grab("right")
    controls.drag(50, 20, 0.01)
    np.testing.assert_allclose(controls.camera.translation, [0.5, -0.2, 0], atol=1e-12)
    controls.scroll(1)
    assert controls.camera.eye[2] < 8
    mirrored = ViewerControls(mirror=True)
    mirrored.grab("left", shift=True)
    mirrored.drag(50, 20, 0.01)
    np.testing.assert_allclose(mirrored.camera.translation, [-0.5, -0.2, 0], atol=1e-12)


def test_every_key_is_in_the_help():
    text = " ".join(keys for keys, _ in KEY_HELP).upper().replace(",", " ").split()
    for key in ("N", "SPACE", "V", "X", "B", "M", "A", "D", "W", "S", "Q", "E", "R", "P", "I", "H", "ESC", "PGUP"):
        assert key in text


def test_shows_the_pose_it_is_given(viewer, toy_head):
    rest = viewer.read_rgb()
    assert rest.shape == (240, 320, 3)
    viewer.show((toy_head.vertices * 0.5).astype(np.float32), IDENTITY, None, "")
    smaller = viewer.read_rgb()
    assert (np.abs(rest.astype(int) - smaller).max(axis=2) > 20).mean() > 0.2
    turned = IDENTITY.copy()
    turned[:3, :3] = np.diag([-1.0, 1.0, -1.0])
    viewer.show(toy_head.vertices, turned, None, "")
    back = viewer.read_rgb().astype(int)
    eye = rest[96, 160 + 45].astype(int)
    assert eye.min() > 150 > back[96, 160 + 45].min(), "from behind no eye is seen"


def test_overlays_cover_the_corners_and_leave_the_plain_picture_alone(viewer, toy_head):
    driver = np.zeros((48, 64, 3), np.uint8)
    driver[:, :32] = (255, 0, 0)
    driver[:, 32:] = (0, 0, 255)
    viewer.show(toy_head.vertices, IDENTITY, driver, "streaming · 30 fps · REC")
    plain, laid = viewer.read_rgb(), viewer.read_rgb(overlays=True)
    changed = np.abs(plain.astype(int) - laid).max(axis=2) > 10
    assert changed[16:60, 240:300].mean() > 0.8, "the driver, at the top right"
    assert changed[200:230, 16:120].any(), "the status, at the bottom left"
    assert not changed[80:190, :150].any()
    assert laid[30, 250, 0] > 200 > 60 > laid[30, 250, 2], "its left half is red"
    viewer.controls.press("M")
    mirrored = viewer.read_rgb(overlays=True)
    assert mirrored[30, 250, 2] > 200 > 60 > mirrored[30, 250, 0]
    np.testing.assert_allclose(mirrored[80:190, 20:150], plain[80:190, ::-1][:, 20:150], atol=1)
    np.testing.assert_array_equal(viewer.read_rgb(), plain)
    viewer.controls.press("M")
    viewer.controls.press("I")
    hidden = (viewer.read_rgb(overlays=True) != plain).any(axis=2)
    assert hidden[200:230, 16:60].any(), "that it records stays"
    assert not hidden[:150].any(), "the driver does not"
    viewer.show(toy_head.vertices, IDENTITY, driver, "streaming · 30 fps")
    np.testing.assert_array_equal(viewer.read_rgb(overlays=True), plain)


@pytest.mark.parametrize("words", ["streaming · " * 9 + "REC", "trust this computer on the phone " * 5, "/folder" * 40])
def test_what_is_too_long_for_the_picture_goes_on_in_the_next_line(viewer, toy_head, words):
    viewer.show(toy_head.vertices, IDENTITY, None, words)
    laid = np.abs(viewer.read_rgb(overlays=True).astype(int) - viewer.read_rgb()).max(axis=2) > 10
    assert not laid[:, 310:].any()
    rows = np.flatnonzero(laid.any(axis=1))
    assert rows[-1] - rows[0] > 2 * 15, "more than one line"
    whole = line_panel([(word.strip(), None) for word in words.split("·")], 15)
    wrapped = line_panel([(word.strip(), None) for word in words.split("·")], 15, 288)
    ink = [int((panel[..., :3].astype(int).sum(axis=2) > 450).sum()) for panel in (whole, wrapped)]
    assert wrapped.shape[1] <= 288
    assert ink[1] > 0.85 * ink[0], "nothing is left out"


def test_a_prompt_is_large_and_in_the_middle_until_it_is_another(viewer, toy_head):
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    plain = viewer.read_rgb()
    viewer.prompt("1/7: open your mouth wide · 3")
    assert viewer.needs_redraw
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    viewer.prompt("1/7: open your mouth wide · 3")
    assert not viewer.needs_redraw
    laid = np.argwhere((viewer.read_rgb(overlays=True) != plain).any(axis=2))
    (top, left), (bottom, right) = laid.min(axis=0), laid.max(axis=0)
    assert abs((left + right) / 2 - 160) < 4
    assert bottom - top > 30 < right - left > 150
    assert top > 120
    viewer.prompt("")
    np.testing.assert_array_equal(viewer.read_rgb(overlays=True), plain)


def test_notices_stand_over_one_another_and_each_goes_by_itself(viewer, toy_head, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("render.window.hud.time.monotonic", lambda: now[0])
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    heights = []
    for text in ("recording to a", "H shows all keys"):
        viewer.notify(text)
        heights.append((viewer.read_rgb(overlays=True) != viewer.read_rgb()).any(axis=(1, 2)).sum())
        now[0] += 3
    assert heights[1] > 1.5 * heights[0]
    now[0] += 3
    assert (viewer.read_rgb(overlays=True) != viewer.read_rgb()).any(axis=(1, 2)).sum() < 1.2 * heights[0]


def test_every_key_says_what_it_did_where_that_is_not_seen():
    controls = ViewerControls()
    for key in ("I", "I", "R"):
        controls.press(key)
    assert [words.split(";")[0] for words in controls.said] == [
        "status and driver hidden", "status and driver shown", "camera back at its start",
    ]  # fmt: skip


@pytest.mark.parametrize("move", [lambda c: c.scroll(3), lambda c: c.press("Q"), lambda c: c.press("PAGE_UP")])
def test_no_way_leads_into_the_skull_or_out_of_sight(viewer, move):
    controls, reach = viewer.controls, np.linalg.norm(viewer._renderer._gpu.vertices, axis=1).max()
    for key in ("A", "W", "R", "LEFT", "DOWN"):
        for _ in range(15):
            controls.press(key)
        for _ in range(600):
            move(controls)
        at = controls.camera.eye - controls.camera.translation
        assert reach * 0.99 <= np.linalg.norm(at) <= 40.001
    for _ in range(300):
        controls.scroll(-5)
        controls.press("PAGE_DOWN")
    assert np.linalg.norm(controls.camera.eye - controls.camera.translation) <= 40.001
    assert np.linalg.norm(controls.camera.eye) > 8, "and away from it there is a way"


def test_help_and_notice_come_and_go(viewer, toy_head, capsys):
    plain = viewer.read_rgb(overlays=True)
    viewer.controls.press("H")
    assert viewer.needs_redraw
    assert (viewer.read_rgb(overlays=True) != plain).any(axis=2).mean() > 0.2
    viewer.controls.press("H")
    viewer.controls.press("P")
    assert viewer.poll() == []
    assert capsys.readouterr().out == "--eye 0 0 8 --translation 0 0 0\n"
    assert viewer.needs_redraw
    viewer.show(toy_head.vertices, IDENTITY, None, "starting")
    assert not viewer.needs_redraw
    assert (viewer.read_rgb(overlays=True) != plain).any()
    viewer._hud._notices = [(text, time.monotonic() - 1) for text, _ in viewer._hud._notices]
    assert viewer.needs_redraw
    viewer.show(toy_head.vertices, IDENTITY, None, "starting")
    np.testing.assert_array_equal(viewer.read_rgb(overlays=True), plain)


def test_two_viewers_do_not_disturb_each_other(viewer, toy_head, sphere):
    before = viewer.read_rgb()
    with Viewer(sphere(), (64, 48), headless=True) as other:
        assert other.read_rgb().shape == (48, 64, 3)
        viewer.show(toy_head.vertices, IDENTITY, None, "")
        assert other.read_rgb().shape == (48, 64, 3)
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    np.testing.assert_array_equal(viewer.read_rgb(), before)
    other.close()


def test_frames_do_not_pile_up_memory(viewer, toy_head):
    resource = pytest.importorskip("resource")
    driver = np.zeros((48, 64, 3), np.uint8)

    def frames(count):
        for number in range(count):
            viewer.show(toy_head.vertices + np.float32(0.0), IDENTITY, driver.copy(), f"{number} fps")
            viewer.read_rgb(overlays=True)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = frames(20)
    assert frames(150) - before < 12_000, "kilobytes"


def test_text_fits_its_panel():
    line = line_panel([("streaming", None), ("30 fps", (255, 0, 0))], 15)
    assert line[..., 3].max() > 150
    assert line[0, 0, 3] < 60, "round corners"
    assert (line[..., :3].max(axis=2) <= line[..., 3]).all(), "colours hold their alpha already"
    ink = np.flatnonzero((line[..., 0] > 140).any(axis=0))
    assert 4 < ink.min() < ink.max() < line.shape[1] - 4
    table = table_panel("Keys", KEY_HELP, 15)
    assert table.shape[0] > 15 * 15


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


def test_the_window_may_change_its_size_at_any_moment(viewer, toy_head, monkeypatch):
    """Quick resizes: the size differs each time it is asked for, while one picture is drawn."""
    sizes = itertools.cycle([(1004, 353), (673, 569), (320, 240), (16, 16)])
    monkeypatch.setattr(viewer, "_pixels", lambda: next(sizes))
    for _ in range(9):
        viewer.show(toy_head.vertices, IDENTITY, None, "streaming")
        height, width, _ = viewer.read_rgb(overlays=True).shape
        assert (viewer.intrinsics.width, viewer.intrinsics.height) == (width, height)


def test_a_viewer_without_a_mesh_shows_a_message_until_it_gets_one(toy_head):
    with Viewer(None, (320, 240), headless=True) as viewer:
        empty = viewer.read_rgb()
        before = viewer.read_rgb(overlays=True)
        viewer.show_empty("preparing the avatar · the face · 1 of 5")
        assert (viewer.read_rgb(overlays=True) != before).any()
        assert (viewer.read_rgb() == empty).all()
        with pytest.raises(ValueError, match="set_mesh"):
            viewer.show(toy_head.vertices, IDENTITY, None, "")
        viewer.set_mesh(toy_head)
        assert (viewer.read_rgb() != empty).any()
        viewer.set_mesh(toy_head)


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


def test_while_something_is_asked_for_only_the_last_notice_stays(viewer, toy_head):
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    plain = viewer.read_rgb()
    for text in ("paused", "going on", "your range of motion"):
        viewer.notify(text)
    three = (viewer.read_rgb(overlays=True) != plain).any(axis=2)[:, :160].any(axis=1).sum()
    viewer.prompt("1/7: frown")
    one = (viewer.read_rgb(overlays=True) != plain).any(axis=2)[:, 16:30].any(axis=1).sum()
    assert one < three / 2
    viewer.controls.press("H")
    with_keys = viewer.read_rgb(overlays=True)
    viewer.prompt("2/7: smile as broadly as you can")
    np.testing.assert_array_equal(viewer.read_rgb(overlays=True), with_keys)


@pytest.mark.parametrize("software", [True, False])
def test_what_draws_is_compiled_ahead_where_the_processor_draws(ctx, monkeypatch, software):
    compiled = []
    monkeypatch.setattr(viewer_module, "is_software", lambda _: software)
    monkeypatch.setattr(viewer_module, "compiled_painter", lambda: compiled.append(threading.current_thread().name))
    with Viewer(None, (320, 240), headless=True) as made:
        ahead = threading.Thread(target=made.prepare_drawing, name="another thread")
        ahead.start()
        ahead.join()
    assert compiled == ["another thread"] * software


def test_without_a_window_a_notice_that_is_over_does_not_ask_for_pictures_for_ever(viewer, toy_head, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("render.window.hud.time.monotonic", lambda: now[0])
    viewer.notify("recording")
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    now[0] += 60
    assert viewer.needs_redraw
    viewer.show(toy_head.vertices, IDENTITY, None, "")
    assert not viewer.needs_redraw
