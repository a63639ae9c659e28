"""Point caches: where every vertex of a mesh is in every frame. Two plain formats that other programs play.

PC2 (3ds Max, Blender's Mesh Cache, Marvelous Designer): little-endian; "POINTCACHE2" and a zero byte, then int32
version 1, int32 points, float32 first frame, float32 frames between samples, int32 samples; then the samples.
MDD (LightWave, Blender, Maya): big-endian; int32 frames, int32 points, the second of each as float32; then the frames.
In both a frame is x, y, z as float32 of every point.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.whole_file import whole_file

Vertices = NDArray[np.float32]


def save_pc2(path: Path, frames: Iterable[Vertices], count: int, vertex_count: int) -> None:
    """Write `count` frames [V, 3], one at a time; each is a frame of the program that plays them, from 0 on.

    The file appears when it is whole. Raises OSError, and ValueError where there are other frames than announced.
    """
    head = struct.pack("<12siiffi", b"POINTCACHE2\0", 1, vertex_count, 0.0, 1.0, count)
    _save(path, head, frames, count, vertex_count, "<f4")


def save_mdd(path: Path, frames: Iterable[Vertices], times_s: NDArray[np.float64], vertex_count: int) -> None:
    """Write frames [V, 3] at `times_s` [T], one at a time. As `save_pc2`."""
    head = struct.pack(">ii", len(times_s), vertex_count) + times_s.astype(">f4").tobytes()
    _save(path, head, frames, len(times_s), vertex_count, ">f4")


def _save(path: Path, head: bytes, frames: Iterable[Vertices], count: int, vertex_count: int, kind: str) -> None:
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(head)
        written = 0
        for vertices in frames:
            if vertices.shape != (vertex_count, 3):
                raise ValueError(f"expected vertices of shape {(vertex_count, 3)}, got {vertices.shape}")
            file.write(vertices.astype(kind).tobytes())
            written += 1
        if written != count:
            raise ValueError(f"expected {count} frames, got {written}")
