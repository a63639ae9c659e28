"""Damage to files: what wear, broken programs and malice do to them. Everything is drawn from the given generator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import PurePosixPath

from tools.fuzz import containers, raw_bytes
from tools.fuzz.seeds import Files, Seed

_WHOLE_FOLDER = 0.15  # share of the cases in which the folder is damaged rather than a file's content
_LARGEST = 4 << 20  # bytes, after which nothing more is done to a file: what repeats could grow without end
_STRUCTURED = 0.5  # share of those files that have a known structure in which it is kept


def mutate(rng: random.Random, seeds: Sequence[Seed]) -> Seed:
    """A damaged copy of one of `seeds`."""
    seed = rng.choice(seeds)
    files = dict(seed.files)
    if len(files) > 1 and rng.random() < _WHOLE_FOLDER:
        return Seed(_damaged_folder(rng, files), seed.entry)
    name = rng.choice(sorted(files))
    content = files[name] or b""
    files[name] = damaged(rng, content, _alike(seeds, name, content))
    return Seed(files, seed.entry)


def damaged(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`content` with one to six faults; `others` are files of its kind to splice it with."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if len(content) > _LARGEST:
            break
        structure = containers.structure_of(content)
        if structure is not None and rng.random() < _STRUCTURED:
            content = structure(rng, content, damaged)
        elif others and rng.random() < 0.08:
            content = raw_bytes.spliced(rng, content, rng.choice(others))
        else:
            content = raw_bytes.damaged(rng, content)
    return content


def _alike(seeds: Sequence[Seed], name: str, content: bytes) -> list[bytes]:
    """Other contents with the same suffix."""
    suffix = PurePosixPath(name).suffix
    every = (item for seed in seeds for item in sorted(seed.files.items()))
    return [found for other, found in every if found and found != content and PurePosixPath(other).suffix == suffix]


def _damaged_folder(rng: random.Random, files: Files) -> Files:
    name = rng.choice(sorted(files))
    path = PurePosixPath(name)
    match rng.randrange(7):
        case 0:
            del files[name]
        case 1:
            files[name] = b""
        case 2:
            files[name] = None
        case 3:
            files[str(path.with_name(rng.choice(("0" + path.name, path.stem, "x" + path.suffix))))] = files.pop(name)
        case 4:
            files[str(path.with_suffix(rng.choice((".png", ".json", ".npz", ".exr", ".mp4"))))] = files.pop(name)
        case 5:
            other = rng.choice(sorted(files))
            files[name], files[other] = files[other], files[name]
        case _:
            files[str(path.with_name(f"{path.stem}9{path.suffix}"))] = files[name]
    return files
