"""The inference thread: answers frames with poses, and eases the avatar to rest while none come."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import nullcontext

from calib.avatar import Avatar
from core.source import AnyFrame, DeviceState
from engine.motion.protocol import MotionEngine
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import AnyPosed, FramePipeline, Tracker
from realtime.live.report import seconds_since_process_start
from realtime.threads.latest_slot import LatestSlot, SlotClosedError
from realtime.threads.timing import Rate, SectionTimes, StateClock
from realtime.threads.worker import Stop

EASE_STEP_S = 1 / 30
EASED_AFTER_S = 2.0  # by then the avatar is at rest
_USUAL_OF = 5  # frames: the second shortest of their distances in time is the usual one, whatever gaps were among them
_USUAL_TIMES = 3.0  # as long as this between two frames nobody speaks of silence
_LONGEST_USUAL_S = 1.0  # whatever came before: a camera that is gone is noticed within this
NO_FACE = "no face"


class InferenceLoop:
    """Owns tracker and engine: they are made, used and closed on the thread that calls `run`.

    Args:
        make_tracker: called at once, while the avatar is still being prepared elsewhere; None where frames bring their
            motion.
        make_engine: called as soon as the avatar is there.
        avatar: comes from the main thread; cancelled where there will be none.
        person: takes the neutral and the gains from the frames.
        frames: to be answered; closed at their end.
        silence_s: how long frames of the source may be missing before the avatar eases to rest; longer where frames
            come more slowly than the source promises, on a busy machine or from a webcam in the dark.
        publish: is given every answer, in the order of time.
        ready: set once frames are taken.
        states: is told whether there is a face.
        times: is told how long each stage took.

    Attributes:
        rate: of the frames answered.
        overtaken: frames that came after the avatar had eased past their time, and were dropped.
        startup_s: from the start of the process to the first pose; 0 before. startup_cpu_s: processor time until then.
        engine_name: empty until there is one.
        tracker, tracker_why: who runs the tracker's networks, and why; empty until and where there is none.
    """

    def __init__(
        self,
        make_tracker: Callable[[], Tracker] | None,
        make_engine: Callable[[Avatar], MotionEngine],
        avatar: Future[Avatar],
        person: PersonalCalibration,
        *,
        frames: LatestSlot[AnyFrame],
        silence_s: Callable[[], float],
        publish: Callable[[AnyPosed], None],
        ready: threading.Event,
        states: StateClock,
        times: SectionTimes,
        stop: Stop,
    ) -> None:
        self._make_tracker = make_tracker
        self._make_engine = make_engine
        self._avatar = avatar
        self._person = person
        self._frames = frames
        self._silence_s = silence_s
        self._publish = publish
        self._ready = ready
        self._states = states
        self._times = times
        self._stop = stop
        self._pipeline: FramePipeline | None = None
        self._engine: MotionEngine | None = None
        self._defers = False
        self._paused = threading.Event()
        self._eased_until_s = float("-inf")
        self._apart_s: deque[float] = deque(maxlen=_USUAL_OF)  # between the latest frames, as they arrived
        self.rate = Rate()
        self.overtaken = 0
        self.startup_s = self.startup_cpu_s = 0.0
        self.engine_name = self.tracker = self.tracker_why = ""

    def run(self) -> None:
        """Make tracker and engine, then answer frames until they or the session end."""
        with nullcontext() if self._make_tracker is None else self._make_tracker() as tracker:
            if tracker is not None:
                self.tracker, self.tracker_why = tracker.tracker, tracker.tracker_why
            try:
                avatar = self._avatar.result()
            except CancelledError:
                return
            self._engine = engine = self._make_engine(avatar)
            if self._defers:
                engine.defers = True
            self.engine_name = engine.name
            self._pipeline = FramePipeline(tracker, engine, self._times, self._person)
            self._ready.set()
            self._answer_frames(self._pipeline)

    # --- requests, from any thread --------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        return self._paused.is_set()

    def toggle_pause(self) -> bool:
        """Leave frames unanswered, or answer them again; whether it is paused now."""
        self._paused.clear() if self._paused.is_set() else self._paused.set()
        return self._paused.is_set()

    def leave_vertices_out(self) -> None:
        """Have whoever shows poses work their vertices out, where engine and pose allow it. Before or after there is an
        engine."""
        self._defers = True
        if self._engine is not None:
            self._engine.defers = True

    def toggle_head_pose(self) -> bool:
        """Follow the driver's head, or keep it still; whether it follows now. No effect before there is an engine."""
        return self._pipeline is None or self._pipeline.toggle_head_pose()

    def follow_next_face(self) -> None:
        """Follow another of several faces. No effect before there is a tracker."""
        if self._pipeline is not None:
            self._pipeline.follow_next_face()

    # --- inference thread -----------------------------------------------------------------------------------------

    def _answer_frames(self, pipeline: FramePipeline) -> None:
        last, arrived_s = None, 0.0
        while not self._stop.requested:
            try:
                with self._times.waiting("wait for a frame"):
                    frame = self._frames.take(EASE_STEP_S)
            except SlotClosedError:
                return
            if frame is not None:
                now_s = time.monotonic()
                if last is not None:
                    self._apart_s.append(now_s - arrived_s)
                last, arrived_s = frame, now_s
            if self.paused:
                continue
            if frame is not None and frame.timestamp_s <= self._eased_until_s:
                self.overtaken += 1  # it was on its way while the avatar had begun to ease: time never runs back
            elif frame is not None:
                self._answer(pipeline, frame)
            elif last is not None:
                self._bridge(pipeline, last, time.monotonic() - arrived_s)

    def _bridge(self, pipeline: FramePipeline, last: AnyFrame, silent_s: float) -> None:
        """Ease the avatar to rest while no frames come. The recording shows the gap as untracked poses."""
        usual_s = _USUAL_TIMES * sorted(self._apart_s)[len(self._apart_s) // 4] if self._apart_s else 0.0
        begins_s = max(self._silence_s(), min(usual_s, _LONGEST_USUAL_S))
        until_s = last.timestamp_s + silent_s
        if begins_s < silent_s < begins_s + EASED_AFTER_S and until_s > self._eased_until_s:
            self._eased_until_s = until_s
            self._publish(pipeline.ease(last, until_s))

    def _answer(self, pipeline: FramePipeline, frame: AnyFrame) -> None:
        posed = pipeline.answer(frame)
        now_s = time.monotonic()
        self._times.add("capture_to_pose", now_s - frame.timestamp_s)
        if self.rate.count == 0:
            self.startup_s, self.startup_cpu_s = seconds_since_process_start(), time.process_time()
        self.rate.tick(now_s)
        state = posed.pose.trouble or DeviceState.STREAMING.value
        self._states.enter(state if posed.pose.tracked else NO_FACE, now_s)
        self._publish(posed)
