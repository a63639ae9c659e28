"""Compiled engines on disk: found again only if everything that went into them is the same.

Each is one file: the engine, then a label that states what it was built from and the engine's sha256, then the label's
length. All must agree with what is asked for now, and nobody else may write there; anything else is rebuilt, never
trusted. Being one file, an entry is whole whoever writes it at the same time.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.cache_folder import keep, reading, refusal
from core.networks.alignment import aligned
from core.untrusted import parse_json

log = logging.getLogger(__name__)

_LENGTH_BYTES = 8
_LARGEST_LABEL = 1 << 16


@dataclass(frozen=True)
class CacheEntry:
    """The place of one engine. `facts` is everything its validity depends on."""

    path: Path
    facts: dict[str, str]

    @staticmethod
    def of(directory: Path, facts: dict[str, str], suffix: str) -> "CacheEntry":
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        return CacheEntry(directory / f"{facts['backend']}-{digest}{suffix}", facts)

    def content(self) -> NDArray[np.uint8] | None:
        """The engine's bytes from a cache line on; None where it is not there, not whole, not made from exactly these
        facts, or lies where others may write."""
        if self.path.exists() and (reason := refusal(self.path)):
            log.warning("%s: not used, because %s; it is made anew", self.path, reason)
            return None
        with reading(self.path, "the compiled network"):
            if self.path.is_file():
                return self._read()
        return None

    def _read(self) -> NDArray[np.uint8]:
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            held = aligned(-(-size // 4)).view(np.uint8)[:size]
            if file.readinto(held.data) != size or size < _LENGTH_BYTES:
                raise ValueError("it ends too early")
        length = int.from_bytes(held[-_LENGTH_BYTES:].tobytes(), "little")
        if length > min(_LARGEST_LABEL, size - _LENGTH_BYTES):
            raise ValueError("it has no label")
        engine = held[: size - _LENGTH_BYTES - length]
        label = parse_json(held[len(engine) : -_LENGTH_BYTES].tobytes(), "label")
        if label != {"facts": self.facts, "sha256": hashlib.sha256(engine.data).hexdigest()}:
            raise ValueError("it is not what its label says, or was made from something else")
        return engine

    def write(self, save: Callable[[Path], object]) -> None:
        """`save` writes the engine to the path it is given. Where it cannot be kept, that is logged."""

        def labelled(path: Path) -> None:
            save(path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            label = json.dumps({"facts": self.facts, "sha256": digest}).encode()
            with path.open("ab") as file:
                file.write(label + len(label).to_bytes(_LENGTH_BYTES, "little"))

        keep(self.path, labelled, "the compiled network")
