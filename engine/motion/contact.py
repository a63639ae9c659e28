"""Lids and lips where only landmarks are known: the rims are placed, along the avatar's own shapes.

`engine.motion.closing` is for engines that move every controller of a rim themselves, and corrects only what gapes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.rig.controllers import Role
from calib.rig.face_rig import FaceRig, MouthRig
from core.face_regions import (
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LIDS,
    UPPER_LIP,
    eye_corners,
)

_SHUT_BELOW, _TRUE_ABOVE = 0.06, 0.30  # openness: shut under the first, as measured over the second
LIP_DEAD_ZONE = 0.012  # of the mouth's width: lips that gape less, touch
LIP_SHARES = (0.15, 0.4, 0.75, 1.0)  # of a correction of the rims, on the landmark chains from the outline to the rim
_LIP_RELEASE = 0.05  # of the mouth's width: lips farther apart than this move freely sideways and in depth
_LIP_PLACES = np.array([0.0, 0.085, 0.16, 0.26, 0.37, 0.5, 0.63, 0.74, 0.84, 0.915, 1.0])
"""Where the landmarks of a mouth's inner contour lie along it, on an average face at rest."""


def lids_between_corners(rig: FaceRig, eye: int, moved: NDArray[np.float64]) -> None:
    """Let the rims of one eye's lids go along with its corners, in the rows of `moved` [K, 3] that belong to them.
    `engine.motion.lids` closes them."""
    controllers, own = rig.controllers, rig.eyes[eye]
    landmarks = np.array([*UPPER_LIDS[eye][1:-1], *LOWER_LIDS[eye][1:-1]])
    dense = np.concatenate([controllers.of(Role.UPPER_LID, eye), controllers.of(Role.LOWER_LID, eye)])
    of_landmark = ((controllers.rest[landmarks] - own.upper[0]) @ own.frame[0]) / own.width
    along = np.clip(np.concatenate([of_landmark, controllers.along[dense]]), 0, 1)
    left, right = moved[list(eye_corners(eye))]
    moved[np.concatenate([landmarks, dense])] = left + (right - left) * along[:, None]


def close_fully(openness: float) -> float:
    """Openness with its lower end drawn to shut: trackers leave a rest of an eye open in a quick blink."""
    if openness >= _TRUE_ABOVE:
        return openness
    share = max(openness - _SHUT_BELOW, 0.0) / (_TRUE_ABOVE - _SHUT_BELOW)
    return share * _TRUE_ABOVE


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
            from scipy.interpolate import CubicSpline  # takes its time, and most engines need only numbers from here

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


def smoothstep(value: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """0 up to 0, 1 from 1 on, level at both ends."""
    share = np.clip(value, 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share))
