"""The face landmarker on a stream of pictures, forgiving about time and picture size."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.face.landmarker_library import LandmarkNetwork
from core.closeable import Closeable

_LARGEST_STEP_MS = 1000  # a longer gap between frames is told to the tracker as this
_UNKNOWN_STEP_MS = 33  # and a jump backwards (a loop, a seek) as this
_EDGE_SHARE = 0.04  # a face this near to the edge of its window wants another window
_WHOLE_FACE_SHARE = 0.15  # a face smaller than this share of the picture is not found again in the whole of it


@dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """What was found in one picture.

    Attributes:
        px: [478, 2] float64, pixel centres at +0.5.
        z_px: [478] float64 depth relative to the head, in pixels of the same picture (weak perspective), away from
            the camera.
        scores: [52] float32 coefficients, 0..1.
    """

    px: NDArray[np.float64]
    z_px: NDArray[np.float64]
    scores: NDArray[np.float32]


class _Window(NamedTuple):
    """The part of the picture that is searched."""

    x: int
    y: int
    width: int
    height: int


class Landmarker(Closeable):
    """One face in a stream of pictures. Owned by one thread; close it explicitly, or use it as a context manager.

    Raises InputError where the model cannot be loaded.
    """

    def __init__(self, model_path: Path) -> None:
        self._network = LandmarkNetwork(model_path, video=True, scores=True)
        self._clock_ms = 0
        self._last_timestamp_s: float | None = None
        self._size = (0, 0)
        self._window: _Window | None = None  # where the face is being followed; None while it is lost
        self._searches = 0

    def close(self) -> None:
        """Let go of the model. May be called twice."""
        self._network.close()

    def detect(self, rgb: NDArray[np.uint8], timestamp_s: float) -> FaceLandmarks | None:
        """Find the face in `rgb` [H, W, 3], or None.

        Timestamps may jump, repeat or run backwards: what the tracker is told always moves on. A face that was lost
        since the last picture is searched again in this one.
        """
        self._advance(timestamp_s)
        if self._size != rgb.shape[:2]:
            self._size, self._window, self._searches = rgb.shape[:2], None, 0
        if self._window is not None:
            found = self._run(rgb, self._window) or self._run(rgb, self._window)
            if found is not None:
                self._follow(found)
                return found
            self._window, self._searches = None, 0
        for window in self._windows_to_search():
            found = self._run(rgb, window)
            if found is not None:
                self._window = window
                return found
        return None

    def _windows_to_search(self) -> list[_Window]:
        """At first every window, so that a recording's first frame counts; then the whole and one other in turn."""
        whole, *closer = _search_windows(*self._size)
        self._searches += 1
        if self._searches == 1:
            return [whole, *closer]
        return [whole, closer[self._searches % len(closer)]] if closer else [whole]

    def _advance(self, timestamp_s: float) -> None:
        step_ms = _UNKNOWN_STEP_MS
        if self._last_timestamp_s is not None and timestamp_s > self._last_timestamp_s:
            step_ms = round((timestamp_s - self._last_timestamp_s) * 1000)
        self._last_timestamp_s = timestamp_s
        self._clock_ms += min(max(step_ms, 1), _LARGEST_STEP_MS)

    def _run(self, rgb: NDArray[np.uint8], window: _Window) -> FaceLandmarks | None:
        x, y, width, height = window
        self._clock_ms += 1
        answer = self._network.run(rgb[y : y + height, x : x + width], self._clock_ms)
        if answer is None:
            return None
        points = answer.points
        return FaceLandmarks(points[:, :2] * (width, height) + (x, y), points[:, 2] * width, answer.scores)

    def _follow(self, found: FaceLandmarks) -> None:
        """Move the window when the face comes near its edge; the tracker then has to find it afresh."""
        assert self._window is not None
        moved = _recentred(self._window, self._size, found.px.min(axis=0), found.px.max(axis=0))
        if moved != self._window:
            self._window = moved
            self._forget()

    def _forget(self) -> None:
        """Make the tracker drop the place it follows: it is in coordinates of a window that is no longer used."""
        blank = np.zeros((64, 64, 3), np.uint8)
        self._run(blank, _Window(0, 0, 64, 64))


def _search_windows(height: int, width: int) -> list[_Window]:
    """Where to look for a face: the whole picture, and closer where a distant face would be too small.

    The detector sees 128×128 pixels of whatever it is given.
    """
    whole = _Window(0, 0, width, height)
    short, long = min(height, width), max(height, width)
    if long < 480:
        return [whole]
    sides = (short, short // 2) if short >= 480 else (short,)
    closer = [_Window((width - side) // 2, (height - side) // 3, side, side) for side in sides]
    if long >= 1.2 * short:
        closer += [_Window(0, 0, short, short), _Window(width - short, height - short, short, short)]
    return [whole, *(window for window in closer if window != whole)]


def _recentred(window: _Window, size: tuple[int, int], low: NDArray[np.float64], high: NDArray[np.float64]) -> _Window:
    """The window to use next for a face whose landmarks span `low`..`high`; the same one while it lies well inside."""
    height, width = size
    margin = _EDGE_SHARE * window.width
    inside = (
        (low[0] > window.x + margin or window.x == 0)
        and (low[1] > window.y + margin or window.y == 0)
        and (high[0] < window.x + window.width - margin or window.x + window.width >= width)
        and (high[1] < window.y + window.height - margin or window.y + window.height >= height)
    )
    if inside:
        return window
    face = float(max(high - low))
    if face > _WHOLE_FACE_SHARE * max(width, height):
        return _Window(0, 0, width, height)
    side = min(max(window.width, round(2.5 * face)), width, height)
    x, y = np.clip(np.rint((low + high - side) / 2), 0, (width - side, height - side)).astype(int)
    return _Window(int(x), int(y), side, side)
