"""Who runs the face landmarker's networks: by name, or the fastest one that works and proves itself, saying why."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from capture.face.networks.answers import FaceNetworks, TrackerName
from capture.face.networks.compiled import CompiledNetworks
from capture.face.networks.mediapipe import MediaPipeNetworks
from capture.face.networks.native import native_networks
from capture.face.networks.openvino import compiled_networks
from capture.face.networks.proof import measured, reference
from core.errors import InputError
from core.native.compiled_library import NativeError

log = logging.getLogger(__name__)

COMPILED: Final[dict[TrackerName, Callable[[Path], CompiledNetworks]]] = {
    "native": native_networks,
    "openvino": compiled_networks,
}
"""Those that compute the same as MediaPipe in less time, the fastest first."""


def face_networks(model_path: Path, tracker: TrackerName = "auto") -> FaceNetworks:
    """The networks of a model file, ready to be run.

    Args:
        tracker: "native" and "openvino" compute the same as "mediapipe" in less time; "auto" takes the first of them
            that can be had and gives MediaPipe's answer, which is known for the official model file.

    Raises InputError where what was asked for by name cannot be had.
    """
    if tracker == "mediapipe":
        return MediaPipeNetworks(model_path, "mediapipe: as asked")
    if tracker in COMPILED:
        return _proven(model_path, tracker, "as asked")
    if _digest(model_path) != reference().model_sha256:
        return MediaPipeNetworks(model_path, "mediapipe: others are not proven for a face model of one's own")
    reasons: list[str] = []
    for name in COMPILED:
        try:
            return _proven(model_path, name, "; ".join(["the fastest one" if not reasons else "a fast one", *reasons]))
        except InputError as error:
            quiet = isinstance(error, NativeError)  # no compiler: the answer is the same
            log.log(logging.INFO if quiet else logging.WARNING, "the tracker does without %s: %s", name, error)
            reasons.append(str(error))
    return MediaPipeNetworks(model_path, f"mediapipe: {'; '.join(reasons)}")


def _proven(model_path: Path, name: TrackerName, reason: str) -> CompiledNetworks:
    networks = COMPILED[name](model_path)
    if _digest(model_path) != reference().model_sha256:
        return replace(networks, why=f"{networks.why}: {reason}; not proven, this face model is not the official one")
    proof = measured(networks)
    if not proof.equal:
        raise InputError(f"{name}: is not equal to MediaPipe here ({proof}); use --tracker mediapipe")
    return replace(networks, why=f"{networks.why}: {reason}; {proof}")


def _digest(path: Path) -> str:
    stat = path.stat()
    return _digest_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _digest_of(path: Path, *_changes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
