"""Offline runs: every frame through the live pipeline, in order, and what was made is kept."""

import logging
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, Intrinsics, look_at
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from core.rigid_motion import rotation_matrix
from core.source import DeviceState, RgbdSource, SourceError, frames_of
from engine.motion.protocol import AvatarPose, MotionEngine
from realtime.live.pipeline import FramePipeline
from realtime.offline import run as offline
from realtime.offline.neutral import find_neutral
from realtime.offline.panels import Panels
from realtime.progress import said_once
from realtime.recording import growing_npz
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME, RecordingError
from realtime.recording.repair import repair
from realtime.session.folder_names import MANIFEST_NAME, OBSERVATIONS_NAME
from realtime.threads.signals import InterruptedBySignalError
from realtime.threads.timing import SectionTimes
from realtime.threads.worker import Stop
from render.window.viewer import Viewer
from tests.calib.test_neutral_estimate import seen
from tests.fakes.small_disk import files_no_larger_than
from tests.realtime.test_live_recording import AVATAR, MESH, VERTICES, Tracker

WHOLE = {ANIMATION_NAME, PREVIEW_NAME, MANIFEST_NAME, OBSERVATIONS_NAME}
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


class Follower(MotionEngine):
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


class Painted(Follower):
    """Head turned a little more with every frame."""

    def animate(self, observation: FaceObservation) -> AvatarPose:
        T = np.eye(4)
        T[:3, :3] = rotation_matrix(np.array([0.0, 0.05 * observation.frame.index, 0.0]))
        return replace(super().animate(observation), vertices=VERTICES, T_world_head=T)


def run(
    clip: Clip, out: Path, times: SectionTimes | None = None, engine: Follower | None = None, stop: Stop | None = None
) -> int:
    pipeline = FramePipeline(Tracker(), engine or Follower(), times or SectionTimes())  # type: ignore[arg-type]
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        return offline.animate(clip, pipeline, AVATAR, Panels(AVATAR, viewer, "both"), out, lambda *_: None, stop)  # type: ignore[arg-type]


