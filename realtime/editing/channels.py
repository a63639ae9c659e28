"""A motion track as a table of numbers that can be added up and averaged, and back: units, gaze, the head's rotation
vector and shift."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.face_motion import MotionTrack, with_gaze
from core.rigid_motion import rotation_matrix, rotation_vector

Array = NDArray[np.float64]

Part = Literal["all", "face", "gaze", "head"]
"""Which part of a motion."""

FACE = slice(0, UNIT_COUNT)
GAZE = slice(UNIT_COUNT, UNIT_COUNT + 2), slice(UNIT_COUNT + 2, UNIT_COUNT + 4)  # of each eye
HEAD = slice(UNIT_COUNT + 4, UNIT_COUNT + 7), slice(UNIT_COUNT + 7, UNIT_COUNT + 10)  # turn and shift

_REACH = 3.0  # standard deviations of a window


def check_part(edit: str, part: str) -> None:
    """Raises InputError for what is no part."""
    if part not in get_args(Part):
        raise InputError(f"{edit}: part {part!r:.60}: expected one of {', '.join(get_args(Part))}")


def is_of(columns: slice, part: Part) -> bool:
    """Whether these columns belong to a part."""
    of: dict[Part, tuple[slice, ...]] = {"all": (FACE, *GAZE, *HEAD), "face": (FACE,), "gaze": GAZE, "head": HEAD}
    return columns in of[part]


def of_track(track: MotionTrack) -> Array:
    """[T, 62] a new table. Turns that go on beyond half a turn do not jump in it."""
    turns = np.array([rotation_vector(T[:3, :3]) for T in track.T_neutral_head]).reshape(-1, 3)
    for frame in range(1, len(turns)):
        turns[frame] = _nearest(turns[frame], turns[frame - 1])
    shifts = track.T_neutral_head[:, :3, 3]
    return np.concatenate([track.weights, track.gaze.reshape(-1, 4), turns, shifts], axis=1)


def _nearest(turn: Array, before: Array) -> Array:
    """The rotation vector [3] that means the same as `turn` and is nearest to the one before: whole turns more or less
    about the same axis."""
    angle, whole = float(np.linalg.norm(turn)), 2 * np.pi
    axis = turn / angle if angle > 1e-9 else before / max(float(np.linalg.norm(before)), 1e-9)
    more = round((float(before @ axis) - angle) / whole)
    return turn if more == 0 else axis * (angle + more * whole)


def to_track(timestamps_s: Array, tracked: NDArray[np.bool_], values: Array) -> MotionTrack:
    """The inverse of `of_track`; the units of the gaze say what the gaze does."""
    T = np.tile(np.eye(4), (len(values), 1, 1))
    for frame, turn in enumerate(values[:, HEAD[0]]):
        T[frame, :3, :3] = rotation_matrix(turn)
    T[:, :3, 3] = values[:, HEAD[1]]
    gaze = values[:, GAZE[0].start : GAZE[1].stop].reshape(-1, 2, 2)
    return MotionTrack(timestamps_s, tracked, with_gaze(values[:, FACE], gaze), gaze, T)


def taken(track: MotionTrack, chosen: NDArray[np.bool_]) -> MotionTrack:
    """The frames of a mask [T]."""
    return MotionTrack(
        track.timestamps_s[chosen],
        track.tracked[chosen],
        track.weights[chosen],
        track.gaze[chosen],
        track.T_neutral_head[chosen],
    )


def retimed(track: MotionTrack, timestamps_s: Array) -> MotionTrack:
    """The same frames at other times [T]."""
    return MotionTrack(timestamps_s, track.tracked, track.weights, track.gaze, track.T_neutral_head)


def resampled(track: MotionTrack, timestamps_s: Array) -> MotionTrack:
    """The motion at other times [N], between frames on the straight way; the first and the last frame hold before and
    after. There is a face where there is one in the frame at or before."""
    values, times = of_track(track), track.timestamps_s
    columns = [np.interp(timestamps_s, times, column) for column in values.T]
    before = np.clip(np.searchsorted(times, timestamps_s + 1e-9, side="right") - 1, 0, len(times) - 1)
    return to_track(timestamps_s, track.tracked[before], np.stack(columns, axis=1))


def averaged(timestamps_s: Array, values: Array, sigma_s: float) -> Array:
    """[T, D] each frame the mean of those around it, weighted by a Gaussian of their distance in time."""
    reach_s, count = _REACH * sigma_s, len(values)
    total, share = values.copy(), np.ones((count, 1))
    for away in range(1, count):
        apart_s = timestamps_s[away:] - timestamps_s[:-away]
        if apart_s.min() > reach_s:
            break
        weight = np.where(apart_s <= reach_s, np.exp(-0.5 * (apart_s / sigma_s) ** 2), 0.0)[:, None]
        total[:-away] += weight * values[away:]
        total[away:] += weight * values[:-away]
        share[:-away] += weight
        share[away:] += weight
    return total / share


def step_s(track: MotionTrack) -> float:
    """The usual time between two frames."""
    return float(np.median(np.diff(track.timestamps_s))) if len(track) > 1 else 1 / 30
