"""What is known in each column along an eye, and how it is read, evened out and spread over the skin of a lid."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d

from calib.rig.lid_rig import RIM_COLUMNS, LidRig

BESIDE = 13  # columns beyond each corner in which skin still goes along
_EVEN = 1.5  # columns over which the motion of a rim is evened out
_CORNER = 4  # columns from an end of the rims: from there lids close evenly to a corner that lies beyond it
_LEAST_BEYOND = 3.0  # columns over which the turn of a rim's end fades in any case
_OVER = 0.065  # radians for every column that it lies farther: how much more a lid may overlap the other there

Array = NDArray[np.floating]


class RimColumns:
    """Reads what is known in each column of an eye, and in so many `beside` it, at places [N] between them."""

    def __init__(self, along: Array, beside: int = 0) -> None:
        last = RIM_COLUMNS - 1 + 2 * beside
        place = np.clip(along * (RIM_COLUMNS - 1) + beside, 0, last)
        self._first = np.minimum(place.astype(np.intp), last - 1)
        self._share = (place - self._first).astype(np.float32)
        self.place = place.astype(np.float32)
        self._count = last + 1

    def of(self, values: Array, start: NDArray[np.intp] | int = 0) -> Array:
        """[N] or [N, D] of values [columns] or [columns, D], which for each place begin at row `start`."""
        first = self._first + start
        one, other = values[first], values[first + 1]
        share = self._share if values.ndim == 1 else self._share[:, None]
        return np.asarray(one + share * (other - one))

    def matrix(self, weight: Array) -> sparse.csr_matrix:
        """[N, columns] float32 that does the same, each place multiplied by its `weight` [N]."""
        places = np.arange(len(self._first))
        share = np.stack([weight * (1 - self._share), weight * self._share])
        there = (np.tile(places, 2), np.concatenate([self._first, self._first + 1]))
        matrix = sparse.csr_matrix((share.astype(np.float32).ravel(), there), shape=(len(places), self._count))
        matrix.eliminate_zeros()
        return matrix


def near_first(lids: LidRig) -> LidRig:
    """The same, its skin near the rims first."""
    order = np.argsort(lids.near <= 0, kind="stable")
    sorted_ = {name: getattr(lids, name)[order] for name in ("vertices", "along", "upper", "lower", "near")}
    return replace(lids, **sorted_)


class Corner:
    """Lets the turns of rims end evenly in a corner of the eye that lies so many columns `beyond` their start."""

    def __init__(self, beyond: float) -> None:
        beyond = max(beyond, _LEAST_BEYOND)
        self._lies_beyond = beyond > _LEAST_BEYOND
        self._line = (1 - np.arange(_CORNER + 1)[::-1] / (_CORNER + beyond)).astype(np.float32)
        self._most = -_OVER * (beyond - _LEAST_BEYOND)
        self._left = np.maximum(1 - np.arange(1, BESIDE + 1)[::-1] / beyond, 0).astype(np.float32)

    def ends(self, turns: Array) -> None:
        """Change the rims' turns [2, 33], the corner at their start, in place."""
        if self._lies_beyond:
            rim = turns[:, : _CORNER + 1]
            rim += np.clip(rim[:, -1:] * self._line - rim, self._most, 0)

    def fades(self, turns: Array) -> None:
        """Fill in the turns [2, 59] of the skin beside the rims."""
        turns[:, :BESIDE] = turns[:, BESIDE, None] * self._left


def turning(lids: LidRig) -> sparse.csr_matrix:
    """[N, 4 · 59] how far the skin of lids turns for what `Lids._turns` says: as the rim does on it, more evenly
    farther away."""
    columns = RimColumns(lids.along, BESIDE)
    shares = (lids.upper, lids.lower, lids.upper * lids.near, lids.lower * lids.near)
    return sparse.hstack([columns.matrix(share) for share in shares], format="csr", dtype=np.float32)


def average(along: Array, weight: Array) -> sparse.csr_matrix:
    """[33, N] that averages over vertices at places [N] along an eye, around each column."""
    columns = np.linspace(0, 1, RIM_COLUMNS)
    share = weight * np.exp(-0.5 * ((columns[:, None] - along) * (RIM_COLUMNS - 1) / _EVEN) ** 2)
    share[share < 1e-3] = 0.0
    empty = share.sum(axis=1) == 0
    if empty.any() and len(along):
        share[empty, np.abs(columns[empty, None] - along).argmin(axis=1)] = 1.0
    return sparse.csr_matrix(share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12))


def blur(columns: int, sigma: float, edge: Literal["constant", "nearest"]) -> Array:
    """[columns, columns] matrix that evens out what is known in each column."""
    return np.asarray(gaussian_filter1d(np.eye(columns, dtype=np.float32), sigma, axis=0, mode=edge))
