"""A film of one codec that grows on the disk, of pictures of one size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from realtime.recording.fragments import finish_film, open_matroska, open_mp4
from realtime.recording.recording_folder import RecordingError, SyncedFile
from realtime.session.folder_names import partial_of

TIME_BASE: Final = Fraction(1, 90_000)
FILM_ERRORS: Final = (OSError, av.error.FFmpegError, RecordingError)


@dataclass(frozen=True)
class Coding:
    """How pictures are kept: FFmpeg's names of the codec and of the format that it is given and keeps."""

    codec: str
    options: dict[str, str]
    pixels: str


class FilmFile:
    """Encodes pictures as they come, in fragments of a fifth of a second, so that what a killed process leaves behind
    still plays (`fragments.finish_film` completes it). Its name carries `.partial` until it is closed.

    Attributes:
        frames: so many were encoded.

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(self, path: Path, coding: Coding) -> None:
        self.path, self._coding = path, coding
        self._partial = partial_of(path)
        try:
            self._file = SyncedFile(self._partial)
        except OSError as error:
            raise RecordingError.of(path, error) from error
        opened: Callable[[SyncedFile], OutputContainer] = open_matroska if path.suffix == ".mkv" else open_mp4
        self._container = opened(self._file)
        self._stream: VideoStream | None = None
        self._ended = self._broken = False
        self.frames = 0

    @property
    def written_bytes(self) -> int:
        return self._file.written_bytes

    def begin(self, size: tuple[int, int]) -> None:
        """Say how large the pictures are, width and height, before the first. H.264 needs even ones."""
        stream = self._container.add_stream(self._coding.codec, rate=30, options=dict(self._coding.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = self._coding.pixels
        stream.thread_count = 1  # the live loop needs the other cores more
        stream.codec_context.time_base = TIME_BASE
        if self._coding.codec == "libx264":
            stream.codec_context.max_b_frames = 0
            stream.codec_context.colorspace = Colorspace.ITU601  # `planes`; players guess by the size otherwise
            stream.codec_context.color_range = ColorRange.MPEG
        self._stream = stream

    def add(self, pixels: NDArray[Any], pts: int) -> None:
        """Add a picture of the size that was said, as FFmpeg lays out such pixels in one array, at a time that is
        later than all before, in units of TIME_BASE."""
        assert self._stream is not None
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._coding.pixels)
        frame.pts, frame.time_base = pts, TIME_BASE
        try:
            self._container.mux(self._stream.encode(frame))
        except FILM_ERRORS as error:
            self._broken = True
            raise self._told(error) from error
        self.frames += 1

    def close(self, *, keep: bool | None = None) -> None:
        """Finish it under its final name, of one that broke off as far as it goes; it is removed where it holds no
        picture, or `keep` says so. May be called twice."""
        if self._ended:
            return
        keep = self.frames > 0 if keep is None else keep
        try:
            self._finish()
            self._file.check_in_place()
            if not keep:
                self._partial.unlink(missing_ok=True)
            elif self._broken:
                finish_film(self.path)
            else:
                self._partial.replace(self.path)
        except FILM_ERRORS as error:
            raise self._told(error) from error
        finally:
            self._file.release()

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        if not self._ended:
            with contextlib.suppress(*FILM_ERRORS):  # it goes anyway
                self._finish()
            self._file.release()
            self._partial.unlink(missing_ok=True)

    def release(self) -> None:
        """Close the file as a killed process would: nothing is flushed or finished."""
        self._file.release()

    def _finish(self) -> None:
        self._ended = True
        try:
            if self._stream is not None and not self._broken:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except FILM_ERRORS:
            if not self._broken:
                raise

    def _told(self, error: Exception) -> RecordingError:
        first = self._file.error or error  # the muxer only says that there was one
        return first if isinstance(first, RecordingError) else RecordingError.of(self.path, first)
