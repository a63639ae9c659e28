"""Choosing the frame in which the driver's face is neutral; every expression is measured from it."""

from collections.abc import Iterable

import numpy as np

from capture.face_tracker import SCORE_NAMES
from capture.frame import FaceObservation

# What a neutral face does not do, and how much each matters. Gaze is left out: eyes may look anywhere.
PENALTIES = {
    "jawOpen": 3.0,
    "eyeBlinkLeft": 1.5,
    "eyeBlinkRight": 1.5,
    "mouthSmileLeft": 0.7,
    "mouthSmileRight": 0.7,
    "mouthPucker": 0.5,
    "mouthFunnel": 1.0,
    "mouthStretchLeft": 0.5,
    "mouthStretchRight": 0.5,
    "mouthUpperUpLeft": 0.7,
    "mouthUpperUpRight": 0.7,
    "mouthLowerDownLeft": 0.7,
    "mouthLowerDownRight": 0.7,
    "mouthPressLeft": 0.3,
    "mouthPressRight": 0.3,
    "browInnerUp": 0.7,
    "browOuterUpLeft": 0.5,
    "browOuterUpRight": 0.5,
    "browDownLeft": 0.3,
    "browDownRight": 0.3,
    "noseSneerLeft": 0.5,
    "noseSneerRight": 0.5,
}
TURN_PENALTY_PER_RAD = 2.0
_WEIGHTS = np.array([PENALTIES.get(name, 0.0) for name in SCORE_NAMES], np.float32)

SEARCH_S = 3.0  # how long after the first face a better neutral may still replace the first one
CLEARLY_BETTER = 0.15
BLINK = 0.5  # a key pressed during a blink must not make closed eyes the neutral
REQUEST_PATIENCE_S = 1.0


def departure(observation: FaceObservation) -> float:
    """How far the face is from neutral and frontal: 0 is ideal, infinite without a face."""
    if not observation.tracked:
        return float("inf")
    facing = -float(observation.T_camera_head[2, 2])  # cosine between the face's and the camera's axis
    turn_rad = float(np.arccos(np.clip(facing, -1.0, 1.0)))
    return float(_WEIGHTS @ observation.scores) + TURN_PENALTY_PER_RAD * turn_rad


def best_neutral(observations: Iterable[FaceObservation]) -> FaceObservation | None:
    """The most neutral observation, the earliest of equals; None if none shows a face."""
    best = min(observations, key=departure, default=None)
    return best if best is not None and best.tracked else None


class NeutralPicker:
    """Says, frame by frame, when to (re)calibrate a live engine.

    The first tracked frame is taken at once, so that the avatar moves from the start. Within the first SEARCH_S
    seconds it is replaced when a clearly more neutral frame comes along; after that only on request.
    """

    def __init__(self) -> None:
        self._best = float("inf")
        self._first_s: float | None = None
        self._requested_s: float | None = None
        self._request_pending = False

    def request(self) -> None:
        """Take the next tracked frame that is not in the middle of a blink."""
        self._request_pending = True
        self._requested_s = None

    def offer(self, observation: FaceObservation) -> bool:
        """Whether the engine should calibrate with this observation now."""
        if not observation.tracked:
            return False
        if self._request_pending:
            return self._answer_request(observation)
        return self._search(observation)

    def _answer_request(self, observation: FaceObservation) -> bool:
        if self._requested_s is None:
            self._requested_s = observation.timestamp_s
        waited_s = observation.timestamp_s - self._requested_s
        blinking = max(_score(observation, "eyeBlinkLeft"), _score(observation, "eyeBlinkRight")) > BLINK
        if blinking and waited_s < REQUEST_PATIENCE_S:
            return False
        self._request_pending = False
        self._best = -float("inf")  # what the user asked for is not overruled by the search
        return True

    def _search(self, observation: FaceObservation) -> bool:
        if self._first_s is None:
            self._first_s = observation.timestamp_s
        if observation.timestamp_s - self._first_s > SEARCH_S:
            return False
        value = departure(observation)
        if value > self._best - CLEARLY_BETTER:
            return False
        self._best = value
        return True


def _score(observation: FaceObservation, name: str) -> float:
    return float(observation.scores[SCORE_NAMES.index(name)])
