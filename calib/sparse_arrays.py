"""Sparse matrices as plain arrays, for `numpy.savez`."""

from typing import Any

from numpy.typing import NDArray
from scipy import sparse

_PARTS = ("data", "indices", "indptr")


def csr_to_arrays(name: str, matrix: sparse.csr_matrix) -> dict[str, NDArray[Any]]:
    """The three arrays of a matrix, as NAME_data, NAME_indices and NAME_indptr."""
    return {f"{name}_{part}": getattr(matrix, part) for part in _PARTS}


def csr_from_arrays(name: str, arrays: dict[str, NDArray[Any]], shape: tuple[int, int]) -> sparse.csr_matrix:
    """The inverse. Raises KeyError or ValueError where the arrays are not those of a matrix of this shape."""
    return sparse.csr_matrix(tuple(arrays[f"{name}_{part}"] for part in _PARTS), shape=shape)
