"""The face landmarker's networks run by MediaPipe Tasks, which is the reference: imported once, quiet, safe between
threads. Nobody else imports the library."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.answers import LEAST_CONFIDENCE, DetectedFace, NetworkAnswer
from core.closeable import Closeable
from core.errors import InputError, pip_line
from core.expression_units import SCORE_NAMES
from core.face_regions import ALL_LANDMARKS
from core.untrusted import opened_zip, zip_entry
from core.writable import print_aside

DETECTOR_MEMBER = "face_detector.tflite"
_LARGEST_DETECTOR = 16 << 20
_TALKATIVE_RUNS = 50  # of the detector, which says at some time in the beginning how its memory lies
_NATIVE_MESSAGE_STARTS = ("WARNING: Logging before", "INFO: ", "W0000", "I0000", "E0000")

_BLANK = np.zeros((64, 64, 3), np.uint8)  # a picture without a face makes it search in the next one

log = logging.getLogger(__name__)
_lock = threading.RLock()
"""Held while the library is imported, a network is made or runs for the first time: then standard error is turned
aside for the whole process, which two threads must not do at once."""


@dataclass(frozen=True)
class MediaPipeNetworks:
    """The networks of one model file; see `FaceNetworks`."""

    model_path: Path
    why: str = "mediapipe"
    name: str = "mediapipe"

    def landmarks(self, *, video: bool, scores: bool, least_confidence: float = LEAST_CONFIDENCE) -> MediaPipeLandmarks:
        return MediaPipeLandmarks(self.model_path, video=video, scores=scores, least_confidence=least_confidence)

    def detector(self, least_confidence: float = LEAST_CONFIDENCE) -> MediaPipeDetector:
        return MediaPipeDetector(self.model_path, least_confidence)


class MediaPipeLandmarks(Closeable):
    """See `LandmarkNetwork`, and for the arguments `FaceNetworks`. Raises InputError where the library is missing or
    the model cannot be loaded."""

    def __init__(self, model_path: Path, *, video: bool, scores: bool, least_confidence: float) -> None:
        self._video = video
        self._scores = scores
        self._warm = False
        with _lock:
            from_library = _import_library()
            vision, mode = from_library.vision, from_library.vision.RunningMode
            options = vision.FaceLandmarkerOptions(
                base_options=from_library.BaseOptions(model_asset_buffer=model_path.read_bytes()),
                running_mode=mode.VIDEO if video else mode.IMAGE,
                num_faces=1,
                min_face_detection_confidence=least_confidence,
                min_face_presence_confidence=least_confidence,
                output_face_blendshapes=scores,
            )
            try:
                with _native_messages_logged():
                    self._landmarker = vision.FaceLandmarker.create_from_options(options)
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise InputError(
                    f"{model_path}: the face landmarker could not be made from it ({reason}); "
                    "give the official face_landmarker.task"
                ) from None
        self._library = from_library

    def close(self) -> None:
        self._landmarker.close()

    def forget(self, time_ms: int) -> None:
        if self._video:
            self.run(_BLANK, time_ms)

    def run(self, rgb: NDArray[np.uint8], time_ms: int = 0) -> NetworkAnswer | None:
        if self._warm:
            return self._answer(rgb, time_ms)
        with _lock, _native_messages_logged():  # some messages come only with the first picture, or the first face
            answer = self._answer(rgb, time_ms)
            self._warm = answer is not None
            return answer

    def _answer(self, rgb: NDArray[np.uint8], time_ms: int) -> NetworkAnswer | None:
        image = self._library.Image(image_format=self._library.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        network = self._landmarker
        found = network.detect_for_video(image, time_ms) if self._video else network.detect(image)
        if not found.face_landmarks:
            return None
        points = np.array([(point.x, point.y, point.z) for point in found.face_landmarks[0]])
        listed = found.face_blendshapes[0] if self._scores else ()
        scores = np.array([category.score for category in listed], dtype=np.float32)
        if points.shape != (ALL_LANDMARKS, 3) or not np.isfinite(points).all():
            return None
        if scores.shape != (len(SCORE_NAMES) if self._scores else 0,):
            return None
        return NetworkAnswer(points, scores)


class MediaPipeDetector(Closeable):
    """See `DetectionNetwork`. Raises InputError where the library is missing or the model cannot be loaded."""

    def __init__(self, model_path: Path, least_confidence: float) -> None:
        with opened_zip(model_path) as bundle:
            model = zip_entry(bundle, DETECTOR_MEMBER, str(model_path), _LARGEST_DETECTOR)
        self._runs = 0
        with _lock:
            self._library = _import_library()
            vision = self._library.vision
            options = vision.FaceDetectorOptions(
                base_options=self._library.BaseOptions(model_asset_buffer=model),
                running_mode=vision.RunningMode.IMAGE,
                min_detection_confidence=least_confidence,
            )
            try:
                with _native_messages_logged():
                    self._detector = vision.FaceDetector.create_from_options(options)
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise InputError(
                    f"{model_path}: the face detector could not be made from it ({reason}); "
                    "give the official face_landmarker.task"
                ) from None

    def close(self) -> None:
        with _lock, _native_messages_logged():  # it says good-bye
            self._detector.close()

    def run(self, rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        self._runs += 1
        if self._runs > _TALKATIVE_RUNS:
            detections = self._found(rgb)
        else:
            with _lock, _native_messages_logged():
                detections = self._found(rgb)
        boxes = (detection.bounding_box for detection in detections)
        places = ((float(box.origin_x), float(box.origin_y), float(box.width), float(box.height)) for box in boxes)
        scores = (float(detection.categories[0].score) for detection in detections)
        return sorted(
            (DetectedFace(*found) for found in zip(places, scores, strict=True)), key=lambda face: -face.score
        )

    def _found(self, rgb: NDArray[np.uint8]) -> list[Any]:
        image = self._library.Image(image_format=self._library.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        return list(self._detector.detect(image).detections)


class _Library(NamedTuple):
    """The few names of the library that are used."""

    vision: Any
    BaseOptions: Any
    Image: Any
    ImageFormat: Any


def _import_library() -> _Library:
    """Import the library as everybody does. Only for a holder of the lock: its native part loads for one thread."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # comes along with it, and tells of its font cache
    try:
        from mediapipe import Image, ImageFormat
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise InputError(
            f"face tracking needs the package mediapipe ({error}): install it with  {pip_line('mediapipe')}"
        ) from None
    return _Library(vision, BaseOptions, Image, ImageFormat)


@contextlib.contextmanager
def _native_messages_logged() -> Iterator[None]:
    """Send what the C++ library prints to the standard error while it starts to our log (at debug level) instead.

    It takes no setting for that, so the file descriptor itself is turned aside for the time; lines that are not the
    library's are printed afterwards. Only for a holder of the lock.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # no standard error at all, as under pythonw
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            aside.seek(0)
            for line in aside.read().decode(errors="replace").splitlines():
                if line.startswith(_NATIVE_MESSAGE_STARTS):
                    log.debug("mediapipe: %s", line)
                else:
                    print_aside(line, sys.stderr)