def test_every_frame_is_answered_once_in_order(tmp_path: Path) -> None:
    times = SectionTimes()
    assert run(Clip(7), tmp_path, times) == 7
    with np.load(tmp_path / ANIMATION_NAME, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["timestamps_s"], 0.5 * np.arange(7))
        np.testing.assert_array_equal(archive["vertices"], VERTICES + np.arange(7, dtype=np.float32)[:, None, None])
    with av.open(str(tmp_path / PREVIEW_NAME)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 7
    assert set(times.summary_ms()) == {"track", "animate"}, "the stages of the live pipeline"


def test_frames_that_lead_up_to_the_first_are_answered_and_left_out(tmp_path: Path) -> None:
    told: list[tuple[object, ...]] = []
    answered: list[int] = []

    class Counting(Follower):
        def animate(self, observation: FaceObservation) -> AvatarPose:
            answered.append(observation.frame.index)
            return super().animate(observation)

    with Viewer(MESH, (64, 48), headless=True) as viewer:
        pipeline = FramePipeline(Tracker(), Counting(), SectionTimes())  # type: ignore[arg-type]
        panels = Panels(AVATAR, viewer, "avatar")  # type: ignore[arg-type]
        frames = offline.animate(
            Clip(7), pipeline, AVATAR, panels, tmp_path, lambda *now: told.append(now), None, first=5, lead=5
        )  # type: ignore[arg-type]
    assert frames == 2
    assert told == [("animating", 1, 2), ("animating", 2, 2)]
    assert answered == list(range(7))
    with np.load(tmp_path / ANIMATION_NAME, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["timestamps_s"], [2.5, 3.0])


def test_the_grid_shows_all_that_the_published_one_does(tmp_path: Path) -> None:
    source = np.full((256, 256, 3), 7, np.uint8)
    avatar = SimpleNamespace(**vars(AVATAR), source_rgb=source)
    paintings = iter(np.full((256, 256, 3), number, np.uint8) for number in range(9))
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        pipeline = FramePipeline(Tracker(), Painted(), SectionTimes())  # type: ignore[arg-type]
        with closing(frames_of(Clip(3))) as frames:  # type: ignore[type-var]
            frame = list(frames)[2]
        pose = pipeline.process(frame).pose
        pictures = Panels(avatar, viewer, "grid", lambda: next(paintings))(frame, pose)  # type: ignore[arg-type]
        assert list(pictures) == ["driving", "source", "generated", "animated", "turned"]
        without = Panels(avatar, viewer, "grid")(frame, pose)  # type: ignore[arg-type]
        assert list(without) == ["driving", "source", "animated", "turned"], "of networks that do not paint"
        viewer.show(pose.vertices, pose.T_world_head, None, "")
        np.testing.assert_array_equal(pictures["animated"], viewer.read_rgb())
        for name, expected in (("driving", frame.rgb), ("source", source), ("generated", 0 * source)):
            np.testing.assert_array_equal(pictures[name], expected)
        assert (pictures["turned"] != pictures["animated"]).any()
        panels = Panels(avatar, viewer, "grid", lambda: next(paintings))  # type: ignore[arg-type]
        offline.animate(Clip(3), pipeline, avatar, panels, tmp_path, lambda *_: None)  # type: ignore[arg-type]
    with av.open(str(tmp_path / PREVIEW_NAME)) as film:
        size = film.streams.video[0].width, film.streams.video[0].height
    assert size == (640 + 480 + 480 + 640 + 640, 480)


@pytest.mark.parametrize("index", [0, 4])
def test_a_still_is_one_pose_and_its_pictures(index: int, tmp_path: Path) -> None:
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        pipeline = FramePipeline(Tracker(), Follower(), SectionTimes())  # type: ignore[arg-type]
        panels = Panels(AVATAR, viewer, "both")  # type: ignore[arg-type]
        files = offline.still(Clip(index + 1), pipeline, AVATAR, panels, tmp_path, lambda *_: None, index)  # type: ignore[arg-type]
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert {file.name for file in files} == {ANIMATION_NAME, f"{index}_driving.png", f"{index}_animated.png"}
    driving = cv2.imread(str(tmp_path / f"{index}_driving.png"))
    assert driving.shape == (48, 64, 3)
    assert (driving == 20 * index).all()
    with np.load(tmp_path / ANIMATION_NAME, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["vertices"], [VERTICES + np.float32(index)])


def test_a_still_of_no_frame_leaves_nothing(tmp_path: Path) -> None:
    with Viewer(MESH, (64, 48), headless=True) as viewer:
        pipeline = FramePipeline(Tracker(), Follower(), SectionTimes())  # type: ignore[arg-type]
        panels = Panels(AVATAR, viewer, "both")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="no frame 4 that can be read"):
            offline.still(Clip(4), pipeline, AVATAR, panels, tmp_path, lambda *_: None, 4)  # type: ignore[arg-type]
        with files_no_larger_than(100), pytest.raises(InputError, match="cannot be written"):
            offline.still(Clip(5), pipeline, AVATAR, panels, tmp_path, lambda *_: None, 4)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_start_frame_most_like_the_avatar_whatever_its_size_and_place() -> None:
    rng = np.random.default_rng(0)
    face = rng.normal(0, 0.4, (478, 2))
    rest = np.concatenate([face * [1, -1], np.zeros((478, 1))], axis=1).astype(np.float32)  # pictures count downwards
    avatar = SimpleNamespace(landmarks=rest, intrinsics=PUBLISHED_INTRINSICS, T_camera_world=look_at((0.0, 0.0, 8.0)))
    shapes = [face + rng.normal(0, 0.1, face.shape) for _ in range(5)]
    shapes[3] = 0.3 * face + [0.2, 0.5]  # the same face, smaller and elsewhere

    class Faces(Tracker):
        def track(self, frame: RgbdFrame) -> FaceObservation:
            points = (100 * shapes[frame.index]).astype(np.float32)
            return replace(super().track(frame), landmarks_px=points, tracked=frame.index != 2)

    found = find_neutral(lambda _: Clip(5), Faces, "best", lambda *_: None, None, avatar)  # type: ignore[arg-type]
    assert found.frame.index == 3


@pytest.mark.parametrize("sleepy", [False, True])
def test_the_neutral_frame_is_named(sleepy: bool, caplog: pytest.LogCaptureFixture) -> None:
    class Faces(Tracker):
        def track(self, frame: RgbdFrame) -> FaceObservation:
            lids = 0.45 if sleepy else 1.0
            return replace(seen(frame.timestamp_s, lids=lids, jawOpen=0.0 if frame.index == 3 else 0.9), frame=frame)

    with caplog.at_level(logging.INFO):
        found = find_neutral(lambda _: Clip(5), Faces, "auto", lambda *_: None)  # type: ignore[arg-type]
    assert found.frame.index == 3
    if sleepy:
        (told,) = caplog.messages
        assert told.startswith("clip: shows no neutral face (the driver's eyes were half shut")
        assert told.endswith("; frame 3 (1.5 s) was taken, --neutral-frame N names another")
    else:
        assert caplog.messages == ["neutral face: frame 3 (1.5 s)"]


def test_what_the_avatar_could_not_do_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(Clip(2), tmp_path)
    assert caplog.text == ""
    run(Clip(7), tmp_path, engine=Troubled())
    assert "3 of 7 frames: this head is too strange" in caplog.text


def kept_frames(out: Path) -> int:
    """Poses of a whole recording, beside which a film of as many pictures stands and nothing else."""
    assert sorted(path.name for path in out.iterdir()) == sorted(WHOLE)
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
    assert repair(tmp_path).startswith("4 frames")


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
    assert {path.name for path in tmp_path.iterdir()} <= WHOLE


def test_what_both_passes_find_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("capture.recordings")
    with said_once():
        for frame in (1, 2, 1):
            log.warning("clip: frame %d is damaged", frame)
    log.warning("clip: frame 1 is damaged")
    assert [record.args for record in caplog.records] == [(1,), (2,), ()], "the last one after the block"
