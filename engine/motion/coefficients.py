"""What engines without units of their own tell other programs: the face tracker's coefficients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_COUNT
from core.frame import FaceObservation
from engine.motion.easing import Easing, State
from engine.motion.smoothing import OneEuro

Array = NDArray[np.float64]

_FILTER = (3.0, 40.0)  # hertz at rest, hertz per full unit a second
_MOST_AT_REST = 0.8  # of a coefficient: what is left of its range is not stretched further


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
        self._at_rest = np.minimum(_units(neutral), _MOST_AT_REST)
        self._easing.recalibrated()

    def step(self, observation: FaceObservation, tracked: bool) -> Array:
        """[52] weights in the order of `core.expression_units.UNIT_NAMES`, 0..1."""
        time_s, live = observation.timestamp_s, self._easing.rest
        if tracked:
            if self._easing.starting:
                self._filter.reset()
            above = np.clip((_units(observation) - self._at_rest) / (1 - self._at_rest), 0.0, 1.0)
            live = _Weights(self._filter(above[:, None], time_s))
        return np.clip(self._easing.step(live, tracked, time_s).weights[:, 0], 0.0, 1.0)


def _units(observation: FaceObservation) -> Array:
    """[52] coefficients in the order of units: the tracker has none for the tongue, and one of no expression."""
    return np.append(observation.scores[1:], 0.0).astype(np.float64)
