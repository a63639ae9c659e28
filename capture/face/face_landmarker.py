"""The face landmarker on a stream of pictures, forgiving about time and picture size, and true to one person.

Landmarks are followed within a window of the picture. Which face that is on, and where to look for it after a loss, is
found out by `face_detector` and decided by `face_choice`; while all is well that costs two milliseconds every 0.25 s.
"""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from capture.face.face_choice import FaceChoice
from capture.face.face_detector import FaceDetector, SeenFace, Window
from capture.face.networks.answers import FaceNetworks
from core.closeable import Closeable
from core.spans import span

_LARGEST_STEP_MS = 1000  # a longer gap between frames is told to the tracker as this
_UNKNOWN_STEP_MS = 33  # and a jump backwards (a loop, a seek) as this
_EDGE_SHARE = 0.04  # a face this near to the edge of its window wants another window
_WHOLE_FACE_SHARE = 0.15  # a face smaller than this share of the picture is not found again in the whole of it
_LOOK_EVERY_MS = 250  # whether there are other faces
_STEP_SIDES, _STEP_RATIO = 0.5, 1.5  # a face that leaps farther, or grows by more, from frame to frame is another one
_BOX_SHARE, _BOX_LOWER = 0.93, 0.04  # the detector's box beside that of the landmarks: its side, and its middle


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

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of all landmarks, in pixels."""
        x, y = self.px.T
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    @cached_property
    def place(self) -> SeenFace:
        """Where the detector would see it."""
        left, top, right, bottom = self.box
        side = max(right - left, bottom - top)
        return SeenFace((left + right) / 2, (top + bottom) / 2 + _BOX_LOWER * side, _BOX_SHARE * side)


class Landmarker(Closeable):
    """One face in a stream of pictures. Owned by one thread; close it explicitly, or use it as a context manager.

    Raises InputError where the model cannot be loaded.
    """

    def __init__(self, networks: FaceNetworks) -> None:
        self._network = networks.landmarks(video=True, scores=True)
        self._detector, self._choice = FaceDetector(networks.detector()), FaceChoice()
        self._next_wanted = threading.Event()
        self._clock_ms = 0
        self._look_due_ms = 0
        self._last_timestamp_s: float | None = None
        self._size = (0, 0)
        self._window: Window | None = None  # where the face is being followed; None while it is lost
        self._place: SeenFace | None = None  # of the face in the frame before
        self._searches = 0

    def close(self) -> None:
        """Let go of the model. May be called twice."""
        self._network.close()
        self._detector.close()

    def follow_next(self) -> None:
        """Follow another face, if there is one, from the next picture on: from left to right. From any thread."""
        self._next_wanted.set()

    def detect(self, rgb: NDArray[np.uint8], timestamp_s: float) -> FaceLandmarks | None:
        """Find the driver's face in `rgb` [H, W, 3], or None.

        Timestamps may jump, repeat or run backwards: what the tracker is told always moves on. A face that was lost
        since the last picture is searched again in this one.
        """
        self._advance(timestamp_s)
        if self._size != rgb.shape[:2]:
            self._size, self._window, self._searches = rgb.shape[:2], None, 0
            self._choice = FaceChoice()
        if self._window is not None and (other := self._other_face(rgb)) is not None:
            if (found := self._land(rgb, other, [])) is not None:
                return found
            self._forget()
        if self._window is not None and (found := self._run(rgb, self._window) or self._run(rgb, self._window)):
            if self._continues(found.place):
                self._keep(found)
                return found
            self._forget()
        return self._search(rgb)

    # --- one face, from frame to frame ----------------------------------------------------------------------------

    def _advance(self, timestamp_s: float) -> None:
        step_ms = _UNKNOWN_STEP_MS
        if self._last_timestamp_s is not None and timestamp_s > self._last_timestamp_s:
            step_ms = round((timestamp_s - self._last_timestamp_s) * 1000)
        self._last_timestamp_s = timestamp_s
        self._clock_ms += min(max(step_ms, 1), _LARGEST_STEP_MS)

    def _run(self, rgb: NDArray[np.uint8], window: Window) -> FaceLandmarks | None:
        x, y, width, height = window
        self._clock_ms += 1
        with span("landmarks"):
            answer = self._network.run(rgb[y : y + height, x : x + width], self._clock_ms)
        if answer is None:
            return None
        points = answer.points
        return FaceLandmarks(points[:, :2] * (width, height) + (x, y), points[:, 2] * width, answer.scores)

    def _continues(self, place: SeenFace) -> bool:
        """Whether this is the face of the frame before: in a window with several the network may take another."""
        return self._place is None or place.matches(self._place, _STEP_SIDES, _STEP_RATIO)

    def _keep(self, found: FaceLandmarks) -> None:
        """Move the window when the face comes near its edge; the tracker then has to find it afresh."""
        assert self._window is not None
        self._place = found.place
        moved = _recentred(self._window, self._size, found.box)
        if moved != self._window:
            self._window = moved
            self._forget()

    def _forget(self) -> None:
        """Make the tracker drop the place it follows: it is on another face, or in coordinates of another window."""
        self._clock_ms += 1
        self._network.forget(self._clock_ms)

    # --- which face -----------------------------------------------------------------------------------------------

    def _other_face(self, rgb: NDArray[np.uint8]) -> SeenFace | None:
        """Look around now and then, and when asked to: the face to follow instead, or None."""
        assert self._place is not None
        if self._next_wanted.is_set():
            self._next_wanted.clear()
            seen = self._detector.search(rgb, everywhere=True)
            return self._choice.pin_next(seen, self._place, self._clock_ms / 1000)
        if self._clock_ms < self._look_due_ms:
            return None
        self._look_due_ms = self._clock_ms + _LOOK_EVERY_MS
        with span("detect"):
            seen = self._detector.look(rgb)
        return self._choice.better(seen, self._place, rgb, self._clock_ms / 1000)

    def _search(self, rgb: NDArray[np.uint8]) -> FaceLandmarks | None:
        """Look for the driver, at first everywhere, so that a recording's first frame counts."""
        if self._window is not None:
            self._choice.lose()
            self._window, self._place, self._searches = None, None, 0
        with span("detect"):
            seen = self._detector.search(rgb, everywhere=self._searches == 0)
        self._searches += 1
        for face in self._choice.candidates(seen, rgb, self._clock_ms / 1000):
            found = self._land(rgb, face, [other for other in seen if other is not face])
            if found is not None:
                return found
        return None

    def _land(self, rgb: NDArray[np.uint8], face: SeenFace, others: list[SeenFace]) -> FaceLandmarks | None:
        """The landmarks of a face that was seen, which is followed from now on; None where there are none."""
        self._forget()
        window = _window_for(face, self._size, alone=not others)
        found = self._run(rgb, window)
        if found is None or not _lies_on(found, face):
            window = _window_for(face, self._size, alone=False)
            hidden = rgb.copy()
            for other in others:
                _hide(hidden, other, face)
            self._forget()
            found = self._run(hidden, window)
        if found is None or not _lies_on(found, face):
            return None
        self._window, self._place = window, found.place
        self._choice.follow(face, others, rgb, self._clock_ms / 1000)
        self._look_due_ms = self._clock_ms + _LOOK_EVERY_MS
        return found


