"""The live loop whole, headless, on sources that misbehave in known ways."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar
from capture.face.face_tracker import FaceTracker
from capture.phones.live_link import read_packet
from capture.synthetic.performer.performer import PerformerSource
from core.camera import Intrinsics
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, MotionFrame
from core.frame import FaceObservation, RgbdFrame
from core.source import DeviceState, MotionSource, RgbdSource, SourceError, frames_of
from engine.expression.expression_engine import ExpressionEngine
from engine.landmark.landmark_engine import LandmarkEngine
from engine.motion.protocol import AvatarPose, MotionEngine
from realtime.live.inference_loop import EASED_AFTER_S
from realtime.live.report import LiveReport
from realtime.live.session import LiveSession
from realtime.outputs.address import Address
from realtime.outputs.output import open_output
from realtime.recording.recording_folder import RecordingFolder
from realtime.threads.worker import Stop
from render.skin.moving_skin import SkinPose
from render.window.viewer import Viewer

INTRINSICS = Intrinsics(300, 300, 160, 120, 320, 240)
BLACK = np.zeros((240, 320, 3), np.uint8)


class ScriptedSource(RgbdSource):
    """A source that does what a script says: per read a frame, None, or an exception."""

    name = "scripted"
    fps = 0.0
    frame_count = None
    skipped = 0
    state = DeviceState.STREAMING

    def __init__(self, script: Callable[[int], RgbdFrame | None], fail_open: Exception | None = None) -> None:
        self._script = script
        self._fail_open = fail_open
        self._reads = 0
        self.closed_by: str | None = None

    def open(self) -> None:
        if self._fail_open is not None:
            raise self._fail_open

    def read(self, timeout_s: float) -> RgbdFrame | None:
        self._reads += 1
        return self._script(self._reads - 1)

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


def black_frame(index: int) -> RgbdFrame:
    return RgbdFrame(BLACK, None, INTRINSICS, time.monotonic(), index)


@pytest.fixture(scope="module")
def avatar(lowpoly: Avatar) -> Avatar:
    return lowpoly


def run(
    avatar: Avatar,
    source: ScriptedSource,
    seconds: float | None = None,
    record: Path | None = None,
    make_engine: Callable[[Avatar], MotionEngine] = LandmarkEngine,
) -> LiveReport:
    session = LiveSession(source, FaceTracker, make_engine, Stop(), seconds)
    session.start()
    try:
        with Viewer(avatar.display_mesh, (160, 120), headless=True) as viewer:
            folder = RecordingFolder.claim(record, overwrite=False) if record is not None else None
            return session.run(avatar, viewer, folder)
    finally:
        session.shut_down()
        left = [thread.name for thread in threading.enumerate() if thread.name in ("capture", "inference")]
        assert not left, f"threads left behind: {left}"


def test_where_a_graphics_card_draws_poses_are_shown_as_numbers_and_recorded_as_vertices(
    avatar: Avatar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("render.window.viewer", "render.gl.mesh_renderer"):
        monkeypatch.setattr(f"{module}.is_software", lambda _: False)
    shown: list[bool] = []
    show = Viewer.show

    def noted(self: Viewer, shape: NDArray[np.float32] | SkinPose, *others: Any) -> None:
        if not self.takes_poses:
            pytest.skip("OpenGL without multisampling")
        shown.append(isinstance(shape, SkinPose))
        show(self, shape, *others)

    monkeypatch.setattr(Viewer, "show", noted)

    def some_frames(index: int) -> RgbdFrame:
        if index == 12:
            raise EOFError
        time.sleep(0.05)
        return black_frame(index)

    report = run(avatar, ScriptedSource(some_frames), record=tmp_path / "take", make_engine=ExpressionEngine)
    assert any(shown)
    assert all(shown[shown.index(True) :]), "from the first on, which may come after one told as vertices"
    assert report.recording_problems == []
    assert report.recording_lost["poses"] == 0
    with np.load(tmp_path / "take" / "animation.npz") as animation:
        assert animation["vertices"].shape[1:] == avatar.file_mesh.vertices.shape
        assert len(animation["vertices"]) >= report.frames["processed"] >= 1


def test_a_file_that_ends_ends_the_session_after_its_last_frame(avatar: Avatar) -> None:
    def five_frames(index: int) -> RgbdFrame:
        if index == 5:
            raise EOFError
        time.sleep(0.05)
        return black_frame(index)

    source = ScriptedSource(five_frames)
    report = run(avatar, source)
    assert report.frames["captured"] == 5
    assert report.frames["shown"] >= 1
    assert source.closed_by == "capture"


def test_every_frame_is_accounted_for_when_the_camera_is_too_fast(avatar: Avatar) -> None:
    def fast(index: int) -> RgbdFrame:
        if index == 200:
            raise EOFError
        time.sleep(0.001)
        return black_frame(index)

    frames = run(avatar, ScriptedSource(fast)).frames
    assert frames["captured"] == 200
    assert frames["dropped"] > 0
    assert frames["shown"] + frames["dropped"] == 200


def test_a_source_that_cannot_be_opened_raises_its_own_error(avatar: Avatar) -> None:
    source = ScriptedSource(black_frame, fail_open=SourceError("camera 7: not there; plug it in"))
    with pytest.raises(SourceError, match="camera 7"):
        run(avatar, source)


def test_a_fault_in_the_middle_ends_in_order_and_keeps_the_recording(avatar: Avatar, tmp_path: Path) -> None:
    def breaks(index: int) -> RgbdFrame:
        if index == 8:
            raise SourceError("cable: pulled; plug it in again")
        time.sleep(0.05)
        return black_frame(index)

    source = ScriptedSource(breaks)
    with pytest.raises(SourceError, match="cable"):
        run(avatar, source, record=tmp_path)
    assert source.closed_by == "capture"
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        assert len(archive["timestamps_s"]) >= 1
        assert archive["vertices"].shape[1:] == (len(avatar.file_mesh.vertices), 3)
    assert (tmp_path / "preview.mp4").stat().st_size > 0


class ScriptedPhone(MotionSource):
    """Sends a mouth that opens, thirty times a second, and then falls silent."""

    name = "scripted phone"
    fps = 30.0
    frame_count = None
    skipped = 0
    state = DeviceState.STREAMING

    def __init__(self, frames: int) -> None:
        self._frames, self._count = frames, 0

    def read(self, timeout_s: float) -> MotionFrame | None:
        time.sleep(1 / 30)
        if self._count == self._frames:
            return None
        weights = np.zeros(len(UNIT_NAMES))
        weights[UNIT_NAMES.index("jawOpen")] = min(self._count / 10, 1.0)
        self._count += 1
        motion = FaceMotion(weights, np.zeros((2, 2)), np.eye(4))
        return MotionFrame(motion, True, time.monotonic(), self._count - 1)

    def close(self) -> None:
        return


def test_a_phone_s_motion_is_shown_recorded_sent_and_eased_when_it_is_silent(avatar: Avatar, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        output = open_output(Address.parse(f"livelink://127.0.0.1:{receiver.getsockname()[1]}"))
        session = LiveSession(
            ScriptedPhone(45), None, lambda avatar: ExpressionEngine(avatar), Stop(), 4.0, outputs=[output]
        )
        session.start()
        with Viewer(avatar.display_mesh, (160, 120), headless=True) as viewer:
            report = session.run(avatar, viewer, RecordingFolder.claim(tmp_path, overwrite=False))
        jaws = []
        with contextlib.suppress(BlockingIOError):
            while True:
                jaws.append(read_packet(receiver.recv(2048)).weights[UNIT_NAMES.index("jawOpen")])
    assert report.tracker == ""
    assert report.outputs[0].sent >= 10
    assert max(jaws) == pytest.approx(1.0)
    assert jaws[-1] == 0.0
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as kept:
        shown, tracked = kept["unit_weights"][:, UNIT_NAMES.index("jawOpen")], kept["tracked"]
        assert shown.max() == pytest.approx(1.0)
        assert tracked.any()
        assert not tracked[-1]
        assert shown[-1] == pytest.approx(0.0, abs=1e-6)
    assert (tmp_path / "preview.mp4").stat().st_size > 0


def test_an_engine_without_units_says_that_it_cannot_follow(avatar: Avatar) -> None:
    session = LiveSession(ScriptedPhone(5), None, LandmarkEngine, Stop(), 5.0)
    session.start()
    with (
        Viewer(avatar.display_mesh, (160, 120), headless=True) as viewer,
        pytest.raises(InputError, match="--engine landmark: moves by pictures"),
    ):
        session.run(avatar, viewer)


def test_the_interpreter_s_switch_interval_is_put_back(avatar: Avatar) -> None:
    def ends(index: int) -> RgbdFrame | None:
        raise EOFError

    session = LiveSession(ScriptedSource(ends), FaceTracker, LandmarkEngine, Stop())
    before = sys.getswitchinterval()
    session.start()
    during = sys.getswitchinterval()
    session.shut_down()
    assert during < before == sys.getswitchinterval()


def test_silence_is_a_state_not_an_end(avatar: Avatar) -> None:
    def one_then_nothing(index: int) -> RgbdFrame | None:
        time.sleep(0.02)
        return black_frame(index) if index < 3 else None

    report = run(avatar, ScriptedSource(one_then_nothing), seconds=1.0)
    assert sum(report.device_states.values()) >= 1.0


def test_no_face_is_counted_and_leaves_the_avatar_at_rest(avatar: Avatar) -> None:
    def black(index: int) -> RgbdFrame:
        if index == 10:
            raise EOFError
        time.sleep(0.03)
        return black_frame(index)

    report = run(avatar, ScriptedSource(black))
    assert report.device_states.get("no face", 0) > 0
    assert report.latency_ms["capture_to_pose"]["p50"] > 0
    assert set(report.latency_ms) >= {"capture_to_pose", "capture_to_shown", "track", "animate", "render"}


def test_the_avatar_eases_to_rest_while_no_frames_come(avatar: Avatar, tmp_path: Path) -> None:
    performer = PerformerSource(realtime=False)
    acted = islice(frames_of(performer), 90, 120)
    given: list[float] = []
    eased: list[float] = []

    class Noting(LandmarkEngine):
        def animate(self, observation: FaceObservation) -> AvatarPose:
            if given and observation.frame.timestamp_s > given[-1]:
                eased.append(observation.frame.timestamp_s)
            return super().animate(observation)

    def talk_then_stall(index: int) -> RgbdFrame | None:
        time.sleep(0.03)
        frame = next(acted, None)
        if frame is None and time.monotonic() - given[-1] > EASED_AFTER_S + 0.5 and len(eased) > 10:
            raise EOFError
        if frame is None:
            return None
        given.append(time.monotonic())
        return replace(frame, timestamp_s=given[-1], index=index)

    report = run(avatar, ScriptedSource(talk_then_stall), record=tmp_path, make_engine=Noting)
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        vertices, tracked, times = archive["vertices"], archive["tracked"], archive["timestamps_s"]
    assert report.frames["captured"] == 30
    assert report.frames["shown"] <= 30
    lost_at = int(np.flatnonzero(tracked)[-1])
    assert len(tracked) - lost_at > 10, "the gap is in the recording, as untracked poses"
    assert np.all(np.diff(times) > 0)
    moved = np.abs(vertices - avatar.file_mesh.vertices).max(axis=(1, 2))
    assert moved[: lost_at + 1].max() > 0
    half_a_second = int(np.searchsorted(times, times[lost_at] + 0.5))
    assert moved[half_a_second] < 1e-3 * moved[: lost_at + 1].max()
    steps = np.abs(np.diff(vertices[lost_at:], axis=0)).max(axis=(1, 2))
    assert steps.max() < 0.5 * moved[lost_at]  # over several frames, not at once


def test_a_frame_that_easing_has_overtaken_is_dropped(avatar: Avatar, tmp_path: Path) -> None:
    """A frame held up on its way is older than what the avatar shows by then: time in a recording never runs back."""
    answered: list[float] = []

    class Noting(LandmarkEngine):
        def animate(self, observation: FaceObservation) -> AvatarPose:
            pose = super().animate(observation)
            answered.append(pose.timestamp_s)
            return pose

    given: list[float] = []

    def held_up(index: int) -> RgbdFrame | None:
        while given and max(answered, default=0.0) < given[-1]:
            time.sleep(0.005)
        if index == 6:
            raise EOFError
        frame = black_frame(index)
        if index == 3:
            while max(answered) <= frame.timestamp_s:  # until easing has come so far
                time.sleep(0.005)
        given.append(frame.timestamp_s)
        return frame

    report = run(avatar, ScriptedSource(held_up), record=tmp_path, make_engine=Noting)
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        times = archive["timestamps_s"]
    assert np.all(np.diff(times) > 0)
    assert report.frames["captured"] == 6
    assert report.frames["processed"] == 5
    assert report.frames["dropped"] >= 1
