"""The main thread's loop on a viewer that only remembers."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realtime.live.person import PersonalCalibration
from realtime.live.show_loop import ShowLoop
from realtime.live.time_limit import TimeLimit
from realtime.recording.recordings import Recordings
from realtime.threads.latest_slot import LatestSlot
from realtime.threads.timing import Rate, SectionTimes
from realtime.threads.worker import Stop
from render.window.viewer import ViewerCommand


class RememberingViewer:
    """Gives out one command per poll, then asks to end once `until` was told."""

    needs_redraw = False

    def __init__(self, *commands: ViewerCommand, until: str) -> None:
        self._commands, self._until = list(commands), until
        self.told: list[str] = []

    def poll(self) -> list[ViewerCommand]:
        if self._commands:
            return [self._commands.pop(0)]
        return [ViewerCommand.QUIT] if any(self._until in told for told in self.told) else []

    def notify(self, text: str) -> None:
        self.told.append(text)

    def prompt(self, text: str) -> None: ...

    takes_poses = False

    def show(self, *picture: object) -> None: ...

    def read_still(self) -> np.ndarray:
        return np.full((6, 8, 3), 40, np.uint8)


def run(viewer: RememberingViewer, poses: Any = None, status: Callable[[], str] = lambda: "status") -> None:
    anything: Any = None
    avatar: Any = type("Avatar", (), {"display_mesh": type("Mesh", (), {"vertices": np.zeros((1, 3), np.float32)})})
    looped: Any = viewer
    ShowLoop(
        looped,
        avatar,
        poses or LatestSlot(),
        threading.Event(),
        TimeLimit(None),
        status=status,
        inference=anything,
        person=PersonalCalibration(),
        recordings=Recordings(),
        rate=Rate(),
        times=SectionTimes(),
        stop=Stop(),
    ).run()


def test_a_screenshot_is_saved_beside_the_loop_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saving: list[str] = []
    save = Image.Image.save

    def noted(self: Image.Image, *args: Any, **options: Any) -> None:
        saving.append(threading.current_thread().name)
        save(self, *args, **options)

    monkeypatch.setattr(Image.Image, "save", noted)
    viewer = RememberingViewer(ViewerCommand.SCREENSHOT, until="saved")
    run(viewer)
    (path,) = tmp_path.iterdir()
    assert Image.open(path).size == (8, 6)
    assert f"saved {path.name}" in viewer.told
    assert saving
    assert not saving[0].startswith(threading.main_thread().name)


def test_a_screenshot_that_cannot_be_saved_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    viewer = RememberingViewer(ViewerCommand.SCREENSHOT, until="cannot be saved")
    run(viewer)
    assert any("cannot be saved" in told for told in viewer.told)


def test_a_screenshot_asked_for_at_the_end_is_still_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(RememberingViewer(ViewerCommand.SCREENSHOT, ViewerCommand.QUIT, until="nothing"))
    assert len(list(tmp_path.iterdir())) == 1


class Posing:
    """A slot that brings a pose every 30 ms, the first at once; the time goes on while somebody waits."""

    skin: str | None = None

    def __init__(self, poses: int) -> None:
        self._left, self._next, self.now_s = poses, 0, 0.0

    def take(self, timeout_s: float) -> Any:
        due_s = 0.03 * self._next if self._left else float("inf")
        if due_s > self.now_s + timeout_s:
            self.now_s += timeout_s
            return None
        self.now_s = max(self.now_s, due_s)
        self._left, self._next = self._left - 1, self._next + 1
        pose = type("Pose", (), {"index": self._next, "vertices": "vertices", "skin": self.skin, "T_world_head": None})
        return type("Posed", (), {"pose": pose, "frame": type("Frame", (), {"timestamp_s": self.now_s})})


def test_new_words_wait_for_the_next_pose_and_are_drawn_where_none_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of the same pose would make the next one late."""
    monkeypatch.setattr("realtime.live.show_loop.STATUS_S", 0.0)
    poses, drawn_s = Posing(20), []
    monkeypatch.setattr("realtime.live.show_loop.time.monotonic", lambda: poses.now_s)

    class Drawing(RememberingViewer):
        def show(self, *_: object) -> None:
            drawn_s.append(poses.now_s)
            if len(drawn_s) == 22:
                self.told.append("enough")

    words = itertools.count()
    run(Drawing(until="enough"), poses, status=lambda: str(next(words)))
    np.testing.assert_allclose(drawn_s[:20], 0.03 * np.arange(20), err_msg="one picture of each pose")
    assert 0.1 < drawn_s[20] - drawn_s[19] < 0.13, "then words alone are worth one"
    assert drawn_s[21] - drawn_s[20] < 0.03


@pytest.mark.parametrize(
    ("takes_poses", "skin", "shown"),
    [(True, "numbers", "numbers"), (True, None, "vertices"), (False, "numbers", "vertices")],
)
def test_numbers_are_shown_in_place_of_vertices_where_a_graphics_card_draws(
    monkeypatch: pytest.MonkeyPatch, takes_poses: bool, skin: str | None, shown: str
) -> None:
    poses, seen = Posing(3), []
    poses.skin = skin
    monkeypatch.setattr("realtime.live.show_loop.time.monotonic", lambda: poses.now_s)

    class Taking(RememberingViewer):
        def show(self, shape: object, *_: object) -> None:
            seen.append(shape)
            if len(seen) == 3:
                self.told.append("enough")

    viewer = Taking(until="enough")
    viewer.takes_poses = takes_poses
    run(viewer, poses)
    assert seen[:3] == [shown] * 3
