"""Rotations as matrices and as vectors along their axis, and laying one set of points onto another."""

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


def fit_similarity(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    least_scale: float = 0.0,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """(scale, rotation [3, 3], translation [3]) with target ≈ scale · rotation @ source + translation, in weighted
    least squares (Umeyama 1991). `source` and `target` are [N, 3], `weights` [N] (None: all alike).
    """
    share = np.ones(len(source)) if weights is None else weights
    share = share / share.sum()
    source_mean, target_mean = share @ source, share @ target
    source_0, target_0 = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd((target_0 * share[:, None]).T @ source_0)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * signs) @ right
    spread = max(float((share @ (source_0**2)).sum()), 1e-30)
    scale = max(float((singular * signs).sum()) / spread, least_scale)
    return scale, rotation, target_mean - scale * rotation @ source_mean
