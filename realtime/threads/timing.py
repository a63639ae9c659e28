"""Where the milliseconds go: durations and processor time by section, kept in bounded memory."""

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np

KEPT_SAMPLES = 65_536  # the newest half hour at 30 fps; percentiles are over these, `max` over everything


class Durations:
    """Durations of one kind of event: four bytes each, or half an hour of them would be tens of megabytes."""

    def __init__(self) -> None:
        self._kept_s = array("f")  # a ring once it is full
        self._next = 0
        self._max_s = 0.0

    def __copy__(self) -> "Durations":
        other = Durations()
        other._kept_s, other._next, other._max_s = self._kept_s[:], self._next, self._max_s
        return other

    def add(self, duration_s: float) -> None:
        if len(self._kept_s) < KEPT_SAMPLES:
            self._kept_s.append(duration_s)
        else:
            self._kept_s[self._next] = duration_s
            self._next = (self._next + 1) % KEPT_SAMPLES
        self._max_s = max(self._max_s, duration_s)

    def newest_s(self, count: int) -> list[float]:
        """The newest `count` of them, the newest first."""
        kept = len(self._kept_s)
        return [self._kept_s[(self._next - 1 - back) % kept] for back in range(min(count, kept))]

    def summary_ms(self) -> dict[str, float]:
        """{"p50", "p95", "max"} in milliseconds; NaN-free: all zero if nothing was timed."""
        if not self._kept_s:
            return {"p50": 0.0, "p95": 0.0, "max": 0.0}
        p50, p95 = np.percentile(np.array(self._kept_s, dtype=np.float64), [50, 95]) * 1e3
        return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "max": round(self._max_s * 1e3, 3)}


class Listener(Protocol):
    """Told of every section as it ends, on the thread that it ran on; of the inner ones first."""

    def add_span(self, name: str, started_s: float, wall_s: float, cpu_s: float, frame: int | None) -> None:
        """`started_s` is of `time.perf_counter`, `frame` the number of the frame that was worked on, where known."""


@dataclass
class Waiting:
    """What came of it: the number of a frame, for whoever waits to fill in."""

    frame: int | None = None


class SectionTimes:
    """Durations by section name. Threads may add to it at the same time.

    Args:
        listener: is told of every section as well.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._lock = threading.Lock()
        self._sections: dict[str, Durations] = {}
        self._cpu_s: dict[str, float] = {}
        self._wall_s: dict[str, float] = {}
        self._listener = listener

    def add(self, name: str, duration_s: float, cpu_s: float = 0.0) -> None:
        with self._lock:
            self._sections.setdefault(name, Durations()).add(duration_s)
            self._cpu_s[name] = self._cpu_s.get(name, 0.0) + cpu_s
            self._wall_s[name] = self._wall_s.get(name, 0.0) + duration_s

    @contextmanager
    def section(self, name: str, frame: int | None = None) -> Iterator[None]:
        """Time the body of a `with` block, also when it raises."""
        started_s, started_cpu_s = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall_s, cpu_s = time.perf_counter() - started_s, time.thread_time() - started_cpu_s
            self.add(name, wall_s, cpu_s)
            if self._listener is not None:
                self._listener.add_span(name, started_s, wall_s, cpu_s, frame)

    @contextmanager
    def waiting(self, name: str) -> Iterator["Waiting"]:
        """The body of a `with` block mostly waits: of interest to the listener alone."""
        waiting = Waiting()
        started_s, started_cpu_s = time.perf_counter(), time.thread_time()
        try:
            yield waiting
        finally:
            if self._listener is not None:
                wall_s, cpu_s = time.perf_counter() - started_s, time.thread_time() - started_cpu_s
                self._listener.add_span(name, started_s, wall_s, cpu_s, waiting.frame)

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

    def newest_ms(self, name: str, count: int) -> float:
        """Median milliseconds of the newest `count` of one section; 0 if nothing was timed."""
        with self._lock:
            newest_s = self._sections.get(name, Durations()).newest_s(count)
        return float(np.median(newest_s)) * 1e3 if newest_s else 0.0

    def wall_s(self, *names: str) -> float:
        """Seconds so far in these sections together."""
        with self._lock:
            return sum(self._wall_s.get(name, 0.0) for name in names)

    def cpu_s(self) -> dict[str, float]:
        """{section: seconds of processor time so far, of the threads that the sections ran on}."""
        with self._lock:
            return dict(self._cpu_s)


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
    """How long something has been in each of its states.

    Args:
        changed: is told of every new state and of when it began, on the thread that enters it.
    """

    def __init__(self, changed: Callable[[str, float], None] = lambda _state, _now_s: None) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._current: str | None = None
        self._since_s = 0.0

    def enter(self, state: str, now_s: float) -> None:
        """Say which state holds from `now_s` on; cheap to repeat."""
        with self._lock:
            self._settle(now_s)
            new, self._current = state != self._current, state
        if new:
            self._changed(state, now_s)

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
