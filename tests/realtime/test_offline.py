"""Offline runs: every frame through the live pipeline, in order, and what was made is kept."""

import logging
import signal
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
from realtime.progress import said_once
from realtime.recording import growing_npz
from realtime.recording.recorder import finish_recording
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME, RecordingError
from realtime.threads.signals import InterruptedBySignalError
from realtime.threads.timing import SectionTimes
from realtime.threads.worker import Stop
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


class Signalled(Follower):
    """A signal arrives while certain frames are at work: what the handlers make of it, so that no signal can reach the
    process that tests; real ones are sent in `test_endings`."""

    def __init__(self, numbers: dict[int, signal.Signals], stop: Stop, times: int = 1) -> None:
        self._numbers, self._stop, self._times = numbers, stop, times

    def animate(self, observation: FaceObservation) -> AvatarPose:
        if (number := self._numbers.get(observation.frame.index)) is not None:
            for _ in range(self._times):
                if self._stop.requested:
                    raise InterruptedBySignalError(number)
                self._stop.request(by_signal=number)
        return super().animate(observation)


class Troubled(Follower):
    """Cannot do what the driver does in every other frame."""

    def animate(self, observation: FaceObservation) -> AvatarPose:
        trouble = "this head is too strange" if observation.frame.index % 2 else ""
        return replace(super().animate(observation), trouble=trouble)


def run(
    clip: Clip, out: Path, times: SectionTimes | None = None, engine: Follower | None = None, stop: Stop | None = None
) -> int:
    pipeline = FramePipeline(Tracker(), engine or Follower(), times or SectionTimes())  # type: ignore[arg-type]
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        return offline.animate(clip, pipeline, AVATAR, viewer, out, lambda *_: None, stop=stop)  # type: ignore[arg-type]


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


def kept_frames(out: Path) -> int:
    """Poses of a whole recording, beside which a film of as many pictures stands and nothing else."""
    assert sorted(path.name for path in out.iterdir()) == [ANIMATION_NAME, PREVIEW_NAME]
    with np.load(out / ANIMATION_NAME, allow_pickle=False) as archive:
        frames = len(archive["timestamps_s"])
        np.testing.assert_array_equal(
            archive["vertices"], VERTICES + np.arange(frames, dtype=np.float32)[:, None, None]
        )
    with av.open(str(out / PREVIEW_NAME)) as film:
        assert sum(1 for _ in film.decode(video=0)) == frames
    return frames


def test_a_recording_that_breaks_leaves_what_was_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SourceError, match="cut short"):
        run(Clip(7, breaks_at=3), tmp_path)
    assert kept_frames(tmp_path) == 3
    assert "3 of 7 frames are kept" in caplog.text
    assert str(tmp_path / ANIMATION_NAME) in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_was_made(
    number: signal.Signals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Stop()
    with pytest.raises(InterruptedBySignalError) as interrupted:
        run(Clip(7), tmp_path, engine=Signalled({4: number}, stop), stop=stop)
    assert interrupted.value.number == number
    assert kept_frames(tmp_path) == 5, "the frame at work is finished"
    assert "5 of 7 frames are kept" in caplog.text


def test_a_second_signal_leaves_what_can_be_finished(tmp_path: Path) -> None:
    stop = Stop()
    with pytest.raises(InterruptedBySignalError):
        run(Clip(7), tmp_path, engine=Signalled({4: signal.SIGINT}, stop, times=2), stop=stop)
    assert finish_recording(tmp_path).startswith("4 frames")


def test_a_signal_before_the_first_frame_leaves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop()
    stop.request(by_signal=signal.SIGINT)
    with pytest.raises(InterruptedBySignalError):
        run(Clip(7), tmp_path, stop=stop)
    assert not list(tmp_path.iterdir())
    assert "kept" not in caplog.text


def test_an_error_of_ours_leaves_nothing(tmp_path: Path) -> None:
    class Faulty(Follower):
        def animate(self, observation: FaceObservation) -> AvatarPose:
            if observation.frame.index == 3:
                raise ZeroDivisionError
            return super().animate(observation)

    with pytest.raises(ZeroDivisionError):
        run(Clip(7), tmp_path, engine=Faulty())
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_from_the_start_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with files_no_larger_than(100), pytest.raises(RecordingError, match="cannot be written"):
        run(Clip(7), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("frames_fit", [2.0, 2.9, 5.5, 7.0])
def test_a_full_disk_is_one_line_and_leaves_what_was_made(
    frames_fit: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free = round(growing_npz.DATA_OFFSET + frames_fit * growing_npz.frame_bytes(len(VERTICES)))
    with files_no_larger_than(free), pytest.raises(RecordingError, match="cannot be written"):
        run(Clip(7), tmp_path)
    with np.load(tmp_path / ANIMATION_NAME, allow_pickle=False) as archive:
        frames = len(archive["timestamps_s"])
        np.testing.assert_array_equal(
            archive["vertices"], VERTICES + np.arange(frames, dtype=np.float32)[:, None, None]
        )
    assert frames_fit - 2 < frames <= frames_fit, "as many as fit with the end of the archive"
    assert f"{frames} of 7 frames are kept" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} <= {ANIMATION_NAME, PREVIEW_NAME}


def test_what_both_passes_find_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("capture.recordings")
    with said_once():
        for frame in (1, 2, 1):
            log.warning("clip: frame %d is damaged", frame)
    log.warning("clip: frame 1 is damaged")
    assert [record.args for record in caplog.records] == [(1,), (2,), ()], "the last one after the block"
