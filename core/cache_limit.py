"""How large the user's cache may grow: what was not used for longest goes first."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.whole_file import whole_file

DEFAULT_LIMIT_BYTES = 4_000_000_000
LIMIT_NAME = "limit"  # the file in the cache's folder that keeps another one
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache: `path`, its `size` in bytes, and when it was last used (seconds since 1970)."""

    path: Path
    size: int
    used_s: float


def entries(root: Path) -> list[CacheEntry]:
    """Every entry below `root`, the one used last first. What other processes take away meanwhile is left out."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            with suppress(OSError):
                if path.parent != root and not name.startswith(".") and not path.is_symlink():
                    state = path.stat()
                    found.append(CacheEntry(path, state.st_size, state.st_mtime))
    return sorted(found, key=lambda entry: -entry.used_s)


def used(path: Path) -> None:
    """Note that an entry was used just now."""
    with suppress(OSError):
        os.utime(path)


def trim(root: Path, keep: Path | None = None) -> list[CacheEntry]:
    """Remove what was not used for longest until the rest is within the limit; `keep` stays. Returns what went."""
    left, gone = limit_bytes(root), []
    for entry in entries(root):
        left -= entry.size
        if left < 0 and entry.path != keep:
            with suppress(OSError):
                entry.path.unlink()
                gone.append(entry)
                left += entry.size
    if gone:
        log.info(
            "cache: %d entries not used for longest were removed; vfa cache --limit sets how much is kept", len(gone)
        )
    return gone


def clear(root: Path) -> list[CacheEntry]:
    """Remove every entry. Returns what went."""
    gone = []
    for entry in entries(root):
        with suppress(OSError):
            entry.path.unlink()
            gone.append(entry)
    return gone


def limit_bytes(root: Path) -> int:
    """How much is kept: as set before, or the default."""
    try:
        return parse_size((root / LIMIT_NAME).read_text()[:40])
    except (OSError, ValueError):
        return DEFAULT_LIMIT_BYTES


def set_limit(root: Path, size: str) -> int:
    """Keep another limit, such as "500MB" or "2 GB". Raises InputError for what is no size or cannot be kept."""
    count = parse_size(size)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file(root / LIMIT_NAME) as partial:
            partial.write_text(f"{count}\n")
    except OSError as error:
        raise InputError(
            f"--limit {size}: {root} cannot be written ({error.strerror}); check who may write there"
        ) from None
    return count


def parse_size(text: str) -> int:
    """Bytes of a size such as "500MB". Raises InputError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InputError(f"--limit {text}: expected a size such as 500MB or 2GB; 0 keeps nothing")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def as_words(size: int) -> str:
    """A size as people read it."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def age_of(entry: CacheEntry) -> str:
    """How long ago it was used."""
    seconds = max(0.0, time.time() - entry.used_s)
    for unit, factor in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.0f} {unit} ago"
    return "just now"
