"""`animation.npz`: every pose of a session, on the disk within the second in which it happened."""

from __future__ import annotations

import errno
import io
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.face_motion import FaceMotion
from core.writable import next_step, reason_of
from realtime.recording import growing_npz
from realtime.recording.recording_folder import (
    ANIMATION_NAME,
    POSES_NAME,
    RecordingError,
    SyncedFile,
    partial_of,
    sync_folder,
)
from realtime.session.poses import POSE, read_poses, sound

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DIRECTORY_BYTES = 4096  # more than the archive needs beside its arrays


class AnimationWriter:
    """Writes poses to disk as they come; closing makes one `.npz` of them, in place.

    Arrays: `vertices` [T, V, 3] float32 in the file's coordinates, the expression and, below the chin, what keeps the
    shoulders in their place while the head turns; `T_world_head` [T, 4, 4] float64, the rigid head motion in the same
    coordinates (applied to the vertices it gives what was shown; identity at neutral); `timestamps_s` [T] float64 at
    capture; `tracked` [T] bool; and what the face does in the words of other programs, as in
    `core.face_motion.FaceMotion`: `unit_weights` [T, 52] float32, `gaze` [T, 2, 2] and `T_neutral_head` [T, 4, 4]
    float64.

    Until it is closed, vertices are in `animation.partial.npz` and all else in `poses.partial`, each pose after its
    vertices. Nothing waits in a buffer of ours: a killed process loses the pose it was writing, a power cut the last
    second (`finish_animation` completes what is left).

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(self, path: Path, vertex_count: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.frames = 0
        self._vertex_count = vertex_count
        self._clock = clock
        self._crc = 0
        self._partial, self._poses_path = partial_of(path), path.with_name(POSES_NAME)
        self._files: list[SyncedFile] = []
        try:
            self._vertices = self._opened(self._partial)
            self._vertices.write(growing_npz.first_bytes(vertex_count))
            self._poses = self._opened(self._poses_path)
        except OSError as error:
            self._let_go()
            self._remove()
            raise RecordingError.of(path, error) from error

    def _opened(self, path: Path) -> SyncedFile:
        self._files.append(SyncedFile(path, self._clock))
        return self._files[-1]

    def append(
        self,
        vertices: NDArray[np.float32],  # [V, 3]
        T_world_head: NDArray[np.float64],  # [4, 4]
        timestamp_s: float,
        tracked: bool,
        motion: FaceMotion | None = None,
    ) -> None:
        """Add one pose; its face is at rest where no motion is given.

        Raises ValueError when the vertex count differs from the one given at construction.
        """
        if vertices.shape != (self._vertex_count, 3):
            expected = [self._vertex_count, 3]
            raise ValueError(f"{self.path}: expected vertices of shape {expected}, got {list(vertices.shape)}")
        frame = np.ascontiguousarray(vertices, dtype="<f4").tobytes()
        motion = motion or FaceMotion.at_rest()
        told = (motion.weights, motion.gaze, motion.T_neutral_head)
        pose = np.array((T_world_head, timestamp_s, tracked, *told), dtype=POSE).tobytes()
        try:
            self._vertices.write(frame)
            self._poses.write(pose)
        except OSError as error:
            raise RecordingError.of(self.path, error) from error
        self._crc = zlib.crc32(frame, self._crc)
        self.frames += 1

    @property
    def written_bytes(self) -> int:
        return sum(file.written_bytes for file in self._files)

    def close(self, *, shorten: bool = False) -> None:
        """Make the archive whole. A session without a single pose leaves no file. May be called twice.

        Args:
            shorten: where a full disk has no room for the end of the archive, leave out the last few poses; `frames`
                is what is left. Otherwise the partial files wait for room. Raises RecordingError either way.
        """
        if not self._files:
            return
        try:
            self._vertices.check_in_place()
            self._poses.check_in_place()
            if not self.frames:
                self._remove()
                return
            try:
                self._put_together(self._crc)
            except OSError as error:
                if not shorten or error.errno not in _FULL:
                    raise
                self._put_together_in_the_room_there_is(error)
        except OSError as error:
            raise _unfinished(self.path, error) from error
        finally:
            self._let_go()

    def _put_together(self, crc: int | None) -> None:
        poses = read_poses(self._poses.raw, self.frames)
        with _buffered(self._vertices.raw) as whole:
            _put_together(whole, self.path, poses, self._vertex_count, crc)

    def _put_together_in_the_room_there_is(self, error: OSError) -> None:
        while error.errno in _FULL:
            end = self.frames * POSE.itemsize + _DIRECTORY_BYTES
            fewer = self.frames - -(-end // growing_npz.frame_bytes(self._vertex_count))
            if fewer < 1:
                break
            self.frames = fewer
            try:
                self._put_together(None)
            except OSError as again:
                error = again
            else:
                raise RecordingError.of(self.path, error)
        raise error

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        if self._files:
            self._let_go()
            self._remove()

    def _let_go(self) -> None:
        for file in self._files:
            file.release()
        self._files = []

    def _remove(self) -> None:
        self._partial.unlink(missing_ok=True)
        self._poses_path.unlink(missing_ok=True)


@contextmanager
def _buffered(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """An unbuffered file as one that takes all it is given, for a while."""
    buffered = io.BufferedRandom(file)  # type: ignore[arg-type]  # opened without a buffer: a FileIO
    try:
        yield buffered
    finally:
        with suppress(OSError):
            buffered.detach()


def _put_together(file: IO[bytes], path: Path, poses: NDArray[np.void], vertex_count: int, crc: int | None) -> None:
    """From the partial files to the archive under its name, and only then away with the poses. Raises OSError."""
    short = {name: np.ascontiguousarray(poses[name]) for name in POSE.names or ()}
    growing_npz.complete(file, len(poses), vertex_count, short, crc)
    partial_of(path).replace(path)
    sync_folder(path.parent)
    path.with_name(POSES_NAME).unlink(missing_ok=True)


def _unfinished(path: Path, error: OSError) -> RecordingError:
    return RecordingError(
        f"{path}: cannot be written ({reason_of(error)}); {next_step(error)} and run  vfa session repair {path.parent}"
    )


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
        with poses_path.open("rb") as written:
            poses = sound(read_poses(written, there))
        if not len(poses):
            raise InputError(f"{folder}: not one frame of the recording is complete; delete it, or record over it")
        with partial.open("r+b") as archive:
            _put_together(archive, path, poses, vertex_count, None)
    except OSError as error:
        raise _unfinished(path, error) from error
    return len(poses)
