"""Encoding pictures in a process of its own, which gives way to all others.

In one process encoders would hold up the others at Python's lock, however low their priority, and be held up by them.
Pictures go through a file in memory without a name that both sides map; what is to be done and what was done goes
through standard input and output, a JSON object per line: see `encoder_main`, the other side. POSIX systems only. The
process ends with the one that started it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from realtime.recording.recording_folder import RecordingError

SLOTS = 3
_WAIT_S = 0.5
_END_S = 50.0


class EncoderProcess:
    """The other process, seen from the one that has pictures. Owned by one thread.

    Args:
        path: what it writes, for what is told to the user.
        arguments: of `encoder_main.main`, from the kind of writer on.

    Attributes:
        frames, refused, written_bytes: as the writer says.

    Raises RecordingError, here and from every method, where the process cannot be started or has ended, and with the
    writer's words where it failed.
    """

    def __init__(self, path: Path, *arguments: str) -> None:
        self._path = path
        self.frames = self.refused = self.written_bytes = 0
        self._free: queue.Queue[int | None] = queue.Queue()
        self._failure = ""
        self._memory: mmap.mmap | None = None
        self._slot_bytes = 0
        self._ended = False
        self._file = _file_in_memory()
        shared = self._file.fileno()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "realtime.recording.encoder_main", str(shared), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=[shared],
                start_new_session=True,  # Ctrl-C at the terminal is for us; we tell it then
            )
        except OSError as error:
            self._file.close()
            raise RecordingError.of(path, error) from error
        self._listener = threading.Thread(target=self._listen, name="encoder's answers", daemon=True)
        self._listener.start()

    def begin(self, slot_bytes: int, **about: Any) -> None:
        """Make room for what one call of `put` brings, and tell the writer about it."""
        self._slot_bytes = slot_bytes
        try:
            self._file.truncate(SLOTS * slot_bytes)
            self._memory = mmap.mmap(self._file.fileno(), SLOTS * slot_bytes)
        except OSError as error:  # a limit on memory or on files
            raise RecordingError.of(self._path, error) from error
        self._tell({"slot_bytes": slot_bytes, "about": about})
        for slot in range(SLOTS):
            self._free.put(slot)

    def put(self, *pixels: NDArray[Any], **job: Any) -> None:
        """Hand over pictures; waits for a free place."""
        assert self._memory is not None
        slot = self._next_free()
        at = slot * self._slot_bytes
        for each in pixels:
            np.frombuffer(self._memory, each.dtype, each.size, at).reshape(each.shape)[...] = each
            at += each.nbytes
        self._tell({"slot": slot, "job": job})

    def _next_free(self) -> int:
        slot = self._free.get()
        if slot is None:
            self._free.put(None)
            raise RecordingError(self._failure or f"{self._path}: its encoder ended; record again")
        return slot

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, KeyError):
                told = json.loads(line)
                self.frames, self.refused, self.written_bytes = told["frames"], told["refused"], told["bytes"]
                self._failure = told["failure"]
                self._free.put(None if self._failure else told["slot"])
        self._free.put(None)

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            while True:
                self._next_free()  # raises once the listener has heard why

    def close(self, *, keep: bool = True) -> None:
        """Finish the files, or leave nothing of them. May be called twice."""
        if self._ended:
            return
        self._ended = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps({"keep": keep}).encode() + b"\n")
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_WAIT_S)
        if self._memory is not None:
            self._memory.close()
        self._file.close()
        if self._failure or self._process.returncode:
            ended = f"{self._path}: its encoder ended; run  vfa session repair {self._path.parent}"
            raise RecordingError(self._failure or ended)


def _environment() -> dict[str, str]:
    """Finds our modules wherever they were found for this process."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _file_in_memory() -> IO[bytes]:
    """A file without a name, gone with its last process, which never comes to a disk where the system can do so."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("vfa pictures"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
