"""What engines without units of their own tell other programs: the face tracker's coefficients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_COUNT
from core.face_motion import above_rest
from core.frame import FaceObservation
from engine.motion.easing import Easing, State
from engine.motion.smoothing import OneEuro

Array = NDArray[np.float64]

_FILTER = (3.0, 40.0)  # hertz at rest, hertz per full unit a second


@dataclass(frozen=True, eq=False)
class _Weights(State):
    weights: Array


class Coefficients:
    """The tracker's coefficients against those of the neutral face, smoothed, and eased like any other motion."""

    def __init__(self) -> None:
        self._at_rest = np.zeros(UNIT_COUNT)
        self._filter = OneEuro(*_FILTER)
        self._easing = Easing(_Weights(np.zeros((UNIT_COUNT, 1))))

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take a tracked observation as the neutral."""
        self._at_rest = _units(neutral)
        self._easing.recalibrated()

    def step(self, observation: FaceObservation, tracked: bool) -> Array:
        """[52] weights in the order of `core.expression_units.UNIT_NAMES`, 0..1."""
        time_s, live = observation.timestamp_s, self._easing.rest
        if tracked:
            if self._easing.starting:
                self._filter.reset()
            above = _within(above_rest(_units(observation), self._at_rest))
            live = _Weights(self._filter(above[:, None], time_s))
        return _within(self._easing.step(live, tracked, time_s).weights[:, 0])


def _within(weights: Array) -> Array:
    """Clipped to 0..1, several times as fast as by `np.clip` for so few."""
    return np.minimum(np.maximum(weights, 0.0), 1.0)


def _units(observation: FaceObservation) -> Array:
    """[52] coefficients in the order of units: the tracker has none for the tongue, and one of no expression."""
    units = np.zeros(UNIT_COUNT)
    units[:-1] = observation.scores[1:]
    return units
