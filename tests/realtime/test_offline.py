"""Offline runs: every frame through the live pipeline, in order, and both files or neither."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from core.camera import Intrinsics
from core.frame import FaceObservation, RgbdFrame
from core.source import DeviceState, RgbdSource, SourceError
from engine.motion.protocol import AvatarPose
from realtime import offline
from realtime.live.pipeline import FramePipeline
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME, RecordingError
from realtime.threads.timing import SectionTimes
from render.window.viewer import Viewer
from tests.fakes.small_disk import files_no_larger_than
from tests.realtime.test_live_recording import AVATAR, MESH, VERTICES, Tracker

INTRINSICS = Intrinsics(60, 60, 32, 24, 64, 48)


class Clip(RgbdSource):
    """A recording of so many frames, 0.5 s apart; broken after `breaks_at` of them."""

    name, fps, skipped, state = "clip", 2.0, 0, DeviceState.STREAMING

    def __init__(self, frames: int, breaks_at: int | None = None) -> None:
        self.frame_count, self._breaks_at, self._index = frames, breaks_at, 0

    def open(self) -> None:
        self._index = 0

    def read(self, timeout_s: float) -> RgbdFrame:
        if self._index == self._breaks_at:
            raise SourceError("clip: cut short")
        if self._index == self.frame_count:
            raise EOFError
        self._index += 1
        index = self._index - 1
        return RgbdFrame(np.full((48, 64, 3), 20 * index, np.uint8), None, INTRINSICS, 0.5 * index, index)

    def close(self) -> None:
        pass


class Follower:
    """Moves with the frame's number; must not be calibrated again."""

    name, head_pose, calibrated = "test", "follow", True

    def calibrate(self, neutral: FaceObservation) -> None:
        raise AssertionError("the neutral of an offline run is known before")

    def animate(self, observation: FaceObservation) -> AvatarPose:
        frame = observation.frame
        return AvatarPose(VERTICES + np.float32(frame.index), np.eye(4), frame.timestamp_s, frame.index, True)


class Troubled(Follower):
    """Cannot do what the driver does in every other frame."""

    def animate(self, observation: FaceObservation) -> AvatarPose:
        trouble = "this head is too strange" if observation.frame.index % 2 else ""
        return replace(super().animate(observation), trouble=trouble)


def run(clip: Clip, out: Path, times: SectionTimes | None = None, engine: Follower | None = None) -> int:
    pipeline = FramePipeline(Tracker(), engine or Follower(), times or SectionTimes())  # type: ignore[arg-type]
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        return offline.animate(clip, pipeline, AVATAR, viewer, out, lambda *_: None)  # type: ignore[arg-type]


def test_every_frame_is_answered_once_in_order(tmp_path: Path) -> None:
    times = SectionTimes()
    assert run(Clip(7), tmp_path, times) == 7
    with np.load(tmp_path / ANIMATION_NAME, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["timestamps_s"], 0.5 * np.arange(7))
        np.testing.assert_array_equal(archive["vertices"], VERTICES + np.arange(7, dtype=np.float32)[:, None, None])
    with av.open(str(tmp_path / PREVIEW_NAME)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 7
    assert set(times.summary_ms()) == {"track", "animate"}, "the stages of the live pipeline"


def test_what_the_avatar_could_not_do_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(Clip(2), tmp_path)
    assert caplog.text == ""
    run(Clip(7), tmp_path, engine=Troubled())
    assert "3 of 7 frames: this head is too strange" in caplog.text


def test_a_recording_that_breaks_leaves_neither_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cut short"):
        run(Clip(7, breaks_at=3), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bytes_free", [100, 30_000, 80_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, bytes_free: int) -> None:
    with files_no_larger_than(bytes_free), pytest.raises(RecordingError, match="cannot be written"):
        run(Clip(7), tmp_path)
    assert not list(tmp_path.iterdir())
