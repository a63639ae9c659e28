"""The neutral of a driver whose motion comes as numbers: what a phone sends while the face rests."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.face_motion import FaceMotion, MotionFrame, above_rest, with_gaze

_FARTHEST_M = 0.5  # that a head is moved from its neutral; phones say anything


class RestingMotion:
    """Takes off what the face does at rest, and the pose of the head that looks straight ahead.

    The first face that is seen says how the head is held; its expression is left as it is, for phones measure it
    against a neutral of their own, and whoever starts a session may be talking. `request` takes both.
    """

    def __init__(self) -> None:
        self._rest: FaceMotion | None = None
        self._inverse: NDArray[np.float64] = np.eye(4)
        self._asked = False

    @property
    def known(self) -> bool:
        """Whether a face has been seen."""
        return self._rest is not None

    def request(self) -> None:
        """Take the next face that is seen as the neutral one. Any thread may ask."""
        self._asked = True

    def taken(self, frame: MotionFrame) -> bool:
        """See whether this frame is to be the neutral; whether it was taken because somebody asked for it."""
        if not frame.tracked or not (self._asked or self._rest is None):
            return False
        asked, self._asked = self._asked, False
        motion = frame.motion
        self._rest = motion if asked else replace(FaceMotion.at_rest(), T_neutral_head=motion.T_neutral_head)
        self._inverse = np.asarray(np.linalg.inv(motion.T_neutral_head), np.float64)
        return asked

    def relative(self, motion: FaceMotion) -> FaceMotion:
        """The motion against the neutral."""
        if self._rest is None:
            return FaceMotion.at_rest()
        gaze = motion.gaze - self._rest.gaze
        T: NDArray[np.float64] = self._inverse @ motion.T_neutral_head
        T[:3, 3] = np.clip(T[:3, 3], -_FARTHEST_M, _FARTHEST_M)
        return FaceMotion(with_gaze(above_rest(motion.weights, self._rest.weights), gaze), gaze, T)
