"""How MediaPipe smooths the landmarks of a video: a One-Euro filter (Casiez et al. 2012) whose speed is measured in
sizes of the face. The constants are those of its public `FaceLandmarksDetectorGraph`."""

import math

import numpy as np
from numpy.typing import NDArray

_LEAST_CUTOFF_HZ, _BETA, _SPEED_CUTOFF_HZ = 0.05, 80.0, 1.0
_SMALLEST_FACE_PX = 1e-6


class LandmarkSmoother:
    """Smooths the landmarks of one face, in pixels, from picture to picture."""

    def __init__(self) -> None:
        self._last_ms = 0
        self._raw: NDArray[np.float64] | None = None
        self._smooth = self._speed = np.zeros((3, 0))

    def reset(self) -> None:
        """Begin anew, with another face or after a loss."""
        self._raw = None

    def __call__(self, points: NDArray[np.float64], time_ms: int) -> NDArray[np.float64]:
        """The points [3, N] smoothed. `time_ms` increases from call to call."""
        size = float(np.ptp(points[0]) + np.ptp(points[1])) / 2
        if size < _SMALLEST_FACE_PX:
            return points
        if self._raw is None:
            self._smooth, self._speed = points, np.zeros_like(points)
        else:
            rate_hz = 1000.0 / (time_ms - self._last_ms)
            speed = (points - self._raw) * (rate_hz / size)
            self._speed = self._speed + (speed - self._speed) * _share(_SPEED_CUTOFF_HZ, rate_hz)
            cutoff_hz = _LEAST_CUTOFF_HZ + _BETA * np.abs(self._speed)
            self._smooth = self._smooth + (points - self._smooth) * _share(cutoff_hz, rate_hz)
        self._raw, self._last_ms = points, time_ms
        return self._smooth


def _share(cutoff_hz: NDArray[np.float64] | float, rate_hz: float) -> NDArray[np.float64] | float:
    """How much of a new value a first-order low pass takes."""
    return 1 / (1 + rate_hz / (2 * math.pi * cutoff_hz))
