"""Metres for depth videos whose values were scaled and no longer say what they stand for.

The published preprocessing stretches a clip's depth to 1…65535 and keeps no record of the scale. What is left is depth
up to an offset and a factor, and those follow from the face in it: a face of average size, posed by its landmarks in
the colour picture, has known distances at its landmarks. So sizes are those of an average face, shapes the sensor's.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from core.camera import Intrinsics
from core.canonical_face import load_canonical_face
from core.frame import RgbdFrame

ASSUMED_SPAN_M = 0.25  # from the nearest to the farthest value, where no face tells: the published cut keeps a head
ASSUMED_MIDDLE_M = 0.5
_LEAST_SPAN_M, _MOST_SPAN_M = 0.02, 2.0
_INLIER_M = 0.01
_LEAST_READ = 0.5  # of the landmarks, for depth to be one of this face
_LEAST_AGREEMENT = 0.5  # correlation of two reliefs, where depth reaches 0.8 and more

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DepthScale:
    """metres = near_m + value · step_m. Values at either end of the range were cut off there and are no readings."""

    near_m: float
    step_m: float
    largest: int

    @classmethod
    def between(cls, near_m: float, far_m: float, largest: int) -> "DepthScale":
        """Values 1 and `largest` stand for `near_m` and `far_m`."""
        step_m = (far_m - near_m) / (largest - 1)
        return cls(near_m - step_m, step_m, largest)

    def metres(self, values: NDArray[np.uint16]) -> NDArray[np.float32]:
        """[H, W] values → [H, W] metres, 0 where there is no reading."""
        metres = np.float32(self.near_m) + values * np.float32(self.step_m)
        metres[(values <= 1) | (values >= self.largest) | (metres <= 0)] = 0.0
        return metres.astype(np.float32, copy=False)


def assumed_scale(largest: int) -> DepthScale:
    """A scale for a clip without a face: a head's depth at arm's length."""
    half_m = ASSUMED_SPAN_M / 2
    return DepthScale.between(ASSUMED_MIDDLE_M - half_m, ASSUMED_MIDDLE_M + half_m, largest)


def scale_from_face(
    name: str,
    pictures: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint16]]],
    intrinsics: Intrinsics,
    largest: int,
    model_path: Path | None = None,
) -> DepthScale:
    """The scale at which the faces in `pictures` (rgb [H, W, 3], values [H, W]) have average size.

    Where no face is found it says so in the log and assumes one (`assumed_scale`). Raises InputError without a face
    model.
    """
    read = list(_read_at_landmarks(pictures, intrinsics, find_face_model(model_path)))
    values = np.concatenate([values for _, values, _ in read] or [np.zeros(0, np.uint16)])
    metres = np.concatenate([metres for _, _, metres in read] or [np.zeros(0)])
    kept = (values > 1) & (values < largest)
    fit = _fit_line(values[kept].astype(float), metres[kept])
    if fit is None or not _LEAST_SPAN_M < fit[1] * largest < _MOST_SPAN_M:
        scale = assumed_scale(largest)
        log.warning(
            "%s: its depth is scaled and no face tells the scale; a span of %g m is assumed", name, ASSUMED_SPAN_M
        )
        return scale
    scale = DepthScale(fit[0], fit[1], largest)
    log.info(
        "%s: its depth is scaled; taken as %.3f to %.3f m, at which the face has average size",
        name,
        scale.near_m + scale.step_m,
        scale.near_m + scale.step_m * largest,
    )
    return scale


def fits_a_face(
    pictures: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint16]]],
    intrinsics: Intrinsics,
    largest: int,
    model_path: Path | None = None,
) -> bool | None:
    """Whether `values` [H, W] beside the pictures rise and fall as the depth of the faces in them; None without a face.

    Only the relief counts, what a plane does not explain: the light on a wall may rise evenly. Raises InputError
    without a face model.
    """
    agreements = []
    for px, values, metres in _read_at_landmarks(pictures, intrinsics, find_face_model(model_path)):
        kept = (values > 1) & (values < largest)
        if kept.mean() < _LEAST_READ:
            agreements.append(0.0)
            continue
        plane = np.column_stack([np.ones(kept.sum()), px[kept]])
        both = np.column_stack([values[kept], metres[kept]]).astype(float)
        relief = both - plane @ np.linalg.lstsq(plane, both, rcond=None)[0]
        sizes = np.linalg.norm(relief, axis=0)
        agreements.append(float(relief[:, 0] @ relief[:, 1] / max(sizes.prod(), 1e-12)))
    return bool(np.median(agreements) > _LEAST_AGREEMENT) if agreements else None


def _read_at_landmarks(
    pictures: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint16]]], intrinsics: Intrinsics, model: Path
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint16], NDArray[np.float64]]]:
    """Of every picture with a face: places [N, 2] of stable landmarks, values [N] read there, and metres [N] due."""
    from capture.face.face_tracker import FaceTracker

    stable = np.flatnonzero(load_canonical_face(model).stable_weights >= 0.6)
    with FaceTracker(model) as tracker:
        for index, (rgb, raw) in enumerate(pictures):
            face = tracker.track(RgbdFrame(rgb, None, intrinsics, index / 30, index))
            if face.tracked:
                columns, rows = np.floor(face.landmarks_px[stable]).astype(int).T
                inside = (columns >= 0) & (columns < raw.shape[1]) & (rows >= 0) & (rows < raw.shape[0])
                seen = stable[inside]
                metres = face.landmarks_m[seen, 2].astype(np.float64)
                yield face.landmarks_px[seen], raw[rows[inside], columns[inside]], metres


def _fit_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float] | None:
    """(offset, slope) of y over x by reweighted least squares; None with too few points or no rising line."""
    if x.size < 20 or np.ptp(x) == 0:
        return None
    weights = np.ones_like(x)
    offset = slope = 0.0
    for _ in range(10):
        mean_x, mean_y = np.average(x, weights=weights), np.average(y, weights=weights)
        variance = np.average((x - mean_x) ** 2, weights=weights)
        if variance <= 0:
            return None
        slope = float(np.average((x - mean_x) * (y - mean_y), weights=weights) / variance)
        offset = float(mean_y - slope * mean_x)
        weights = 1.0 / (1.0 + ((y - offset - slope * x) / _INLIER_M) ** 2)
    return (offset, slope) if slope > 0 else None
