"""Encoding the camera's pictures in a process of its own, which runs only where nobody else wants to.

In one process encoders would hold up the others at Python's lock, however low their priority. Frames go through a file
in memory without a name that both sides map; what is to be done and what was done goes through standard input and
output, a JSON object per line. Run as `python -m realtime.recording.raw_process DESCRIPTOR FOLDER RAW WIDTH HEIGHT`, on
POSIX systems. The process ends with the one that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.camera import Intrinsics
from core.frame import RgbdFrame
from realtime.recording.recording_folder import RecordingError
from realtime.session.folder_names import COLOR_NAME, RawName

SLOTS = 3
_WAIT_S = 0.5
_END_S = 50.0
_SET_DEATH_SIGNAL = 1  # of prctl


class RawProcess:
    """As `raw_writer.RawWriter`, whose work another process does. Owned by one thread. POSIX only."""

    def __init__(self, folder: Path, raw: RawName) -> None:
        self._folder, self._raw, self._with_depth = folder, raw, raw == "rgbd"
        self.frames = self.refused = self.written_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._free: queue.Queue[int | None] = queue.Queue()
        self._failure = ""
        self._size = (0, 0)

    def append(self, frame: RgbdFrame) -> None:
        """Hand over a frame; waits for a free place. Raises RecordingError."""
        if self._process is None:
            self._start(frame)
        if frame.rgb.shape[:2] != self._size:
            self.refused += 1
            return
        slot = self._next_free()
        at = slot * self._slot_bytes
        self._put(frame.rgb, at)
        depth_m = frame.depth_m if self._with_depth else None
        if depth_m is not None:
            self._put(depth_m, at + frame.rgb.nbytes)
        camera = [float(getattr(frame.intrinsics, name)) for name in ("fx", "fy", "cx", "cy")]
        job = {"slot": slot, "time_s": frame.timestamp_s, "index": frame.index, "camera": camera}
        self._tell({**job, "depth": depth_m is not None})

    def _start(self, frame: RgbdFrame) -> None:
        height, width = self._size = frame.rgb.shape[:2]
        self._slot_bytes = height * width * 7
        self._file = _file_in_memory()
        self._file.truncate(SLOTS * self._slot_bytes)
        self._memory = mmap.mmap(self._file.fileno(), SLOTS * self._slot_bytes)
        shared = self._file.fileno()
        command = [sys.executable, "-m", "realtime.recording.raw_process", str(shared)]
        try:
            self._process = subprocess.Popen(
                [*command, str(self._folder), self._raw, str(width), str(height)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=[shared],
                start_new_session=True,  # Ctrl-C at the terminal is for us; we tell it then
            )
        except OSError as error:
            raise RecordingError.of(self._folder / COLOR_NAME, error) from error
        for slot in range(SLOTS):
            self._free.put(slot)
        self._listener = threading.Thread(target=self._listen, args=(self._process,), name="raw pictures", daemon=True)
        self._listener.start()

    def _put(self, pixels: np.ndarray[Any, Any], at: int) -> None:
        np.frombuffer(self._memory, pixels.dtype, pixels.size, at).reshape(pixels.shape)[...] = pixels

    def _next_free(self) -> int:
        slot = self._free.get()
        if slot is None:
            self._free.put(None)
            raise RecordingError(self._failure or f"{self._folder / COLOR_NAME}: its encoder ended; record again")
        return slot

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError):
                told = json.loads(line)
                self.frames, self.refused, self.written_bytes = told["frames"], told["refused"], told["bytes"]
                self._failure = told["failure"]
                self._free.put(None if self._failure else told["slot"])
        self._free.put(None)

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            self._next_free_after_end()

    def _next_free_after_end(self) -> None:
        while True:
            self._next_free()  # raises once the listener has heard why

    def close(self) -> None:
        """Finish the files. May be called twice. Raises RecordingError."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.write(b'{"end": true}\n')
            process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join(_WAIT_S)
        self._memory.close()
        self._file.close()
        if self._failure or process.returncode:
            ended = f"{self._folder / COLOR_NAME}: its encoder ended; run  vfa session repair {self._folder}"
            raise RecordingError(self._failure or ended)


def _environment() -> dict[str, str]:
    """Finds our modules wherever they were found for this process."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _file_in_memory() -> IO[bytes]:
    """A file without a name, gone with its last process, which never comes to a disk where the system can do so."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("vfa raw pictures"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def main() -> None:
    """The other process."""
    from realtime.recording.raw_writer import RawWriter

    _end_with_parent()
    _run_only_when_idle()
    shared, folder, raw, *size = sys.argv[1:]
    width, height = map(int, size)
    answers, jobs = os.fdopen(os.dup(1), "wb"), _jobs()
    os.dup2(2, 1)  # what libraries print is no answer
    writer, failure = RawWriter(Path(folder), "rgbd" if raw == "rgbd" else "colour"), ""

    def tell(slot: int) -> None:
        told = {"slot": slot, "frames": writer.frames, "refused": writer.refused, "bytes": writer.written_bytes}
        with contextlib.suppress(OSError):
            answers.write(json.dumps({**told, "failure": failure}).encode() + b"\n")
            answers.flush()

    with mmap.mmap(int(shared), 0) as memory:
        while (job := jobs.get()) is not None:
            try:
                if not failure:
                    writer.append(_frame(memory, job, width, height))
            except RecordingError as error:
                failure = str(error)
            tell(job["slot"])
        try:
            writer.close()
        except RecordingError as error:
            failure = failure or str(error)
        tell(-1)


def _frame(memory: mmap.mmap, job: dict[str, Any], width: int, height: int) -> RgbdFrame:
    """Its pixels are copies: a view would keep the memory from being closed."""
    count = width * height
    at = job["slot"] * count * 7
    rgb = np.frombuffer(memory, np.uint8, 3 * count, at).reshape(height, width, 3).copy()
    depth = None
    if job["depth"]:
        depth = np.frombuffer(memory, np.float32, count, at + 3 * count).reshape(height, width).copy()
    fx, fy, cx, cy = job["camera"]
    return RgbdFrame(rgb, depth, Intrinsics(fx, fy, cx, cy, width, height), job["time_s"], job["index"])


def _jobs() -> queue.Queue[dict[str, Any] | None]:
    """What comes in; None at an orderly end. Where the input ends otherwise, whoever started us is gone: as if we had
    been killed with it."""
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            job = json.loads(line)
            if "end" in job:
                jobs.put(None)
                return
            jobs.put(job)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return jobs


def _end_with_parent() -> None:
    """Nothing is written any more once the process that started us is gone."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def _run_only_when_idle() -> None:
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(19)


if __name__ == "__main__":
    main()
