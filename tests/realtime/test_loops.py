"""The loops of a live session one by one, each run on the test's own thread."""

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.frame import FaceObservation, RgbdFrame
from core.source import DeviceState
from engine.motion.protocol import AvatarPose
from realtime.live.capture_loop import SILENCE_S, SILENT_FRAMES, CaptureLoop
from realtime.live.inference_loop import EASED_AFTER_S, InferenceLoop
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import PosedFrame
from realtime.threads.latest_slot import LatestSlot, SlotClosedError
from realtime.threads.timing import SectionTimes, StateClock
from realtime.threads.worker import Stop
from tests.realtime.test_live_recording import AVATAR, INTRINSICS, Engine, Tracker


def frame(index: int) -> RgbdFrame:
    return RgbdFrame(np.zeros((48, 64, 3), np.uint8), None, INTRINSICS, time.monotonic(), index)


class ClosedTracker(Tracker):
    """Notes that it was closed."""

    closed = False
    asked = 0

    def follow_next(self) -> None:
        self.asked += 1

    def __exit__(self, *_: object) -> None:
        self.closed = True


class Inference:
    """An inference loop with everything that it is given; `avatar` is ready."""

    def __init__(self) -> None:
        self.tracker, self.answers = ClosedTracker(), list[PosedFrame]()
        self.frames: LatestSlot[RgbdFrame] = LatestSlot()
        self.avatar: Future[Any] = Future()
        self.avatar.set_result(AVATAR)
        self.ready, self.states = threading.Event(), StateClock()
        self.loop = self.made()

    def made(self, engine: Any = None, silence_s: float = 1e9) -> InferenceLoop:
        return InferenceLoop(
            lambda: self.tracker,  # type: ignore[arg-type,return-value]
            lambda _: engine or Engine(),  # type: ignore[arg-type,return-value]
            self.avatar,
            PersonalCalibration(),
            frames=self.frames,
            silence_s=lambda: silence_s,
            publish=self.answers.append,
            ready=self.ready,
            states=self.states,
            times=SectionTimes(),
            stop=Stop(),
        )


def test_inference_answers_what_it_is_given_and_ends_with_it() -> None:
    own = Inference()
    own.frames.put(frame(7))
    own.frames.close()
    own.loop.run()
    assert [answer.pose.index for answer in own.answers] == [7]
    assert (own.loop.rate.count, own.loop.engine_name, own.states.current) == (1, "test", "streaming")
    assert own.ready.is_set()
    assert own.tracker.closed


@pytest.mark.parametrize("early", [True, False])
def test_the_wish_to_leave_vertices_out_reaches_the_engine_whenever_it_comes(early: bool) -> None:
    own, engine = Inference(), Engine()
    loop = own.made(engine)
    if early:
        loop.leave_vertices_out()
    own.frames.put(frame(0))
    own.frames.close()
    loop.run()
    assert getattr(engine, "defers", False) is early
    loop.leave_vertices_out()
    assert engine.defers


class TroubledEngine(Engine):
    """Cannot do what the driver does."""

    def animate(self, observation: FaceObservation) -> AvatarPose:
        return replace(super().animate(observation), tracked=True, trouble="this head is too strange")


def test_the_state_says_why_an_avatar_does_less_than_its_driver() -> None:
    own = Inference()
    own.frames.put(frame(0))
    own.frames.close()
    own.made(TroubledEngine()).run()
    assert own.states.current == "this head is too strange"


def test_inference_without_an_avatar_only_closes_the_tracker() -> None:
    own = Inference()
    own.avatar = Future()
    own.avatar.cancel()
    own.made().run()
    assert own.tracker.closed
    assert not own.ready.is_set()


def test_the_wish_for_another_face_reaches_the_tracker() -> None:
    own = Inference()
    own.loop.follow_next_face()  # too early, no effect
    own.frames.put(frame(0))
    own.frames.close()
    own.loop.run()
    own.loop.follow_next_face()
    assert own.tracker.asked == 1


def test_while_paused_frames_go_by_unanswered() -> None:
    own = Inference()
    own.loop.toggle_pause()
    own.frames.put(frame(0))
    own.frames.close()
    own.loop.run()
    assert own.loop.paused
    assert own.answers == []
    own.loop.toggle_pause()
    assert not own.loop.paused


