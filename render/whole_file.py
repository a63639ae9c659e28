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
    """A name beside `path` to write to, this writer's alone, with the same suffix; the file is renamed where the block
    ends well and removed where it does not.

    Raises OSError, and whatever the block raises.
    """
    partial = path.with_name(f".{path.stem[:80]}{_MARK}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def remove_left_behind(folder: Path) -> None:
    """Delete what writers that were killed left in a folder: partial files that have not grown for an hour."""
    for path in folder.glob(f".*{_MARK}*"):
        with suppress(OSError):  # another process may be tidying, too
            if time.time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                path.unlink()
