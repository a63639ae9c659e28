"""`preview.mp4`: the driver beside the avatar."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from core.source import Sound
from realtime.recording.film_file import TIME_BASE, Coding, FilmFile
from realtime.recording.fragments import finish_film
from realtime.recording.planes import planes_of
from realtime.recording.recording_folder import PREVIEW_NAME, RecordingError
from realtime.recording.sound import add_sound

CODING = Coding("libx264", {"preset": "superfast", "crf": "20", "g": "60"}, "yuv420p")
WIDEST = 4  # times its height: a stranger picture is squeezed


class Film(Protocol):
    """Where pictures of one size go: a `FilmFile`, or one that another process writes."""

    @property
    def written_bytes(self) -> int: ...
    def begin(self, size: tuple[int, int]) -> None: ...
    def add(self, pixels: NDArray[np.uint8], pts: int) -> None: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...


class PreviewWriter:
    """Encodes driver and avatar side by side, H.264, at the times the frames were captured.

    Frames that were dropped on the way leave a longer-lasting picture, never a faster film. The file grows in fragments
    of a fifth of a second, so that what a killed process leaves behind still plays (`finish_preview` completes it); it
    carries `.partial` in its name until it is closed.

    Args:
        height: of the film, pixels; None: that of the avatar's first picture.
        driver: whether the driver stands beside the avatar, in what `append` adds.
        sound: asked at the end for what goes with the driver's pictures, to be put to the film.
        film: opens the file.

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(
        self,
        path: Path,
        height: int | None = 480,
        *,
        driver: bool = True,
        sound: Callable[[], Sound | None] = lambda: None,
        film: Callable[[Path, Coding], Film] = FilmFile,
    ) -> None:
        self.path = path
        self._height, self._driver, self._sound = height, driver, sound
        self._film = film(path, CODING)
        self._size: tuple[int, int] | None = None
        self._first_s = 0.0
        self._last_pts = -1
        self._ended = False
        self.frames = 0

    def append(self, driver_rgb: NDArray[np.uint8] | None, avatar_rgb: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add one pair of pictures, or the avatar's alone where there is none of the driver; see `append_row`."""
        beside = [] if driver_rgb is None or not self._driver else [driver_rgb]
        self.append_row([*beside, avatar_rgb], timestamp_s)

    def append_row(self, pictures: Sequence[NDArray[np.uint8]], timestamp_s: float) -> None:
        """Add pictures that stand beside each other, [h, w, 3] uint8 each, of any size; the avatar's is the last. Times
        that do not advance are skipped."""
        height = self._size[1] if self._size is not None else self._height or pictures[-1].shape[0]
        height = max(height - height % 2, 2)
        picture = np.hstack([_fit_height(rgb, height) for rgb in pictures])
        if self._size is None:
            self._size, self._first_s = (picture.shape[1], height), timestamp_s
            self._film.begin(self._size)
        width = self._size[0]
        if picture.shape[1] < width:  # a film cannot change its size when the window does
            picture = np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)))
        pts = round((timestamp_s - self._first_s) / TIME_BASE)
        if pts <= self._last_pts:
            return
        self._last_pts = pts
        self._film.add(planes_of(picture[:, :width]), pts)
        self.frames += 1

    @property
    def begins_s(self) -> float | None:
        """Timestamp of the first picture; None before there is one."""
        return None if self._size is None else self._first_s

    @property
    def written_bytes(self) -> int:
        return self._film.written_bytes

    def close(self) -> None:
        """Finish the film under its final name; one without a picture is removed. May be called twice."""
        if self._ended:
            return
        self._ended = True
        self._film.close()
        if self.frames and (sound := self._sound()) is not None:
            try:
                add_sound(self.path, self._first_s, sound)
            except (OSError, av.error.FFmpegError) as error:
                raise RecordingError.of(self.path, error) from error

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        self._ended = True
        self._film.discard()


def _fit_height(rgb: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = min(max(2, round(rgb.shape[1] * height / rgb.shape[0] / 2) * 2), WIDEST * height)
    while rgb.shape[0] >= 2 * height and rgb.shape[1] >= 2:  # halving is quick; between neighbours no pixel is left out
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        half = rgb.shape[1] // 2, rgb.shape[0] // 2
        rgb = np.asarray(cv2.resize(rgb, half, interpolation=cv2.INTER_AREA), np.uint8)
    if rgb.shape[:2] == (height, width):
        return rgb
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def finish_preview(folder: Path) -> bool:
    """Complete the film that a killed process left in `folder`; see `finish_film`."""
    return finish_film(folder / PREVIEW_NAME)
