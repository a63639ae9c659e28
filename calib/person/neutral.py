"""Which frame shows the driver's neutral face: looking into the camera, mouth closed, eyes open, nothing moving."""

from collections import deque
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from calib.person.neutral_estimate import NeutralSight, estimate_neutral, gape, poor_because
from core.expression_units import SCORE_NAMES
from core.frame import FaceObservation

GOOD = 0.6  # a deviation below this is a good neutral face
_FACING = np.diag([1.0, -1.0, -1.0])
_TURNED_RAD = 0.25  # a head turned so far deviates by 1
_GAPE = 0.10  # lips so far apart, in mouth widths, deviate by 1
_SHAKY_M_S = 0.06  # landmarks moving so fast in the head frame deviate by 1
_SETTLE_S, _PATIENCE_S = 4.0, 20.0
_BETTER = 0.7  # a replacement must deviate this much less
_ESTIMATED_S = (1.5, _SETTLE_S, 10.0, _PATIENCE_S)  # after the first face: a new estimate out of all frames so far
_LEAST_SIGHTS, _MOST_SIGHTS = 10, 400  # for an estimate that is due, and kept: the latest
_NEWS_M = 0.0005  # landmarks of which none differs by more make no new neutral
_RECENT_S, _ALIKE_M = 0.7, 0.002  # a neutral that is asked for rests on frames so late that are so much like the last
_LEAST_CONFIDENCE = 0.3
_BLINKING, _BLINK_S = 0.45, 0.7  # the tracker's score of eyes that are shutting; longer than any blink
_BLINKS = [SCORE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]

_SCORE_WEIGHTS = {
    "eyeBlink": 1.4, "eyeWide": 0.8, "eyeSquint": 0.4, "eyeLook": 0.25, "jawOpen": 2.5, "jaw": 1.0, "mouthPucker": 0.8,
    "mouthClose": 0.5, "mouthPress": 0.5, "mouthShrug": 0.5, "mouth": 1.2, "brow": 0.9, "cheek": 0.8, "nose": 0.8,
}  # fmt: skip


