"""The published way from controller to vertex displacements: blending, then smoothing over the surface."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

PUBLISHED_SMOOTHING = 0.6
PUBLISHED_ROUNDS = 5


class PublishedRetarget:
    """The published blend: weights of untracked controllers zeroed, the rest renormalised, then rounds of
    `delta = amount * (smoothing @ delta) + (1 - amount) * delta`.

    One round is one sparse product with `amount * smoothing + (1 - amount) * identity`; blend and renormalisation are
    one product with four right-hand sides (displacement and tracked-ness). Weights [V, K] and smoothing [V, V] have
    rows that sum to one.
    """

    def __init__(
        self,
        weights: csr_matrix,
        smoothing: csr_matrix,
        *,
        amount: float = PUBLISHED_SMOOTHING,
        rounds: int = PUBLISHED_ROUNDS,
    ) -> None:
        vertices, self.controllers = weights.shape
        if smoothing.shape != (vertices, vertices):
            raise ValueError(f"expected smoothing [{vertices}, {vertices}] for weights {weights.shape}")
        if not 0.0 <= amount <= 1.0 or rounds < 0:
            raise ValueError(f"expected 0 <= amount <= 1 and rounds >= 0, got {amount} and {rounds}")
        self.vertices, self.rounds = vertices, rounds
        self._blend = _SparseProduct(weights)
        self._smooth = _SparseProduct(amount * smoothing + (1.0 - amount) * identity(vertices, format="csr"))

    def blend(self, displacement: NDArray[np.floating[Any]], tracked: NDArray[np.bool_]) -> NDArray[np.float32]:
        """displacement [K, 3], tracked [K] -> [V, 3] before smoothing; a vertex without a tracked controller stays."""
        return np.ascontiguousarray(self._blended(displacement, tracked)[:, :3])

    def vertices_delta(
        self, displacement: NDArray[np.floating[Any]], tracked: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """displacement [K, 3], tracked [K] -> [V, 3] after smoothing, in the displacement's units."""
        delta = self._blended(displacement, tracked)
        for _ in range(self.rounds):
            delta = self._smooth(delta)
        return delta[:, :3]

    def _blended(self, displacement: NDArray[np.floating[Any]], tracked: NDArray[np.bool_]) -> NDArray[np.float32]:
        """[V, 4]: displacement, and in the last column how much weight was tracked (left there: four align)."""
        assert displacement.shape == (self.controllers, 3)
        pull = np.zeros((self.controllers, 4), np.float32)
        pull[:, 3] = tracked
        pull[:, :3] = displacement
        pull[:, :3] *= pull[:, 3:]
        blended = self._blend(pull)
        if not tracked.all():
            share = blended[:, 3:]
            np.divide(blended[:, :3], share, out=blended[:, :3], where=share > 0)
        return blended


class _SparseProduct:
    """matrix @ x for x [n, 4] float32, on torch's threads: scipy has one and takes three times as long."""

    def __init__(self, matrix: csr_matrix) -> None:
        import warnings

        import torch

        matrix = matrix.tocsr().astype(np.float32)
        matrix.sum_duplicates()
        starts, columns = (torch.from_numpy(part.astype(np.int32)) for part in (matrix.indptr, matrix.indices))
        values = torch.from_numpy(matrix.data)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            self._matrix = torch.sparse_csr_tensor(starts, columns, values, matrix.shape, check_invariants=True)
        self._multiply, self._wrap = torch.mm, torch.from_numpy

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        product: NDArray[np.float32] = self._multiply(self._matrix, self._wrap(x)).numpy()
        return product
