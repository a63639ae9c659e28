"""Films of performers, tracked, kept from one run of a benchmark to the next: arrays in an .npz file, nothing else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics
from core.frame import FaceObservation, RgbdFrame

_TOLD = tuple(each.name for each in dataclasses.fields(FaceObservation) if each.name != "frame")


def keep_film(place: Path, observations: list[FaceObservation], **arrays: NDArray[np.float64]) -> None:
    """Write observations of one camera, with their pictures, and the arrays that belong to them. The file stands under
    its name once it is whole."""
    frames = [each.frame for each in observations]
    cameras = {frame.intrinsics for frame in frames}
    if len(cameras) != 1:
        raise ValueError(f"{place}: expected observations of one camera, got {len(cameras)}")
    depth = [frame.depth_m for frame in frames if frame.depth_m is not None]
    if depth and len(depth) != len(frames):
        raise ValueError(f"{place}: expected depth in all frames or in none, got {len(depth)} of {len(frames)}")
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    content: dict[str, Any] = {
        "camera": np.array(dataclasses.astuple(frames[0].intrinsics), np.float64),
        "rgb": np.stack([frame.rgb for frame in frames]),
        "depth_m": np.stack(depth) if depth else np.zeros(0, np.float32),
        "timestamp_s": np.array([frame.timestamp_s for frame in frames]),
        "index": np.array([frame.index for frame in frames]),
    }
    content |= {name: np.stack([np.asarray(getattr(each, name)) for each in observations]) for name in _TOLD}
    content |= {f"own_{name}": array for name, array in arrays.items()}
    with unfinished.open("wb") as file:
        np.savez(file, **content)
    unfinished.replace(place)


def kept_film(place: Path) -> tuple[list[FaceObservation], dict[str, NDArray[np.float64]]] | None:
    """What `keep_film` wrote; None where nothing is kept."""
    if not place.is_file():
        return None
    with np.load(place, allow_pickle=False) as file:
        arrays = dict(file)
    fx, fy, cx, cy, width, height = arrays["camera"].tolist()
    camera = Intrinsics(fx, fy, cx, cy, int(width), int(height))
    observations = []
    for number, rgb in enumerate(arrays["rgb"]):
        depth = arrays["depth_m"][number] if len(arrays["depth_m"]) else None
        frame = RgbdFrame(rgb, depth, camera, float(arrays["timestamp_s"][number]), int(arrays["index"][number]))
        told = {name: arrays[name][number] for name in _TOLD}
        told = {name: value if value.ndim else value.item() for name, value in told.items()}
        observations.append(FaceObservation(frame, **told))
    return observations, {name[4:]: array for name, array in arrays.items() if name.startswith("own_")}
