"""A disk that refuses never ends the show: it goes on, the user is told at once, what was written is kept."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calib.avatar import Avatar
from core.camera import Intrinsics
from core.frame import FaceObservation, RgbdFrame
from core.mesh import Mesh
from core.source import DeviceState, RgbdSource
from engine.motion.protocol import AvatarPose, MotionEngine
from realtime.live.report import LiveReport
from realtime.live.session import LiveSession
from realtime.recording import recorder
from realtime.recording.film_file import FilmFile
from realtime.recording.recording_folder import RecordingFolder
from realtime.recording.recordings import Recordings
from realtime.recording.session_writer import READ_ONLY
from realtime.threads.worker import Stop
from render.window.viewer import Viewer
from tests.fakes.small_disk import files_no_larger_than

INTRINSICS = Intrinsics(60, 60, 32, 24, 64, 48)
VERTICES = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 0.5]] * 400)
MESH = Mesh(VERTICES, np.int32([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]))
AVATAR = SimpleNamespace(
    name="test",
    content_key="test",
    file_mesh=MESH,
    display_mesh=MESH,
    to_file=lambda vertices: vertices,
    motion_to_file=lambda T_world_head: T_world_head,
)


class Tracker:
    """Sees the same face in every frame."""

    tracker, tracker_why = "test", "test: as asked"

    def track(self, frame: RgbdFrame) -> FaceObservation:
        points = np.zeros((478, 3), np.float32)
        return FaceObservation(frame, True, 1.0, points[:, :2], points, np.eye(4), np.zeros(52, np.float32))

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Engine(MotionEngine):
    """Answers every frame at once."""

    name, head_pose, calibrated = "test", "follow", True

    def calibrate(self, neutral: FaceObservation) -> None:
        pass

    def animate(self, observation: FaceObservation) -> AvatarPose:
        frame = observation.frame
        return AvatarPose(VERTICES, np.eye(4), frame.timestamp_s, frame.index, observation.tracked)


class Camera(RgbdSource):
    """Hands over a frame whenever one was shown, until `plan` has nothing more to do."""

    name, fps, frame_count, skipped, state = "test", 30.0, None, 0, DeviceState.STREAMING

    def __init__(self, plan: Iterator[object]) -> None:
        self._plan, self._index = plan, -1

    def open(self) -> None:
        pass

    def read(self, timeout_s: float) -> RgbdFrame | None:
        if next(self._plan, EOFError) is EOFError:
            raise EOFError
        self._index += 1
        time.sleep(0.005)
        rgb = np.random.default_rng(self._index).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        return RgbdFrame(rgb, None, INTRINSICS, time.monotonic(), self._index)

    def close(self) -> None:
        pass


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything the viewer told the user."""
    told: list[str] = []
    notify = Viewer.notify
    monkeypatch.setattr(Viewer, "notify", lambda self, text: (told.append(text), notify(self, text))[1])
    return told


def wait_for(happened: Callable[[], bool]) -> Iterator[None]:
    """Frames until something has happened, then some more: the show goes on."""
    until_s = time.monotonic() + 60
    while not happened() and time.monotonic() < until_s:
        yield None
    assert happened(), "it never happened"
    yield from [None] * 5


def run(plan: Callable[[Viewer], Iterator[object]], record: Path | None = None) -> LiveReport:
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        session = LiveSession(Camera(plan(viewer)), Tracker, lambda _: Engine(), Stop())
        session.start()
        try:
            folder = None if record is None else RecordingFolder.claim(record, overwrite=False)
            return session.run(AVATAR, viewer, folder)
        finally:
            session.shut_down()
            left = [thread.name for thread in threading.enumerate() if "record" in thread.name]
            assert not left, f"threads left behind: {left}"


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(recorder, "_Film", FilmFile)  # the limit would hold for memory shared with a process, too
    with files_no_larger_than(500_000):
        yield


