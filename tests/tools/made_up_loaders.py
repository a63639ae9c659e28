"""Loaders with every fault that the harness has to notice, and one without."""

import os
import signal
from pathlib import Path

from core.errors import InputError
from tools.fuzz.target import Target

_GOOD = b"made up 1 2 3 4\n"


def _seeds(folder: Path) -> list[Path]:
    (folder / "unit").mkdir()
    (folder / "unit" / "beside.json").write_text('{"a": [1, 2.5, "x"]}')
    path = folder / "unit" / "main.txt"
    path.write_bytes(_GOOD)
    return [path]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sound(path: Path) -> None:
    if _content(path) != _GOOD:
        raise InputError(f"{path}: expected something else; try again")


def _spoilt(path: Path) -> bool:
    return _content(path) != _GOOD


def _raises(path: Path) -> None:
    if _spoilt(path):
        raise KeyError("made up")


class _TwoLinesError(InputError):
    def __str__(self) -> str:
        return "one line\nand another"


def _two_lines(path: Path) -> None:
    if _spoilt(path):
        raise _TwoLinesError("")


def _spins(path: Path) -> None:
    while _spoilt(path):
        pass


def _waits(path: Path) -> None:
    if _spoilt(path):
        signal.pause()


def _grows(path: Path) -> None:
    """Takes far more than it may, and keeps it until it is ended."""
    held = []
    while _spoilt(path):
        held.append(b"x" * (1 << 20))


def _grows_briefly(path: Path) -> None:
    if _spoilt(path):
        len(b"x" * (96 << 20))
        raise InputError("refused, but only after it was unpacked")


def _crashes(path: Path) -> None:
    if _spoilt(path):
        os.kill(os.getpid(), signal.SIGSEGV)


def _seedless(folder: Path) -> list[Path]:
    path = folder / "bad"
    path.write_bytes(b"not what the loader wants")
    return [path]


TARGETS = [
    Target("sound", _seeds, _sound),
    Target("raises", _seeds, _raises),
    Target("two_lines", _seeds, _two_lines),
    Target("spins", _seeds, _spins),
    Target("waits", _seeds, _waits),
    Target("grows", _seeds, _grows),
    Target("grows_briefly", _seeds, _grows_briefly),
    Target("crashes", _seeds, _crashes),
    Target("bad_seeds", _seedless, _sound),
]
