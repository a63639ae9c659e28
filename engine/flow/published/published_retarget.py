"""The published way from controller to vertex displacements: blending, then smoothing over the surface."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from core.native.compiled_library import NativeError, pointer
from core.networks.alignment import aligned
from engine.flow.backends.native_library import flow_kernels

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
        return self._blended(displacement, tracked, last=True)

    def vertices_delta(
        self, displacement: NDArray[np.floating[Any]], tracked: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """displacement [K, 3], tracked [K] -> [V, 3] after smoothing, in the displacement's units."""
        delta = self._blended(displacement, tracked, last=self.rounds == 0)
        for left in range(self.rounds, 0, -1):
            delta = self._smooth(delta, last=left == 1)
        return delta

    def _blended(
        self, displacement: NDArray[np.floating[Any]], tracked: NDArray[np.bool_], *, last: bool
    ) -> NDArray[np.float32]:
        """[V, 4]: displacement, and in the last column how much weight was tracked (left there: four align)."""
        assert displacement.shape == (self.controllers, 3)
        pull = np.zeros((self.controllers, 4), np.float32)
        pull[:, 3] = tracked
        pull[:, :3] = displacement
        pull[:, :3] *= pull[:, 3:]
        return self._blend(pull, divide_by_share=not tracked.all(), last=last)


class _SparseProduct:
    """matrix @ x for x [n, 4] float32: the native kernel where there is a compiler, scipy otherwise."""

    def __init__(self, matrix: csr_matrix) -> None:
        self._matrix = matrix.tocsr().astype(np.float32)
        self._matrix.sum_duplicates()
        self._rows = self._matrix.shape[0]
        self._kernel: Callable[..., object] | None = None
        try:
            self._kernel = flow_kernels().sparse_product
        except NativeError:
            return
        arrays = self._matrix.indptr.astype(np.int32), self._matrix.indices.astype(np.int32), self._matrix.data
        self._held = [np.ascontiguousarray(array) for array in arrays]
        self._places = [pointer(array) for array in self._held]
        self._results = aligned(self._rows, 4), aligned(self._rows, 4)  # in turn: a product may be the next one's input
        self._turn = 0

    def __call__(
        self, x: NDArray[np.float32], *, divide_by_share: bool = False, last: bool = False
    ) -> NDArray[np.float32]:
        """[rows, 4], valid until the next but one call; `last`: a new array of its first three columns.
        `divide_by_share`: rows divided by their fourth number where that is positive."""
        if self._kernel is None:
            return self._without_kernel(x, divide_by_share, last)
        self._turn = 1 - self._turn
        result = np.empty((self._rows, 3), np.float32) if last else self._results[self._turn]
        numbers = ctypes.c_long(self._rows), ctypes.c_long(divide_by_share), ctypes.c_long(3 if last else 4)
        self._kernel(*self._places, pointer(x), pointer(result), *numbers)
        return result

    def _without_kernel(self, x: NDArray[np.float32], divide_by_share: bool, last: bool) -> NDArray[np.float32]:
        product: NDArray[np.float32] = self._matrix @ x
        if divide_by_share:
            share = product[:, 3:]
            product *= 1.0 / np.where(share > 0, share, np.float32(1.0))
        return np.ascontiguousarray(product[:, :3]) if last else product
