"""A film that another process encodes (`encoder_process`), beside a live loop."""

from __future__ import annotations

import json
import mmap
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.recording.encoder_process import EncoderProcess
from realtime.recording.film_file import Coding, FilmFile
from realtime.recording.recording_folder import RecordingError


class FilmProcess:
    """As `film_file.FilmFile`, for pictures [h, w, 3] uint8. Owned by one thread. POSIX only."""

    def __init__(self, path: Path, coding: Coding) -> None:
        self._encoder = EncoderProcess(path, "film", str(path), json.dumps(asdict(coding)))

    @property
    def written_bytes(self) -> int:
        return self._encoder.written_bytes

    def begin(self, size: tuple[int, int]) -> None:
        self._encoder.begin(size[0] * size[1] * 3, size=size)

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
        self._size = (0, 0)

    @property
    def counts(self) -> tuple[int, int, int]:
        return self._film.frames, 0, self._film.written_bytes

    def begin(self, about: dict[str, Any]) -> None:
        self._size = tuple(about["size"])
        self._film.begin(self._size)

    def append(self, memory: mmap.mmap, at: int, job: dict[str, Any]) -> None:
        width, height = self._size
        pixels = np.frombuffer(memory, np.uint8, 3 * width * height, at).reshape(height, width, 3)
        self._film.add(pixels, job["pts"])

    def close(self, *, keep: bool) -> None:
        if keep:
            self._film.close()
        else:
            self._film.discard()
