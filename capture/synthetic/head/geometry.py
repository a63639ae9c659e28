"""Normals, and noise that is fixed to the surface."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Points = NDArray[np.float64]


def vertex_normals(vertices: Points, faces: NDArray[np.int32]) -> Points:
    """[V, 3] unit normals, weighted by the faces' areas; zero where a vertex has no face."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    rows = faces.ravel()
    gather = sp.csr_matrix(
        (np.ones(len(rows)), (rows, np.repeat(np.arange(len(faces)), 3))), shape=(len(vertices), len(faces))
    )
    summed = gather @ across
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-20))


def value_noise(points: Points, size_m: float | tuple[float, float, float], seed: int) -> Points:
    """[n] smooth noise in −1..1 at [n, 3] positions; `size_m` is the grain, along each axis if three are given.

    Lattice of hashed values, blended by smoothstep; the same for ever for the same seed.
    """
    scaled = points / np.asarray(size_m)
    cell = np.floor(scaled).astype(np.int64)
    f = scaled - cell
    f = f * f * (3 - 2 * f)
    total = np.zeros(len(points))
    for corner in range(8):
        offset = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        weight = np.where(offset, f, 1 - f).prod(axis=1)
        total += weight * _hashed(cell + offset, seed)
    return np.asarray(total)


def fractal_noise(points: Points, size_m: float, seed: int, octaves: int = 3) -> Points:
    """[n] sum of `octaves` of value noise, each half as coarse and half as strong, in about −1..1."""
    return np.asarray(sum(value_noise(points, size_m / 2**k, seed + k) / 2**k for k in range(octaves)) / 1.75)


def _hashed(cell: NDArray[np.int64], seed: int) -> Points:
    with np.errstate(over="ignore"):
        mixed = cell.astype(np.uint64) * np.array(
            [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64
        )
        value = mixed.sum(axis=1, dtype=np.uint64) + np.uint64(seed * 0x27D4EB2F165667C5 & 0xFFFFFFFFFFFFFFFF)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        value ^= value >> np.uint64(31)
    return np.asarray((value >> np.uint64(11)).astype(np.float64) / 2**52 - 1)


def smoothstep(low: float, high: float, value: Points) -> Points:
    """0 before `low`, 1 beyond `high` (which may be the lesser), smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
