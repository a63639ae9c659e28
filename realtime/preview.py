"""`preview.mp4`: the driver beside the avatar."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

TIME_BASE = Fraction(1, 90_000)


class PreviewWriter:
    """Encodes driver and avatar side by side, H.264, at the times the frames were captured.

    Frames that were dropped on the way leave a longer-lasting picture, never a faster film. The file is fragmented, so
    that what a killed process leaves behind still plays; it carries `.partial` in its name until it is closed.
    """

    def __init__(self, path: Path, height: int = 480) -> None:
        self.path = path
        self.height = height - height % 2
        self._partial = path.with_name(path.stem + ".partial" + path.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._partial), "w", options={"movflags": "frag_keyframe+empty_moov"})
        self._stream: VideoStream | None = None
        self._first_s = 0.0
        self._last_pts = -1
        self._finished = False
        self.frames = 0

    def append(self, driver_rgb: NDArray[np.uint8], avatar_rgb: NDArray[np.uint8], timestamp_s: float) -> None:
        """Add one pair of pictures, [h, w, 3] uint8 each, of any size. Times that do not advance are skipped."""
        picture = np.hstack([_fit_height(driver_rgb, self.height), _fit_height(avatar_rgb, self.height)])
        if self._stream is None:
            self._stream = self._open_stream(picture.shape[1])
            self._first_s = timestamp_s
        picture = _fit_width(picture, self._stream.width)
        pts = round((timestamp_s - self._first_s) / TIME_BASE)
        if pts <= self._last_pts:
            return
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, TIME_BASE
        self._last_pts = pts
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Finish the film under its final name; one without a picture is removed."""
        if self._finish() and self.frames:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        self._finish()
        self._partial.unlink(missing_ok=True)

    def _finish(self) -> bool:
        """Flush and close the container; False if that was done before."""
        if self._finished:
            return False
        self._finished = True
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        return True

    def _open_stream(self, width: int) -> VideoStream:
        options = {"preset": "superfast", "crf": "20", "g": "60"}  # a fragment ends, and is safe, every two seconds
        stream = self._container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height = width, self.height
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the live loop needs the other cores more
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.max_b_frames = 0
        return stream


def _fit_height(rgb: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = max(2, round(rgb.shape[1] * height / rgb.shape[0] / 2) * 2)
    if rgb.shape[:2] == (height, width):
        return rgb
    method = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=method), np.uint8)


def _fit_width(rgb: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Pad or cut on the right: a film cannot change its size when the window does."""
    if rgb.shape[1] < width:
        return np.pad(rgb, ((0, 0), (0, width - rgb.shape[1]), (0, 0)))
    return rgb[:, :width]
