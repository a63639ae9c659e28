"""Who writes into a session's folder: a lock of the operating system, which ends with the process, in whatever way."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from core.errors import InputError

LOCK_NAME: Final = "recording.lock"


def locked(folder: Path) -> FileLock:
    """The lock of a folder, taken. Raises InputError where another process has it, OSError where it cannot be made."""
    lock = FileLock(folder / LOCK_NAME, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: a recording is being written here right now; wait for its end") from None
    return lock


def is_written(folder: Path) -> bool:
    """Whether somebody writes into the folder at this moment; False as well where that cannot be told."""
    if not (folder / LOCK_NAME).is_file():
        return False
    try:
        locked(folder).release()
    except InputError:
        return True
    except OSError:  # of a folder that we may only read
        return False
    return False
