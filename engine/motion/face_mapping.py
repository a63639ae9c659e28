"""From the driver's proportions to the avatar's: how large each landmark's motion is on this head."""

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import FaceRig
from core.face_regions import BROWS, FACE_LANDMARKS, eye_corners
from core.rigid_motion import fit_similarity

_MOST, _LEAST = 1.6, 0.6  # a region may be so much larger or smaller than the rest of its face
_MOUTH_REACH, _EYE_REACH = 0.75, 1.0  # in widths of the mouth and the eye


class FaceMapping:
    """Turns a driver's displacements (metres, head frame) into an avatar's (avatar units, world axes).

    The face as a whole gives one scale; mouth, eyes and brows correct it by the ratio of their own sizes, along and
    across, blended smoothly between regions.

    Attributes:
        scale: avatar units per metre.
        rotation: [3, 3] from the driver's head frame to the avatar's world.
        origin: [3] where the origin of the driver's head frame lies in the avatar's world.
    """

    def __init__(self, rig: FaceRig, neutral: NDArray[np.float64]) -> None:
        """`neutral`: [478, 3] the driver's neutral landmarks in metres."""
        avatar, driver = rig.controllers.rest[:FACE_LANDMARKS], neutral[:FACE_LANDMARKS]
        self.scale, self.rotation, self.origin = fit_similarity(driver, avatar)
        posed = self.scale * driver @ self.rotation.T
        factor = np.ones((FACE_LANDMARKS, 3))
        _blend(factor, avatar, [61, 291, 13, 14], _MOUTH_REACH * _span(avatar, 61, 291), _mouth_ratio(avatar, posed))
        for eye in range(2):
            corners = eye_corners(eye)
            reach = _EYE_REACH * _span(avatar, *corners)
            _blend(factor, avatar, list(corners), reach, _eye_ratio(avatar, posed, eye))
        self._factor = factor * rig.controllers.gain[:FACE_LANDMARKS, None] * self.scale

    def __call__(self, displacement: NDArray[np.float64]) -> NDArray[np.float64]:
        """[468, 3] metres → [468, 3] avatar units."""
        return np.asarray((displacement @ self.rotation.T) * self._factor)


def _span(points: NDArray[np.float64], one: int, other: int) -> float:
    return float(np.linalg.norm(points[one] - points[other]))


def _mouth_ratio(avatar: NDArray[np.float64], driver: NDArray[np.float64]) -> NDArray[np.float64]:
    wide = _span(avatar, 61, 291) / max(_span(driver, 61, 291), 1e-9)
    high = _span(avatar, 2, 152) / max(_span(driver, 2, 152), 1e-9)
    return np.array([wide, high, np.sqrt(wide * high)])


def _eye_ratio(avatar: NDArray[np.float64], driver: NDArray[np.float64], eye: int) -> NDArray[np.float64]:
    corners = list(eye_corners(eye))
    wide = _span(avatar, *corners) / max(_span(driver, *corners), 1e-9)
    above = [float((face[list(BROWS[eye])].mean(axis=0) - face[corners].mean(axis=0))[1]) for face in (avatar, driver)]
    high = float(np.sqrt(max(above[0], 1e-3) / max(above[1], 1e-3)))  # brows move on the forehead: half the room counts
    return np.array([wide, high, np.sqrt(wide * high)])


def _blend(
    factor: NDArray[np.float64],
    points: NDArray[np.float64],
    around: list[int],
    reach: float,
    ratio: NDArray[np.float64],
) -> None:
    """Multiply `ratio` [3] into the factors [468, 3] of the landmarks near a region's middle, fading with distance."""
    offset = (points - points[around].mean(axis=0))[:, :2]
    share = np.exp(-((np.linalg.norm(offset, axis=1) / reach) ** 4))
    factor *= np.clip(ratio, _LEAST, _MOST) ** share[:, None]
