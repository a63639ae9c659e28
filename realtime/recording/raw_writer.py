"""The camera's own pictures: `color.mp4` (H.264), `depth.mkv` (FFV1, millimetres) and which frames they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.frame import RgbdFrame
from realtime.recording.film_file import TIME_BASE, Coding, FilmFile
from realtime.recording.planes import even, planes_of
from realtime.recording.recording_folder import RecordingError, SyncedFile
from realtime.session import record_file
from realtime.session.folder_names import COLOR_NAME, DEPTH_NAME, PICTURES_NAME, RawName, partial_of
from realtime.session.picture_records import PICTURE

_QUICK = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "g": "60"}
_COLOR = Coding("libx264", _QUICK, "yuv420p")
_LOSSLESS = {"level": "3", "coder": "0", "context": "0", "slices": "4", "slicecrc": "1", "g": "1"}
_DEPTH = Coding("ffv1", _LOSSLESS, "gray16le")


@dataclass(frozen=True, eq=False)
class RawPicture:
    """A frame as it is kept.

    Attributes:
        size: width and height of the camera's picture.
        planes: of its colour; see `planes.planes_of`.
        depth_mm: [h, w] uint16 as its own camera saw it, where that is known, or [H, W] as aligned to the colour; 0
            where there is no reading or one beyond 65 metres; None without depth.
        timestamp_s, index: of the frame.
    """

    size: tuple[int, int]
    planes: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16] | None
    timestamp_s: float
    index: int

    @property
    def shapes(self) -> tuple[tuple[int, ...] | None, ...]:
        """Of colour and depth."""
        return self.size, None if self.depth_mm is None else self.depth_mm.shape

    @staticmethod
    def of(frame: RgbdFrame, *, with_depth: bool) -> RawPicture:
        depth_mm = None
        if with_depth and frame.sensed is not None:
            depth_mm = frame.sensed.millimetres
        elif with_depth and frame.depth_m is not None:
            depth_mm = _millimetres(frame.depth_m)
        size = frame.rgb.shape[1], frame.rgb.shape[0]
        return RawPicture(size, planes_of(frame.rgb), depth_mm, frame.timestamp_s, frame.index)


class FirstShapes:
    """What the first picture is like holds for all of a recording.

    Attributes:
        refused: so many were not.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._first: tuple[tuple[int, ...] | None, ...] | None = None

    @property
    def known(self) -> bool:
        return self._first is not None

    def takes(self, picture: RawPicture) -> bool:
        """Whether a picture is like the first, which the first one asked for becomes."""
        self._first = self._first or picture.shapes
        taken = picture.shapes == self._first
        self.refused += not taken
        return taken


class RawWriter:
    """Encodes frames as they come, colour and depth of one together; one that cannot be kept is left out whole.

    Each file grows in pieces of a fifth of a second under a name with `.partial` in it until `close`.

    Args:
        raw: "colour", or "rgbd" for depth as well, where the frames have any.

    Attributes:
        frames: so many are kept.
        refused: frames of another size than the first, with another depth or none, or older than the one before.

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(self, folder: Path, raw: RawName) -> None:
        self._folder, self._with_depth = folder, raw == "rgbd"
        self.frames = 0
        self._films: list[FilmFile] = []
        self._shapes = FirstShapes()
        self._first_s, self._last_pts, self._too_old = 0.0, -1, 0
        self._closed = False
        self._pictures: SyncedFile | None = None

    @property
    def refused(self) -> int:
        return self._shapes.refused + self._too_old

    @property
    def written_bytes(self) -> int:
        films = sum(film.written_bytes for film in self._films)
        return films + (0 if self._pictures is None else self._pictures.written_bytes)

    def append(self, frame: RgbdFrame) -> None:
        """Add a frame."""
        self.add(RawPicture.of(frame, with_depth=self._with_depth))

    def add(self, picture: RawPicture) -> None:
        """Add a frame that was made ready."""
        try:
            if not self._shapes.known:
                self._open(picture)
            if not self._shapes.takes(picture):
                return
            pts = round((picture.timestamp_s - self._first_s) / TIME_BASE)
            if pts <= self._last_pts:
                self._too_old += 1
                return
            self._last_pts = pts
            self._films[0].add(picture.planes, pts)
            if picture.depth_mm is not None:
                self._films[1].add(picture.depth_mm, pts)
            assert self._pictures is not None
            self._pictures.write(np.array((picture.index, picture.timestamp_s), PICTURE).tobytes())
        except OSError as error:
            raise self._told(error) from error
        self.frames += 1

    def _open(self, picture: RawPicture) -> None:
        self._first_s = picture.timestamp_s
        self._films.append(FilmFile(self._folder / COLOR_NAME, _COLOR))
        self._films[0].begin(even(*picture.size))
        if picture.depth_mm is not None:
            self._films.append(FilmFile(self._folder / DEPTH_NAME, _DEPTH))
            height, width = picture.depth_mm.shape
            self._films[1].begin((width, height))
        self._pictures = SyncedFile(partial_of(self._folder / PICTURES_NAME))
        self._pictures.write(record_file.head(PICTURE))

    def _told(self, error: OSError) -> RecordingError:
        return RecordingError.of(self._folder / PICTURES_NAME, error)

    def close(self) -> None:
        """Finish the files under their names; those without a picture go. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            for film in self._films:
                film.close(keep=self.frames > 0)
            self._finish_pictures()
        except OSError as error:
            raise self._told(error) from error
        finally:
            for film in self._films:
                film.release()
            if self._pictures is not None:
                self._pictures.release()

    def _finish_pictures(self) -> None:
        if self._pictures is None:
            return
        path = self._folder / PICTURES_NAME
        self._pictures.check_in_place()
        if not self.frames:
            partial_of(path).unlink(missing_ok=True)
            return
        record_file.complete(self._pictures.raw, PICTURE, self.frames)
        partial_of(path).replace(path)


def _millimetres(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """[H, W] 0 where there is no reading or one beyond 65 metres."""
    scaled = depth_m * np.float32(1000.0) + np.float32(0.5)
    return np.where(scaled < 65535.5, scaled, 0).astype(np.uint16)
