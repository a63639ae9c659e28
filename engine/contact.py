"""What must close, closes: lids over the eyes and lips on each other, along the avatar's own shapes."""

import numpy as np
from numpy.typing import NDArray

from calib.face_regions import (
    FACE_LANDMARKS,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LID_FOLDS,
    UPPER_LIDS,
    UPPER_LIP,
    eye_corners,
)
from calib.rig import EyeRig, FaceRig, MouthRig

_SHUT_BELOW, _TRUE_ABOVE = 0.06, 0.30  # openness: shut under the first, as measured over the second
_OVERLAP = 0.02  # of the aperture: shut lids pass each other by so much, so that no slit stays between them
_LIP_DEAD_ZONE = 0.012  # of the mouth's width: lips that gape less, touch
_LIP_RELEASE = 0.05  # of the mouth's width: lips farther apart than this move freely sideways and in depth
_FOLD_SHARE = 0.5  # of what opens an eye shut in the file, taken along by the skin above the lid


class LidContact:
    """Sets the lids of one eye: closed in proportion, on the eyeball's surface."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        self._eye: EyeRig = rig.eyes[eye]
        self._upper = np.array(UPPER_LIDS[eye][1:-1])
        self._lower = np.array(LOWER_LIDS[eye][1:-1])
        self._folds = np.array(UPPER_LID_FOLDS[eye])
        self._corners = np.array(eye_corners(eye))
        rest = rig.controllers.rest[:FACE_LANDMARKS]
        self._rest_upper, self._rest_lower = rest[self._upper], rest[self._lower]
        corners = rest[self._corners]
        along = (self._rest_upper - corners[0]) @ self._eye.frame[0]
        self._along = np.clip(along / max(float((corners[1] - corners[0]) @ self._eye.frame[0]), 1e-9), 0, 1)[:, None]
        self._opened = self._rest_lower + (self._eye.lower_rest + self._eye.aperture)[:, None] * self._eye.frame[1]
        self._lift = (self._opened - self._rest_upper) @ self._eye.frame[1]

    def apply(self, displacement: NDArray[np.float64], openness: float, raised: float) -> None:
        """Overwrite the rows of `displacement` [468, 3] that belong to this eye's lids."""
        eye, up = self._eye, self._eye.frame[1]
        left, right = displacement[self._corners]
        carried = left + (right - left) * self._along
        low = self._rest_lower + (eye.lower_rest + np.clip(raised, -0.4, 0.8) * eye.aperture)[:, None] * up
        high = low + (close_fully(openness) * eye.aperture)[:, None] * up
        displacement[self._lower] = self._on_ball(low, self._rest_lower) + carried - self._rest_lower
        displacement[self._upper] = self._on_ball(high, self._rest_upper) + carried - self._rest_upper
        displacement[self._folds] += (_FOLD_SHARE * max(float(self._lift.mean()), 0.0) * min(openness, 1.0)) * up

    def _on_ball(self, target: NDArray[np.float64], rest: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rim points keep the distance from the eyeball's centre that they have at rest."""
        out = self._eye.frame[2]
        distance = np.linalg.norm(rest - self._eye.centre, axis=1)
        offset = target - self._eye.centre
        depth = offset @ out
        aside = np.einsum("nd,nd->n", offset, offset) - depth**2
        height = np.sqrt(np.maximum(distance**2 - aside, (0.3 * distance) ** 2))
        return np.asarray(target + (height - depth)[:, None] * out)


def close_fully(openness: float) -> float:
    """Openness with its lower end drawn to shut: trackers leave a rest of an eye open in a quick blink."""
    if openness >= _TRUE_ABOVE:
        return openness
    share = max(openness - _SHUT_BELOW, 0.0) / (_TRUE_ABOVE - _SHUT_BELOW)
    return share * _TRUE_ABOVE - _OVERLAP * (1 - share)


class LipContact:
    """Keeps the lips from passing through each other, and together where they touch."""

    def __init__(self, rig: FaceRig) -> None:
        self._mouth: MouthRig = rig.mouth
        rest = rig.controllers.rest[:FACE_LANDMARKS]
        self._pairs = [(np.array(upper[1:-1]), np.array(lower[1:-1])) for upper, lower in zip(UPPER_LIP, LOWER_LIP, strict=True)]
        upper, lower = self._pairs[-1]
        self._rest_gap = (rest[upper] - rest[lower]) @ self._mouth.frame[1]
        self._least = self._rest_gap if self._mouth.closed else np.zeros_like(self._rest_gap)

    def apply(self, displacement: NDArray[np.float64]) -> None:
        """Correct the rows of `displacement` [468, 3] that belong to the lips."""
        up, width = self._mouth.frame[1], self._mouth.width
        upper, lower = self._pairs[-1]
        apart = displacement[upper] - displacement[lower]
        gap = self._rest_gap + apart @ up
        wanted = np.maximum(_dead_zone(gap - self._rest_gap, _LIP_DEAD_ZONE * width) + self._rest_gap, self._least)
        together = 1 - np.clip((wanted - self._least) / (_LIP_RELEASE * width), 0, 1)
        change = (wanted - gap)[:, None] * up - (together**2)[:, None] * (apart - (apart @ up)[:, None] * up)
        for ring, share in zip(range(4), (0.15, 0.4, 0.75, 1.0), strict=True):
            one, other = self._pairs[ring]
            displacement[one] += share / 2 * change
            displacement[other] -= share / 2 * change


def _dead_zone(value: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Zero for small openings, rising smoothly to the value itself at three times `size`."""
    share = np.clip((value - size) / (2 * size), 0, 1)
    smooth = share * share * (3 - 2 * share)
    return np.where(value <= 0, value, value * smooth)
