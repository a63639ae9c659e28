"""Compiled engines on disk: found again only if everything that went into them is the same.

Each engine lies beside a small JSON file that states what it was built from and its sha256. Both must agree with what
is asked for now; anything else is rebuilt, never trusted.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.backends.native_library import aligned

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """The place of one engine. `facts` is everything its validity depends on."""

    path: Path
    facts: dict[str, str]

    @staticmethod
    def of(directory: Path, facts: dict[str, str], suffix: str) -> "CacheEntry":
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        return CacheEntry(directory / f"{facts['backend']}-{digest}{suffix}", facts)

    @property
    def _label(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def valid(self) -> bool:
        """Whether the engine is there, whole, and made from exactly these facts."""
        try:
            label = json.loads(self._label.read_text())
            return bool(label == {"facts": self.facts, "sha256": _sha256(self.path)})
        except (OSError, ValueError):
            return False

    def content(self) -> NDArray[np.uint8] | None:
        """The engine's bytes from a cache line on, read once; None where it is not `valid`."""
        try:
            label = json.loads(self._label.read_text())
            size = self.path.stat().st_size
            held = aligned(-(-size // 4)).view(np.uint8)[:size]
            with self.path.open("rb") as file:
                read = file.readinto(held.data)
        except (OSError, ValueError):
            return None
        whole = read == size and label == {"facts": self.facts, "sha256": hashlib.sha256(held.data).hexdigest()}
        return held if whole else None

    def write(self, save: Callable[[Path], None]) -> None:
        """`save` writes the engine to the path it is given; it appears under its name only when whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"partial-{self.path.name}")
        try:
            save(partial)
            self._label.unlink(missing_ok=True)
            partial.replace(self.path)
            label = self._label.with_name(f"partial-{self._label.name}")
            label.write_text(json.dumps({"facts": self.facts, "sha256": _sha256(self.path)}, indent=1))
            label.replace(self._label)
        finally:
            partial.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
