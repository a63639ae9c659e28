"""The steps of MediaPipe's public graph around the face landmarker's networks, whoever has compiled those.

`CompiledNetworks` are made by `native` and `openvino`; each of the networks is a `Request`, which computes in fp32 on
the thread that asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.answers import LEAST_CONFIDENCE, DetectedFace, NetworkAnswer
from capture.face.networks.detections import DETECTOR_PX, Candidates, found_faces
from capture.face.networks.region import (
    Region,
    RegionSampler,
    around_detection,
    around_landmarks,
    cut_letterboxed,
    placed,
    whole_letterboxed,
)
from capture.face.networks.smoothing import LandmarkSmoother
from core.closeable import Closeable
from core.face_regions import ALL_LANDMARKS

LANDMARKS_PX = 256
NetworkName = Literal["face_detector", "face_landmarks_detector", "face_blendshapes"]
"""As they are called in the model file."""

# Landmarks that the coefficients are estimated from; the order is the network's (`FaceBlendshapesGraph`).
# fmt: off
_COEFFICIENT_LANDMARKS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
])
# fmt: on
COEFFICIENT_POINTS = len(_COEFFICIENT_LANDMARKS)


class Request(Protocol):
    """A network, to be run by one thread at a time.

    Attributes:
        given: what it sees, to be written there: [128, 128, 3] colours of -1..1 for the detector, [256, 256, 3] of
            0..255 for landmarks, [146, 2] pixels for coefficients.
        found: what it answers once it was run, float32: [896, 16] and [896] of the detector; [1434] and [1] of
            landmarks, pixels of what it sees and how sure it is of a face; [52] coefficients.
    """

    given: NDArray[Any]
    found: list[NDArray[np.float32]]

    def run(self) -> None:
        """From `given` to `found`, without Python's lock."""


class Sampler(Protocol):
    """Cuts regions out of pictures: a `RegionSampler`, or what does the same."""

    def cut(self, rgb: NDArray[np.uint8], region: Region, out: NDArray[np.float32]) -> None: ...


@dataclass(frozen=True, eq=False)
class CompiledNetworks:
    """The three networks of one model file, compiled; see `FaceNetworks`.

    Attributes:
        request: makes one of them ready to be run.
        sampler: makes what cuts a face out of a picture.
    """

    request: Callable[[NetworkName], Request]
    name: str
    why: str
    sampler: Callable[[], Sampler] = lambda: RegionSampler(LANDMARKS_PX)

    def landmarks(self, *, video: bool, scores: bool, least_confidence: float = LEAST_CONFIDENCE) -> CompiledLandmarks:
        return CompiledLandmarks(self, video=video, scores=scores, least_confidence=least_confidence)

    def detector(self, least_confidence: float = LEAST_CONFIDENCE) -> CompiledDetector:
        return CompiledDetector(self.request("face_detector"), least_confidence)


class CompiledDetector(Closeable):
    """See `DetectionNetwork`."""

    def __init__(self, network: Request, least_confidence: float) -> None:
        self._network = network
        self._least_confidence = least_confidence

    def close(self) -> None:
        pass  # a request is let go with its owner

    def candidates(self, rgb: NDArray[np.uint8]) -> Candidates:
        """The faces in `rgb` [H, W, 3], in pixels of it."""
        region = whole_letterboxed(*rgb.shape[:2])
        picture = self._network.given
        np.multiply(cut_letterboxed(rgb, DETECTOR_PX), np.float32(2 / 255), out=picture)
        np.subtract(picture, np.float32(1), out=picture)
        self._network.run()
        regressors, logits = self._network.found
        boxes, keypoints, scores = found_faces(regressors, logits, self._least_confidence)
        corner = np.array([region.x, region.y]) - region.width / 2
        return Candidates(boxes * region.width + np.tile(corner, 2), keypoints * region.width + corner, scores)

    def run(self, rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        boxes, _, scores = self.candidates(rgb)
        lows = np.maximum(np.trunc(boxes[:, :2]), 0)  # MediaPipe tells whole pixels, and nothing before the first one
        sizes = np.minimum(np.trunc(boxes[:, 2:] - boxes[:, :2]), rgb.shape[1::-1])  # or larger than the picture
        places = np.concatenate([lows, sizes], axis=1).tolist()
        return [DetectedFace((x, y, w, h), score) for (x, y, w, h), score in zip(places, scores.tolist(), strict=True)]


class CompiledLandmarks(Closeable):
    """See `LandmarkNetwork`: in a video the place of the face is known from the picture before, and only where it is
    not the detector runs; landmarks are smoothed there, and coefficients are those of the smoothed ones."""

    def __init__(self, networks: CompiledNetworks, *, video: bool, scores: bool, least_confidence: float) -> None:
        self._detector = networks.detector(least_confidence)
        self._landmarks = networks.request("face_landmarks_detector")
        self._coefficients = networks.request("face_blendshapes") if scores else None
        self._sampler = networks.sampler()
        self._smoother = LandmarkSmoother() if video else None
        self._least_confidence = least_confidence
        self._region: Region | None = None

    def close(self) -> None:
        self._detector.close()

    def forget(self, time_ms: int) -> None:  # noqa: ARG002 - MediaPipe's needs it
        self._region = None
        if self._smoother is not None:
            self._smoother.reset()

    def run(self, rgb: NDArray[np.uint8], time_ms: int = 0) -> NetworkAnswer | None:
        region = self._region or self._searched(rgb)
        points = None if region is None else self._found(rgb, region)
        if points is None:
            self.forget(time_ms)
            return None
        if self._smoother is not None:
            self._region = around_landmarks(points)
            points = self._smoother(points, time_ms)
        height, width = rgb.shape[:2]
        return NetworkAnswer(np.ascontiguousarray(points.T) / (width, height, width), self._scores(points))

    def _searched(self, rgb: NDArray[np.uint8]) -> Region | None:
        boxes, keypoints, _ = self._detector.candidates(rgb)
        return around_detection(boxes[0], keypoints[0, :2]) if len(boxes) else None

    def _found(self, rgb: NDArray[np.uint8], region: Region) -> NDArray[np.float64] | None:
        """The landmarks [3, 478] in pixels, if there is a face in the region."""
        self._sampler.cut(rgb, region, self._landmarks.given)
        self._landmarks.run()
        points, logit = self._landmarks.found
        presence = 1 / (1 + math.exp(-min(max(float(logit[0]), -100.0), 100.0)))
        if not presence > self._least_confidence or not np.isfinite(points).all():
            return None
        shares = points.reshape(ALL_LANDMARKS, 3).T.astype(np.float64, order="C") / LANDMARKS_PX
        return placed(shares, region)

    def _scores(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        if self._coefficients is None:
            return np.zeros(0, np.float32)
        self._coefficients.given[:] = points[:2, _COEFFICIENT_LANDMARKS].T
        self._coefficients.run()
        return self._coefficients.found[0].copy()
