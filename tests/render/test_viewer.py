"""The viewer: what keys and mouse do, what it shows, with a window and without."""

import itertools
import threading
import time

import numpy as np
import pytest

from render.window import viewer as viewer_module
from render.window.text_panel import line_panel, table_panel
from render.window.viewer import Viewer
from render.window.viewer_controls import KEY_HELP

IDENTITY = np.eye(4)


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
