"""Keys and mouse of the window."""

import numpy as np
import pytest

from core.camera import OrbitCamera
from render.window.viewer import ViewerCommand
from render.window.viewer_controls import KEY_HELP, ViewerControls


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
