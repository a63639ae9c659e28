"""Laying one set of points onto another."""

import numpy as np
from numpy.typing import NDArray


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale, rotation [3, 3] and shift [3] with target ≈ scale · source · rotationᵀ + shift (Umeyama 1991)."""
    weight = np.ones(len(source)) if weights is None else weights
    weight = weight / weight.sum()
    centre_source, centre_target = weight @ source, weight @ target
    a, b = source - centre_source, target - centre_target
    u, singular, vt = np.linalg.svd((b * weight[:, None]).T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * mirror) @ vt
    scale = float((singular * mirror).sum() / max((weight @ (a * a)).sum(), 1e-30))
    return scale, rotation, centre_target - scale * rotation @ centre_source
