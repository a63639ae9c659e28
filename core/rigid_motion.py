"""Rotations as matrices and as vectors along their axis, and laying one set of points onto another."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv


def rotation_matrix(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3] rotation about `vector` by its length (Rodrigues)."""
    x, y, z = vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = x / angle, y / angle, z / angle
    c, s = math.cos(angle), math.sin(angle)  # in plain numbers: several times as fast as with arrays so small
    u = 1 - c
    return np.array(
        [
            [c + u * x * x, u * x * y - s * z, u * x * z + s * y],
            [u * x * y + s * z, c + u * y * y, u * y * z - s * x],
            [u * x * z - s * y, u * y * z + s * x, c + u * z * z],
        ]
    )


def rotation_vector(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `rotation_matrix`, for angles below half a turn."""
    (a, b, c), (d, e, f), (g, h, i) = rotation.tolist()
    x, y, z = h - f, c - g, d - b
    sine, cosine = math.sqrt(x * x + y * y + z * z) / 2, (a + e + i - 1) / 2
    size = math.atan2(sine, cosine) / max(2 * sine, 1e-12)
    return np.array([size * x, size * y, size * z])


def turns(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in radians of `rotation` [3, 3], which turns about z by roll, then about x by pitch, then
    about y by yaw: in a head's frame (x to its left, y up, z out of the face) to its own left, downwards, and onto its
    right shoulder."""
    (_, _, c), (d, e, f), (_, _, i) = rotation.tolist()
    return math.atan2(c, i), math.asin(min(max(-f, -1.0), 1.0)), math.atan2(d, e)


def turned(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """[3, 3] the inverse of `turns`."""
    cy, sy, cx, sx, cz, sz = (each(angle) for angle in (yaw, pitch, roll) for each in (math.cos, math.sin))
    return np.array(
        [
            [cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx],
            [cx * sz, cx * cz, -sx],
            [cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx],
        ]
    )


def quaternion(vector: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(x, y, z, w), w ≥ 0 up to half a turn, of the rotation about `vector` [3] by its length."""
    x, y, z = vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    share = math.sin(angle / 2) / angle if angle > 1e-12 else 0.5
    return share * x, share * y, share * z, math.cos(angle / 2)


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
    signs = np.array([1.0, 1.0, handedness(left @ right)])
    rotation = (left * signs) @ right
    spread = max(float((share @ (source_0**2)).sum()), 1e-30)
    scale = max(float((singular * signs).sum()) / spread, least_scale)
    return scale, rotation, target_mean - scale * rotation @ source_mean


def handedness(matrix: NDArray[np.float64]) -> float:
    """1 where a matrix [3, 3] keeps right hands right, -1 where it mirrors: the sign of its determinant."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return math.copysign(1.0, a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def solve_normal(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] the solution of small normal equations, `matrix` [N, N] symmetric and positive definite, by Cholesky's
    factors. Raises numpy.linalg.LinAlgError where it is neither."""
    _, solution, info = dposv(matrix, right)
    if info:
        raise np.linalg.LinAlgError(f"expected a positive definite matrix, got {matrix}")
    return np.asarray(solution)
