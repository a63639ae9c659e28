"""Who drives where a session is played: the neutral and the gains that the engine had then, at the same frames."""

from core.face_motion import FaceMotion, MotionFrame
from core.frame import FaceObservation
from engine.motion.posed_frame import UNTOLD
from engine.motion.protocol import MotionEngine
from realtime.live.person import PersonalCalibration
from realtime.session.seen_frame import SeenFrame


class ReplayedPerson(PersonalCalibration):
    """Tells an engine what it was told when the session was recorded, until the user takes another neutral (N,
    --neutral-frame) or other gains (G)."""

    def __init__(self) -> None:
        super().__init__()
        self._told = UNTOLD
        self._own_neutral = self._own_gains = False

    def request_neutral(self) -> None:
        self._own_neutral = True
        super().request_neutral()

    def request_range(self) -> None:
        self._own_gains = True
        super().request_range()

    def adopt(self, engine: MotionEngine, neutral: FaceObservation) -> None:
        """Calibrate with another neutral than those of the session, whose gains stay."""
        self._own_neutral = True
        self._picker.keep()
        self._calibrate(engine, neutral)

    def relative(self, frame: MotionFrame) -> FaceMotion:
        """As it was recorded: against the rest of that time."""
        return super().relative(frame) if self._own_neutral else frame.motion

    def before(self, engine: MotionEngine, observation: FaceObservation) -> None:
        frame = observation.frame
        if isinstance(frame, SeenFrame):
            now, before, self._told = frame.calibration, self._told, frame.calibration
            self.head_stays = not now.head_follows
            if not self._own_neutral and now.neutral is not None and now.neutral is not before.neutral:
                self._calibrate(engine, now.neutral)
            if not self._own_gains and now is not before and len(engine.gains) == len(now.gains):
                engine.gains = now.gains.copy()
        if self._own_neutral:
            super().before(engine, observation)