def deviation(
    observation: FaceObservation, before: FaceObservation | None = None, *, ignoring: tuple[str, ...] = ()
) -> float:
    """How far a face is from neutral: 0 ideal, about 1 still good, infinite where no face is tracked.

    Args:
        before: the frame before it, to tell a face at rest from one that is passing through.
        ignoring: beginnings of the names of coefficients that do not count.
    """
    if not observation.tracked or observation.confidence <= 0:
        return float("inf")
    landmarks = observation.landmarks_head_m().astype(np.float64)
    terms = [
        (_turned_rad(observation) / _TURNED_RAD) ** 2,
        (gape(landmarks) / _GAPE) ** 2,
        float(_weights(ignoring) @ np.square(observation.scores.astype(np.float64))),
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


class NeutralEstimate:
    """The neutral face of one person, out of all frames offered. Keeps the picture of the most neutral one only."""

    def __init__(self) -> None:
        self._sights: deque[NeutralSight] = deque(maxlen=_MOST_SIGHTS)
        self._anchor: FaceObservation | None = None
        self._least = float("inf")

    def __len__(self) -> int:
        """Frames taken into account."""
        return len(self._sights)

    def offer(self, observation: FaceObservation, before: FaceObservation | None = None) -> None:
        """Take a frame into account if a face is tracked in it; see `deviation`."""
        unrest = deviation(observation, before)
        if not np.isfinite(unrest):
            return
        self._sights.append(_sight(observation, before))
        if unrest < self._least:
            self._least, self._anchor = unrest, observation

    def neutral(self) -> FaceObservation | None:
        """As if it had been seen in the most neutral frame; None before there was a face."""
        return None if self._anchor is None else estimate_neutral(self._sights, self._anchor)

    @property
    def poor_because(self) -> str:
        """Why it may not be a good one, in words for the person; empty where it is."""
        return poor_because(self._sights) if self._sights else ""


def blinks(observation: FaceObservation) -> bool:
    """Whether the eyes are shut, or nearly."""
    return float(observation.scores[_BLINKS].mean()) > _BLINKING


class NeutralPicker:
    """Picks the neutral while frames come in.

    The first face is taken at once, so that the avatar moves from the start; during the next seconds it is replaced by
    estimates out of all frames so far, and later only as long as none was good yet. A face asked for by `request`
    stays.
    """

    def __init__(self) -> None:
        self._requested = False
        self._requested_s: float | None = None
        self._fixed = False
        self._best = float("inf")
        self._started_s: float | None = None
        self._before: FaceObservation | None = None
        self._estimate = NeutralEstimate()
        self._estimates = 0
        self._given: FaceObservation | None = None
        self._recent: deque[NeutralSight] = deque(maxlen=64)
        self._warning = ""
        self._warned = False

    def take_warning(self) -> str:
        """What the person should know about their neutral, once; empty while there is nothing."""
        warning, self._warning = self._warning, ""
        return warning

    def request(self) -> None:
        """Take the next tracked frame that is not in the middle of a blink, and keep it."""
        self._requested = True
        self._requested_s = None

    def keep(self) -> None:
        """A neutral is known from elsewhere: take none but those asked for."""
        self._fixed = True

    def offer(self, observation: FaceObservation) -> FaceObservation | None:
        """The neutral to calibrate with after this frame; None to go on with the one there is."""
        before, self._before = self._before, observation
        if not observation.tracked:
            return None
        self._recent.append(_sight(observation, before))
        if self._requested:
            return self._take_requested(observation)
        patience_s = _SETTLE_S if self._best < GOOD else _PATIENCE_S
        waited_s = 0.0 if self._started_s is None else observation.timestamp_s - self._started_s
        if self._fixed or waited_s > patience_s:
            return None
        if self._started_s is None:
            if observation.confidence <= 0:
                return None
            self._started_s, self._best = observation.timestamp_s, deviation(observation, before)
            self._estimate.offer(observation, before)
            self._given = observation
            return observation
        return self._better(observation, before, observation.timestamp_s - self._started_s)

    def _better(
        self, observation: FaceObservation, before: FaceObservation | None, waited_s: float
    ) -> FaceObservation | None:
        """A new estimate, when a clearly better face has shown or it is time for one, and it brings news."""
        if observation.confidence < _LEAST_CONFIDENCE:
            return None
        self._estimate.offer(observation, before)
        score = deviation(observation, before)
        better = score <= _BETTER * self._best and not blinks(observation)
        due = waited_s >= _ESTIMATED_S[self._estimates] and len(self._estimate) >= _LEAST_SIGHTS
        if not better and not due:
            return None
        self._best = min(self._best, score)
        self._estimates += due
        if due and waited_s >= _SETTLE_S:
            reason = self._estimate.poor_because
            if reason and not self._warned:
                self._warned = True
                self._warning = f"neutral face: {reason}; press N while it is at rest and looks into the camera"
        neutral, given = self._estimate.neutral(), self._given
        if neutral is None or (not better and given is not None and _farthest_m(neutral, given) < _NEWS_M):
            return None
        self._given = neutral
        return neutral

    def _take_requested(self, observation: FaceObservation) -> FaceObservation | None:
        """This face, steadied by the frames just before it that are like it; its lids may be blinking."""
        if self._requested_s is None:
            self._requested_s = observation.timestamp_s
        if blinks(observation) and observation.timestamp_s - self._requested_s < _BLINK_S:
            return None
        self._requested, self._fixed, self._warning = False, True, ""
        now = self._recent[-1]
        alike = [
            sight
            for sight in self._recent
            if 0 <= now.time_s - sight.time_s <= _RECENT_S
            and np.linalg.norm(sight.landmarks - now.landmarks, axis=1).mean() < _ALIKE_M
        ]
        if reason := poor_because(alike):
            self._warning = f"neutral face: {reason}; press N while it is at rest and looks into the camera"
        return estimate_neutral(alike, observation)


def _shakiness(landmarks: NDArray[np.float64], observation: FaceObservation, before: FaceObservation | None) -> float:
    if before is None or not before.tracked:
        return 0.0
    step_s = observation.timestamp_s - before.timestamp_s
    if not 0 < step_s < 0.5:
        return 0.0
    moved = np.linalg.norm(landmarks - before.landmarks_head_m(), axis=1).mean() / step_s
    return float((moved / _SHAKY_M_S) ** 2)


def _turned_rad(observation: FaceObservation) -> float:
    """Angle between the head and one that looks straight into the camera."""
    turn = observation.T_camera_head[:3, :3] @ _FACING
    return float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))


def _sight(observation: FaceObservation, before: FaceObservation | None) -> NeutralSight:
    return NeutralSight(
        observation.landmarks_head_m(),
        observation.scores,
        deviation(observation, before, ignoring=("eyeBlink", "eyeWide", "eyeSquint")),
        _turned_rad(observation),
        observation.timestamp_s,
    )


def _farthest_m(one: FaceObservation, other: FaceObservation) -> float:
    """Largest distance of a landmark between two faces, each in its head's frame."""
    return float(np.linalg.norm(one.landmarks_head_m() - other.landmarks_head_m(), axis=1).max())


@cache
def _weights(ignored: tuple[str, ...]) -> NDArray[np.float64]:
    """[52] weight of each coefficient: that of the longest matching beginning of its name."""
    starts = [max((key for key in _SCORE_WEIGHTS if name.startswith(key)), key=len, default="") for name in SCORE_NAMES]
    return np.array([0.0 if start in ignored else _SCORE_WEIGHTS.get(start, 0.0) for start in starts])
