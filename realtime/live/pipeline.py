"""One frame through the stages every run shares: track, calibrate, animate."""

from dataclasses import dataclass, replace

from capture.face.face_tracker import FaceTracker, untracked
from core.frame import FaceObservation, RgbdFrame
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


class FramePipeline:
    """Tracker, calibration and engine of one driver and one avatar.

    Owned by the thread that calls `process`; closing the tracker stays with whoever made it.

    Args:
        times: is told how long each stage took.
        person: takes the neutral from the frames that go by; None: `engine` is calibrated already, and stays so.
    """

    def __init__(
        self,
        tracker: FaceTracker,
        engine: MotionEngine,
        times: SectionTimes,
        person: PersonalCalibration | None = None,
    ) -> None:
        self._tracker = tracker
        self._engine = engine
        self._times = times
        self._person = person

    def process(self, frame: RgbdFrame) -> PosedFrame:
        """The avatar's answer to this frame; frames come in the order of time."""
        with self._times.section("track", frame.index), measured_by(self._times.section):
            observation = self._tracker.track(frame)
        with self._times.section("animate", frame.index), measured_by(self._times.section):
            if self._person is not None:
                self._person.before(self._engine, observation)
            pose = self._engine.animate(observation)
            if self._person is not None:
                self._person.after(self._engine, observation)
        return PosedFrame(observation, pose)

    def ease(self, last: RgbdFrame, timestamp_s: float) -> PosedFrame:
        """The answer to silence: as if `last` had come at `timestamp_s` without a face, so the avatar eases to rest."""
        observation = untracked(replace(last, timestamp_s=timestamp_s))
        return PosedFrame(observation, self._engine.animate(observation))

    def follow_next_face(self) -> None:
        """Follow another of several faces. May be called from any thread."""
        self._tracker.follow_next()

    def toggle_head_pose(self) -> bool:
        """Follow the driver's head, or keep it still; whether it follows now. May be called from any thread."""
        self._engine.head_pose = "fixed" if self._engine.head_pose == "follow" else "follow"
        return self._engine.head_pose == "follow"
