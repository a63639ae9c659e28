"""What the soak test holds its figures against: frames one by one, and limits for a whole run."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.frame import RgbdFrame
from tests.fakes.phone import INDEX_BITS

HALF_EMPTY = 0.8  # of the share of depth that the simulator gives: a frame with less counts
_SAMPLE = 8  # every so many-th row and column tell two pictures apart


@dataclass(frozen=True)
class Limits:
    """What figures have to keep, by name: the largest value that is good, and the smallest."""

    most: Mapping[str, float]
    least: Mapping[str, float]

    def missed(self, figures: Mapping[str, Any]) -> list[str]:
        """One line for every limit that is not kept; a figure that is missing or no number keeps none. Truth
        values are 0 and 1."""
        lines = []
        for name, most in self.most.items():
            value = figures.get(name)
            if not (isinstance(value, int | float) and value <= most):
                lines.append(f"{name}: expected {most:g} at most, got {value}")
        for name, least in self.least.items():
            value = figures.get(name)
            if not (isinstance(value, int | float) and value >= least):
                lines.append(f"{name}: expected {least:g} at least, got {value}")
        return lines

    def changed(self, changes: Mapping[str, float]) -> Limits:
        """With other values for those that are here."""
        most, least = ({name: changes.get(name, old) for name, old in it.items()} for it in (self.most, self.least))
        return Limits(most, least)


_NEVER = ("crashes", "out_of_order", "repeated_pictures", "half_empty_frames", "leaked_threads", "leaked_fds")
SOURCE_LIMITS = Limits(
    most={
        **dict.fromkeys((*_NEVER, "torn_frames", "pictures_out_of_order"), 0),
        "reconnect_s_p95": 1.0,
        "reconnect_s_max": 5.0,
        "rss_growth_mb": 30.0,
    },
    least={"recording_intact": 1},
)
APP_LIMITS = Limits(
    most={
        **dict.fromkeys((*_NEVER, "gaps_unmarked"), 0),
        "reconnect_s_p95": 2.0,
        "reconnect_s_max": 10.0,
        "left_at_half_second": 0.05,
        "step_resuming": 0.2,
        "rss_growth_mb": 60.0,
    },
    least={"recording_intact": 1},
)
FUZZ_LIMITS = Limits(most={"longest_read_s": 1.0, "rss_growth_mb": 50.0}, least={"recovered": 1})


@dataclass(frozen=True)
class Seen:
    """What one frame showed.

    Attributes:
        number: what the simulator counted it as; None where it cannot be told.
        fingerprint: equal for pictures that are the same.
        depth_share: share of the pixels with a reading.
        torn: mixed from several frames.
    """

    index: int
    timestamp_s: float
    number: int | None
    fingerprint: int
    depth_share: float
    torn: bool = False


def seen(frame: RgbdFrame, number: int | None = None, *, torn: bool = False) -> Seen:
    depth_m = frame.depth_m if frame.depth_m is not None else np.zeros((0, 0), np.float32)
    sample = np.ascontiguousarray(frame.rgb[::_SAMPLE, ::_SAMPLE]).tobytes()
    sample += np.ascontiguousarray(depth_m[::_SAMPLE, ::_SAMPLE]).tobytes()
    share = float((depth_m > 0).mean()) if depth_m.size else 0.0
    return Seen(frame.index, frame.timestamp_s, number, zlib.crc32(sample), share, torn)


_COUNTED = (
    "frames", "torn_frames", "out_of_order", "repeated_pictures", "pictures_out_of_order", "half_empty_frames",
)  # fmt: skip


class FrameTally:
    """Counts what is wrong with frames, each held against the one before.

    Args:
        depth_share: what the simulator gives.
    """

    def __init__(self, depth_share: float) -> None:
        self.counts = dict.fromkeys(_COUNTED, 0)
        self._least_share = HALF_EMPTY * depth_share
        self._last: Seen | None = None

    def add(self, frame: Seen) -> None:
        counts, last = self.counts, self._last
        self._last = frame
        counts["frames"] += 1
        counts["torn_frames"] += frame.torn
        counts["half_empty_frames"] += not frame.depth_share >= self._least_share
        if last is None:
            return
        rising = frame.index > last.index and frame.timestamp_s > last.timestamp_s
        counts["out_of_order"] += not rising
        counts["repeated_pictures"] += frame.fingerprint == last.fingerprint
        if frame.number is not None and last.number is not None:
            ahead = (frame.number - last.number) % (1 << INDEX_BITS)  # the simulator's count wraps around
            counts["pictures_out_of_order"] += ahead >= 1 << (INDEX_BITS - 1)


def add_limit_option(parser: argparse.ArgumentParser) -> None:
    """--limit NAME=VALUE, as often as wanted."""
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=VALUE",
        help=f"another limit for a figure, wherever it counts: {', '.join(_limited())}",
    )


def _limited() -> list[str]:
    return sorted({name for it in (SOURCE_LIMITS, APP_LIMITS, FUZZ_LIMITS) for name in (*it.most, *it.least)})


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in _limited():
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE with NAME one of {', '.join(_limited())}")
    return name, float(value)