class SlowFrames(LatestSlot[RgbdFrame]):
    """Frames that come at given times of a clock of its own, which stands still while they are answered."""

    def __init__(self, times_s: list[float]) -> None:
        super().__init__()
        self.now_s, self._due_s = 0.0, deque(times_s)

    def take(self, timeout_s: float) -> RgbdFrame | None:
        if not self._due_s:
            raise SlotClosedError
        if self._due_s[0] > self.now_s + timeout_s:
            self.now_s += timeout_s
            return None
        self.now_s = self._due_s.popleft()
        return replace(frame(0), timestamp_s=self.now_s, index=round(self.now_s * 1000))


def silent_times_s(times_s: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the avatar eases to rest, between frames that come at these times."""
    own, frames = Inference(), SlowFrames(times_s)
    own.frames = frames
    monkeypatch.setattr("realtime.live.inference_loop.time.monotonic", lambda: frames.now_s)
    own.made(silence_s=SILENCE_S).run()
    assert sum(not answer.silence for answer in own.answers) == len(times_s), "a frame was overtaken by the easing"
    return [answer.pose.timestamp_s for answer in own.answers if answer.silence]


def test_frames_that_come_slowly_are_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes five to ten of thirty frames a second: between them the face is not lost."""
    steps_s = np.tile([0.2, 0.12, 0.31, 0.17], 10)
    silent_s = silent_times_s([1.0, *(1.0 + np.cumsum(steps_s))], monkeypatch)
    assert all(time_s < 2.0 for time_s in silent_s), "only until it is known how they come"
    assert len(silent_s) <= 3


def test_a_slow_camera_that_is_gone_is_noticed_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_s = [*np.arange(1.0, 5.0, 0.6), 10.0]
    silent_s = [time_s for time_s in silent_times_s(slow_s, monkeypatch) if time_s > 4.6]
    assert 5.5 < silent_s[0] < 5.7
    assert silent_s[-1] == pytest.approx(4.6 + 1.0 + EASED_AFTER_S, abs=0.2)


def test_one_gap_does_not_make_the_next_one_longer_to_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_s = np.arange(0, 1.0, 1 / 30)
    silent_s = silent_times_s([*fast_s, *(4.0 + fast_s), 8.0], monkeypatch)
    assert next(time_s for time_s in silent_s if time_s > 4.5) < 5.0 + SILENCE_S + 0.04


class Camera:
    """Gives three frames, with nothing between the first two, and notes what is done with it."""

    name, frame_count, skipped, state = "camera", None, 4, DeviceState.STALLED

    def __init__(self, fps: float = 0.0) -> None:
        self.fps, self.done = fps, list[str]()
        self._frames = iter([frame(0), None, frame(1), frame(2)])

    def open(self) -> None:
        self.done.append("open")

    def read(self, timeout_s: float) -> RgbdFrame | None:
        self.done.append("read")
        try:
            return next(self._frames)
        except StopIteration:
            raise EOFError from None

    def close(self) -> None:
        self.done.append("close")


def capture(
    camera: Camera, stop: Stop, ready: threading.Event
) -> tuple[CaptureLoop, LatestSlot[RgbdFrame], StateClock]:
    frames: LatestSlot[RgbdFrame] = LatestSlot()
    states = StateClock()
    return CaptureLoop(camera, frames, ready, states, SectionTimes(), stop), frames, states


def test_capture_hands_over_every_frame_and_says_what_the_source_does() -> None:
    camera, ready = Camera(), threading.Event()
    ready.set()
    loop, frames, states = capture(camera, Stop(), ready)
    loop.run()
    assert (loop.rate.count, frames.dropped, loop.skipped) == (3, 2, 4)
    assert states.current == "stalled", "the last the source said of itself"
    loop.end()
    assert states.current == "ended"
    assert camera.done == ["open", *["read"] * 5, "close"]
    newest = frames.take(0)
    assert newest is not None
    assert newest.index == 2


def test_nothing_is_read_before_somebody_takes_frames() -> None:
    camera, stop = Camera(), Stop()
    stop.request()
    loop, *_ = capture(camera, stop, threading.Event())
    loop.run()
    assert camera.done == ["open"]


def test_a_slow_source_may_be_silent_longer() -> None:
    fast, slow, unknown = (capture(Camera(fps), Stop(), threading.Event())[0] for fps in (30.0, 5.0, 0.0))
    assert fast.silence_s == unknown.silence_s == SILENCE_S
    assert slow.silence_s == SILENT_FRAMES / 5
