"""Where the milliseconds go: durations by section, kept in bounded memory."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

import numpy as np

KEPT_SAMPLES = 65_536  # the newest half hour at 30 fps; percentiles are over these, `max` over everything


class Durations:
    """Durations of one kind of event."""

    def __init__(self) -> None:
        self._recent_s: deque[float] = deque(maxlen=KEPT_SAMPLES)
        self._max_s = 0.0

    def __copy__(self) -> "Durations":
        other = Durations()
        other._recent_s, other._max_s = self._recent_s.copy(), self._max_s
        return other

    def add(self, duration_s: float) -> None:
        self._recent_s.append(duration_s)
        self._max_s = max(self._max_s, duration_s)

    def summary_ms(self) -> dict[str, float]:
        """{"p50", "p95", "max"} in milliseconds; NaN-free: all zero if nothing was timed."""
        if not self._recent_s:
            return {"p50": 0.0, "p95": 0.0, "max": 0.0}
        p50, p95 = np.percentile(np.array(self._recent_s), [50, 95]) * 1e3
        return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "max": round(self._max_s * 1e3, 3)}


class SectionTimes:
    """Durations by section name. Threads may add to it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sections: dict[str, Durations] = {}

    def add(self, name: str, duration_s: float) -> None:
        with self._lock:
            self._sections.setdefault(name, Durations()).add(duration_s)

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Time the body of a `with` block, also when it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def summary_ms(self) -> dict[str, dict[str, float]]:
        """{section: {"p50", "p95", "max"}} in the order sections first appeared."""
        with self._lock:
            names = list(self._sections)
        return {name: self.of(name) for name in names}

    def of(self, name: str) -> dict[str, float]:
        """{"p50", "p95", "max"} of one section. Sorting happens outside the lock, so that no stage waits for it."""
        with self._lock:
            durations = copy(self._sections.get(name, Durations()))
        return durations.summary_ms()


class Rate:
    """Events per second between the first and the latest event."""

    def __init__(self) -> None:
        self.count = 0
        self._first_s = 0.0
        self._last_s = 0.0

    def tick(self, now_s: float) -> None:
        if self.count == 0:
            self._first_s = now_s
        self._last_s = now_s
        self.count += 1

    @property
    def per_second(self) -> float:
        """0 until two events have happened."""
        elapsed_s = self._last_s - self._first_s
        return (self.count - 1) / elapsed_s if elapsed_s > 0 else 0.0


class StateClock:
    """How long something has been in each of its states."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._current: str | None = None
        self._since_s = 0.0

    def enter(self, state: str, now_s: float) -> None:
        """Say which state holds from `now_s` on; cheap to repeat."""
        with self._lock:
            self._settle(now_s)
            self._current = state

    @property
    def current(self) -> str:
        """The state entered last; empty before the first."""
        return self._current or ""

    def seconds(self, now_s: float) -> dict[str, float]:
        """{state: seconds so far}."""
        with self._lock:
            self._settle(now_s)
            return {state: round(total, 3) for state, total in self._seconds.items()}

    def _settle(self, now_s: float) -> None:
        if self._current is not None:
            self._seconds[self._current] = self._seconds.get(self._current, 0.0) + max(0.0, now_s - self._since_s)
        self._since_s = now_s
