"""Whether a file can be written where the user wants it, found out before the work that is to go into it; and standard
streams that can no longer be written to, which end no work."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from core.errors import InputError


def reason_of(error: Exception) -> str:
    """What the system says, in words a user knows."""
    if not isinstance(error, OSError):  # such as ValueError for a null byte in a path
        return str(error) or type(error).__name__
    known = {
        errno.ENOSPC: "the disk is full",
        errno.EROFS: "the disk is read-only",
        errno.EDQUOT: "the quota is used up",
    }
    return known.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__


def next_step(error: Exception) -> str:
    """What lets the system write again."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "make room"
    return "allow writing there" if number in (errno.EACCES, errno.EPERM, errno.EROFS) else "see what is in its way"


def check_writable(path: Path, option: str) -> None:
    """See that a file can be written at `path`, its folders made where they are missing; nothing is left there.

    Raises InputError, which names the option that gave the path.
    """
    try:
        if not path.name or path.is_dir():
            raise InputError(f"{option} {path}: expected the name of a file to write, this is a folder; add a name")
        if path.exists() and not path.is_file():
            raise InputError(f"{option} {path}: expected the name of a file to write, this is a device; name another")
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise InputError(f"{option} {path}: {folder} is a file, expected a folder; name another")
        trial = folder / f".{path.name[:100]}.trial-{secrets.token_hex(4)}"
        trial.touch(exist_ok=False)
        trial.unlink()
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in it
        raise InputError(f"{option} {path}: cannot be written there ({reason_of(error)}); name another place") from None


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """A block that writes below or at `path`: what the system refuses there becomes an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in a path
        raise InputError(
            f"{path}: cannot be written ({reason_of(error)}); {next_step(error)}, or name another place"
        ) from None


def print_aside(line: str, stream: TextIO) -> None:
    """Print beside work that goes on whether or not anybody hears it: to a pipe nobody reads, a closed terminal, a log
    on a full disk."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        lead_nowhere(stream.fileno())
    except OSError:
        pass


def lead_nowhere(descriptor: int) -> None:
    """From here on what anybody writes to a standard stream, native libraries and the interpreter at its end included,
    is taken and lost."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
