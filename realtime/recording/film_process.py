"""A film that another process encodes (`encoder_process`), beside a live loop."""

from __future__ import annotations

import json
import math
import mmap
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.recording.encoder_process import EncoderProcess
from realtime.recording.film_file import Coding, FilmFile
from realtime.recording.planes import planes_shape
from realtime.recording.recording_folder import RecordingError


class FilmProcess:
    """As `film_file.FilmFile`, for pictures as `planes` makes them. Owned by one thread. POSIX only."""

    def __init__(self, path: Path, coding: Coding) -> None:
        self._encoder = EncoderProcess(path, "film", str(path), json.dumps(asdict(coding)))

    @property
    def written_bytes(self) -> int:
        return self._encoder.written_bytes

    def begin(self, size: tuple[int, int]) -> None:
        self._encoder.begin(math.prod(planes_shape(*size)), size=size)

    def add(self, pixels: NDArray[np.uint8], pts: int) -> None:
        self._encoder.put(pixels, pts=pts)

    def close(self) -> None:
        self._encoder.close()

    def discard(self) -> None:
        with suppress(RecordingError):  # it goes anyway
            self._encoder.close(keep=False)


class FilmEncoder:
    """The other process's side: see `encoder_process.Encoder`."""

    def __init__(self, path: str, coding: str) -> None:
        self._film = FilmFile(Path(path), Coding(**json.loads(coding)))
        self._shape = (0, 0)

    @property
    def counts(self) -> tuple[int, int, int]:
        return self._film.frames, 0, self._film.written_bytes

    def begin(self, about: dict[str, Any]) -> None:
        width, height = about["size"]
        self._shape = planes_shape(width, height)
        self._film.begin((width, height))

    def append(self, memory: mmap.mmap, at: int, job: dict[str, Any]) -> None:
        pixels = np.frombuffer(memory, np.uint8, math.prod(self._shape), at)
        self._film.add(pixels.reshape(self._shape), job["pts"])

    def close(self, *, keep: bool) -> None:
        if keep:
            self._film.close()
        else:
            self._film.discard()
