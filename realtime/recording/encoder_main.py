"""The process that encodes pictures for another one: `encoder_process` starts it.

    python -m realtime.recording.encoder_main DESCRIPTOR raw|film ARGUMENTS…

Its standard input brings a JSON object per line: `{"slot_bytes": N, "about": {…}}` before the first pictures, then
`{"slot": n, "job": {…}}` for those in place n of the mapped file, at last `{"keep": true|false}`. Its standard output
says which place is free again, and what was written.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import queue
import signal
import sys
import threading
from typing import Any, Protocol

from realtime.recording.film_process import FilmEncoder
from realtime.recording.raw_process import RawEncoder
from realtime.recording.recording_folder import RecordingError
from realtime.threads.cores import YIELDING

_SET_DEATH_SIGNAL = 1  # of prctl


class Encoder(Protocol):
    """What the other process does with pictures. Raises RecordingError."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Pictures that are kept, pictures refused, bytes written."""

    def begin(self, about: dict[str, Any]) -> None: ...
    def append(self, memory: mmap.mmap, at: int, job: dict[str, Any]) -> None:
        """`memory` holds the pictures from byte `at` on; no view of it may outlive the call."""

    def close(self, *, keep: bool) -> None: ...


def main() -> None:
    """The other process."""
    # Nothing is written any more once the process that started us is gone.
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    shared, kind, *arguments = sys.argv[1:]
    answers, jobs = os.fdopen(os.dup(1), "wb"), _jobs()
    os.dup2(2, 1)  # what libraries print is no answer
    encoder, failure = _encoder(kind, arguments)
    _give_way(idle=kind == "raw")

    def tell(slot: int) -> None:
        counts = (0, 0, 0) if encoder is None else encoder.counts
        told = dict(zip(("frames", "refused", "bytes"), counts, strict=True))
        with contextlib.suppress(OSError):
            answers.write(json.dumps({"slot": slot, **told, "failure": failure}).encode() + b"\n")
            answers.flush()

    memory: mmap.mmap | None = None
    slot_bytes, slot = 0, -1
    for what in iter(jobs.get, None):
        try:
            if failure or encoder is None:
                pass
            elif "about" in what:
                slot_bytes = what["slot_bytes"]
                memory = mmap.mmap(int(shared), 0)
                encoder.begin(what["about"])
            elif "keep" in what:
                encoder.close(keep=what["keep"])
            elif memory is not None:
                encoder.append(memory, what["slot"] * slot_bytes, what["job"])
        except RecordingError as error:
            failure = str(error)
            if encoder is not None and "keep" not in what:
                with contextlib.suppress(RecordingError):
                    encoder.close(keep=True)
        slot = what.get("slot", -1)
        if slot >= 0 or failure or "keep" in what:
            tell(slot)
        if "keep" in what:
            return


def _encoder(kind: str, arguments: list[str]) -> tuple[Encoder | None, str]:
    """And why there is none."""
    try:
        return (RawEncoder if kind == "raw" else FilmEncoder)(*arguments), ""
    except RecordingError as error:
        return None, str(error)


def _jobs() -> queue.Queue[Any]:
    """What comes in; the last says `keep`. Where the input ends otherwise, whoever started us is gone: as if we had
    been killed with it."""
    jobs: queue.Queue[Any] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            job = json.loads(line)
            jobs.put(job)
            if "keep" in job:
                return
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return jobs


def _give_way(*, idle: bool) -> None:
    """Only now: what is to be loaded first would otherwise take seconds on a busy machine."""
    if idle and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(19 if idle else YIELDING)


if __name__ == "__main__":
    main()
