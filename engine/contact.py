"""What must close, closes: lids over the eyes and lips on each other, along the avatar's own shapes."""

import numpy as np
from numpy.typing import NDArray

from calib.controllers import Role
from calib.face_regions import (
    FACE_LANDMARKS,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LID_FOLDS,
    UPPER_LIDS,
    UPPER_LIP,
    eye_corners,
)
from calib.rig import FaceRig, MouthRig

_SHUT_BELOW, _TRUE_ABOVE = 0.06, 0.30  # openness: shut under the first, as measured over the second
_OVERLAP = 0.02  # of the aperture: shut lids pass each other by so much, so that no slit stays between them
_LIP_DEAD_ZONE = 0.012  # of the mouth's width: lips that gape less, touch
_LIP_RELEASE = 0.05  # of the mouth's width: lips farther apart than this move freely sideways and in depth
_FOLD_SHARE = 0.5  # of what opens an eye shut in the file, taken along by the skin above the lid


class LidContact:
    """Sets the lids of one eye: closed in proportion, on the eyeball's surface."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        self._folds = np.array(UPPER_LID_FOLDS[eye])
        self._corners = np.array(eye_corners(eye))
        self._up = rig.eyes[eye].frame[1]
        self._lids = [
            _LidRim(rig, eye, Role.UPPER_LID, UPPER_LIDS[eye][1:-1]),
            _LidRim(rig, eye, Role.LOWER_LID, LOWER_LIDS[eye][1:-1]),
        ]
        opened = self._lids[0].moved(1.0, 0.0)
        self._lift = max(float((opened @ self._up).mean()), 0.0)  # of eyes that are shut in the file

    def apply(self, moved: NDArray[np.floating], openness: float, raised: float) -> None:
        """Overwrite the rows of `moved` [K, 3] that belong to this eye's lids."""
        left, right = moved[self._corners].astype(np.float64)
        closed = close_fully(openness)
        for rim in self._lids:
            moved[rim.controllers] = rim.moved(closed, raised) + left + (right - left) * rim.along[:, None]
        moved[self._folds] += (_FOLD_SHARE * self._lift * min(openness, 1.0)) * self._up


class _LidRim:
    """The controllers on one lid's rim."""

    def __init__(self, rig: FaceRig, eye: int, role: Role, landmarks: tuple[int, ...]) -> None:
        own, controllers = rig.eyes[eye], rig.controllers
        dense = controllers.of(role, eye)
        place = ((own.upper - own.upper[0]) @ own.frame[0]) / own.width
        of_landmark = ((controllers.rest[list(landmarks)] - own.upper[0]) @ own.frame[0]) / own.width
        self.controllers = np.concatenate([np.array(landmarks), dense])
        self.along = np.clip(np.concatenate([of_landmark, controllers.along[dense]]), 0, 1)
        self._frame, self._centre = own.frame, own.centre
        self._is_upper = role == Role.UPPER_LID
        self._upper, self._lower = (_along(rim, place, self.along) for rim in (own.upper, own.lower))
        self._aperture = np.interp(self.along, place, own.aperture)
        self._lower_rest = np.interp(self.along, place, own.lower_rest)
        self._distances = [np.linalg.norm(rim - own.centre, axis=1) for rim in (self._lower, self._upper)]

    def moved(self, openness: float, raised: float) -> NDArray[np.float64]:
        """[N, 3] from rest, for lids `openness` (1 as in neutral) open and a lower lid `raised` by such apertures."""
        level = self._lower_rest + (raised + (openness if self._is_upper else 0.0)) * self._aperture
        target = self._lower + level[:, None] * self._frame[1]
        if self._is_upper:  # from where the upper rim itself is: it need not lie straight above the lower one
            beside = self._upper - self._lower
            target += (beside - (beside @ self._frame[1])[:, None] * self._frame[1]) * min(max(openness, 0.0), 1.0)
        near, far = self._distances
        share = min(max(openness, 0.0), 1.0) if self._is_upper else 0.0
        return self._on_ball(target, near + (far - near) * share) - (self._upper if self._is_upper else self._lower)

    def _on_ball(self, target: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points taken forwards or backwards to a distance from the eyeball's centre."""
        out = self._frame[2]
        offset = target - self._centre
        depth = offset @ out
        aside = np.einsum("nd,nd->n", offset, offset) - depth**2
        height = np.sqrt(np.maximum(distance**2 - aside, (0.3 * distance) ** 2))
        return np.asarray(target + (height - depth)[:, None] * out)


def _along(rim: NDArray[np.float64], place: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.interp(at, place, rim[:, axis]) for axis in range(3)], axis=1)


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
        self._pairs = [
            (np.array(upper[1:-1]), np.array(lower[1:-1])) for upper, lower in zip(UPPER_LIP, LOWER_LIP, strict=True)
        ]
        upper, lower = self._pairs[-1]
        self._rest_gap = (rest[upper] - rest[lower]) @ self._mouth.frame[1]
        self._least = self._rest_gap if self._mouth.closed else np.zeros_like(self._rest_gap)

    def apply(self, displacement: NDArray[np.float64]) -> None:
        """Correct the rows of `displacement` [468 or more, 3] that belong to the lips."""
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
