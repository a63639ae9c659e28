"""Rotations as matrices and as vectors along their axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rotation_matrix(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3] rotation about `vector` by its length (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def rotation_vector(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `rotation_matrix`, for angles below half a turn."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = float(np.linalg.norm(skew)) / 2, (float(np.trace(rotation)) - 1) / 2
    return np.asarray(skew / max(2 * sine, 1e-12) * np.arctan2(sine, cosine))
