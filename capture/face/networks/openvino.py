"""The face landmarker's networks compiled by OpenVINO for the CPU, with the steps of MediaPipe's public graph between.

The networks are read from the same model file, and compute in fp32 on one thread. Before they are believed they have to
give MediaPipe's answer for one picture, which is kept with the program.
"""

import functools
import hashlib
import importlib
import math
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from core.cache_folder import cache_folder
from core.closeable import Closeable
from core.errors import InputError
from core.face_regions import ALL_LANDMARKS
from core.networks.engine_cache import CacheEntry
from core.networks.openvino import compiled_model, last_line, library, processor
from core.spans import span
from core.untrusted import opened_zip, zip_entry

LANDMARKS_PX = 256
THREADS = 1
"""The one that asks: the networks are small, and the other cores draw (`realtime.threads.cores`)."""
_LARGEST_MEMBER = 16 << 20
_GRAPH_VERSION = "1"
"""To be raised whenever what is compiled from one and the same model file changes."""

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
_COMPILING = threading.Lock()
"""Held while the networks are compiled: whoever needs them at the same time waits, and has them, too."""


@dataclass(frozen=True, eq=False)
class OpenVinoNetworks:
    """The three networks of one model file, compiled; see `FaceNetworks`.

    Attributes:
        why: how they were chosen.
    """

    compiled: tuple[Any, Any, Any]
    why: str = "openvino fp32"
    name: str = "openvino"

    def landmarks(
        self, *, video: bool, scores: bool, least_confidence: float = LEAST_CONFIDENCE
    ) -> "OpenVinoLandmarks":
        return OpenVinoLandmarks(self.compiled, video=video, scores=scores, least_confidence=least_confidence)

    def detector(self, least_confidence: float = LEAST_CONFIDENCE) -> "OpenVinoDetector":
        return OpenVinoDetector(self.compiled[0], least_confidence)


def compiled_networks(model_path: Path, cache_dir: Path | None = None) -> OpenVinoNetworks:
    """Compile the networks of a model file, once in a process; after the first time they come from the cache.

    Args:
        cache_dir: where they are kept; the user's cache folder by default.

    Raises InputError where OpenVINO is missing, or refuses the file.
    """
    stat = model_path.stat()
    with _COMPILING:
        return _compiled(model_path, cache_dir or cache_folder("networks"), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=2)
def _compiled(model_path: Path, cache_dir: Path, *_changes: int) -> OpenVinoNetworks:
    try:
        library()
    except ImportError as error:
        raise InputError(f"OpenVINO does not import ({error}); use --tracker mediapipe") from None
    steps = (("face_detector", _as_it_is), ("face_landmarks_detector", _landmarker), ("face_blendshapes", _as_it_is))
    try:
        with opened_zip(model_path) as bundle:
            members = [zip_entry(bundle, f"{name}.tflite", str(model_path), _LARGEST_MEMBER) for name, _ in steps]
        made = [_compile(name, content, step, cache_dir) for (name, step), content in zip(steps, members, strict=True)]
    except RuntimeError as error:
        raise InputError(
            f"{model_path}: OpenVINO refuses a network in it ({last_line(error)}); use --tracker mediapipe"
        ) from None
    except OSError as error:  # a full folder of temporary files
        raise InputError(f"OpenVINO cannot be given {model_path} ({error}); use --tracker mediapipe") from None
    return OpenVinoNetworks((made[0], made[1], made[2]))


def _compile(name: str, content: bytes, step: Callable[[Any], Any], cache_dir: Path) -> Any:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": THREADS,
        "ENABLE_CPU_PINNING": False,  # the thread is the caller's, who does other things as well
    }
    facts = {
        "backend": name,
        "model": hashlib.sha256(content).hexdigest(),
        "graph": _GRAPH_VERSION,
        "settings": str(sorted(settings.items())),
        "openvino": library().__version__,
        "device": processor(),
    }

    def read() -> Any:
        with tempfile.TemporaryDirectory() as folder:  # networks of this format are read from files only
            path = Path(folder) / f"{name}.tflite"
            path.write_bytes(content)
            return step(library().Core().read_model(path))

    return compiled_model(read, settings, CacheEntry.of(cache_dir, facts, ".blob"))


# --- what is compiled: the networks as they are in the file, for pictures as they are in memory -----------------------


def _as_it_is(model: Any) -> Any:
    return model


def _landmarker(model: Any) -> Any:
    """Without the outputs nobody asks for, with fewer steps, and for colours of 0..255."""
    model.reshape([1, LANDMARKS_PX, LANDMARKS_PX, 3])
    asked = [result for result in model.get_results() if len(result.get_output_shape(0)) == 4]
    model = library().Model(asked, model.get_parameters(), "landmarks")
    _scale_input(model, 1 / 255)
    fold_depthwise_biases(model)
    model.validate_nodes_and_infer_types()
    return model


def _scale_input(model: Any, scale: float) -> None:
    """Multiply the first convolution's weights instead of its input."""
    first = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    weights = _constant(first)
    assert weights is not None
    _replace_constant(first, weights * np.float32(scale))


