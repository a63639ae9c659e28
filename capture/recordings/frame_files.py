"""Which files of a folder are frames, in which order and taken when, and which depth belongs to which colour.

Names may count (`frame_0012.png`), tell a time (`1305031102.175304.png`, or 10 to 19 digits of seconds to nanoseconds),
or both with more around them; the lists `rgb.txt` and `depth.txt` of the TUM RGB-D benchmark name files and times.
"""

from __future__ import annotations

import bisect
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.source import SourceError
from core.untrusted import read_bytes

TUM_COLOR, TUM_DEPTH = "rgb.txt", "depth.txt"
_LARGEST_LIST = 16 << 20
_STEP_S = (0.001, 60.0)  # usual step between two frames, for numbers in names to be times
_EPOCH_DIGITS = 10  # of seconds since 1970; further digits are parts of one
_DECIMAL, _WHOLE = re.compile(r"\d+\.\d+"), re.compile(r"\d+")
_TOLD = 3  # missing frames named in an error

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameFile:
    """A picture of a sequence: its place in the order, and when it was taken, in seconds, where that is told."""

    path: Path
    order: tuple[float, ...]
    time_s: float | None = None


def frame_files(folder: Path, suffixes: Collection[str]) -> list[FrameFile]:
    """The pictures of a folder that have a number in their names, in order.

    Raises SourceError where two of them have the same.
    """
    if not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and _WHOLE.search(path.stem)]
    files = sorted(_timed(paths) or _counted(paths), key=lambda file: (file.order, file.path.name))
    for one, other in pairwise(files):
        if one.order == other.order:
            raise SourceError(
                f"{folder}: expected one file per frame, found {one.path.name} and {other.path.name}; remove one"
            )
    return files


def listed_files(listing: Path, suffixes: Collection[str]) -> list[FrameFile]:
    """The pictures of a TUM list: a line "time name" for each, names from its own folder on. Raises SourceError."""
    folder = listing.parent.resolve()
    files = []
    try:
        lines = read_bytes(listing, _LARGEST_LIST).decode("utf-8-sig", errors="replace").splitlines()
    except InputError as error:
        raise SourceError(str(error)) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        time, _, name = line.strip().replace(",", " ").partition(" ")
        try:
            time_s, path = float(time), (folder / name.strip()).resolve()
        except (ValueError, OSError):
            time_s, path = float("nan"), folder
        if not np.isfinite(time_s) or not path.is_relative_to(folder) or path.suffix.lower() not in suffixes:
            raise SourceError(f"{listing}: line {number}: expected a time and a picture, got {line.strip()[:60]!r}")
        files.append(FrameFile(path, (time_s,), time_s))
    return sorted(files, key=lambda file: file.order)


def usual_step_s(files: Sequence[FrameFile]) -> float | None:
    """Between two frames, half of the gaps being shorter; None where no times are told."""
    times_s = [file.time_s for file in files if file.time_s is not None]
    return float(np.median(np.diff(times_s))) if len(times_s) == len(files) > 1 else None


def paired(folder: Path, color: list[FrameFile], depth: list[FrameFile]) -> list[tuple[FrameFile, FrameFile]]:
    """Colour with the depth of the same number, or of the nearest time within half a frame.

    Raises SourceError where numbers have no depth, or no times are near.
    """
    step_s = usual_step_s(color)
    if step_s is not None and all(file.time_s is not None for file in depth):
        pairs = _nearest_in_time(color, depth, step_s / 2)
        if not pairs:
            raise SourceError(
                f"{folder}: expected depth taken with the color, no two times are {step_s / 2:.3f} s near"
            )
        if len(pairs) < len(color):
            told = "%s: %d of %d color frames have no depth taken within %.0f ms of them; they are left out"
            log.warning(told, folder, len(color) - len(pairs), len(color), step_s * 500)
        return pairs
    by_order = {file.order: file for file in depth}
    if not any(file.order in by_order for file in color):  # other numbers stand before them: what comes last counts
        color, by_order = _by_last(color), {file.order: file for file in _by_last(depth)}
    missing = [file for file in color if file.order not in by_order]
    if missing:
        listed = ", ".join(_label(file) for file in missing[:_TOLD]) + (", …" if len(missing) > _TOLD else "")
        raise SourceError(
            f"{folder / 'depth'}: expected depth for each of the {len(color)} color frames, missing for "
            f"{len(missing)} of them ({listed}); add them or remove those color frames"
        )
    if len(depth) > len(color):
        log.warning("%s: %d depth frames have no color and are left out", folder, len(depth) - len(color))
    return [(file, by_order[file.order]) for file in color]


def _timed(paths: list[Path]) -> list[FrameFile]:
    """Files whose names tell times, and nothing else that differs; empty where they do not."""
    times: list[tuple[float, Path]] = []
    around = set()
    for path in paths:
        decimals = _DECIMAL.findall(path.stem)
        whole = [number for number in _WHOLE.findall(path.stem) if len(number) >= _EPOCH_DIGITS and number[0] != "0"]
        if len(decimals) == 1:
            told, time_s = decimals[0], float(decimals[0])
        elif len(whole) == 1 and not decimals:
            told, time_s = whole[0], int(whole[0]) / 10.0 ** (len(whole[0]) - _EPOCH_DIGITS)
        else:
            return []
        around.add(tuple(_WHOLE.findall(path.stem.replace(told, "", 1))))
        times.append((time_s, path))
    files = [FrameFile(path, (time_s,), time_s) for time_s, path in sorted(times)]
    step_s = usual_step_s(files)
    return files if len(around) == 1 and step_s is not None and _STEP_S[0] <= step_s <= _STEP_S[1] else []


def _counted(paths: list[Path]) -> list[FrameFile]:
    """Files in the order of all numbers in their names that differ from file to file, or of the last one."""
    numbers = [tuple(float(number) for number in _WHOLE.findall(path.stem)) for path in paths]
    if len({len(each) for each in numbers}) == 1:
        differing = [column for column, values in enumerate(zip(*numbers, strict=True)) if len(set(values)) > 1]
        kept = differing or [-1]
        return [
            FrameFile(path, tuple(each[column] for column in kept)) for path, each in zip(paths, numbers, strict=True)
        ]
    return [FrameFile(path, each[-1:]) for path, each in zip(paths, numbers, strict=True)]


def _by_last(files: list[FrameFile]) -> list[FrameFile]:
    return [FrameFile(file.path, file.order[-1:]) for file in files]


def _label(file: FrameFile) -> str:
    return "_".join(f"{number:.0f}" for number in file.order)


def _nearest_in_time(
    color: list[FrameFile], depth: list[FrameFile], within_s: float
) -> list[tuple[FrameFile, FrameFile]]:
    """Each depth with the nearest colour at most, and the other way round."""
    times_s = [file.time_s or 0.0 for file in depth]
    nearest: dict[int, tuple[float, FrameFile]] = {}
    for file in color:
        time_s = file.time_s or 0.0
        at = bisect.bisect(times_s, time_s)
        apart_s, index = min((abs(times_s[near] - time_s), near) for near in (at - 1, at) if 0 <= near < len(depth))
        if apart_s <= within_s and (index not in nearest or apart_s < nearest[index][0]):
            nearest[index] = (apart_s, file)
    return [(file, depth[index]) for index, (_, file) in sorted(nearest.items())]
