"""The application's end of the process that holds the record3d library: start, listen, copy pictures, end."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.cameras.record3d_process import HEADER, HEADER_BYTES, MAX_SIDE, SLOT_BYTES, SLOTS

KEPT_EVENTS = 64


@dataclass(frozen=True, eq=False)
class PhonePicture:
    """A picture as the app sends it: rgb [H, W, 3], depth_m [h, w], confidence [h, w] or empty, K of the colour."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    confidence: NDArray[np.uint8]
    fx: float
    fy: float
    cx: float
    cy: float
    lidar: bool
    arrival_s: float


class LibraryProcess:
    """Runs `capture.cameras.record3d_process` for one phone. Belongs to one thread; `kill` leaves nothing behind."""

    def __init__(self, udid: str) -> None:
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a file system in memory
        prefix = f"vfa-record3d-{os.getpid()}-"
        self._file = tempfile.NamedTemporaryFile(prefix=prefix, dir=folder, delete=False)  # noqa: SIM115 - kept open
        self._file.truncate(SLOTS * SLOT_BYTES)
        self._memory = mmap.mmap(self._file.fileno(), SLOTS * SLOT_BYTES)
        self._condition = threading.Condition()
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._announced = self._taken = 0
        self._ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "capture.cameras.record3d_process", self._file.name, udid],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process_environment(),
        )
        self._listener = threading.Thread(target=self._listen, name="record3d news", daemon=True)
        self._listener.start()

    def next_event(self, timeout_s: float) -> dict[str, Any] | None:
        """The next piece of news other than pictures, or None. After the process's end: {"event": "ended", …}."""
        with self._condition:
            self._condition.wait_for(lambda: self._events or self._ended, timeout_s)
            if self._events:
                return self._events.popleft()
        return {"event": "ended", "status": self._process.wait()} if self._ended else None

    def next_picture(self, timeout_s: float) -> PhonePicture | None:
        """The newest picture not taken yet; None when none came, when there is other news, or when it was torn."""
        with self._condition:
            self._condition.wait_for(lambda: self._announced > self._taken or self._events or self._ended, timeout_s)
            number = self._announced
            if self._events or self._ended or number <= self._taken:
                return None
            self._taken = number
        return self._copy(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._memory.close()
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear(line)
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def _hear(self, line: bytes) -> None:
        try:
            news = json.loads(line)
            event = str(news["event"])
            number = int(news["number"]) if event == "picture" else 0
        except (ValueError, KeyError, TypeError):
            return  # a dying process may leave half a line
        if event == "ready" and sys.platform != "win32":
            Path(self._file.name).unlink(missing_ok=True)  # both hold it now: nothing is left if both are killed
        with self._condition:
            if event == "picture":
                self._announced = number
            else:
                self._events.append(news)
            self._condition.notify_all()

    def _copy(self, number: int) -> PhonePicture | None:
        start = (number % SLOTS) * SLOT_BYTES
        begun, finished, arrival_s, fx, fy, cx, cy, *sizes, lidar = HEADER.unpack_from(self._memory, start)
        if begun != number or finished != number or max(sizes) > MAX_SIDE:
            return None
        (w, h), (depth_w, depth_h), (confidence_w, confidence_h) = zip(sizes[::2], sizes[1::2], strict=True)
        ends = np.cumsum([HEADER_BYTES, h * w * 3, depth_h * depth_w * 4, confidence_h * confidence_w])
        if ends[-1] > SLOT_BYTES:
            return None
        rgb = np.frombuffer(self._memory, np.uint8, h * w * 3, start + ends[0]).reshape(h, w, 3).copy()
        depth = np.frombuffer(self._memory, np.float32, depth_h * depth_w, start + ends[1])
        confidence = np.frombuffer(self._memory, np.uint8, confidence_h * confidence_w, start + ends[2])
        picture = PhonePicture(
            rgb,
            depth.reshape(depth_h, depth_w).copy(),
            confidence.reshape(confidence_h, confidence_w).copy(),
            fx, fy, cx, cy, bool(lidar), arrival_s,
        )  # fmt: skip
        overtaken = HEADER.unpack_from(self._memory, start)[0] != number
        return None if overtaken else picture


def list_phones(timeout_s: float = 5.0) -> list[str]:
    """UDIDs of the phones on this machine's USB. Raises OSError with the reason when the library gives no answer."""
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "capture.cameras.record3d_process"],
            stdin=subprocess.PIPE,
            capture_output=True,
            timeout=timeout_s,
            env=process_environment(),
            check=False,
        ).stdout
        news = json.loads(answer)
        if news["event"] != "listed":
            raise OSError(f"the record3d library cannot be used: {news.get('reason')}")
        return [str(udid) for udid in news["udids"]]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        raise OSError("the phone service (usbmuxd, or iTunes on Windows) does not answer; restart it") from error


def process_environment() -> dict[str, str]:
    """This process's environment, with our packages importable and one thread for array libraries."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
