"""`animation.npz`: every pose of a session, on the disk within the second in which it happened."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from realtime.recording import growing_npz
from realtime.recording.recording_folder import (
    ANIMATION_NAME,
    POSES_NAME,
    SYNC_S,
    RecordingError,
    partial_of,
    sync_folder,
    write_all,
)

POSE = np.dtype([("T_world_head", "<f8", (4, 4)), ("timestamps_s", "<f8"), ("tracked", "?")])


class AnimationWriter:
    """Writes poses to disk as they come; closing makes one `.npz` of them, in place.

    Arrays: `vertices` [T, V, 3] float32 in the file's coordinates, expression only; `T_world_head` [T, 4, 4] float64,
    the rigid head motion in the same coordinates (apply it to the vertices; identity at neutral); `timestamps_s` [T]
    float64 at capture; `tracked` [T] bool.

    Until it is closed, vertices are in `animation.partial.npz` and all else in `poses.partial`, each pose after its
    vertices. Nothing waits in a buffer of ours: a killed process loses the pose it was writing, a power cut the last
    second (`finish_animation` completes what is left).

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(self, path: Path, vertex_count: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.frames = 0
        self._vertex_count = vertex_count
        self._clock, self._synced_s = clock, clock()
        self._crc = 0
        self._partial, self._poses_path = partial_of(path), path.with_name(POSES_NAME)
        self._files: list[IO[bytes]] = []
        try:
            self._vertices = self._opened(self._partial)
            write_all(self._vertices, growing_npz.first_bytes(vertex_count))
            self._poses = self._opened(self._poses_path)
        except OSError as error:
            self._let_go()
            raise RecordingError.of(path, error) from error

    def _opened(self, path: Path) -> IO[bytes]:
        self._files.append(path.open("wb", buffering=0))
        return self._files[-1]

    def append(
        self,
        vertices: NDArray[np.float32],  # [V, 3]
        T_world_head: NDArray[np.float64],  # [4, 4]
        timestamp_s: float,
        tracked: bool,
    ) -> None:
        """Add one pose. Raises ValueError when the vertex count differs from the one given at construction."""
        if vertices.shape != (self._vertex_count, 3):
            expected = [self._vertex_count, 3]
            raise ValueError(f"{self.path}: expected vertices of shape {expected}, got {list(vertices.shape)}")
        frame = np.ascontiguousarray(vertices, dtype="<f4").tobytes()
        pose = np.array((T_world_head, timestamp_s, tracked), dtype=POSE).tobytes()
        try:
            write_all(self._vertices, frame)
            write_all(self._poses, pose)
            if self._clock() - self._synced_s >= SYNC_S:
                self._sync()
        except OSError as error:
            raise RecordingError.of(self.path, error) from error
        self._crc = zlib.crc32(frame, self._crc)
        self.frames += 1

    def _sync(self) -> None:
        """Bring everything to the disk, and see that the files are still where they were put."""
        for file, path in ((self._vertices, self._partial), (self._poses, self._poses_path)):
            os.fsync(file.fileno())
            try:
                same = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                same = False
            if not same:
                raise RecordingError(f"{path}: was removed while it was being written; record into another folder")
        self._synced_s = self._clock()

    def close(self) -> None:
        """Make the archive whole. A session without a single pose leaves no file. May be called twice."""
        if not self._files:
            return
        self._let_go()
        if not self.frames:
            self._remove()
            return
        try:
            poses = np.fromfile(self._poses_path, dtype=POSE, count=self.frames)
            _put_together(self.path, poses, self._vertex_count, self._crc)
        except OSError as error:
            raise _unfinished(self.path, error) from error

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        if self._files:
            self._let_go()
            self._remove()

    def _let_go(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    def _remove(self) -> None:
        self._partial.unlink(missing_ok=True)
        self._poses_path.unlink(missing_ok=True)


def _put_together(path: Path, poses: NDArray[np.void], vertex_count: int, crc: int | None) -> None:
    """From the partial files to the archive under its name, and only then away with the poses. Raises OSError."""
    partial = partial_of(path)
    short = {name: np.ascontiguousarray(poses[name]) for name in POSE.names or ()}
    growing_npz.complete(partial, len(poses), vertex_count, short, crc)
    partial.replace(path)
    sync_folder(path.parent)
    path.with_name(POSES_NAME).unlink(missing_ok=True)


def _unfinished(path: Path, error: OSError) -> RecordingError:
    problem = RecordingError.of(path, error)
    return RecordingError(f"{problem}; make room and run  vfa finish-recording {path.parent}")


def finish_animation(folder: Path) -> int:
    """Complete the animation that a killed process left in `folder`; it must be locked (`RecordingFolder.reopen`).

    Returns the number of frames: those that are there in full. Nothing is deleted before the archive stands under its
    name. Raises InputError where there is nothing to complete or it cannot be read.
    """
    path = folder / ANIMATION_NAME
    partial, poses_path = partial_of(path), folder / POSES_NAME
    for file in (partial, poses_path):
        if file.is_symlink() or not file.is_file():
            raise InputError(f"{file}: expected an unfinished recording, found none; give the recording's folder")
    vertex_count = growing_npz.vertex_count_of(partial)
    try:
        there = (partial.stat().st_size - growing_npz.DATA_OFFSET) // growing_npz.frame_bytes(vertex_count)
        poses = _sound(
            np.fromfile(poses_path, dtype=POSE, count=min(there, poses_path.stat().st_size // POSE.itemsize))
        )
        if not len(poses):
            raise InputError(f"{folder}: not one frame of the recording is complete; it is left as it is")
        _put_together(path, poses, vertex_count, None)
    except OSError as error:
        raise _unfinished(path, error) from error
    return len(poses)


def _sound(poses: NDArray[np.void]) -> NDArray[np.void]:
    """The poses up to the first that was never written: after a power cut a file may end in zeros."""
    flags = poses["tracked"].view(np.uint8)
    whole = np.isfinite(poses["T_world_head"]).all(axis=(1, 2)) & np.isfinite(poses["timestamps_s"]) & (flags <= 1)
    whole &= (poses["T_world_head"][:, 3] == (0, 0, 0, 1)).all(axis=1)
    return poses[: len(poses) if whole.all() else int(np.argmin(whole))]
