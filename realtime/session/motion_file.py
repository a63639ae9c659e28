"""`motion.npz`: what the face did in every frame, for other programs and other avatars.

Arrays, T frames each: `timestamps_s` float64 at capture; `index` int64 of the frame; `tracked` bool; `weights` [T, 52]
float64 in the order of `core.expression_units.UNIT_NAMES`; `gaze` [T, 2, 2] and `T_neutral_head` [T, 4, 4] float64 as
in `core.face_motion.FaceMotion`; `lids` [T, 2] how far each is shut (0 as in neutral, 1 shut), picture-left eye first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect
from core.errors import InputError
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_motion import FaceMotion, MotionTrack
from core.untrusted import read_arrays
from core.whole_file import whole_file
from realtime.session.folder_names import MOTION_NAME, MOTION_RECORDS_NAME
from realtime.session.record_file import records_of

MOTION: Final = np.dtype(
    [
        ("timestamp_s", "<f8"),
        ("index", "<i8"),
        ("tracked", "?"),
        ("weights", "<f8", (UNIT_COUNT,)),
        ("gaze", "<f8", (2, 2)),
        ("T_neutral_head", "<f8", (4, 4)),
    ]
)
"""One frame while the session runs."""

_BLINKS = [UNIT_NAMES.index(name) for name in ("eyeBlinkRight", "eyeBlinkLeft")]  # picture-left eye first
_ARRAYS = ("timestamps_s", "tracked", "weights", "gaze", "T_neutral_head")
_LARGEST = 1e7
_LARGEST_BYTES = 4 << 30  # two days


def record_of(motion: FaceMotion, timestamp_s: float, index: int, tracked: bool) -> NDArray[np.void]:
    """[] one MOTION."""
    return np.array((timestamp_s, index, tracked, motion.weights, motion.gaze, motion.T_neutral_head), dtype=MOTION)


def read_track(folder: Path) -> MotionTrack | None:
    """The motion of a session, whole or not; None where it has none. Raises InputError."""
    if (whole := folder / MOTION_NAME).is_file():
        return read_motion_file(whole)
    if (records := folder / MOTION_RECORDS_NAME).is_file():
        return _track_of(records_of(records, MOTION))
    return None


def read_motion_file(path: Path) -> MotionTrack:
    """Raises InputError where it is no `motion.npz`."""
    arrays = read_arrays(path, min(path.stat().st_size if path.is_file() else 0, _LARGEST_BYTES), _ARRAYS)
    try:
        count = len(arrays["timestamps_s"])
        times = expect(arrays, "timestamps_s", np.float64, count)
        track = MotionTrack(
            times,
            expect(arrays, "tracked", np.bool_, count),
            expect(arrays, "weights", np.float64, count, UNIT_COUNT),
            expect(arrays, "gaze", np.float64, count, 2, 2),
            expect(arrays, "T_neutral_head", np.float64, count, 4, 4),
        )
        if sound_count(track) != count:
            raise ValueError(f"frame {sound_count(track)} is out of time, or holds numbers that no face makes")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not the motion of a session ({error}); record it again") from None
    return track


def _track_of(records: NDArray[Any]) -> MotionTrack:
    """The frames before the first that was never written."""
    content = np.array(records)
    flags = content["tracked"].view(np.uint8) <= 1
    content = content[: len(content) if flags.all() else int(np.argmin(flags))]
    arrays = {name: np.ascontiguousarray(content[name]) for name in ("tracked", "weights", "gaze", "T_neutral_head")}
    track = MotionTrack(np.ascontiguousarray(content["timestamp_s"]), **arrays)
    count = sound_count(track)
    return MotionTrack(track.timestamps_s[:count], **{name: array[:count] for name, array in arrays.items()})


def sound_count(track: MotionTrack) -> int:
    """How many frames there are before the first that cannot be."""
    whole = np.ones(len(track), bool)
    for numbers in (track.timestamps_s, track.weights, track.gaze, track.T_neutral_head):
        with np.errstate(invalid="ignore"):
            whole &= (np.abs(numbers.reshape(len(track), -1)) <= _LARGEST).all(axis=1)  # false for NaN
    whole &= (track.T_neutral_head[:, 3] == (0, 0, 0, 1)).all(axis=1)
    with np.errstate(invalid="ignore"):
        whole &= np.diff(track.timestamps_s, prepend=-np.inf) > 0
    return len(track) if whole.all() else int(np.argmin(whole))


def finish_motion(folder: Path) -> int:
    """Make `motion.npz` of the records of a session that has ended; they go then. Can be repeated if interrupted.

    Returns the number of frames; a session without any leaves no file. Raises InputError and OSError.
    """
    records = folder / MOTION_RECORDS_NAME
    content = records_of(records, MOTION)
    track = _track_of(content)
    if len(track):
        with whole_file(folder / MOTION_NAME) as partial, partial.open("wb") as file:
            np.savez(
                file,
                timestamps_s=track.timestamps_s,
                index=np.ascontiguousarray(content["index"][: len(track)]),
                tracked=track.tracked,
                weights=track.weights,
                gaze=track.gaze,
                T_neutral_head=track.T_neutral_head,
                lids=track.weights[:, _BLINKS],
            )
    records.unlink(missing_ok=True)
    return len(track)
