"""Whether what the face finder sees in a picture of a head is a face in relief: held against the canonical face.

Hair that hangs before the sides of a face is no part of it: landmarks that fall on it are left out where the face is
none with them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import Finder
from calib.survey.views import View
from core.face_regions import FACE_LANDMARKS, FACE_OVAL, STABLE, mask
from core.rigid_motion import fit_similarity

MIN_RELIEF = 0.55
MAX_MISFIT = 0.13  # of the face's height
_BEFORE, _MOST_COVERED = 0.04, 0.3  # of the face's height, and of its landmarks
_SIDES_FROM = 0.5  # of half the face's width, from its middle
_LOOKS = 4  # each knows better than the one before where the face is


@dataclass(frozen=True, eq=False)
class FaceFound:
    """A face in one view of the head.

    Attributes:
        landmarks: [478, 3] on the surface, in the world the view was made in.
        rotation: [3, 3] from the canonical face's axes to that world.
        misfit: RMS distance from a scaled canonical face, as a fraction of the face's height.
        relief: correlation of its depth with the canonical face's.
    """

    landmarks: NDArray[np.float64]
    rotation: NDArray[np.float64]
    misfit: float
    relief: float

    @property
    def angle(self) -> float:
        """Rotation in radians between the face and the view's axes."""
        return float(np.arccos(np.clip((np.trace(self.rotation) - 1) / 2, -1, 1)))

    @property
    def plausible(self) -> bool:
        return self.relief > MIN_RELIEF and self.misfit < MAX_MISFIT and self.angle < np.radians(40)

    @property
    def score(self) -> float:
        return self.relief - 3 * self.misfit - 0.8 * self.angle


def find_face(view: View, finder: Finder) -> FaceFound | None:
    """The face in a view of a head, lifted to its surface and held against the canonical face."""
    found = finder.find(view.rgb)
    if found is None:
        return None
    landmarks, _ = view.lift(found[:, :2])
    whole = _held_against(landmarks, finder.canonical.points, mask())
    if whole.plausible:
        return whole
    without_hair = _held_against(landmarks, finder.canonical.points, _covered(landmarks, finder.canonical.points))
    return without_hair if without_hair.plausible else whole


def _held_against(
    landmarks: NDArray[np.float64], canonical: NDArray[np.float64], covered: NDArray[np.bool_]
) -> FaceFound:
    """Landmarks [478, 3] beside the canonical face's; those that are `covered` [468] do not count."""
    fitted, rotation = _fitted(landmarks, canonical, covered)
    residual = (landmarks[:FACE_LANDMARKS] - fitted)[~covered]
    height = np.ptp(fitted[list(FACE_OVAL), 1])
    misfit = float(np.sqrt(np.median((residual**2).sum(axis=1))) / max(height, 1e-12))
    depth = np.stack([landmarks[:FACE_LANDMARKS, 2], fitted[:, 2]])[:, ~covered]
    relief = float(np.asarray(np.corrcoef(depth))[0, 1]) if depth.std(axis=1).min() > 1e-9 * height else 0.0
    return FaceFound(landmarks, rotation, misfit, relief)


def _fitted(
    landmarks: NDArray[np.float64], canonical: NDArray[np.float64], covered: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[468, 3] the canonical face laid on what is not covered, and the rotation [3, 3] of that."""
    chosen = np.unique([*STABLE, *FACE_OVAL, 1, 4, 61, 291, 0, 17, 50, 280, 205, 425])
    chosen = chosen[~covered[chosen]]
    scale, rotation, shift = fit_similarity(canonical[chosen], landmarks[chosen])
    return np.asarray(scale * canonical[:FACE_LANDMARKS] @ rotation.T + shift), rotation


def _covered(landmarks: NDArray[np.float64], canonical: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[468] which landmarks lie on what hangs before the face's sides, such as hair; none if it hides too much."""
    covered, aside = mask(), np.abs(canonical[:FACE_LANDMARKS, 0])
    near_rim = aside > _SIDES_FROM * aside.max()
    for _ in range(_LOOKS):
        fitted, _ = _fitted(landmarks, canonical, covered)
        before = landmarks[:FACE_LANDMARKS, 2] - fitted[:, 2]
        height = np.ptp(fitted[list(FACE_OVAL), 1])
        covered = near_rim & (before > _BEFORE * height)
        if covered.mean() > _MOST_COVERED:
            return mask()
    return covered
