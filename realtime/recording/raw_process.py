"""The camera's own pictures, encoded by another process (`encoder_process`), which runs where nobody else wants to."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from core.frame import RgbdFrame
from realtime.recording.encoder_process import EncoderProcess
from realtime.recording.planes import even, planes_shape
from realtime.recording.raw_writer import FirstShapes, RawPicture, RawWriter
from realtime.session.folder_names import COLOR_NAME, RawName


class RawProcess:
    """As `raw_writer.RawWriter`, whose work another process does. Owned by one thread. POSIX only."""

    def __init__(self, folder: Path, raw: RawName) -> None:
        self._with_depth = raw == "rgbd"
        self._encoder = EncoderProcess(folder / COLOR_NAME, "raw", str(folder), raw)
        self._shapes = FirstShapes()

    @property
    def frames(self) -> int:
        return self._encoder.frames

    @property
    def refused(self) -> int:
        return self._encoder.refused + self._shapes.refused

    @property
    def written_bytes(self) -> int:
        return self._encoder.written_bytes

    def append(self, frame: RgbdFrame) -> None:
        """Hand over a frame; waits for a free place. Raises RecordingError."""
        picture = RawPicture.of(frame, with_depth=self._with_depth)
        depth = [] if picture.depth_mm is None else [picture.depth_mm]
        if not self._shapes.known:
            size, depth_shape = picture.shapes
            room = picture.planes.nbytes + sum(each.nbytes for each in depth)
            self._encoder.begin(room, size=size, depth=depth_shape)
        if self._shapes.takes(picture):
            self._encoder.put(picture.planes, *depth, time_s=picture.timestamp_s, index=picture.index)

    def close(self) -> None:
        """Finish the files. May be called twice. Raises RecordingError."""
        self._encoder.close()


class RawEncoder:
    """The other process's side: see `encoder_process.Encoder`."""

    def __init__(self, folder: str, raw: str) -> None:
        self._writer = RawWriter(Path(folder), "rgbd" if raw == "rgbd" else "colour")
        self._size = self._planes = (0, 0)
        self._depth: list[int] | None = None

    @property
    def counts(self) -> tuple[int, int, int]:
        return self._writer.frames, self._writer.refused, self._writer.written_bytes

    def begin(self, about: dict[str, Any]) -> None:
        width, height = about["size"]
        self._size, self._planes = (width, height), planes_shape(*even(width, height))
        self._depth = about["depth"]

    def append(self, memory: mmap.mmap, at: int, job: dict[str, Any]) -> None:
        count = math.prod(self._planes)
        planes = np.frombuffer(memory, np.uint8, count, at).reshape(self._planes)
        depth = None
        if self._depth is not None:
            depth = np.frombuffer(memory, np.uint16, math.prod(self._depth), at + count).reshape(self._depth)
        self._writer.add(RawPicture(self._size, planes, depth, job["time_s"], job["index"]))

    def close(self, *, keep: bool) -> None:
        del keep  # a writer keeps what has a picture
        self._writer.close()
