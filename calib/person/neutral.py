"""Which frame shows the driver's neutral face: looking into the camera, mouth closed, eyes open, nothing moving."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.expression_units import SCORE_NAMES
from core.face_regions import LOWER_MOUTH_LINE, UPPER_MOUTH_LINE
from core.frame import FaceObservation

GOOD = 0.6  # a deviation below this is a good neutral face
_FACING = np.diag([1.0, -1.0, -1.0])
_TURNED_RAD = 0.25  # a head turned so far deviates by 1
_GAPE = 0.10  # lips so far apart, in mouth widths, deviate by 1
_SHAKY_M_S = 0.06  # landmarks moving so fast in the head frame deviate by 1
_SETTLE_S, _PATIENCE_S = 4.0, 20.0
_BETTER = 0.7  # a replacement must deviate this much less
_LEAST_CONFIDENCE = 0.3
_BLINKING, _BLINK_S = 0.45, 0.7  # the tracker's score of eyes that are shutting; longer than any blink
_BLINKS = [SCORE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]

_SCORE_WEIGHTS = {
    "eyeBlink": 1.4, "eyeWide": 0.8, "eyeSquint": 0.4, "eyeLook": 0.25, "jawOpen": 2.5, "jaw": 1.0, "mouthPucker": 0.8,
    "mouthClose": 0.5, "mouthPress": 0.5, "mouthShrug": 0.5, "mouth": 1.2, "brow": 0.9, "cheek": 0.8, "nose": 0.8,
}  # fmt: skip


def deviation(observation: FaceObservation, before: FaceObservation | None = None) -> float:
    """How far a face is from neutral: 0 ideal, about 1 still good, infinite where no face is tracked.

    `before` is the frame before it, to tell a face at rest from one that is passing through.
    """
    if not observation.tracked or observation.confidence <= 0:
        return float("inf")
    landmarks = observation.landmarks_head_m().astype(np.float64)
    turn = observation.T_camera_head[:3, :3] @ _FACING
    angle = float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    gap = (landmarks[list(UPPER_MOUTH_LINE)] - landmarks[list(LOWER_MOUTH_LINE)])[:, 1].max()
    width = float(np.linalg.norm(landmarks[61] - landmarks[291]))
    terms = [
        (angle / _TURNED_RAD) ** 2,
        (max(float(gap), 0.0) / max(width, 1e-6) / _GAPE) ** 2,
        float(_weights() @ np.square(observation.scores.astype(np.float64))),
        (1.0 - min(observation.confidence, 1.0)) * 2.0,
        _shakiness(landmarks, observation, before),
    ]
    return float(sum(terms))


def best_neutral(observations: Sequence[FaceObservation]) -> FaceObservation | None:
    """The most neutral of some observations; None where no face is tracked in any."""
    if not observations:
        return None
    best = min(observations, key=deviation)
    return best if np.isfinite(deviation(best)) else None


def blinks(observation: FaceObservation) -> bool:
    """Whether the eyes are shut, or nearly."""
    return float(observation.scores[_BLINKS].mean()) > _BLINKING


class NeutralPicker:
    """Picks the neutral while frames come in.

    The first face is taken at once, so that the avatar moves from the start; during the next seconds it is replaced
    whenever a clearly better one shows, and later only as long as none was good yet. A face asked for by `request`
    stays.
    """

    def __init__(self) -> None:
        self._requested = False
        self._requested_s: float | None = None
        self._fixed = False
        self._best = float("inf")
        self._started_s: float | None = None
        self._before: FaceObservation | None = None

    def request(self) -> None:
        """Take the next tracked frame that is not in the middle of a blink, and keep it."""
        self._requested = True
        self._requested_s = None

    def keep(self) -> None:
        """A neutral is known from elsewhere: take none but those asked for."""
        self._fixed = True

    def offer(self, observation: FaceObservation) -> bool:
        """Whether this frame should be calibrated with."""
        before, self._before = self._before, observation
        if not observation.tracked:
            return False
        if self._requested:
            return self._take_requested(observation)
        if self._fixed or (self._started_s is not None and self._expired(observation.timestamp_s)):
            return False
        score = deviation(observation, before)
        if self._started_s is None:
            if observation.confidence <= 0:
                return False
            self._started_s, self._best = observation.timestamp_s, score
            return True
        if observation.confidence < _LEAST_CONFIDENCE or score > _BETTER * self._best or blinks(observation):
            return False
        self._best = score
        return True

    def _take_requested(self, observation: FaceObservation) -> bool:
        if self._requested_s is None:
            self._requested_s = observation.timestamp_s
        if blinks(observation) and observation.timestamp_s - self._requested_s < _BLINK_S:
            return False
        self._requested, self._fixed = False, True
        return True

    def _expired(self, time_s: float) -> bool:
        assert self._started_s is not None
        waited = time_s - self._started_s
        return waited > (_SETTLE_S if self._best < GOOD else _PATIENCE_S)


def _shakiness(landmarks: NDArray[np.float64], observation: FaceObservation, before: FaceObservation | None) -> float:
    if before is None or not before.tracked:
        return 0.0
    step_s = observation.timestamp_s - before.timestamp_s
    if not 0 < step_s < 0.5:
        return 0.0
    moved = np.linalg.norm(landmarks - before.landmarks_head_m(), axis=1).mean() / step_s
    return float((moved / _SHAKY_M_S) ** 2)


@cache
def _weights() -> NDArray[np.float64]:
    """[52] weight of each coefficient: that of the longest matching beginning of its name."""
    starts = [max((key for key in _SCORE_WEIGHTS if name.startswith(key)), key=len, default="") for name in SCORE_NAMES]
    return np.array([_SCORE_WEIGHTS.get(start, 0.0) for start in starts])