def test_a_full_disk_stops_the_recording_and_not_the_show(tmp_path: Path, shown: list[str], small_disk: None) -> None:
    report = run(lambda _: wait_for(lambda: any("cannot be written" in text for text in shown)), tmp_path / "full")
    assert len(report.recording_problems) == 1
    with np.load(tmp_path / "full" / "animation.npz", allow_pickle=False) as archive:
        frames = len(archive["vertices"])
        assert frames == 20  # of 24 kB each
    assert report.frames["processed"] > frames
    assert report.device == {}, "a source without a device has no faults to report"


def test_a_folder_that_is_removed_is_told(tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.recording.recording_folder.SYNC_S", 0.02)
    folder = tmp_path / "gone"

    def plan(_: Viewer) -> Iterator[object]:
        yield from wait_for(lambda: (folder / "poses.partial").exists())
        shutil.rmtree(folder)
        yield from wait_for(lambda: any("moved or removed" in text for text in shown))

    assert "moved or removed" in run(plan, folder).recording_problems[0]


def test_a_folder_that_becomes_read_only_is_told_while_it_is_recorded(
    tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is open is still written, so that nothing fails before the end."""
    monkeypatch.setattr("realtime.recording.session_writer._LOOK_S", 0.05)
    folder, asked = tmp_path / "take", os.access
    read_only = False  # root may write where nobody else may, so that no mode would do

    def access(path: Any, mode: int) -> bool:
        return not (read_only and Path(path) == folder) and asked(path, mode)

    monkeypatch.setattr(os, "access", access)
    lines: list[str] = []
    show = Viewer.show
    monkeypatch.setattr(Viewer, "show", lambda self, *given: (lines.append(given[-1]), show(self, *given))[1])

    def plan(_: Viewer) -> Iterator[object]:
        nonlocal read_only
        yield from wait_for(lambda: (folder / "session.json").exists())
        assert not any("READ-ONLY" in text for text in (*shown, *lines))
        read_only = True
        yield from wait_for(lambda: f"REC: {READ_ONLY}" in lines[-1])
        assert shown.count(READ_ONLY) == 1
        read_only = False
        yield from wait_for(lambda: "REC " in lines[-1])

    report = run(plan, folder)
    assert report.recording_problems == []
    assert (folder / "animation.npz").exists()


def test_keys_in_a_place_that_cannot_be_written(
    tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    shutil.rmtree(place)  # nothing can be made in a folder that is gone, not even by root

    def plan(viewer: Viewer) -> Iterator[object]:
        for key, words in (("V", "cannot be recorded into"), ("X", "cannot be saved")):
            viewer.controls.press(key)
            yield from wait_for(lambda words=words: any(words in text for text in shown))

    report = run(plan)
    assert len(report.recording_problems) == 1


def test_key_v_records_twice_without_holding_up_the_picture(
    tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def plan(viewer: Viewer) -> Iterator[object]:
        for number in (1, 2):
            viewer.controls.press("V")
            yield from wait_for(lambda: any("recording to" in text for text in shown))
            viewer.controls.press("V")
            yield from wait_for(lambda number=number: sum("recorded to" in text for text in shown) == number)
            shutil.move(next(Path("recordings").iterdir()), tmp_path / str(number))
            shown[:] = [text for text in shown if "recording to" not in text]

    report = run(plan)
    assert report.recording_problems == []
    for number in (1, 2):
        assert sorted(os.listdir(tmp_path / str(number))) == [
            "animation.npz",
            "observations.npy",
            "preview.mp4",
            "session.json",
        ]


def test_a_recording_into_which_nothing_came_is_not_said_to_be_there(
    lowpoly: Avatar, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder, recordings = tmp_path / "new", Recordings()
    recordings.begin(RecordingFolder.claim(folder, overwrite=False), lowpoly)
    recordings.shut_down()
    assert not folder.exists()
    assert "recorded to" not in caplog.text
