"""Who runs the face landmarker's networks: by name, or the faster one where it works and proves itself, saying why."""

import hashlib
import logging
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from capture.face.networks.answers import FaceNetworks, TrackerName
from capture.face.networks.mediapipe import MediaPipeNetworks
from capture.face.networks.openvino import OpenVinoNetworks, compiled_networks
from capture.face.networks.proof import measured, reference
from core.errors import InputError

log = logging.getLogger(__name__)


def face_networks(model_path: Path, tracker: TrackerName = "auto") -> FaceNetworks:
    """The networks of a model file, ready to be run.

    Args:
        tracker: "openvino" computes the same as "mediapipe" in less time; "auto" takes it where it imports and gives
            MediaPipe's answer, which is known for the official model file.

    Raises InputError where what was asked for by name cannot be had.
    """
    if tracker == "mediapipe":
        return MediaPipeNetworks(model_path, "mediapipe: as asked")
    if tracker == "openvino":
        return _proven(model_path, "as asked")
    try:
        if _digest(model_path) != reference().model_sha256:
            return MediaPipeNetworks(model_path, "mediapipe: openvino is not proven for a face model of one's own")
        return _proven(model_path, "the faster one")
    except InputError as error:
        log.warning("the tracker falls back to MediaPipe: %s", error)
        return MediaPipeNetworks(model_path, f"mediapipe: {error}")


def _proven(model_path: Path, reason: str) -> OpenVinoNetworks:
    networks = compiled_networks(model_path)
    if _digest(model_path) != reference().model_sha256:
        return replace(networks, why=f"{networks.why}: {reason}; not proven, this face model is not the official one")
    proof = measured(networks)
    if not proof.equal:
        raise InputError(f"openvino: is not equal to MediaPipe here ({proof}); use --tracker mediapipe")
    return replace(networks, why=f"{networks.why}: {reason}; {proof}")


def _digest(path: Path) -> str:
    stat = path.stat()
    return _digest_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _digest_of(path: Path, *_changes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
