"""Files that appear under their name only when they are whole, however many write them at once."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LEFT_BEHIND_S = 3600.0
_MARK = ".partial-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, this writer's alone; the file is renamed where the block ends well and removed
    where it does not.

    Raises OSError, and whatever the block raises.
    """
    partial = path.with_name(f".{path.name[:100]}{_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def remove_left_behind(folder: Path, idle_s: float = _LEFT_BEHIND_S) -> None:
    """Delete what writers that were killed left in a folder: partial files that have not grown for so long. 0 where
    there is no other writer."""
    for path in folder.glob(f".*{_MARK}*"):
        with suppress(OSError):  # another process may be tidying, too
            if time.time() - path.stat().st_mtime >= idle_s:
                path.unlink()
