"""Who uses the processor: seconds of every thread of this process, and what each part of a frame costs of them."""

import contextlib
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

RASTERISER = "llvmpipe"
"""How Mesa's software rasteriser names its threads."""

PAINTER = "painter"
"""How the thread is called that helps the main one to paint (`render.native`)."""

LIBRARIES = "libraries"
"""Threads without a name of their own. Of what runs while pictures flow those are the tracker's: the numeric libraries
have one thread each (`realtime.cli`)."""

CAPTURE, INFERENCE, MAIN = "capture", "inference", "MainThread"
_UNLOCKED = {INFERENCE: "infer", MAIN: "gl"}
"""By thread the section whose calls run without Python's lock: compiled networks, OpenGL (`render.gl.unlocked_gl`)."""

_LOOPS = {"capture": CAPTURE, "inference": INFERENCE, "main": MAIN}
_TRACKER = frozenset({"drishti", "mediapipe"})
_RECORDING = ("record-", "close-recording")
_DECODERS = "av:"
"""How FFmpeg's threads begin; the encoder has none of its own (`realtime.recording.preview`)."""


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds of processor time so far.

    Attributes:
        process: of all threads, those that have ended included.
        threads: {name: seconds} of the threads alive; of several of one name, together. Python's own names, otherwise
            the system's without their numbers ("llvmpipe"), and `LIBRARIES` for those that a library has not named.
        sections: as `SectionTimes.cpu_s`.
    """

    process: float
    threads: dict[str, float]
    sections: dict[str, float]

    @classmethod
    def now(cls, sections: dict[str, float] | None = None) -> "ProcessorTime":
        """Of this process at this moment; threads are missing where the system does not tell of them."""
        named = {thread.native_id: thread.name for thread in threading.enumerate()}
        seconds: dict[str, float] = {}
        with contextlib.suppress(psutil.Error):
            for thread in psutil.Process().threads():
                name = named.get(thread.id) or _system_name(thread.id)
                seconds[name] = seconds.get(name, 0.0) + thread.user_time + thread.system_time
        return cls(time.process_time(), seconds, sections or {})


def _system_name(thread_id: int) -> str:
    try:
        name, own = (Path(f"/proc/self/{of}comm").read_text().strip() for of in (f"task/{thread_id}/", ""))
    except OSError:  # it has just ended, or the system is another
        return LIBRARIES
    if name == own or name in _TRACKER:
        return LIBRARIES
    return re.sub(r"[-$:]*\d+$", "", name) or name


def cpu_ms_per_frame(before: ProcessorTime, after: ProcessorTime, frames: int) -> dict[str, float]:
    """Milliseconds of processor time per frame between two moments, by part.

    Returns process (everything) and what it is the sum of: capture (reading and decoding the source), track (without
    what follows), lift, animate, draw (the main thread, and those that rasterise or paint for it), record, other. Empty
    without frames.
    """
    if frames <= 0:
        return {}
    spent, section = _since(before.threads, after.threads), _since(before.sections, after.sections)
    recording = sum(seconds for name, seconds in spent.items() if name.startswith(_RECORDING)) + section["record"]
    parts = {
        "capture": spent[CAPTURE] + sum(seconds for name, seconds in spent.items() if name.startswith(_DECODERS)),
        "track": section["track"] - section["lift"] + spent[LIBRARIES],
        "lift": section["lift"],
        "animate": section["animate"],
        "draw": spent[MAIN] - section["record"] + spent[RASTERISER] + spent[PAINTER],
        "record": recording,
    }
    process = after.process - before.process
    parts = {"process": process, **parts, "other": process - sum(parts.values())}
    return {name: round(seconds / frames * 1e3, 3) for name, seconds in parts.items()}


def lock_ms_per_frame(before: ProcessorTime, after: ProcessorTime, frames: int) -> dict[str, float]:
    """Milliseconds per frame for which capture, inference and main may have held Python's lock, at most.

    Not measured but bounded: who holds the lock runs, so it is the thread's processor time, less what it spent in calls
    that are known to let go of the lock. NumPy and OpenCV let go of it, too, in loops over large arrays; that is not
    taken off.
    """
    if frames <= 0:
        return {}
    spent, section = _since(before.threads, after.threads), _since(before.sections, after.sections)
    held = {name: spent[thread] - section[_UNLOCKED.get(thread, "")] for name, thread in _LOOPS.items()}
    return {name: round(seconds / frames * 1e3, 3) for name, seconds in held.items()}


def _since(before: dict[str, float], after: dict[str, float]) -> defaultdict[str, float]:
    return defaultdict(float, {name: seconds - before.get(name, 0.0) for name, seconds in after.items()})
