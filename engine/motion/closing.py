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

_PRESSED, _MOVED = 0.009, 0.05  # mouth widths: lips that move shut pass so far into each other, from such a motion on
_PLACES = np.linspace(0.04, 0.96, 24)  # along the mouth, its corners left out


class LipClosing:
    """Keeps lips from passing through each other, and together where they hardly part."""

    def __init__(self, rig: FaceRig) -> None:
        mouth, controllers = rig.mouth, rig.controllers
        self._up, self._width = mouth.frame[1], mouth.width
        self._gap = np.interp(_PLACES, along_mouth(mouth, mouth.upper), (mouth.upper - mouth.lower) @ mouth.frame[1])
        self._least = self._gap if mouth.closed else np.zeros_like(self._gap)
        self._rims, self._chains = [], []
        for role, chains, sign in ((Role.UPPER_LIP, UPPER_LIP, 0.5), (Role.LOWER_LIP, LOWER_LIP, -0.5)):
            rows = controllers.of(role)
            rows = rows[np.argsort(controllers.along[rows])]
            self._rims.append((rows, controllers.along[rows], sign))
            for chain, share in zip(chains, LIP_SHARES, strict=True):
                inner = np.array(chain[1:-1])
                place = np.clip(along_mouth(mouth, controllers.rest[inner]), 0, 1)
                self._chains.append((inner, place, sign * share))

    def opening(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """[24] how far the rims stand apart along the mouth, avatar units; negative where they overlap."""
        (upper, at_upper, _), (lower, at_lower, _) = self._rims
        height = [np.interp(_PLACES, at, moved[rows] @ self._up) for rows, at in ((upper, at_upper), (lower, at_lower))]
        return np.asarray(self._gap + height[0] - height[1])

    def _pressed(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """[24] how far shut lips pass into each other: between few vertices of a mesh they would gape in motion."""
        far = [np.interp(_PLACES, at, np.linalg.norm(moved[rows], axis=1)) for rows, at, _ in self._rims]
        return np.asarray(_PRESSED * self._width * smoothstep(np.maximum(*far) / (_MOVED * self._width)))

    def apply(self, moved: NDArray[np.float64]) -> None:
        """Correct the rows of `moved` [K, 3] that belong to the lips."""
        if not len(self._rims[0][0]):
            return
        opening = self.opening(moved)
        parted = np.maximum(opening - self._least, 0.0)
        wanted = dead_zone(parted, LIP_DEAD_ZONE * self._width)
        shut = 1 - smoothstep(wanted / (LIP_DEAD_ZONE * self._width))
        change = self._least + wanted - self._pressed(moved) * shut - opening
        if not change.any():
            return
        for rows, along, share in (*self._rims, *self._chains):
            moved[rows] += (share * np.interp(along, _PLACES, change, left=0.0, right=0.0))[:, None] * self._up
