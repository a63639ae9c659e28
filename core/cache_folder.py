"""What can be made anew, kept between starts: entries of the user's cache folder, one file each.

A cache never stops the program and is never believed blindly. An entry that cannot be written is told once and done
without; one that does not read, or whose reader finds fault with its content, is told and made anew. Folders are made
for the user alone (0700). What runs as code is loaded only from where nobody else may write: see `refusal`.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from core import cache_limit
from core.errors import one_line
from core.whole_file import remove_left_behind, whole_file

log = logging.getLogger(__name__)

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_WAIT_S = 0.2
_told: set[Path] = set()  # folders of which it was told that they cannot be written


def cache_folder(name: str) -> Path:
    """Where entries of one kind are kept by default: a folder in the user's cache. It need not exist."""
    return user_cache_path("vfa-live", appauthor=False) / name


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, for the user alone. One of the user's own cache that others
    may enter, from an earlier version, is closed. Raises OSError."""
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            with suppress(FileExistsError):  # another process was faster; a file in its place fails at the next step
                folder.mkdir(mode=0o700)
    root = cache_folder("")
    if os.name == "posix" and path.is_relative_to(root):
        for folder in (root, path):
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                with suppress(PermissionError):  # not the user's own: still good for what is no code
                    folder.chmod(0o700)


def keep(path: Path, save: Callable[[Path], object], what: str) -> bool:
    """Write an entry, whole or not at all; True where it is kept. What goes wrong is logged, once for each folder.

    Args:
        save: writes to the path that it is given, whatever that is called.
        what: in words, such as "the prepared avatar".
    """
    try:
        make_folder(path.parent)
        remove_left_behind(path.parent)
        with whole_file(path) as partial:
            save(partial)
            partial.chmod(0o600)
        if path.is_relative_to(root := cache_folder("")):
            cache_limit.trim(root, keep=path)
    except Exception as error:  # writers of other libraries raise all kinds; none is worth the program
        if path.parent not in _told:
            _told.add(path.parent)
            log.warning("%s: %s is not kept (%s); it is made anew at every start", path.parent, what, one_line(error))
        return False
    return True


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Within this, an entry is read back. Whatever is raised then ends it, and is logged: the entry is made anew.

    with reading(path, "the prepared avatar"):
        if path.is_file():
            avatar = load(path)
    """
    try:
        yield
        cache_limit.used(path)
    except Exception as error:  # whatever is wrong with an entry, it can be made anew
        log.warning("%s: %s kept there is damaged (%s); it is made anew", path, what, one_line(error))


@contextmanager
def alone(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Within this, no other process that asks makes the same entry: whoever comes second waits for the first, and finds
    it made. A process that dies lets go. Where no lock can be had, each makes it for itself.

    Args:
        waiting: called several times a second while another is at work; what it raises ends the wait.
    """
    try:
        make_folder(path.parent)
        lock = FileLock(path.with_name(f".{path.stem}.lock"), thread_local=False)
        while True:
            with suppress(Timeout):
                lock.acquire(timeout=_WAIT_S)
                break
            waiting()
    except (OSError, NotImplementedError) as error:  # a folder or file system that takes none
        log.debug("%s: cannot be locked (%s)", path, one_line(error))
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # who waits for it still gets it, and finds the entry made
            Path(lock.lock_file).unlink()
        lock.release()


def refusal(path: Path) -> str | None:
    """Why a file is not to be run as code, in a few words: another user owns it or its folder, or may write there.
    None where all is well, and on systems without such modes."""
    if os.name != "posix":
        return None
    try:
        for place, expected in ((path.parent.resolve(), stat.S_ISDIR), (path, stat.S_ISREG)):
            found = place.lstat()
            if not expected(found.st_mode):
                return f"{place} is a link or no file"
            if found.st_uid not in (os.geteuid(), 0):
                return f"{place} belongs to user {found.st_uid}"
            if found.st_mode & _OTHERS:
                return f"others may write {place} (mode {stat.S_IMODE(found.st_mode):04o})"
    except OSError as error:
        return one_line(error)
    return None


@functools.cache
def temporary_folder() -> Path:
    """A folder of this process's alone (0700), removed at its end: for what cannot be kept but has to be a file."""
    folder = tempfile.mkdtemp(prefix="vfa-live-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
