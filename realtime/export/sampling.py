"""Captures come at irregular times; formats that have none want frames at a steady rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.rigid_motion import rotation_matrix, rotation_vector

Array = NDArray[np.float64]
Frame = tuple[NDArray[np.float32], Array]
"""Vertices [V, 3] and a rigid motion [4, 4] of all of them."""

_USUAL: Final = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0)
_NEAR = 0.04  # of a rate
_ALONE = 30.0
_SLOWEST, _FASTEST = 1.0, 240.0
MOST_FRAMES: Final = 1_000_000
"""At a steady rate: an hour at 240 a second, nine at 30."""


def nominal_fps(times_s: Array) -> float:
    """The rate that captures at these times were meant to have: that of the median step, or the usual one near it."""
    if len(times_s) < 2:
        return _ALONE
    rate = 1 / float(np.median(np.diff(times_s)))
    nearest = min(_USUAL, key=lambda usual: abs(usual - rate))
    if abs(nearest - rate) <= _NEAR * nearest:
        return nearest
    return float(np.clip(round(rate), _SLOWEST, _FASTEST))


def usual(fps: float) -> bool:
    """Whether other programs know this rate."""
    return fps in _USUAL


def steady(times_s: Array, fps: float) -> Array:
    """Times [N] a frame apart from the first of `times_s` to the last, or less than a frame after it.

    Raises InputError where a gap, or a time that cannot be, would make them more than `MOST_FRAMES`.
    """
    span = float(times_s[-1] - times_s[0])
    count = int(np.ceil(span * fps - 1e-6)) + 1
    if count > MOST_FRAMES:
        raise InputError(
            f"the recording lasts {span:.0f} s, {count} frames at {fps:g} a second, expected {MOST_FRAMES} at most; "
            "keep a part of it with  vfa session edit FOLDER trim BEGIN END,  or give a lower --fps"
        )
    return float(times_s[0]) + np.arange(count) / fps


def resampled_frames(frames: Iterable[Frame], own_s: Array, times_s: Array) -> Iterator[Frame]:
    """The same of vertices: `frames` at the times `own_s`, of which two are held at once."""
    stream = iter(frames)
    before = after = next(stream)
    at = 0  # number of `after`
    for time_s in times_s:
        while own_s[at] < time_s and at + 1 < len(own_s):
            before, after, at = after, next(stream), at + 1
        if own_s[at] <= time_s or at == 0:
            yield after
            continue
        share = float((time_s - own_s[at - 1]) / (own_s[at] - own_s[at - 1]))
        yield _between(before, after, share)


def _between(before: Frame, after: Frame, share: float) -> Frame:
    vertices = before[0] + np.float32(share) * (after[0] - before[0])
    T = before[1] + share * (after[1] - before[1])
    turn = rotation_vector(after[1][:3, :3] @ before[1][:3, :3].T)
    T[:3, :3] = rotation_matrix(share * turn) @ before[1][:3, :3]
    return vertices, T
