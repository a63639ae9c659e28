"""Sparse matrices as plain arrays, for `numpy.savez`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.array_checks import expect

_PARTS = ("data", "indices", "indptr")


def csr_to_arrays(name: str, matrix: sparse.csr_matrix) -> dict[str, NDArray[Any]]:
    """The three arrays of a matrix (float32), as NAME_data, NAME_indices and NAME_indptr."""
    numbers = np.result_type(matrix.indices, matrix.indptr)
    types = (np.float32, numbers, numbers)
    return {f"{name}_{part}": getattr(matrix, part).astype(kind) for part, kind in zip(_PARTS, types, strict=True)}


def csr_from_arrays(name: str, arrays: dict[str, NDArray[Any]], shape: tuple[int, int]) -> sparse.csr_matrix:
    """The inverse, float32. Raises KeyError or ValueError where the arrays are not those of a matrix of this shape, an
    entry lies outside it or is not finite."""
    rows, columns = shape
    data = expect(arrays, f"{name}_data", np.float32, None)
    kind = arrays[f"{name}_indices"].dtype
    if kind not in (np.int32, np.int64):
        raise ValueError(f"expected {name}_indices of whole numbers, got {kind}")
    indices = expect(arrays, f"{name}_indices", kind, len(data), below=columns)
    starts = expect(arrays, f"{name}_indptr", kind, rows + 1)
    if starts[0] != 0 or starts[-1] != len(data) or (np.diff(starts) < 0).any():
        raise ValueError(f"expected {name}_indptr to rise from 0 to {len(data)}")
    return sparse.csr_matrix((data, indices, starts), shape=shape)
