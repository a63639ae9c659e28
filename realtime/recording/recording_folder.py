"""The folder of one recording: who may write into it, and what its files are called."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

from core.errors import InputError
from core.writable import next_step, reason_of
from realtime.session.folder_lock import LOCK_NAME as LOCK_NAME
from realtime.session.folder_lock import locked
from realtime.session.folder_names import ANIMATION_NAME as ANIMATION_NAME
from realtime.session.folder_names import EVENTS_NAME, WHOLE_NAMES
from realtime.session.folder_names import POSES_NAME as POSES_NAME
from realtime.session.folder_names import PREVIEW_NAME as PREVIEW_NAME
from realtime.session.folder_names import SOUND_NAME as SOUND_NAME
from realtime.session.folder_names import partial_of as partial_of

NAMES = WHOLE_NAMES
SYNC_S = 1.0  # a power cut loses no more than this


class RecordingError(InputError):
    """A recording cannot be written; names the file, the reason and the next step."""

    @staticmethod
    def of(path: Path, error: Exception) -> RecordingError:
        return RecordingError(
            f"{path}: cannot be written ({reason_of(error)}); {next_step(error)}, or record elsewhere"
        )


class RecordingFolder:
    """A folder that this process alone writes a recording into, until `release`. A context manager.

    The lock is the operating system's, so that it ends with the process, however that ends.
    """

    def __init__(self, path: Path, lock: FileLock, made: list[Path]) -> None:
        self.path = path
        self._lock = lock
        self._made = made
        self._place = path.stat()

    @staticmethod
    def claim(path: Path, *, overwrite: bool, driving: str | Path = "") -> RecordingFolder:
        """The folder, made where it is not there.

        Raises InputError where it cannot be written, is being recorded into, holds a recording, finished or not,
        that must not be replaced, or is what drives (`driving`, the recording that is played, or any device).
        """
        try:
            if path.exists() and not path.is_dir():
                raise InputError(f"{path}: expected a folder to record into, found a file; name another")
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            lock = locked(path)
        except InputError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise InputError(f"{path}: cannot be recorded into ({reason_of(error)}); name another folder") from None
        folder = RecordingFolder(path, lock, made)
        try:
            folder._refuse_what_drives(driving)
            folder._refuse_what_is_there(overwrite)
        except BaseException:
            folder.release()
            raise
        return folder

    @staticmethod
    def claim_new(parent: Path, name: str) -> RecordingFolder:
        """A folder of that name in `parent`, or with a number after it where another has it already. Raises InputError
        where none can be made."""
        for number in count(1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):  # of an earlier session, or one that begins at this moment
                try:
                    parent.mkdir(parents=True, exist_ok=True)
                    path.mkdir()
                except FileExistsError:
                    if path.exists():
                        raise
                    raise InputError(f"{parent}: expected a folder to record into, found a file; remove it") from None
                except OSError as error:
                    raise InputError(f"{path}: cannot be recorded into ({reason_of(error)})") from None
                folder = RecordingFolder.claim(path, overwrite=False)
                folder._made = [path]
                return folder
        raise AssertionError("numbers never end")

    @staticmethod
    def reopen(path: Path) -> RecordingFolder:
        """The folder of a recording to be completed. Raises InputError where there is none, or it is being written."""
        if not path.is_dir():
            raise InputError(f"{path}: expected the folder of a recording, found none; check the path")
        try:
            return RecordingFolder(path, locked(path), made=[])
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({reason_of(error)}); check who may write there") from None

    def _refuse_what_drives(self, driving: str | Path) -> None:
        try:
            place = Path(driving).resolve(strict=True)
        except (OSError, ValueError):  # the name of a device is no file's
            return
        if self.path.resolve() in (place, place.parent if place.name in NAMES else place):
            raise InputError(f"{self.path}: {driving} drives, and would be replaced; name another folder")

    def _refuse_what_is_there(self, overwrite: bool) -> None:
        own = [*NAMES, POSES_NAME, *(partial_of(self.path / name).name for name in NAMES)]
        own += [EVENTS_NAME]
        strange = [name for name in own if (path := self.path / name).is_symlink() or path.is_dir()]
        if strange:
            raise InputError(f"{self.path}: {strange[0]} is a link or a folder there; record into another folder")
        if overwrite:
            return
        taken = [name for name in NAMES if (self.path / name).exists()]
        if taken:
            raise InputError(
                f"{self.path}: already holds a recording ({', '.join(taken)}); name another folder or pass --overwrite"
            )
        poses = self.path / POSES_NAME  # of a recording that ended before its first pose, empty or not there
        if poses.exists() and poses.stat().st_size > 0:
            raise InputError(
                f"{self.path}: holds an unfinished recording; complete it with  vfa session repair {self.path}  , "
                "name another folder or pass --overwrite"
            )

    def release(self) -> None:
        """Let others write here. Folders made for a recording that never began are removed. May be called twice."""
        if not self._lock.is_locked:
            return
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.stat(), self._place):  # otherwise another folder stands here now
                (self.path / LOCK_NAME).unlink(missing_ok=True)
        self._lock.release()
        with contextlib.suppress(OSError):  # it is not empty, or gone
            for folder in self._made:
                folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class SyncedFile:
    """A file that grows: nothing waits in a buffer, and every second all is brought to the disk and the file is seen to
    be still where it was put.

    Raises OSError, and RecordingError where it was moved or removed.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self.raw = path.open("w+b", buffering=0)
        self._synced_s = clock()
        self.written_bytes = 0
        self.error: OSError | RecordingError | None = None  # the first one: a muxer only says that there was one

    def write(self, content: bytes) -> int:
        """All of it: an unbuffered file may take a part and ask to be given the rest."""
        try:
            left = memoryview(content)
            while left:
                taken = self.raw.write(left)
                self.written_bytes += taken
                left = left[taken:]
            if self._clock() - self._synced_s >= SYNC_S:
                os.fsync(self.raw.fileno())
                self.check_in_place()
                self._synced_s = self._clock()
        except (OSError, RecordingError) as error:
            self.error = self.error or error
            raise
        return len(content)

    @property
    def in_place(self) -> bool:
        """Whether the file, which is open, still stands where it was put."""
        try:
            return os.path.samestat(os.fstat(self.raw.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def check_in_place(self) -> None:
        """Raises RecordingError where the file no longer stands where it was put."""
        if not self.in_place:
            raise RecordingError(
                f"{self._path}: was moved or removed while it was being written; if it was moved, complete it in its "
                "new place with  vfa session repair FOLDER"
            )

    def release(self) -> None:
        """Close the file. May be called twice. (Not `close`: a muxer would call that itself.)"""
        self.raw.close()


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