def _lies_on(found: FaceLandmarks, face: SeenFace) -> bool:
    return found.place.matches(face, reach=0.5, ratio=2.0)


def _hide(rgb: NDArray[np.uint8], other: SeenFace, face: SeenFace) -> None:
    """Paint over another face, but for what belongs to this one."""
    height, width = rgb.shape[:2]
    kept = _box(face, 1.2, width, height)
    under = rgb[kept].copy()
    rgb[_box(other, 1.0, width, height)] = 127
    rgb[kept] = under


def _box(face: SeenFace, sides: float, width: int, height: int) -> tuple[slice, slice]:
    reach = sides * face.side / 2
    rows = (int(np.clip(face.y + sign * reach, 0, height)) for sign in (-1, 1))
    columns = (int(np.clip(face.x + sign * reach, 0, width)) for sign in (-1, 1))
    return slice(*rows), slice(*columns)


def _window_for(face: SeenFace, size: tuple[int, int], *, alone: bool) -> Window:
    """Where to follow a face: in the whole picture where it is large and alone, else in a square around it."""
    height, width = size
    if alone and face.side > _WHOLE_FACE_SHARE * max(width, height):
        return Window(0, 0, width, height)
    side = min(round(2.5 * face.side), width, height)
    x, y = np.clip(np.rint((face.x - side / 2, face.y - side / 2)), 0, (width - side, height - side)).astype(int)
    return Window(int(x), int(y), side, side)


def _recentred(window: Window, size: tuple[int, int], box: tuple[float, float, float, float]) -> Window:
    """The window to use next for a face whose landmarks lie in a box; the same one while it lies well inside."""
    height, width = size
    left, top, right, bottom = box
    margin = _EDGE_SHARE * window.width
    inside = (
        (left > window.x + margin or window.x == 0)
        and (top > window.y + margin or window.y == 0)
        and (right < window.x + window.width - margin or window.x + window.width >= width)
        and (bottom < window.y + window.height - margin or window.y + window.height >= height)
    )
    if inside:
        return window
    face = max(right - left, bottom - top)
    if face > _WHOLE_FACE_SHARE * max(width, height):
        return Window(0, 0, width, height)
    side = min(max(window.width, round(2.5 * face)), width, height)
    middle = np.array([left + right, top + bottom]) / 2
    x, y = np.clip(np.rint(middle - side / 2), 0, (width - side, height - side)).astype(int)
    return Window(int(x), int(y), side, side)
