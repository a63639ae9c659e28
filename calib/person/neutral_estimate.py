"""A person's neutral face out of many frames: lids and mouth by their own quantiles, the rest by the calmest frames.

No single frame need be neutral throughout: people blink, look down and talk while they settle. Each landmark is a
median over the frames that show its part of the face at rest (robust statistics: half of those may be wrong).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.expression_units import SCORE_NAMES
from core.face_regions import LOWER_MOUTH_LINE, UPPER_MOUTH_LINE, eye_corners
from core.frame import FaceObservation

_CALM_SHARE = 0.33  # of the frames: those that the face as a whole is taken from
_OPEN_QUANTILE, _OPEN_WITHIN = 0.03, 0.05  # lids: blinks no more than this beyond the least, but for a few frames
_SHUT_QUANTILE, _SHUT_WITHIN = 0.10, 0.02  # lips: gaps, in mouth widths, likewise
_REST_QUANTILE, _REST_WITHIN = 0.05, 0.15  # unrest of a face at rest: no more than this beyond the least, likewise
_EYE_REACH, _MOUTH_REACH = 0.9, 0.9  # in widths of the eye and of the mouth: how far a part of the face goes
_DROOPING, _GAPING, _TURNED_RAD, _RESTLESS = 0.25, 0.20, 0.35, 1.5  # beyond that, a neutral is poor

_BLINKS = [SCORE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
_EYE_SCORES = np.array([name.startswith("eye") for name in SCORE_NAMES])
_MOUTH_SCORES = np.array([name.startswith(("mouth", "jaw")) for name in SCORE_NAMES])


@dataclass(frozen=True, eq=False)
class NeutralSight:
    """What is kept of a tracked frame.

    Attributes:
        landmarks: [478, 3] float32 metres, head frame.
        scores: [52] float32.
        unrest: how far the face is from neutral, its lids left out (`calib.person.neutral.deviation`).
        turned_rad: of the head, from looking straight into the camera.
        time_s: of the frame.
    """

    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    unrest: float
    turned_rad: float
    time_s: float

    @property
    def blink(self) -> float:
        """The tracker's score of lids that shut, mean of both."""
        return float(self.scores[_BLINKS].mean())

    @property
    def gape(self) -> float:
        """How far the lips are apart, in mouth widths."""
        return gape(self.landmarks)


def gape(landmarks: NDArray[np.floating]) -> float:
    """How far the lips of landmarks [478, 3] in the head frame are apart, in mouth widths; 0 where they meet."""
    gap = (landmarks[list(UPPER_MOUTH_LINE)] - landmarks[list(LOWER_MOUTH_LINE)])[:, 1].max()
    width = float(np.linalg.norm(landmarks[61] - landmarks[291]))
    return max(float(gap), 0.0) / max(width, 1e-6)


def estimate_neutral(sights: Sequence[NeutralSight], anchor: FaceObservation) -> FaceObservation:
    """The neutral face of a person of whom `sights` were seen, as if it stood where `anchor`, one of them, does."""
    if len(sights) < 2:
        return anchor
    # About as calm as the calmest few: someone who smiles most of the time has a face at rest all the same, and lips
    # that a smile presses together are none of it.
    still = _least(sights, [sight.unrest for sight in sights], _REST_QUANTILE, _REST_WITHIN)
    calm = _calmest(still)
    opened = _calmest(_least(sights, [sight.blink for sight in sights], _OPEN_QUANTILE, _OPEN_WITHIN))
    shut = _calmest(_least(still, [sight.gape for sight in still], _SHUT_QUANTILE, _SHUT_WITHIN))
    whole, eyes, mouth = (
        np.median([sight.landmarks for sight in part], axis=0).astype(np.float64) for part in (calm, opened, shut)
    )
    landmarks = whole.copy()
    for corners, reach, part in (
        (eye_corners(0), _EYE_REACH, eyes),
        (eye_corners(1), _EYE_REACH, eyes),
        ((61, 291), _MOUTH_REACH, mouth),
    ):
        landmarks += _near(whole, corners, reach)[:, None] * (part - whole)
    scores = np.median([sight.scores for sight in calm], axis=0)
    scores[_EYE_SCORES] = np.median([sight.scores for sight in opened], axis=0)[_EYE_SCORES]
    scores[_MOUTH_SCORES] = np.median([sight.scores for sight in shut], axis=0)[_MOUTH_SCORES]
    T = anchor.T_camera_head
    placed = landmarks @ T[:3, :3].T + T[:3, 3]
    return replace(anchor, landmarks_m=placed.astype(np.float32), scores=scores.astype(np.float32))


def poor_because(sights: Sequence[NeutralSight]) -> str:
    """What keeps these frames from showing a neutral face, in words for the person; empty where nothing does."""
    blinks, gapes = np.array([sight.blink for sight in sights]), np.array([sight.gape for sight in sights])
    reasons = []
    if np.quantile(blinks, _OPEN_QUANTILE) > _DROOPING:
        reasons.append("your eyes were half shut")
    if np.quantile(gapes, _SHUT_QUANTILE) > _GAPING:
        reasons.append("your mouth was open")
    calm = _calmest(sights)
    if np.median([sight.turned_rad for sight in calm]) > _TURNED_RAD:
        reasons.append("your head was turned away")
    if not reasons and np.median([sight.unrest for sight in calm]) > _RESTLESS:
        reasons.append("your face was not at rest")
    return " and ".join(reasons)


def _calmest(sights: Sequence[NeutralSight]) -> list[NeutralSight]:
    return sorted(sights, key=lambda sight: sight.unrest)[: max(1, round(_CALM_SHARE * len(sights)))]


def _least(
    sights: Sequence[NeutralSight], values: Sequence[float], quantile: float, within: float
) -> list[NeutralSight]:
    """Those of which a value is at most so much above a quantile of all."""
    most = np.quantile(values, quantile) + within
    return [sight for sight, value in zip(sights, values, strict=True) if value <= most]


def _near(points: NDArray[np.float64], corners: tuple[int, int], reach: float) -> NDArray[np.float64]:
    """[478] 1 at the middle between two corners, fading out `reach` times their distance away from it."""
    start, end = points[list(corners)]
    width = max(float(np.linalg.norm(end - start)), 1e-6)
    away = np.linalg.norm(points - (start + end) / 2, axis=1) / (reach * width)
    return np.asarray(np.exp(-(away**6)))
