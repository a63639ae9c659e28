"""When samples were heard: a sound card counts by a clock of its own, the pictures have the system's."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BANDWIDTH_HZ = 0.03  # of the loop once it has settled: a jitter of 10 ms moves it by a fraction of one
_MOST_DRIFT = 0.002  # of the nominal rate; cards are within 0.0002
_MOST_DRIFT_FOUND = 0.01  # where the rate was found by half a second of blocks
_SETTLED = 50  # blocks after a beginning in which the loop is wide
_WINDOW_S = 1.0
_PUNCTUAL = 5  # the least late fifth of a window counts: a busy machine hands blocks over late, never early
_OFF_S = 0.015  # a block so far from where it should be is doubtful
_DOUBT_S = 0.5  # doubtful for so long is certain; what a killed process may lose
_LOST_OFF_S = 0.004  # where the card says itself that samples were lost
_WRONG_RATES = 0.003, 0.15  # shares of the nominal rate by which a card may be mistaken about it


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """Consecutive samples, and when they were heard.

    Attributes:
        samples: [n, channels] int16.
        begins_s, ends_s: of its first sample, and of the one after its last, on the monotonic clock.
        gap: whether something is missing between the block before and this one; otherwise it begins where that ended.
        rate_hz: the nominal rate of its samples.
    """

    samples: NDArray[np.int16]
    begins_s: float
    ends_s: float
    gap: bool
    rate_hz: int


@dataclass(frozen=True, eq=False)
class _Heard:
    """A block that is not placed yet: its samples, when the first is said to have been heard, how far that is off."""

    samples: NDArray[np.int16]
    at_s: float
    off_s: float


class SoundClock:
    """Smooths the times at which blocks are said to have been heard, and follows the drift between the two clocks.

    A delay-locked loop of second order (Adriaensen, "Using a DLL to filter time", LAC 2005): what it says of the end of
    one block is the beginning of the next, so sound has no seams; it bends by parts in a million. A block that is far
    from where it should be is kept back, half a second at most, until those after it tell whether it was handed over
    late, samples were lost before it, or the card's rate is another than it says.

    Attributes:
        lost_s: how much sound is missing in gaps so far.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._nominal_s = self._sample_s = 1.0 / rate_hz
        self._most_drift = _MOST_DRIFT
        self._next_s: float | None = None
        self._blocks = 0  # since the beginning or the last gap
        self._late: deque[tuple[float, float]] = deque()  # how late blocks came, and how long they were, seconds
        self._doubtful: list[_Heard] = []
        self.lost_s = 0.0

    @property
    def drift(self) -> float:
        """By how much the card's samples are longer than they should be, as a share."""
        return self._sample_s * self._rate_hz - 1.0

    def take(self, samples: NDArray[np.int16], heard_s: float, *, lost: bool = False) -> list[SoundBlock]:
        """The blocks that are certain with these `samples`, [n, channels], of which the first is said to have been
        heard at `heard_s`. `lost`: the card says that there are some missing before them."""
        if self._next_s is None:
            self._next_s = heard_s
            return [self._placed(samples, 0.0, gap=True)]
        waiting = sum(len(each.samples) for each in self._doubtful)
        heard = _Heard(samples, heard_s, heard_s - self._next_s - waiting * self._sample_s)
        if lost and abs(heard.off_s) > _LOST_OFF_S:
            made = self.end()
            return [*made, *self._begun_anew([heard], heard_s - self._next_s)]
        if abs(heard.off_s) <= _OFF_S:  # those before it were late
            made = self.end()
            return [*made, self._placed(samples, heard_s - self._next_s)]
        made = self.end() if self._doubtful and (self._doubtful[-1].off_s > 0) != (heard.off_s > 0) else []
        self._doubtful.append(heard)
        if sum(len(each.samples) for each in self._doubtful) * self._sample_s >= _DOUBT_S:
            made += self._decided()
        return made

    def end(self) -> list[SoundBlock]:
        """What was kept back, as if it had been handed over late."""
        kept, self._doubtful = self._doubtful, []
        return [self._placed(each.samples, None) for each in kept]

    def _decided(self) -> list[SoundBlock]:
        """All that is kept back: it has been off to one side all the time."""
        kept, self._doubtful = self._doubtful, []
        times = np.array([each.at_s for each in kept])
        offs = np.array([each.off_s for each in kept])
        slope, rest = np.polyfit(times - times[0], offs, 1)
        straight = np.std(offs - rest - slope * (times - times[0])) < abs(slope) * _DOUBT_S / 4
        low, high = _WRONG_RATES
        if straight and low < abs(slope) < high:
            self._sample_s *= 1 + float(slope)
            self._nominal_s, self._most_drift = self._sample_s, _MOST_DRIFT_FOUND
            return self._begun_anew(kept, 0.0)
        return self._begun_anew(kept, _punctual(offs.tolist()))

    def _begun_anew(self, heard: list[_Heard], off_s: float) -> list[SoundBlock]:
        assert self._next_s is not None
        gap = off_s != 0.0
        self._next_s += off_s
        self.lost_s += max(off_s, 0.0)
        self._late.clear()
        self._blocks = 0
        return [
            self._placed(each.samples, each.at_s - self._next_s, gap=gap and number == 0)
            for number, each in enumerate(heard)
        ]

    def _placed(self, samples: NDArray[np.int16], late_s: float | None, *, gap: bool = False) -> SoundBlock:
        """A block that follows on the one before, or what is next after a gap; `late_s` after it was expected, None
        where that tells nothing."""
        assert self._next_s is not None
        length_s = len(samples) * self._sample_s
        begins_s, pull_s = self._next_s, 0.0
        if late_s is not None:
            self._late.append((late_s, length_s))
            while sum(length for _, length in self._late) - self._late[0][1] > _WINDOW_S:
                self._late.popleft()
            error_s = _punctual([late for late, _ in self._late])
            omega = 2 * np.pi * _BANDWIDTH_HZ * length_s
            angle = omega if self._blocks >= _SETTLED else max(omega, 1.0 / (self._blocks + 2))  # wide while it is new
            pull_s = min(np.sqrt(2) * angle, 1.0) * error_s
            if self._blocks >= _SETTLED:
                step = omega * omega * error_s / length_s * self._sample_s
                low, high = (self._nominal_s * (1 + side * self._most_drift) for side in (-1, 1))
                self._sample_s = float(min(max(self._sample_s + step, low), high))
            self._blocks += 1
            self._late = deque((late - pull_s, length) for late, length in self._late)
        self._next_s = begins_s + len(samples) * self._sample_s + pull_s
        return SoundBlock(samples, begins_s, self._next_s, gap, self._rate_hz)


def _punctual(late_s: list[float]) -> float:
    return sorted(late_s)[len(late_s) // _PUNCTUAL]
