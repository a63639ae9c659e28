"""One frame through the stages every run shares: track, calibrate, animate."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from capture.face.face_tracker import untracked
from core.face_motion import MotionFrame
from core.frame import FaceObservation, RgbdFrame
from core.source import AnyFrame
from core.spans import measured_by
from engine.motion.posed_frame import UNTOLD, Calibration
from engine.motion.posed_frame import AnyPosed as AnyPosed
from engine.motion.posed_frame import FollowedFrame as FollowedFrame
from engine.motion.posed_frame import PosedFrame as PosedFrame
from engine.motion.protocol import HeadPose, MotionEngine
from realtime.live.person import PersonalCalibration
from realtime.session.seen_frame import SeenFrame
from realtime.threads.timing import SectionTimes


class Tracker(Protocol):
    """Sees a face in each frame: a `FaceTracker`, or what an earlier session kept of one."""

    tracker: str
    tracker_why: str

    def track(self, frame: RgbdFrame) -> FaceObservation: ...
    def follow_next(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FramePipeline:
    """Tracker, calibration and engine of one driver and one avatar.

    Owned by the thread that calls `process`; closing the tracker stays with whoever made it.

    Args:
        tracker: None where frames bring their motion with them.
        times: is told how long each stage took.
        person: takes the neutral from the frames that go by; None: `engine` is calibrated already, and stays so.
        neutral: what it is calibrated with, where it is.
    """

    def __init__(
        self,
        tracker: Tracker | None,
        engine: MotionEngine,
        times: SectionTimes,
        person: PersonalCalibration | None = None,
        neutral: FaceObservation | None = None,
    ) -> None:
        self._tracker = tracker
        self._engine = engine
        self._times = times
        self._person = person
        self._neutral = neutral
        self._head_pose: HeadPose = engine.head_pose  # asked for, from any thread; holds from the next frame on
        self._calibration = UNTOLD

    def answer(self, frame: AnyFrame) -> AnyPosed:
        """The avatar's answer to whatever a frame brings; frames come in the order of time. Raises InputError where the
        engine cannot follow a motion that was read elsewhere."""
        return self._followed(frame) if isinstance(frame, MotionFrame) else self.process(frame)

    def process(self, frame: RgbdFrame) -> PosedFrame:
        """The avatar's answer to a picture."""
        assert self._tracker is not None, "a picture needs a tracker"
        with self._times.section("track", frame.index), measured_by(self._times.section):
            observation = self._tracker.track(frame)
        with self._times.section("animate", frame.index), measured_by(self._times.section):
            if self._person is not None:
                self._person.before(self._engine, observation)
            calibration = self._settled()
            pose = self._engine.animate(observation)
            if self._person is not None:
                self._person.after(self._engine, observation)
        return PosedFrame(observation, pose, calibration, silence=isinstance(frame, SeenFrame) and frame.silent)

    def _followed(self, frame: MotionFrame) -> FollowedFrame:
        with self._times.section("animate", frame.index), measured_by(self._times.section):
            motion = frame.motion if self._person is None else self._person.relative(frame)
            follows = self._settled().head_follows
            pose = self._engine.follow(motion, frame.timestamp_s, frame.index, frame.tracked)
            return FollowedFrame(frame, pose, motion, follows)

    def ease(self, last: AnyFrame, timestamp_s: float) -> AnyPosed:
        """The answer to silence: as if `last` had come at `timestamp_s` without a face, so the avatar eases to rest."""
        if isinstance(last, MotionFrame):
            return self._followed(replace(last, timestamp_s=timestamp_s, tracked=False))
        observation = untracked(replace(last, timestamp_s=timestamp_s))
        calibration = self._settled()
        return PosedFrame(observation, self._engine.animate(observation), calibration, silence=True)

    def _settled(self) -> Calibration:
        """What holds for the frame at hand: the one before where nothing has changed."""
        stays = self._person is not None and self._person.head_stays
        head_pose: HeadPose = "fixed" if stays else self._head_pose
        self._engine.head_pose = head_pose
        neutral = self._neutral if self._person is None else self._person.neutral
        last, follows = self._calibration, head_pose == "follow"
        if neutral is not last.neutral or follows != last.head_follows or not _same(self._engine.gains, last.gains):
            self._calibration = Calibration(neutral, self._engine.gains.copy(), follows)
        return self._calibration

    def follow_next_face(self) -> None:
        """Follow another of several faces. May be called from any thread."""
        if self._tracker is not None:
            self._tracker.follow_next()

    def toggle_head_pose(self) -> bool:
        """Follow the driver's head, or keep it still; whether it follows now. May be called from any thread."""
        self._head_pose = "fixed" if self._head_pose == "follow" else "follow"
        return self._head_pose == "follow"


def _same(gains: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    return gains.shape == others.shape and bool((gains == others).all())