def fold_depthwise_biases(model: Any) -> int:
    """Put the bias after each depthwise convolution through the 1×1 convolution that follows, into the bias there:
    OpenVINO adds it in a pass of its own. How many there were. The result is the same but for rounding."""
    folded = 0
    for depthwise in model.get_ordered_ops():
        bias = _only_user(depthwise, "Add") if depthwise.get_type_name() == "GroupConvolution" else None
        pointwise = None if bias is None else _only_user(bias, "Convolution")
        next_bias = None if pointwise is None else _only_user(pointwise, "Add")
        if bias is None or pointwise is None or next_bias is None:
            continue
        weights, added, then = _constant(pointwise), _constant(bias), _constant(next_bias)
        if weights is None or added is None or then is None or weights.shape[2:] != (1, 1):
            continue
        through = weights[:, :, 0, 0].astype(np.float64) @ added.ravel().astype(np.float64)
        _replace_constant(next_bias, (then + through.reshape(1, -1, 1, 1)).astype(np.float32))
        pointwise.input(0).replace_source_output(depthwise.output(0))
        folded += 1
    return folded


def _only_user(node: Any, kind: str) -> Any | None:
    users = list(node.output(0).get_target_inputs())
    return users[0].get_node() if len(users) == 1 and users[0].get_node().get_type_name() == kind else None


def _constant(node: Any) -> NDArray[np.float32] | None:
    """The value of the only input that does not depend on the picture."""
    values = [value for _, value in _constants(node)]
    return values[0] if len(values) == 1 else None


def _replace_constant(node: Any, value: NDArray[np.float32]) -> None:
    ((number, _),) = _constants(node)
    constant = importlib.import_module("openvino.opset13").constant(value)
    node.input(number).replace_source_output(constant.output(0))


def _constants(node: Any) -> list[tuple[int, NDArray[np.float32]]]:
    values = ((number, _value(node.input_value(number).get_node())) for number in range(node.get_input_size()))
    return [(number, value) for number, value in values if value is not None]


def _value(node: Any) -> NDArray[np.float32] | None:
    """What a node gives if that is a constant of the file: there in fp16, and in another shape."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.get_data(), np.float32)
    below = _value(node.input_value(0).get_node()) if kind in ("Convert", "Unsqueeze", "Reshape") else None
    return None if below is None else below.reshape(tuple(node.get_output_shape(0)))


# --- running them -----------------------------------------------------------------------------------------------------


class _Request:
    """One inference request, with its tensors as arrays: they stay where they are from run to run."""

    def __init__(self, compiled: Any) -> None:
        request = compiled.create_infer_request()
        self._infer = functools.partial(request.infer, share_outputs=True)
        self.given: NDArray[Any] = request.get_input_tensor().data
        self.found: list[NDArray[np.float32]] = [
            request.get_output_tensor(number).data for number in range(len(compiled.outputs))
        ]

    def run(self) -> None:
        """From `given` to `found`, without Python's lock."""
        with span("infer"):
            self._infer()


class OpenVinoDetector(Closeable):
    """See `DetectionNetwork`."""

    def __init__(self, compiled: Any, least_confidence: float) -> None:
        self._network = _Request(compiled)
        self._least_confidence = least_confidence

    def close(self) -> None:
        pass  # a request is let go with its owner

    def candidates(self, rgb: NDArray[np.uint8]) -> Candidates:
        """The faces in `rgb` [H, W, 3], in pixels of it."""
        region = whole_letterboxed(*rgb.shape[:2])
        picture = self._network.given[0]
        np.multiply(cut_letterboxed(rgb, DETECTOR_PX), np.float32(2 / 255), out=picture)
        np.subtract(picture, np.float32(1), out=picture)
        self._network.run()
        regressors, logits = self._network.found
        boxes, keypoints, scores = found_faces(regressors[0], logits[0, :, 0], self._least_confidence)
        corner = np.array([region.x, region.y]) - region.width / 2
        return Candidates(boxes * region.width + np.tile(corner, 2), keypoints * region.width + corner, scores)

    def run(self, rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        boxes, _, scores = self.candidates(rgb)
        lows = np.maximum(np.trunc(boxes[:, :2]), 0)  # MediaPipe tells whole pixels, and nothing before the first one
        sizes = np.minimum(np.trunc(boxes[:, 2:] - boxes[:, :2]), rgb.shape[1::-1])  # or larger than the picture
        places = np.concatenate([lows, sizes], axis=1).tolist()
        return [DetectedFace((x, y, w, h), score) for (x, y, w, h), score in zip(places, scores.tolist(), strict=True)]


class OpenVinoLandmarks(Closeable):
    """See `LandmarkNetwork`: in a video the place of the face is known from the picture before, and only where it is
    not the detector runs; landmarks are smoothed there, and coefficients are those of the smoothed ones."""

    def __init__(self, compiled: tuple[Any, Any, Any], *, video: bool, scores: bool, least_confidence: float) -> None:
        detector, landmarks, coefficients = compiled
        self._detector = OpenVinoDetector(detector, least_confidence)
        self._landmarks = _Request(landmarks)
        self._coefficients = _Request(coefficients) if scores else None
        self._sampler = RegionSampler(LANDMARKS_PX)
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
        self._sampler.cut(rgb, region, self._landmarks.given[0])
        self._landmarks.run()
        points, logit = self._landmarks.found
        presence = 1 / (1 + math.exp(-min(max(float(logit.flat[0]), -100.0), 100.0)))
        if not presence > self._least_confidence or not np.isfinite(points).all():
            return None
        shares = points.reshape(ALL_LANDMARKS, 3).T.astype(np.float64, order="C") / LANDMARKS_PX
        return placed(shares, region)

    def _scores(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        if self._coefficients is None:
            return np.zeros(0, np.float32)
        self._coefficients.given[0] = points[:2, _COEFFICIENT_LANDMARKS].T
        self._coefficients.run()
        return self._coefficients.found[0].ravel().copy()
