"""How alike two motions of one head are. Pure arithmetic on displacements, metres; y is up.

"Explained motion" of a frame is 1 − RMS(predicted − true) / RMS(true) over the vertices that truly move more than
0.5 mm; 1 is perfect, 0 is what doing nothing earns, and less is worse than that. Frames count whose moving vertices
move by 1 mm RMS at least, and the figure is their mean. `explained_pooled` is 1 − RMS/RMS over all those frames' moving
vertices taken together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.likeness_heads import Anatomy

MOVING_M, EXPRESSIVE_M = 0.0005, 0.001
CLOSED_M, TOUCHING_M = 0.0005, 0.001  # lips truly closed; lips that count as touching
SHUT = 0.9  # closure of a lid, 0 as at rest, 1 shut
LAGS_S = np.arange(-0.05, 0.2001, 0.002)
_LEAST_LID_SIGNAL = 0.05  # standard deviation of closure below which no lag can be told
_LEAST_AGREEMENT = 0.5  # correlation, the same

Motion = NDArray[np.float32]
Series = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Take:
    """One head's answer to one performance.

    Attributes:
        rest_m: [E, 3] judged vertices at rest.
        true, predicted: [T, E, 3] displacements.
        times_s: [T].
        still: [T] True where driver and head are at rest, at the end.
    """

    rest_m: Series
    true: Motion
    predicted: Motion
    times_s: Series
    still: NDArray[np.bool_]


def likeness(take: Take, anatomy: Anatomy) -> dict[str, float]:
    """All figures of a take; NaN where the performance says nothing about one. Lengths in mm, times in ms."""
    error = np.linalg.norm(take.predicted - take.true, axis=2)
    size = np.linalg.norm(take.true, axis=2)
    moving = size > MOVING_M
    figures = {
        "explained": mean_or_nan(explained_per_frame(error, size)),
        "explained_pooled": explained_pooled(error, size, moving),
        "error_mm": 1e3 * mean_or_nan(error[moving]),
        "p95_mm": 1e3 * float(np.percentile(error[moving], 95)) if moving.any() else float("nan"),
    }
    for name, region in anatomy.regions.items():
        figures[f"{name}_mm"] = 1e3 * mean_or_nan(error[:, region][moving[:, region]])
        figures[f"{name}_explained"] = explained_pooled(error[:, region], size[:, region], moving[:, region])
    figures |= lip_figures(take, anatomy) | lid_figures(take, anatomy)
    figures["jitter_mm"] = 1e3 * jitter(take.predicted[take.still])
    return figures


def explained_per_frame(error: Motion, size: Motion) -> Series:
    """[T] explained motion; NaN for frames whose moving vertices move by less than 1 mm RMS. `error` and `size` [T, E]
    are lengths of the error and of the true displacement."""
    moving = size > MOVING_M
    count = np.maximum(moving.sum(axis=1), 1)
    true = np.sqrt((np.square(size, dtype=np.float64) * moving).sum(axis=1) / count)
    wrong = np.sqrt((np.square(error, dtype=np.float64) * moving).sum(axis=1) / count)
    return np.where(true >= EXPRESSIVE_M, 1 - wrong / np.maximum(true, 1e-12), np.nan)


def explained_pooled(error: Motion, size: Motion, moving: NDArray[np.bool_]) -> float:
    """1 − RMS(error)/RMS(size) over all `moving` entries at once."""
    if not moving.any():
        return float("nan")
    squares = np.square(error[moving], dtype=np.float64).sum(), np.square(size[moving], dtype=np.float64).sum()
    return float(1 - np.sqrt(squares[0] / squares[1]))


def jitter(displacement: Motion) -> float:
    """RMS over vertices of the deviation from their own mean over the frames [T, E, 3], metres."""
    if len(displacement) < 2:
        return float("nan")
    off = displacement - displacement.mean(axis=0)
    return float(np.sqrt(np.square(off, dtype=np.float64).sum(axis=2).mean()))


def lip_figures(take: Take, anatomy: Anatomy) -> dict[str, float]:
    """Aperture, corners and contact of the lips."""
    true, predicted = (lip_gaps(take, motion, anatomy) for motion in (take.true, take.predicted))
    closed = (true.max(axis=1) < CLOSED_M) & ~take.still
    corners = anatomy.upper_lip[[0, -1]]
    off = np.linalg.norm(take.predicted[:, corners] - take.true[:, corners], axis=2)
    return {
        "lip_aperture_mm": 1e3 * mean_or_nan(np.abs(predicted - true)[~closed & ~take.still]),
        "lip_corner_mm": 1e3 * mean_or_nan(off[~take.still]),
        "lips_closed": mean_or_nan((predicted[closed].max(axis=1) < TOUCHING_M).astype(float))
        if closed.any()
        else np.nan,
        "lips_through_mm": 1e3 * float(np.maximum(-predicted, 0).max()),
        "aperture_r": correlation(true.mean(axis=1), predicted.mean(axis=1)),
    }


def lip_gaps(take: Take, motion: Motion, anatomy: Anatomy) -> Series:
    """[T, 11] height of the upper lip's contact line over inner points of the lower lip's, more than at rest."""
    upper, lower = anatomy.upper_lip, anatomy.lower_lip[2:-2]
    along = np.maximum.accumulate(take.rest_m[upper, 0])
    place = np.interp(take.rest_m[lower, 0], along, np.arange(len(upper)))
    low = np.minimum(place.astype(int), len(upper) - 2)
    share = place - low
    rise = motion[:, upper, 1].astype(np.float64)
    above = rise[:, low] * (1 - share) + rise[:, low + 1] * share
    return np.asarray(above - motion[:, lower, 1])


def lid_figures(take: Take, anatomy: Anatomy) -> dict[str, float]:
    """Aperture and closure of the lids, and how late they are."""
    true, predicted = (closure(take, motion, anatomy) for motion in (take.true, take.predicted))
    rest = lid_apertures(take, 0 * take.true[:1], anatomy)[0]
    shut = true > SHUT
    return {
        "lid_aperture_mm": 1e3 * mean_or_nan((np.abs(predicted - true) * rest)[~take.still]),
        "lids_closure": mean_or_nan(predicted[shut]),
        "blinks_closed": blinks_closed(true, predicted),
        "lag_ms": 1e3 * lag(true.mean(axis=1), predicted.mean(axis=1), take.times_s),
    }


def lid_apertures(take: Take, motion: Motion, anatomy: Anatomy) -> Series:
    """[T, 2] mean distance between the margins of both lids of each eye, metres."""
    apart = [
        take.rest_m[up] + motion[:, up] - take.rest_m[low] - motion[:, low]
        for up, low in zip(anatomy.upper_lids, anatomy.lower_lids, strict=True)
    ]
    return np.stack([each[..., 1].mean(axis=1) for each in apart], axis=1)


def closure(take: Take, motion: Motion, anatomy: Anatomy) -> Series:
    """[T, 2] 0 as at rest … 1 as far as these lids truly ever close (their margins may be thick)."""
    rest = lid_apertures(take, 0 * take.true[:1], anatomy)
    least = np.minimum(lid_apertures(take, take.true, anatomy).min(axis=0), 0.25 * rest)
    return np.asarray((rest - lid_apertures(take, motion, anatomy)) / (rest - least))


def blinks_closed(true: Series, predicted: Series) -> float:
    """Share of the true closings (runs of frames beyond SHUT) during which, or one frame later, the predicted lid, too,
    closes beyond SHUT."""
    hits = []
    for eye in range(true.shape[1]):
        shut = np.concatenate([[False], true[:, eye] > SHUT, [False]])
        starts, ends = np.flatnonzero(~shut[:-1] & shut[1:]), np.flatnonzero(shut[:-1] & ~shut[1:])
        hits += [predicted[start : end + 1, eye].max() > SHUT for start, end in zip(starts, ends, strict=True)]
    return mean_or_nan(np.array(hits, dtype=float))


def lag(true: Series, predicted: Series, times_s: Series) -> float:
    """Seconds by which `predicted` [T] follows `true`: the shift at which they correlate best, NaN where unclear."""
    if predicted.std() < _LEAST_LID_SIGNAL * max(true.std() / 0.2, 1.0) or true.std() < _LEAST_LID_SIGNAL:
        return float("nan")
    inner = (times_s > times_s[0] + LAGS_S[-1]) & (times_s < times_s[-1] + LAGS_S[0])
    scores = [correlation(np.interp(times_s[inner] - by, times_s, true), predicted[inner]) for by in LAGS_S]
    best = int(np.argmax(scores))
    if scores[best] < _LEAST_AGREEMENT:
        return float("nan")
    if 0 < best < len(scores) - 1:
        before, at, after = scores[best - 1 : best + 2]
        return float(LAGS_S[best] + 0.5 * (before - after) / (before - 2 * at + after) * (LAGS_S[1] - LAGS_S[0]))
    return float(LAGS_S[best])


def correlation(one: Series, other: Series) -> float:
    """Pearson's; NaN where one does not vary."""
    if one.std() < 1e-9 or other.std() < 1e-9:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def mean_or_nan(values: NDArray[np.floating]) -> float:
    """Mean of the values that are numbers; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if known.size else float("nan")
