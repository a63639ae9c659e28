"""When samples were heard: a sound card counts by a clock of its own, the pictures have the system's."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BANDWIDTH_HZ = 0.03  # of the loop once it has settled: a jitter of 10 ms moves it by a fraction of one
_MOST_DRIFT = 0.002  # of the nominal rate; cards are within 0.0002
_SETTLED = 50  # blocks that the nominal rate counts for in the beginning
_OFF_S = 0.015  # a whole window of blocks so far from where they should be is a gap
_WINDOW_S = 1.0
_LOST_OFF_S = 0.004  # where the card says itself that samples were lost


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """Consecutive samples, and when they were heard.

    Attributes:
        samples: [n, channels] int16.
        begins_s, ends_s: of its first sample, and of the one after its last, on the monotonic clock.
        gap: whether something is missing between the block before and this one; otherwise it begins where that ended.
    """

    samples: NDArray[np.int16]
    begins_s: float
    ends_s: float
    gap: bool


class SoundClock:
    """Smooths the times at which blocks are said to have been heard, and follows the drift between the two clocks.

    A delay-locked loop of second order (Adriaensen, "Using a DLL to filter time", LAC 2005): what it says of the end of
    one block is the beginning of the next, so sound has no seams; it bends by parts in a million. Where blocks stay away
    from what it says, samples were lost, and it says so and begins there anew.
    """

    def __init__(self, rate_hz: float) -> None:
        self._nominal_s = 1.0 / rate_hz
        self._sample_s = self._nominal_s
        self._next_s: float | None = None
        self._blocks = 0
        self._errors: deque[tuple[float, float]] = deque()  # how late blocks came, and how long they were, seconds
        self.lost_s = 0.0

    @property
    def drift(self) -> float:
        """By how much the card's samples are longer than they should be, as a share."""
        return self._sample_s / self._nominal_s - 1.0

    def take(self, count: int, heard_s: float, *, lost: bool = False) -> tuple[float, float, bool]:
        """Of the next `count` samples, of which the first is said to have been heard at `heard_s`: begin, end, gap (see
        `SoundBlock`). `lost`: the card says that there are some missing before them."""
        gap = False
        length_s = count * self._sample_s
        if self._next_s is None:
            self._next_s, gap = heard_s, True
        error = heard_s - self._next_s
        self._errors.append((error, length_s))
        while sum(length for _, length in self._errors) - self._errors[0][1] > _WINDOW_S:
            self._errors.popleft()
        off_s = error if lost and abs(error) > _LOST_OFF_S else self._steadily_off_s()
        if off_s:
            self._next_s += off_s
            self.lost_s += max(off_s, 0.0)
            self._errors.clear()
            gap, error = True, 0.0
        else:
            error = min(late for late, _ in self._errors)  # a busy machine hands blocks over late, never early
        begins_s = self._next_s
        self._follow(error, length_s)
        pull_s = self._pull(error, length_s)
        self._next_s = begins_s + count * self._sample_s + pull_s
        self._errors = deque((late - pull_s, length) for late, length in self._errors)
        return begins_s, self._next_s, gap

    def _steadily_off_s(self) -> float:
        """How far the least late of the window is off where all are off to one side; 0 where some are not."""
        errors = [error for error, _ in self._errors]
        if sum(length for _, length in self._errors) < _WINDOW_S:
            return 0.0
        return min(errors) if min(errors) > _OFF_S or max(errors) < -_OFF_S else 0.0

    def _gain(self, length_s: float) -> float:
        """The loop's angle per block: wide while it is new."""
        settled = 2 * np.pi * _BANDWIDTH_HZ * length_s
        return float(max(settled, 1.0 / (self._blocks + 1)) if self._blocks < _SETTLED else settled)

    def _pull(self, error: float, length_s: float) -> float:
        return min(np.sqrt(2) * self._gain(length_s), 1.0) * error

    def _follow(self, error: float, length_s: float) -> None:
        if self._blocks >= _SETTLED:
            omega = 2 * np.pi * _BANDWIDTH_HZ * length_s
            step = omega * omega * error / length_s * self._sample_s
            low, high = (self._nominal_s * (1 + side * _MOST_DRIFT) for side in (-1, 1))
            self._sample_s = float(min(max(self._sample_s + step, low), high))
        self._blocks += 1
