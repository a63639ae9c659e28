"""The camera's own pictures, encoded by another process (`encoder_process`), which runs where nobody else wants to."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from core.camera import Intrinsics
from core.frame import RgbdFrame
from realtime.recording.encoder_process import EncoderProcess
from realtime.recording.raw_writer import RawWriter
from realtime.session.folder_names import COLOR_NAME, RawName

_PIXEL_BYTES = 3 + 4  # colour, and depth as it comes


class RawProcess:
    """As `raw_writer.RawWriter`, whose work another process does. Owned by one thread. POSIX only."""

    def __init__(self, folder: Path, raw: RawName) -> None:
        self._with_depth = raw == "rgbd"
        self._encoder = EncoderProcess(folder / COLOR_NAME, "raw", str(folder), raw)
        self._size: tuple[int, int] | None = None
        self._other_size = 0

    @property
    def frames(self) -> int:
        return self._encoder.frames

    @property
    def refused(self) -> int:
        return self._encoder.refused + self._other_size

    @property
    def written_bytes(self) -> int:
        return self._encoder.written_bytes

    def append(self, frame: RgbdFrame) -> None:
        """Hand over a frame; waits for a free place. Raises RecordingError."""
        height, width = size = frame.rgb.shape[:2]
        if self._size is None:
            self._size = size
            self._encoder.begin(height * width * _PIXEL_BYTES, size=[width, height])
        if size != self._size:
            self._other_size += 1
            return
        depth = [frame.depth_m] if self._with_depth and frame.depth_m is not None else []
        camera = [float(getattr(frame.intrinsics, name)) for name in ("fx", "fy", "cx", "cy")]
        told = {"time_s": frame.timestamp_s, "index": frame.index, "camera": camera, "depth": bool(depth)}
        self._encoder.put(frame.rgb, *depth, **told)

    def close(self) -> None:
        """Finish the files. May be called twice. Raises RecordingError."""
        self._encoder.close()


class RawEncoder:
    """The other process's side: see `encoder_process.Encoder`."""

    def __init__(self, folder: str, raw: str) -> None:
        self._writer = RawWriter(Path(folder), "rgbd" if raw == "rgbd" else "colour")
        self._size = (0, 0)

    @property
    def counts(self) -> tuple[int, int, int]:
        return self._writer.frames, self._writer.refused, self._writer.written_bytes

    def begin(self, about: dict[str, Any]) -> None:
        self._size = tuple(about["size"])

    def append(self, memory: mmap.mmap, at: int, job: dict[str, Any]) -> None:
        width, height = self._size
        count = width * height
        rgb = np.frombuffer(memory, np.uint8, 3 * count, at).reshape(height, width, 3)
        depth = None
        if job["depth"]:
            depth = np.frombuffer(memory, np.float32, count, at + 3 * count).reshape(height, width)
        fx, fy, cx, cy = job["camera"]
        camera = Intrinsics(fx, fy, cx, cy, width, height)
        self._writer.append(RgbdFrame(rgb, depth, camera, job["time_s"], job["index"]))

    def close(self, *, keep: bool) -> None:
        del keep  # a writer keeps what has a picture
        self._writer.close()
