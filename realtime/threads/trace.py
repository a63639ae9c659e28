"""A trace of a session: what every thread did when, for https://ui.perfetto.dev and chrome://tracing.

The format is the JSON object of the Trace Event Format (Google, 2016): complete events ("X") nest by their times,
"tdur" is processor time beside the "dur" of the clock, counters are "C", names of threads "M".
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import InputError
from core.whole_file import whole_file
from core.writable import reason_of

MOST_EVENTS = 120_000
"""The newest are kept: some six minutes at 30 fps, 16 MB on the disk."""


class _Span(NamedTuple):
    thread: int
    name: str
    started_s: float
    wall_s: float
    cpu_s: float
    frame: int | None

    def event(self, began_s: float) -> dict[str, Any]:
        args = {"cpu_ms": round(self.cpu_s * 1e3, 3)} | ({} if self.frame is None else {"frame": self.frame})
        times = {"ts": _us(self.started_s - began_s), "dur": _us(self.wall_s), "tdur": _us(self.cpu_s)}
        return {"ph": "X", "tid": self.thread, "name": self.name, **times, "args": args}


class _Count(NamedTuple):
    thread: int
    name: str
    started_s: float
    values: dict[str, float]

    def event(self, began_s: float) -> dict[str, Any]:
        ts = _us(self.started_s - began_s)
        return {"ph": "C", "tid": self.thread, "name": self.name, "ts": ts, "args": self.values}


class Trace:
    """What happened, in bounded memory. A `timing.Listener`; threads may add to it at the same time."""

    def __init__(self, most_events: int = MOST_EVENTS) -> None:
        self._began_s = time.perf_counter()
        self._events: deque[_Span | _Count] = deque(maxlen=most_events)
        self._threads: dict[int, str] = {}
        self._added = 0

    def add_span(self, name: str, started_s: float, wall_s: float, cpu_s: float, frame: int | None) -> None:
        """As `timing.Listener`."""
        self._add(_Span(self._thread(), name, started_s, wall_s, cpu_s, frame))

    def count(self, name: str, values: Mapping[str, float]) -> None:
        """Values of a counter from now on, each a series of its own."""
        self._add(_Count(self._thread(), name, time.perf_counter(), dict(values)))

    def write(self, path: Path, about: Mapping[str, object]) -> None:
        """Write the file, whole or not at all, with what is to be known `about` the session. Raises InputError."""
        head = {"displayTimeUnit": "ms", "otherData": dict(about)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial, partial.open("w") as file:
                file.write(json.dumps(head)[:-1] + ', "traceEvents": [')
                for place, event in enumerate(self._all()):
                    file.write((",\n" if place else "\n") + json.dumps({"pid": os.getpid(), **event}))
                file.write("\n]}\n")
        except OSError as error:
            raise InputError(f"{path}: the trace cannot be written ({reason_of(error)}); give another file") from None

    def _all(self) -> Iterator[dict[str, Any]]:
        for number, name in sorted(dict(self._threads).items()):
            yield {"ph": "M", "name": "thread_name", "tid": number, "args": {"name": name}}
        kept = self._events.copy()
        if left_out := self._added - len(kept):
            yield {"ph": "M", "name": "process_labels", "args": {"labels": f"{left_out} earlier events left out"}}
        for event in sorted(kept, key=lambda event: event.started_s):
            yield event.event(self._began_s)

    def _add(self, event: _Span | _Count) -> None:
        self._events.append(event)
        self._added += 1

    def _thread(self) -> int:
        number = threading.get_native_id()
        if number not in self._threads:
            self._threads[number] = threading.current_thread().name
        return number


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)
