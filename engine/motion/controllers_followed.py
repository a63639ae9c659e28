"""Vertices that follow controllers: one sparse product in every frame."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.motion.motion_kernels import FollowedProduct, compiled_kernels


class ControllersFollowed:
    """By shares [R, K] of controllers' displacements. Owned by one thread."""

    def __init__(self, shares: sparse.spmatrix) -> None:
        self._shares = shares.astype(np.float32, copy=False).tocsr()
        kernels = compiled_kernels()
        self._compiled = None if kernels is None else FollowedProduct(kernels, self._shares)

    def __call__(self, vertices: NDArray[np.float32], moved: NDArray[np.float64]) -> None:
        """Change `vertices` [R, 3] by displacements [K, 3]."""
        if self._compiled is not None:
            self._compiled(vertices, moved)
            return
        for axis, column in enumerate(np.ascontiguousarray(moved.T, dtype=np.float32)):
            vertices[: self._shares.shape[0], axis] += self._shares @ column  # faster than all three axes in SciPy
