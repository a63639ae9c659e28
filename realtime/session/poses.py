"""What the face and the head did in every frame: `animation.npz` beside its vertices, `poses.partial` until then.

Arrays, T frames each: `timestamps_s` float64 at capture; `tracked` bool; `T_world_head` [T, 4, 4] float64 in the
coordinates of the avatar's file; and for other programs and other avatars, as in `core.face_motion.FaceMotion`,
`unit_weights` [T, 52] float32 in the order of `core.expression_units.UNIT_NAMES` (eyeBlinkRight and eyeBlinkLeft among
them say how far lids are shut), `gaze` [T, 2, 2] and `T_neutral_head` [T, 4, 4] float64.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect
from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.face_motion import MotionTrack
from core.untrusted import opened_zip, read_arrays
from core.writable import reason_of
from realtime.session.folder_names import ANIMATION_NAME, POSES_NAME

POSE: Final = np.dtype(
    [
        ("T_world_head", "<f8", (4, 4)),
        ("timestamps_s", "<f8"),
        ("tracked", "?"),
        ("unit_weights", "<f4", (UNIT_COUNT,)),
        ("gaze", "<f8", (2, 2)),
        ("T_neutral_head", "<f8", (4, 4)),
    ]
)
"""One frame while the session runs."""

MOTION: Final = ("timestamps_s", "tracked", "unit_weights", "gaze", "T_neutral_head")
_MOST_FRAMES = 10_000_000  # more than a day
_LARGEST = 1e7


def read_track(folder: Path) -> MotionTrack | None:
    """The motion of a session, whole or not; None where it has none. Raises InputError."""
    if (whole := folder / ANIMATION_NAME).is_file():
        return read_motion_of(whole)
    if (poses := folder / POSES_NAME).is_file():
        try:
            with poses.open("rb") as file:
                records = sound(read_poses(file, _MOST_FRAMES))
        except OSError as error:
            raise InputError(f"{poses}: cannot be read ({reason_of(error)})") from None
        return _track({name: np.ascontiguousarray(records[name]) for name in MOTION})
    return None


def read_motion_of(path: Path) -> MotionTrack | None:
    """The motion in an `animation.npz`; None where an older version wrote it. Raises InputError."""
    with opened_zip(path) as archive:
        if "unit_weights.npy" not in archive.namelist():
            return None
    arrays = read_arrays(path, min(path.stat().st_size, _MOST_FRAMES * POSE.itemsize), MOTION)
    try:
        count = len(arrays["timestamps_s"])
        expect(arrays, "timestamps_s", np.float64, count)
        expect(arrays, "tracked", np.bool_, count)
        expect(arrays, "unit_weights", np.float32, count, UNIT_COUNT)
        expect(arrays, "gaze", np.float64, count, 2, 2)
        expect(arrays, "T_neutral_head", np.float64, count, 4, 4)
        if any(np.abs(arrays[name]).max(initial=0.0) > _LARGEST for name in MOTION if name != "tracked"):
            raise ValueError("holds numbers that no face makes")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not the motion of a session ({error})", "record it again") from None
    return _track(arrays)


def _track(arrays: dict[str, NDArray[Any]]) -> MotionTrack:
    """Of the frames whose time is later than that of all before."""
    times = arrays["timestamps_s"]
    latest = np.maximum.accumulate(times)
    rising = np.concatenate([np.ones(min(len(times), 1), bool), times[1:] > latest[:-1]])
    return MotionTrack(
        times[rising],
        arrays["tracked"][rising],
        arrays["unit_weights"][rising].astype(np.float64),
        arrays["gaze"][rising],
        arrays["T_neutral_head"][rising],
    )


def read_poses(file: IO[bytes], count: int) -> NDArray[np.void]:
    """The first `count` poses of a file, fewer where it ends before. Raises OSError."""
    there = file.seek(0, os.SEEK_END)
    file.seek(0)
    content = file.read(min(there, count * POSE.itemsize)) or b""
    return np.frombuffer(content, dtype=POSE, count=len(content) // POSE.itemsize)


def sound(poses: NDArray[np.void]) -> NDArray[np.void]:
    """The poses up to the first that was never written: after a power cut a file may end in zeros."""
    flags = poses["tracked"].view(np.uint8)
    whole = np.isfinite(poses["T_world_head"]).all(axis=(1, 2)) & np.isfinite(poses["timestamps_s"]) & (flags <= 1)
    whole &= np.isfinite(poses["unit_weights"]).all(axis=1) & np.isfinite(poses["gaze"]).all(axis=(1, 2))
    for name in ("T_world_head", "T_neutral_head"):
        whole &= np.isfinite(poses[name]).all(axis=(1, 2)) & (poses[name][:, 3] == (0, 0, 0, 1)).all(axis=1)
    return poses[: len(poses) if whole.all() else int(np.argmin(whole))]
