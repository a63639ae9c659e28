"""One frame through the stages every run shares: track, calibrate, animate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from capture.face.face_tracker import FaceTracker, untracked
from core.face_motion import MotionFrame
from core.frame import FaceObservation, RgbdFrame
from core.source import AnyFrame
from core.spans import measured_by
from engine.motion.protocol import AvatarPose, MotionEngine
from realtime.live.person import PersonalCalibration
from realtime.threads.timing import SectionTimes


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """A driver's frame and the avatar's answer to it."""

    observation: FaceObservation
    pose: AvatarPose

    @property
    def frame(self) -> RgbdFrame:
        return self.observation.frame


@dataclass(frozen=True, eq=False)
class FollowedFrame:
    """A frame that brought its motion, and the avatar's answer to it."""

    frame: MotionFrame
    pose: AvatarPose


AnyPosed: TypeAlias = PosedFrame | FollowedFrame


class FramePipeline:
    """Tracker, calibration and engine of one driver and one avatar.

    Owned by the thread that calls `process`; closing the tracker stays with whoever made it.

    Args:
        tracker: None where frames bring their motion with them.
        times: is told how long each stage took.
        person: takes the neutral from the frames that go by; None: `engine` is calibrated already, and stays so.
    """

    def __init__(
        self,
        tracker: FaceTracker | None,
        engine: MotionEngine,
        times: SectionTimes,
        person: PersonalCalibration | None = None,
    ) -> None:
        self._tracker = tracker
        self._engine = engine
        self._times = times
        self._person = person

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
            pose = self._engine.animate(observation)
            if self._person is not None:
                self._person.after(self._engine, observation)
        return PosedFrame(observation, pose)

    def _followed(self, frame: MotionFrame) -> FollowedFrame:
        with self._times.section("animate", frame.index), measured_by(self._times.section):
            motion = frame.motion if self._person is None else self._person.relative(frame)
            return FollowedFrame(frame, self._engine.follow(motion, frame.timestamp_s, frame.index, frame.tracked))

    def ease(self, last: AnyFrame, timestamp_s: float) -> AnyPosed:
        """The answer to silence: as if `last` had come at `timestamp_s` without a face, so the avatar eases to rest."""
        if isinstance(last, MotionFrame):
            return self._followed(replace(last, timestamp_s=timestamp_s, tracked=False))
        observation = untracked(replace(last, timestamp_s=timestamp_s))
        return PosedFrame(observation, self._engine.animate(observation))

    def follow_next_face(self) -> None:
        """Follow another of several faces. May be called from any thread."""
        if self._tracker is not None:
            self._tracker.follow_next()

    def toggle_head_pose(self) -> bool:
        """Follow the driver's head, or keep it still; whether it follows now. May be called from any thread."""
        self._engine.head_pose = "fixed" if self._engine.head_pose == "follow" else "follow"
        return self._engine.head_pose == "follow"
