"""What is exported: a session or an `animation.npz`, opened and checked; its vertices stay on the disk."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.face_motion import MotionTrack
from core.source import Sound
from core.untrusted import opened_zip, read_arrays
from realtime.editing.edit_list import EDITS_NAME, edited, with_edits
from realtime.export.sampling import Frame
from realtime.recording.growing_npz import LARGEST_VERTEX_COUNT
from realtime.recording.recording_folder import ANIMATION_NAME
from realtime.session.poses import POSE
from realtime.session.reader import SessionReader, is_session

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

_MOST_FRAMES = 10_000_000  # more than a day
_LARGEST_SHORT = _MOST_FRAMES * POSE.itemsize + 4096
_ENTRY = "vertices.npy"
_RIGID = 1e-3


@dataclass(frozen=True, eq=False)
class RecordedVertices:
    """The vertices of an `animation.npz`, read from its file one frame at a time.

    Attributes:
        path: the file.
        count: of its frames; vertex_count: of each.
        kept: [T] numbers of the frames that count, rising.
        T_file_head: [T, 4, 4] the head's rigid motion in the file's coordinates, of those.
    """

    path: Path
    count: int
    vertex_count: int
    kept: NDArray[np.int64]
    T_file_head: Array

    def __iter__(self) -> Iterator[Frame]:
        """Vertices [V, 3] float32 in the head's file coordinates, before its motion, and that motion [4, 4].

        Raises InputError where the file is damaged.
        """
        wanted = iter(self.kept.tolist())
        due = next(wanted, None)
        row = 0
        with opened_zip(self.path) as archive, _opened(archive, self.path) as entry:
            _header(entry, self.path)
            for number in range(self.count):
                try:
                    data = entry.read(12 * self.vertex_count)
                except Exception as error:  # zipfile and zlib raise their own kinds
                    raise InputError(f"{self.path}: is damaged ({error}); record it again") from None
                if len(data) != 12 * self.vertex_count:
                    raise InputError(f"{self.path}: ends within frame {number} of {self.count}; record it again")
                if number != due:
                    continue
                vertices = np.frombuffer(data, dtype="<f4").reshape(-1, 3)
                if not np.isfinite(vertices).all():
                    raise InputError(f"{self.path}: frame {number} holds vertices that are no numbers; record it again")
                yield vertices.astype(np.float32), self.T_file_head[row]
                due, row = next(wanted, None), row + 1


@dataclass(frozen=True, eq=False)
class Take:
    """What a face did, as it was kept.

    Attributes:
        path: of the session's folder or the file.
        times_s: [T] float64 at capture, the first at 0, rising.
        tracked: [T] bool.
        motion: the same times in units, gaze and head pose; None where none was kept.
        recorded: vertices of the head that was shown; None where none were kept, or edits have changed the motion.
        sound: what was heard, cut as the motion; `begins_s` is on the clock of `times_s`.
    """

    path: Path
    times_s: Array
    tracked: NDArray[np.bool_]
    motion: MotionTrack | None
    recorded: RecordedVertices | None
    sound: Sound | None = None

    @property
    def name(self) -> str:
        """For what is made of it."""
        return self.path.stem if self.path.suffix else self.path.name


def open_take(path: Path) -> Take:
    """A session's folder, or the `animation.npz` in it, with the session's edits. Raises InputError."""
    take = open_recorded(path)
    folder = path if path.is_dir() else path.parent
    if not (folder / EDITS_NAME).exists():
        return take
    if take.motion is None:
        raise InputError(f"{folder / EDITS_NAME}: edits of a recording without units; move the file away")
    motion = edited(folder, take.motion)
    if motion is take.motion:
        return take
    log.info("%s: with its edits (%s)", folder, EDITS_NAME)
    sound = None if take.sound is None else with_edits(take.sound, folder, take.motion)
    if take.sound is not None and sound is None:
        log.warning("%s: its edits play it faster or slower, it is exported without sound", folder)
    return Take(path, motion.timestamps_s, motion.tracked, motion, None, sound)


def open_recorded(path: Path) -> Take:
    """The same as it was recorded. Raises InputError."""
    if not path.exists():
        raise InputError(f"{path}: there is no such session or animation.npz; check the path")
    file = path / ANIMATION_NAME if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise InputError(
            f"{path}: expected a session, found no {ANIMATION_NAME} in it; give a folder that --record made"
        )
    if file.is_file() and not zipfile.is_zipfile(file):
        raise InputError(
            f"{file}: is cut off, or no recording; vfa session check {file.parent} says what can be brought back"
        )
    with opened_zip(file) as archive, _opened(archive, file) as entry:
        count, vertex_count = _header(entry, file)
    short = _arrays(file, ("T_world_head", "timestamps_s", "tracked"), count)
    T, times, tracked = short["T_world_head"], short["timestamps_s"], short["tracked"]
    times, T = times.astype(np.float64), T.astype(np.float64)
    if not (np.isfinite(times).all() and np.isfinite(T).all()):
        raise InputError(f"{file}: holds times or head poses that are no numbers; record it again")
    _check_rigid(T, f"{file}: T_world_head")
    kept = advancing(times, str(file))
    recorded = RecordedVertices(file, count, vertex_count, kept, T[kept])
    motion = _motion(file, count, times, tracked, kept)
    sound = _sound(file.parent, float(times[kept[0]]))
    return Take(path, times[kept] - times[kept[0]], tracked[kept].astype(bool), motion, recorded, sound)


def _sound(folder: Path, first_s: float) -> Sound | None:
    """What was heard, on a clock that is 0 at the first frame."""
    if not is_session(folder):
        return None
    sound = SessionReader.open(folder).sound
    return None if sound is None else Sound(sound.path, sound.begins_s - first_s)


def _motion(
    file: Path, count: int, times: Array, tracked: NDArray[np.bool_], kept: NDArray[np.int64]
) -> MotionTrack | None:
    """What the face did; None where an earlier version recorded. Raises InputError for what cannot be a motion."""
    names = ("unit_weights", "gaze", "T_neutral_head")
    with opened_zip(file) as archive:
        if not {f"{name}.npy" for name in names} <= set(archive.namelist()):
            return None
    read = _arrays(file, names, count)
    if not all(np.isfinite(values).all() for values in read.values()):
        raise InputError(f"{file}: expected finite numbers in {', '.join(names)}, got others; record it again")
    _check_rigid(read["T_neutral_head"].astype(np.float64), f"{file}: T_neutral_head")
    return MotionTrack(
        times[kept] - times[kept[0]],
        tracked[kept].astype(bool),
        *(read[name][kept].astype(np.float64) for name in names),
    )


def _check_rigid(T: Array, name: str) -> None:
    """Raises InputError where one of [T, 4, 4] is no rotation with a translation."""
    turns = T[:, :3, :3]
    turned = np.abs(turns @ np.swapaxes(turns, 1, 2) - np.eye(3)).max(initial=0.0)
    mirrored = np.linalg.det(turns).min(initial=1.0) < 0
    if not turned <= _RIGID or mirrored or np.abs(T[:, 3] - [0, 0, 0, 1]).max(initial=0.0) > _RIGID:
        raise InputError(f"{name}: expected rigid head poses, got others; record it again")


def _arrays(file: Path, names: tuple[str, ...], count: int) -> dict[str, NDArray[Any]]:
    """Arrays of `count` poses. Raises InputError for others."""
    read = read_arrays(file, _LARGEST_SHORT, names)
    for name in names:
        expected = (count, *POSE[name].shape)
        if read[name].shape != expected:
            raise InputError(
                f"{file}: expected {name} of shape {expected} beside {count} frames, got {read[name].shape}"
            )
    return read


def advancing(times_s: Array, name: str) -> NDArray[np.int64]:
    """Numbers of the frames whose time is later than that of all before; how many are left out is logged. Raises
    InputError where there is not one."""
    if not len(times_s):
        raise InputError(f"{name}: expected at least one frame, found none; record longer")
    latest = np.maximum.accumulate(times_s)
    kept = np.flatnonzero(np.concatenate([[True], times_s[1:] > latest[:-1]]))
    if len(kept) < len(times_s):
        log.warning("%s: %d frames whose time does not advance are left out", name, len(times_s) - len(kept))
    return kept


def _opened(archive: zipfile.ZipFile, path: Path) -> IO[bytes]:
    try:
        return archive.open(_ENTRY)
    except KeyError:
        raise InputError(f"{path}: expected vertices in it, found none; give an animation.npz of --record") from None
    except Exception as error:  # zipfile raises its own kinds
        raise InputError(f"{path}: is damaged ({error}); record it again") from None


def _header(entry: IO[bytes], path: Path) -> tuple[int, int]:
    """Frames and vertices of each, by the head of the array. Raises InputError."""
    try:
        if np.lib.format.read_magic(entry) != (1, 0):
            raise ValueError("of a later version of .npy")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(entry, max_header_size=4096)
    except Exception as error:  # NumPy's reader of headers raises what Python's own parser does
        raise InputError(f"{path}: its vertices cannot be read ({error}); record it again") from None
    if fortran or dtype != np.dtype("<f4") or len(shape) != 3 or shape[2] != 3:
        raise InputError(f"{path}: expected vertices [T, V, 3] of float32, got {list(shape)} of {dtype}")
    if not (0 < shape[1] <= LARGEST_VERTEX_COUNT and 0 <= shape[0] <= _MOST_FRAMES):
        raise InputError(f"{path}: expected fewer frames and vertices than {list(shape)}")
    return shape[0], shape[1]
