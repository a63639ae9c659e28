"""Lips whose rims an engine moves itself, by units or flow: corrected where they gape or overlap.

`engine.motion.contact` is for engines that know landmarks alone: it places all of a rim. What is done here is small and
only where it is needed; all else stays as the engine has it.
"""

import numpy as np
from numpy.typing import NDArray

from calib.rig.controllers import Role
from calib.rig.face_rig import FaceRig
from core.face_regions import LOWER_LIP, UPPER_LIP
from engine.motion.contact import LIP_DEAD_ZONE, LIP_SHARES, along_mouth, dead_zone, smoothstep

_PRESSED, _MOVED = 0.007, 0.05  # mouth widths: lips that move shut pass so far into each other, from such a motion on
_PLACES = np.linspace(0.04, 0.96, 24)  # along the mouth, its corners left out


class LipClosing:
    """Keeps lips from passing through each other, and together where they hardly part.

    Everything that is read along the mouth is read at 24 places, by matrices made once.

    Attributes:
        up: [3] the way lips part, in which every correction goes.
        spread: [K, 24] float64 how far each controller goes that way for what `apply` returns.
    """

    def __init__(self, rig: FaceRig) -> None:
        mouth, controllers = rig.mouth, rig.controllers
        self.up, self._width = mouth.frame[1], mouth.width
        self._gap = np.interp(_PLACES, along_mouth(mouth, mouth.upper), (mouth.upper - mouth.lower) @ mouth.frame[1])
        self._least = self._gap if mouth.closed else np.zeros_like(self._gap)
        self.spread = np.zeros((len(controllers.rest), len(_PLACES)))
        rims, readers = [], []
        for role, chains, sign in ((Role.UPPER_LIP, UPPER_LIP, 0.5), (Role.LOWER_LIP, LOWER_LIP, -0.5)):
            rows = controllers.of(role)
            rows = rows[np.argsort(controllers.along[rows])]
            rims.append(rows)
            readers.append(_reader(_PLACES, controllers.along[rows]))
            self.spread[rows] = sign * _spreader(controllers.along[rows])
            for chain, share in zip(chains, LIP_SHARES, strict=True):
                inner = np.array(chain[1:-1])
                place = np.clip(along_mouth(mouth, controllers.rest[inner]), 0, 1)
                self.spread[inner] += sign * share * _spreader(place)
        self._rims, self._readers = np.concatenate(rims), readers
        self._upper = len(rims[0])
        self._moving = np.flatnonzero(self.spread.any(axis=1))
        self._moved_by = self.spread[self._moving]
        upper, lower = self._along(self.spread[self._rims])
        short = np.eye(len(_PLACES)) - (upper - lower)  # what few controllers miss of a change, three times made good
        self._made_good = np.eye(len(_PLACES)) + short + short @ short

    def opening(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """[24] how far the rims stand apart along the mouth, avatar units; negative where they overlap."""
        return self._opening(moved[self._rims])

    def _opening(self, rims: NDArray[np.float64]) -> NDArray[np.float64]:
        upper, lower = self._along(rims @ self.up)
        return np.asarray(self._gap + upper - lower)

    def _along(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[24] of the upper and of the lower rim, for values at the controllers of both."""
        return self._readers[0] @ values[: self._upper], self._readers[1] @ values[self._upper :]

    def _pressed(self, rims: NDArray[np.float64]) -> NDArray[np.float64]:
        """[24] how far shut lips pass into each other: between few vertices of a mesh they would gape in motion."""
        far = np.maximum(*self._along(np.sqrt(np.einsum("nd,nd->n", rims, rims))))
        return np.asarray(_PRESSED * self._width * smoothstep(far / (_MOVED * self._width)))

    def apply(self, moved: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Correct the rows of `moved` [K, 3] that belong to the lips.

        Returns [24] by how much the lips part more than they did, avatar units; None where they stay.
        """
        if not self._upper:
            return None
        rims = moved[self._rims]
        opening = self._opening(rims)
        parted = np.maximum(opening - self._least, 0.0)
        wanted = dead_zone(parted, LIP_DEAD_ZONE * self._width)
        shut = 1 - smoothstep(wanted / (LIP_DEAD_ZONE * self._width))
        change = self._least + wanted - self._pressed(rims) * shut - opening
        if not change.any():
            return None
        change = self._made_good @ change
        moved[self._moving] += (self._moved_by @ change)[:, None] * self.up
        return np.asarray(change)


def _reader(at: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """[places, N] that reads values known at N places `along` the mouth (ascending) at others."""
    if not len(along):
        return np.zeros((len(at), 0))
    return np.stack([np.interp(at, along, unit) for unit in np.eye(len(along))], axis=1)


def _spreader(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 24] that reads what is known at `_PLACES` at N others; nothing beyond them."""
    return np.stack([np.interp(along, _PLACES, unit, left=0.0, right=0.0) for unit in np.eye(len(_PLACES))], axis=1)
