"""Good files in memory, and the damaged copies that a loader is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Files = dict[str, bytes | None]  # path inside the case's folder → content; None is an empty folder of that name


@dataclass(frozen=True)
class Seed:
    """`files` that belong together, and which of them (or which folder) the loader is given."""

    files: Files
    entry: str


def read_seed(root: Path, path: Path) -> Seed:
    """What `make_seeds` wrote to `root` for `path`: all of the outermost folder inside `root` that `path` lies in.

    So `root/head/head.obj` brings `root/head/head.mtl` along, and `root/head.obj` comes alone.
    """
    entry = path.relative_to(root)
    unit = root / entry.parts[0]
    found = sorted(unit.rglob("*")) if unit.is_dir() else [unit]
    files: Files = {str(file.relative_to(root)): file.read_bytes() for file in found if file.is_file()}
    return Seed(files, str(entry))


def write_case(folder: Path, files: Files) -> None:
    """Write `files` below the empty `folder`. A name below another file's name is left out."""
    for name, content in sorted(files.items(), key=lambda item: len(PurePosixPath(item[0]).parts)):
        path = folder / name
        if any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif not path.is_dir():
            path.write_bytes(content)
