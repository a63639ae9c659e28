"""Smoothing that one can neither see lag in nor jitter through: the One-Euro filter.

Casiez, Roussel, Vogel: "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012.
"""

import math

import numpy as np
from numpy.typing import NDArray

_LONGEST_STEP_S = 0.25  # after a longer gap the filter starts anew


class OneEuro:
    """A low-pass filter whose cutoff rises with speed, for a [N, D] signal of N items.

    Args:
        min_cutoff_hz: cutoff at rest.
        beta: how fast the cutoff rises, in hertz per unit of speed.
        speed_cutoff_hz: cutoff of the speed estimate itself.
        groups: [N] items of one group share the speed of the fastest motion among them, so that neighbours lag alike;
            None: each for itself.
    """

    def __init__(
        self,
        min_cutoff_hz: float,
        beta: float,
        speed_cutoff_hz: float = 3.0,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self._min_cutoff_hz, self._beta, self._speed_cutoff_hz = min_cutoff_hz, beta, speed_cutoff_hz
        self._groups = groups
        self._sizes = None if groups is None else np.maximum(np.bincount(groups), 1)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next value passes unchanged."""
        self._value: NDArray[np.float64] | None = None
        self._speed: NDArray[np.float64] | None = None
        self._time_s = 0.0

    def __call__(self, value: NDArray[np.float64], time_s: float) -> NDArray[np.float64]:
        """The smoothed value [N, D] at `time_s`; time may stand still but not run back without a new start."""
        step_s = time_s - self._time_s
        if self._value is None or self._speed is None or not 0 <= step_s <= _LONGEST_STEP_S:
            self._value, self._speed, self._time_s = value.copy(), np.zeros_like(value), time_s
            return value
        if step_s == 0:
            return self._value
        self._time_s = time_s
        raw_speed = (value - self._value) / step_s
        self._speed = self._speed + _share(np.array(self._speed_cutoff_hz), step_s) * (raw_speed - self._speed)
        cutoff = self._min_cutoff_hz + self._beta * self._pace(self._speed)
        self._value = self._value + _share(cutoff, step_s)[:, None] * (value - self._value)
        return self._value

    def _pace(self, speed: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N] speed that decides each item's cutoff."""
        pace = np.sqrt(np.einsum("nd,nd->n", speed, speed))
        if self._groups is None or self._sizes is None:
            return np.asarray(pace)
        mean_square = np.bincount(self._groups, weights=pace * pace, minlength=len(self._sizes)) / self._sizes
        return np.asarray(np.maximum(pace, 1.5 * np.sqrt(mean_square)[self._groups]))


def _share(cutoff_hz: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """How much of the way to the new value a low-pass filter goes in one step."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2.0 * math.pi * step_s * cutoff_hz)))
