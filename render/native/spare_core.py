"""Whether a core has been free lately, for work that is worth sharing only then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import psutil

from core.native.cores import allowed_cores

LOOK_S = 0.5
ENOUGH, TOO_LITTLE = 0.7, 0.5  # of a core; between them nothing changes


class _CpuTimes(Protocol):
    """Of one core, as psutil says it."""

    @property
    def idle(self) -> float: ...


class SpareCore:
    """Looks at the cores that this process may use, twice a second at most. True at first, where there are two.

    A picture that two threads paint is there sooner, at the cost of whoever else wants the second core: tracking at 60
    frames a second, or another program.

    Args:
        times, clock: for tests.
    """

    def __init__(
        self,
        times: Callable[[], Sequence[_CpuTimes]] = lambda: psutil.cpu_times(percpu=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._times, self._clock = times, clock
        self._cores = allowed_cores()
        self._spare = len(self._cores) > 1
        self._last_s, self._last_idle_s = clock(), self._idle_s()

    def __call__(self) -> bool:
        """Whether there is one now."""
        now_s = self._clock()
        if len(self._cores) > 1 and (passed_s := now_s - self._last_s) >= LOOK_S:
            idle_s = self._idle_s()
            spare = (idle_s - self._last_idle_s) / passed_s
            self._spare = spare >= (TOO_LITTLE if self._spare else ENOUGH)
            self._last_s, self._last_idle_s = now_s, idle_s
        return self._spare

    def _idle_s(self) -> float:
        """Of all cores together; what the system does not tell counts as none."""
        try:
            times = self._times()
        except (OSError, RuntimeError, psutil.Error):
            return 0.0
        return sum(times[core].idle for core in self._cores if core < len(times))
