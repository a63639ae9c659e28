"""Lids and lips where only landmarks are known: the rims are placed, along the avatar's own shapes.

`engine.motion.closing` is for engines that move every controller of a rim themselves, and corrects only what gapes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from calib.rig.controllers import Role
from calib.rig.face_rig import FaceRig, MouthRig
from core.face_regions import (
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LID_FOLDS,
    UPPER_LIDS,
    UPPER_LIP,
    eye_corners,
)

_SHUT_BELOW, _TRUE_ABOVE = 0.06, 0.30  # openness: shut under the first, as measured over the second
_OVERLAP = 0.02  # of the aperture: shut lids pass each other by so much, so that no slit stays between them
_MEET_FROM, _MEET_MOST = (0.7, 1.2), 0.42
"""Shut lids meet at the lower lid in human eyes, and nearer to the middle in eyes so high that the upper lid could not
stretch that far: apertures over an eye's width from where to where, and how high over the lower lid at most."""
LIP_DEAD_ZONE = 0.012  # of the mouth's width: lips that gape less, touch
LIP_SHARES = (0.15, 0.4, 0.75, 1.0)  # of a correction of the rims, on the landmark chains from the outline to the rim
_LIP_RELEASE = 0.05  # of the mouth's width: lips farther apart than this move freely sideways and in depth
_LIP_PLACES = np.array([0.0, 0.085, 0.16, 0.26, 0.37, 0.5, 0.63, 0.74, 0.84, 0.915, 1.0])
"""Where the landmarks of a mouth's inner contour lie along it, on an average face at rest."""
_FOLD_SHARE = 0.5  # of what opens an eye shut in the file, taken along by the skin above the lid


class LidContact:
    """Sets the lids of one eye: closed in proportion, on the eyeball's surface."""

    def __init__(self, rig: FaceRig, eye: int) -> None:
        self._folds = np.array(UPPER_LID_FOLDS[eye])
        self._corners = np.array(eye_corners(eye))
        self._up, self._width = rig.eyes[eye].frame[1], rig.eyes[eye].width
        self._lids = [
            _LidRim(rig, eye, Role.UPPER_LID, UPPER_LIDS[eye][1:-1]),
            _LidRim(rig, eye, Role.LOWER_LID, LOWER_LIDS[eye][1:-1]),
        ]
        high = float(rig.eyes[eye].aperture.max()) / self._width
        self._meet = float(np.interp(high, _MEET_FROM, (0.0, _MEET_MOST)))  # over the lower lid, in apertures
        opened = self._lids[0].moved(1.0, 0.0)
        self._lift = max(float((opened @ self._up).mean()), 0.0)  # of eyes that are shut in the file

    @property
    def shut_in_file(self) -> bool:
        """Whether the avatar's eye is shut at rest: its lids then open as those of an average face."""
        return self._lift > 0.02 * self._width

    def apply(self, moved: NDArray[np.floating], openness: float, raised: float) -> None:
        """Overwrite the rows of `moved` [K, 3] that belong to this eye's lids."""
        left, right = moved[self._corners].astype(np.float64)
        closed = close_fully(openness)
        raised += self._meet * (1.0 - min(max(closed, 0.0), 1.0))
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
        self._upper, self._lower = (
            np.asarray([np.interp(self.along, place, axis) for axis in rim.T]).T for rim in (own.upper, own.lower)
        )
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
        rest = self._upper if self._is_upper else self._lower
        return np.asarray(self._on_ball(target, near + (far - near) * share) - rest)

    def _on_ball(self, target: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points taken forwards or backwards to a distance from the eyeball's centre."""
        out = self._frame[2]
        offset = target - self._centre
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
    """Keeps the lips from passing through each other, together where they touch, and evenly open between."""

    def __init__(self, rig: FaceRig) -> None:
        self._mouth: MouthRig = rig.mouth
        controllers, mouth = rig.controllers, rig.mouth
        self._pairs = [
            (np.array(above[1:-1]), np.array(below[1:-1])) for above, below in zip(UPPER_LIP, LOWER_LIP, strict=True)
        ]
        self._chains = np.array(UPPER_LIP[-1]), np.array(LOWER_LIP[-1])
        place = along_mouth(mouth, mouth.upper)
        gap = (mouth.upper - mouth.lower) @ mouth.frame[1]
        self._rims = []
        for role, chain, sign in zip((Role.UPPER_LIP, Role.LOWER_LIP), self._chains, (0.5, -0.5), strict=True):
            dense, inner = controllers.of(role), chain[1:-1]
            of_landmark = along_mouth(mouth, controllers.rest[inner])
            along = np.clip(np.concatenate([controllers.along[dense], of_landmark]), 0.0, 1.0)
            rim = _Rim(
                np.concatenate([dense, inner]),
                np.asarray(CubicSpline(_LIP_PLACES, np.eye(len(_LIP_PLACES)), bc_type="natural")(along)),
                np.interp(along, place, gap),
                sign,
            )
            self._rims.append(rim)
        self._gap = np.interp(_LIP_PLACES, place, gap)

    def apply(self, moved: NDArray[np.float64]) -> None:
        """Overwrite the rows of `moved` [K, 3] that belong to the rims of the lips, and adapt the lips behind them."""
        upper, lower = (moved[chain] for chain in self._chains)
        middle, apart = (upper + lower) / 2, upper - lower
        change = self._corrected(apart, self._gap) - apart
        for (one, other), share in zip(self._pairs[:-1], LIP_SHARES[:-1], strict=True):
            moved[one] += share / 2 * change[1:-1]
            moved[other] -= share / 2 * change[1:-1]
        for rim in self._rims:
            moved[rim.controllers] = rim.spline @ middle + rim.sign * self._corrected(rim.spline @ apart, rim.gap)

    def _corrected(self, apart: NDArray[np.float64], gap: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 3] how the upper rim moves from the lower, given how it would and the gap [N] at rest."""
        up, width = self._mouth.frame[1], self._mouth.width
        opening = apart @ up
        least = np.zeros_like(gap) if not self._mouth.closed else gap
        wanted = np.maximum(dead_zone(opening, LIP_DEAD_ZONE * width), least - gap)
        free = np.clip((wanted + gap - least) / (_LIP_RELEASE * width), 0, 1)
        aside = apart - opening[:, None] * up
        return np.asarray(wanted[:, None] * up + (1 - (1 - free) ** 2)[:, None] * aside)


@dataclass(frozen=True, eq=False)
class _Rim:
    """Controllers on the rim of one lip: their numbers, [N, 11] spline from the landmarks, gap at rest [N], side."""

    controllers: NDArray[np.int64]
    spline: NDArray[np.float64]
    gap: NDArray[np.float64]
    sign: float


def along_mouth(mouth: MouthRig, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] how far along the mouth points [N, 3] lie: 0 at its picture-left corner, 1 at the other."""
    return np.asarray(((points - mouth.upper[0]) @ mouth.frame[0]) / mouth.width)


def dead_zone(value: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Zero for small openings, rising smoothly to the value itself at three times `size`."""
    return np.where(value <= 0, value, value * smoothstep((value - size) / (2 * size)))


def smoothstep(value: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """0 up to 0, 1 from 1 on, level at both ends."""
    share = np.clip(value, 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share))
