"""`job.json` beside what a job made says of what: by it a later run knows what is finished, and what is its own."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from core.errors import InputError
from core.untrusted import read_json
from core.whole_file import whole_file
from core.writable import writing_to

NAME = "job.json"
_LARGEST_BYTES = 1 << 20
_MOST_FILES = 200_000

State = Literal["begun", "done", "failed"]


@dataclass(frozen=True)
class Journal:
    """What is known of one job.

    Attributes:
        state: "begun" while it is at work, and where the process was killed.
        made_of: digest of settings and inputs; another one makes the job another.
        files: what it made, names in its folder.
        frames: how many.
        seconds: how long that took.
        error: why it failed; else empty.
        warnings: what was told on the way.
    """

    state: State
    made_of: str
    files: tuple[str, ...] = ()
    frames: int = 0
    seconds: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = field(default=())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """That of a job's folder; None where there is none, or none that can be read."""
        try:
            content = read_json(folder / NAME, _LARGEST_BYTES)
            found = cls(**{**content, "files": tuple(content["files"]), "warnings": tuple(content["warnings"])})
        except (InputError, TypeError, KeyError):
            return None
        texts = (found.state, found.made_of, found.error, *found.files, *found.warnings)
        sound = all(isinstance(text, str) for text in texts) and isinstance(found.frames, int)
        plain = all(Path(name).name == name for name in found.files) if sound else False
        return found if plain and isinstance(found.seconds, int | float) else None

    def write(self, folder: Path) -> None:
        """Keep it, the folder made where it is missing. Raises InputError."""
        with writing_to(folder / NAME):
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(folder / NAME) as temporary:
                temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    def is_finished(self, folder: Path, made_of: str) -> bool:
        """Whether the job is done, of the same, and all it made is still there."""
        return (
            self.state == "done" and self.made_of == made_of and all((folder / name).is_file() for name in self.files)
        )

    def emptied(self, folder: Path) -> Self:
        """The same without what it made, which is removed: it is to be made anew."""
        for name in self.files:
            with suppress(OSError):
                (folder / name).unlink()
        return replace(self, files=(), frames=0)


def made_of(settings: dict[str, Any], inputs: list[Path]) -> str:
    """Digest of settings (plain values) and of the inputs' sizes and times; of folders, of all files in them."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in inputs:
        digest.update(repr((str(path), _state(path))).encode())
    return digest.hexdigest()


def _state(path: Path) -> tuple[int, int, int]:
    """Files, bytes, and when the newest was changed; zeros where there is nothing."""
    with suppress(OSError):
        if not path.is_dir():
            found = path.stat()
            return 1, found.st_size, found.st_mtime_ns
    count = size = newest = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                found = (Path(folder) / name).stat()
                count, size, newest = count + 1, size + found.st_size, max(newest, found.st_mtime_ns)
            if count >= _MOST_FILES:
                return count, size, newest
    return count, size, newest
