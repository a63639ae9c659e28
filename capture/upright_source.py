"""A source whose pictures are turned until they stand upright, by a given angle or by the face in them."""

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.networks.answers import DetectionNetwork
from capture.face.networks.select import face_networks
from capture.wrapped_source import WrappedSource
from core.frame import RgbdFrame
from core.source import RgbdSource, frames_of

_CV_TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
_ENOUGH = 4  # pictures with a face
_LOOKED_AT, _EVERY = 600, 5  # frames of a recording that are looked through for them: so many, every so many-th
_SEARCHED_PX = 320  # longer side of a picture in which a face is looked for

log = logging.getLogger(__name__)


class UprightFinder:
    """Finds out how pictures have to be turned: the face detector, trained on upright faces, is surest of those.

    Attributes:
        quarter_turns: clockwise, once enough pictures have shown a face; None before.
    """

    def __init__(self, detector: DetectionNetwork) -> None:
        self.quarter_turns: int | None = None
        self._detector = detector
        self._scores = np.zeros(4)
        self._seen = 0

    def offer(self, rgb: NDArray[np.uint8]) -> None:
        """Take a picture [H, W, 3] into account, all of it and its middle, where a face is larger."""
        height, width = rgb.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        scores = np.zeros(4)
        for part in (rgb, rgb[top : top + side, left : left + side]):
            scale = min(1.0, _SEARCHED_PX / max(part.shape[:2]))
            small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for turns in range(4):
                faces = self._detector.run(np.rot90(small, -turns))
                scores[turns] = max([scores[turns], *(face.score for face in faces)])
        if scores.any():
            self._scores += scores
            self._seen += 1
        if self._seen >= _ENOUGH:
            self.quarter_turns = int(self._scores.argmax())

    def best(self) -> int:
        """What the pictures so far suggest; 0 without any face."""
        return int(self._scores.argmax())


class UprightSource(WrappedSource):
    """Hands on a source's frames turned, and all else as it is.

    Args:
        quarter_turns: clockwise. None to find out: a recording is looked through when it is first opened, and of a
            camera the first pictures with a face decide, until which it is not turned.
        face_model: the face landmarker, for finding out; found as `capture.face.face_model_file` says by default.
        look: opens the same recording for looking through; None for cameras.
    """

    def __init__(
        self,
        source: RgbdSource,
        quarter_turns: int | None,
        face_model: Path | None = None,
        look: Callable[[], RgbdSource] | None = None,
    ) -> None:
        super().__init__(source)
        self._face_model = face_model
        self._look = look
        self._quarter_turns = quarter_turns
        self._finder: UprightFinder | None = None
        self._detector: DetectionNetwork | None = None

    def open(self) -> None:
        if self._quarter_turns is None:
            self._detector = face_networks(find_face_model(self._face_model)).detector()
            self._finder = UprightFinder(self._detector)
            if self._look is not None:
                for frame in islice(frames_of(self._look()), 0, _LOOKED_AT, _EVERY):
                    self._finder.offer(frame.rgb)
                    if self._finder.quarter_turns is not None:
                        break
                self._decide(self._finder.best())
        self._source.open()

    def read(self, timeout_s: float) -> RgbdFrame | None:
        frame = self._source.read(timeout_s)
        if frame is None:
            return None
        if self._quarter_turns is None and self._finder is not None:
            self._finder.offer(frame.rgb)
            if self._finder.quarter_turns is not None:
                self._decide(self._finder.quarter_turns)
        return turned(frame, self._quarter_turns or 0)

    def close(self) -> None:
        super().close()
        self._forget_detector()

    def _decide(self, quarter_turns: int) -> None:
        self._quarter_turns = quarter_turns
        self._forget_detector()
        if quarter_turns:
            log.info("%s: the face stands upright once turned by %d degrees", self.name, 90 * quarter_turns)

    def _forget_detector(self) -> None:
        self._finder = None
        if self._detector is not None:
            self._detector.close()
            self._detector = None


def turned(frame: RgbdFrame, quarter_turns: int) -> RgbdFrame:
    """The frame turned clockwise; its camera turns with it."""
    turn = _CV_TURNS[quarter_turns % 4]
    if turn is None:
        return frame
    rgb = np.asarray(cv2.rotate(frame.rgb, turn), np.uint8)
    depth_m = None if frame.depth_m is None else np.asarray(cv2.rotate(frame.depth_m, turn), np.float32)
    return replace(frame, rgb=rgb, depth_m=depth_m, intrinsics=frame.intrinsics.turned(quarter_turns), sensed=None)
