"""`preview.mp4`: the driver beside the avatar."""

import contextlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from core.source import Sound
from realtime.recording.fragments import finish_film, open_mp4
from realtime.recording.recording_folder import PREVIEW_NAME, RecordingError, SyncedFile, partial_of
from realtime.recording.sound import add_sound

TIME_BASE = Fraction(1, 90_000)
WIDEST = 4  # times its height: a stranger picture is squeezed


class PreviewWriter:
    """Encodes driver and avatar side by side, H.264, at the times the frames were captured.

    Frames that were dropped on the way leave a longer-lasting picture, never a faster film. The file grows in fragments
    of a fifth of a second, so that what a killed process leaves behind still plays (`finish_preview` completes it); it
    carries `.partial` in its name until it is closed.

    Args:
        height: of the film, pixels; None: that of the avatar's first picture.
        driver: whether the driver stands beside the avatar, in what `append` adds.
        sound: asked at the end for what goes with the driver's pictures, to be put to the film.

    Raises RecordingError, here and from every method, where the disk takes no more.
    """

    def __init__(
        self,
        path: Path,
        height: int | None = 480,
        *,
        driver: bool = True,
        sound: Callable[[], Sound | None] = lambda: None,
    ) -> None:
        self.path = path
        self._height, self._driver, self._sound = height, driver, sound
        self._partial = partial_of(path)
        try:
            self._file = SyncedFile(self._partial)
        except OSError as error:
            raise RecordingError.of(path, error) from error
        self._container = open_mp4(self._file)
        self._stream: VideoStream | None = None
        self._first_s = 0.0
        self._last_pts = -1
        self._finished = self._broken = False
        self.frames = 0

    def append(self, driver_rgb: NDArray[np.uint8] | None, avatar_rgb: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add one pair of pictures, or the avatar's alone where there is none of the driver; see `append_row`."""
        beside = [] if driver_rgb is None or not self._driver else [driver_rgb]
        self.append_row([*beside, avatar_rgb], timestamp_s)

    def append_row(self, pictures: Sequence[NDArray[np.uint8]], timestamp_s: float) -> None:
        """Add pictures that stand beside each other, [h, w, 3] uint8 each, of any size; the avatar's is the last. Times
        that do not advance are skipped."""
        height = self._stream.height if self._stream is not None else self._height or pictures[-1].shape[0]
        height -= height % 2
        picture = np.hstack([_fit_height(rgb, height) for rgb in pictures])
        if self._stream is None:
            self._stream = self._open_stream(picture.shape[1], height)
            self._first_s = timestamp_s
        if picture.shape[1] < self._stream.width:  # a film cannot change its size when the window does
            picture = np.pad(picture, ((0, 0), (0, self._stream.width - picture.shape[1]), (0, 0)))
        picture = picture[:, : self._stream.width]
        pts = round((timestamp_s - self._first_s) / TIME_BASE)
        if pts <= self._last_pts:
            return
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, TIME_BASE
        self._last_pts = pts
        try:
            self._container.mux(self._stream.encode(frame))
        except (OSError, av.error.FFmpegError, RecordingError) as error:
            self._broken = True
            raise self._told(error) from error
        self.frames += 1

    @property
    def begins_s(self) -> float | None:
        """Timestamp of the first picture; None before there is one."""
        return None if self._stream is None else self._first_s

    @property
    def written_bytes(self) -> int:
        return self._file.written_bytes

    def close(self) -> None:
        """Finish the film under its final name; one without a picture is removed. May be called twice."""
        if self._finished:
            return
        try:
            self._finish()
            self._file.check_in_place()
            if self._broken:
                finish_preview(self.path.parent)
            elif self.frames:
                self._partial.replace(self.path)
                if (sound := self._sound()) is not None:
                    add_sound(self.path, self._first_s, sound)
            else:
                self._partial.unlink(missing_ok=True)
        except (OSError, av.error.FFmpegError, RecordingError) as error:
            raise self._told(error) from error
        finally:
            self._file.release()

    def _told(self, error: Exception) -> RecordingError:
        first = self._file.error or error  # the muxer only says that there was one
        return first if isinstance(first, RecordingError) else RecordingError.of(self.path, first)

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        if not self._finished:
            with contextlib.suppress(OSError, av.error.FFmpegError, RecordingError):  # it goes anyway
                self._finish()
            self._file.release()
            self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Flush and close the container; of one that broke off, only let go."""
        self._finished = True
        try:
            if self._stream is not None and not self._broken:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except (OSError, av.error.FFmpegError, RecordingError):
            if not self._broken:
                raise

    def _open_stream(self, width: int, height: int) -> VideoStream:
        options = {"preset": "superfast", "crf": "20", "g": "60"}
        stream = self._container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the live loop needs the other cores more
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.max_b_frames = 0
        return stream


def _fit_height(rgb: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = min(max(2, round(rgb.shape[1] * height / rgb.shape[0] / 2) * 2), WIDEST * height)
    if rgb.shape[:2] == (height, width):
        return rgb
    method = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=method), np.uint8)


def finish_preview(folder: Path) -> bool:
    """Complete the film that a killed process left in `folder`; see `finish_film`."""
    return finish_film(folder / PREVIEW_NAME)
