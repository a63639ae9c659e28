"""Controlling weights: how far every vertex goes along with every controller.

For each controller one smooth field is solved on the surface: the one that bends least (thin-plate energy, with some
tension) while being 1 at that controller, 0 at the others and 0 far away from all of them. Weights of such fields have
no bumps at the controllers, never jump across a cut, and add up to a smooth motion whatever the controllers do.
The energy is discretised as in Jacobson et al., "Bounded biharmonic weights" (2011), with one factorisation for all
controllers and without their bounds. On a coarse mesh such fields may rise without end beyond controllers that sit
close together: points that would be thrown about go along with their neighbours instead.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits

_FIT = 20.0  # strength of a controller's hold beside the bending energy at its own scale
_MOST = 6.0  # sum of a point's weights without their signs: 2 is usual, dense heads have up to 5.5
_MIN_COTAN, _MAX_COTAN = 1e-2, 20.0  # keeps needle triangles from dominating
_SMALL = 3e-3  # weights below this are dropped, and the others scaled so that their sum stays
_WALL_SCALE = 0.02  # avatar units: as a controller's scale
_CHUNK = 64  # controllers solved at a time
_THREADS = 2  # of the solver; each block takes 64 times the surface's points in memory


@dataclass(frozen=True, eq=False)
class Anchors:
    """Where K controllers sit on a surface.

    Attributes:
        face: [K] int64.
        bary: [K, 3] float64 barycentric coordinates.
        distance: [K] float64 how far the asked position was from there.
        scale: [K] float64 avatar units: finer wiggles than this between neighbours are smoothed away.
    """

    face: NDArray[np.int64]
    bary: NDArray[np.float64]
    distance: NDArray[np.float64]
    scale: NDArray[np.float64]

    def joined(self, other: "Anchors") -> "Anchors":
        """With those of `other` at the end."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Anchors(*(np.concatenate(pair) for pair in pairs))

    def positions(self, points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
        """[K, 3]."""
        return np.asarray((points[faces[self.face]] * self.bary[..., None]).sum(axis=1))

    def matrix(self, faces: NDArray[np.int64], count: int) -> sparse.csr_matrix:
        """[K, count] that reads a field of the surface's points at the controllers."""
        rows = np.repeat(np.arange(len(self.face)), 3)
        return sparse.csr_matrix(
            (self.bary.reshape(-1), (rows, faces[self.face].reshape(-1))), shape=(len(self.face), count)
        )


def laplacian(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Positive semi-definite cotangent Laplacian [N, N] and lumped vertex areas [N], both safe on bad triangles."""
    count = len(points)
    rows, columns, weights = [], [], []
    for k in range(3):
        apex, one, other = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        u, v = points[one] - points[apex], points[other] - points[apex]
        twice_area = np.linalg.norm(np.cross(u, v), axis=1)
        cotan = (u * v).sum(axis=1) / np.maximum(twice_area, 1e-12 * (u * u + v * v).sum(axis=1) + 1e-300) / 2
        rows += [one, other]
        columns += [other, one]
        weights += [cotan, cotan]
    adjacency = sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    ).tocsr()
    adjacency.data = np.clip(adjacency.data, _MIN_COTAN, _MAX_COTAN)
    corners = points[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6
    mass = np.bincount(faces.reshape(-1), weights=np.repeat(area, 3), minlength=count)
    typical = np.median(mass[mass > 0]) if (mass > 0).any() else 1.0
    return sparse.diags(np.asarray(adjacency.sum(axis=1)).reshape(-1)) - adjacency, np.maximum(mass, 1e-3 * typical)


def solve_weights(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    anchors: Anchors,
    free: NDArray[np.bool_],
    tension: NDArray[np.float64],
    walls: NDArray[np.int64] | None = None,
) -> sparse.csr_matrix:
    """[N, K] float32 weights of every surface point; zero where `free` [N] is false.

    Args:
        tension: [N] length in avatar units over which a field may bend freely; small values let it die away fast.
        walls: [P, 2] pairs of points on the two sides of thin flesh, which move alike.
    """
    count, size = len(points), len(anchors.face)
    stiffness, mass = laplacian(points, faces)
    pull = sparse.diags(1.0 / tension)
    energy = stiffness @ sparse.diags(1.0 / mass) @ stiffness + pull @ stiffness @ pull
    read = anchors.matrix(faces, count)
    hold = sparse.diags(_FIT / anchors.scale**2)
    energy = energy + read.T @ hold @ read
    if walls is not None and len(walls):
        rows = np.repeat(np.arange(len(walls)), 2)
        ends = (np.tile([1.0, -1.0], len(walls)), (rows, walls.reshape(-1)))
        across = sparse.csr_matrix(ends, shape=(len(walls), count))
        energy = energy + (_FIT / _WALL_SCALE**2) * (across.T @ across)
    index = np.flatnonzero(free)
    system = energy.tocsc()[index][:, index]
    factor = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    right = (hold @ read).tocsc()[:, index].T.tocsc()
    total = np.zeros(len(index))

    def solved(start: int) -> tuple[NDArray[np.float64], sparse.csc_matrix]:
        block = factor.solve(np.asfortranarray(right[:, start : start + _CHUNK].toarray()))
        whole = block.sum(axis=1)
        block[np.abs(block) < _SMALL] = 0.0
        return whole, sparse.csc_matrix(block.astype(np.float32))

    # several BLAS threads on a busy machine wait for each other: eight times slower; SuperLU lets go of Python's lock
    blocks = []
    with threadpool_limits(1), ThreadPoolExecutor(_THREADS) as pool:
        for whole, block in pool.map(solved, range(0, size, _CHUNK)):  # in order, so that sums stay the same
            total += whole
            blocks.append(block)
    kept = sparse.hstack(blocks).tocsr()
    left = np.asarray(kept.sum(axis=1)).reshape(-1)
    scale = np.where(np.abs(left) > 10 * _SMALL, total / np.where(left == 0, 1, left), 1.0).clip(0.8, 1.25)
    inner = (sparse.diags(scale) @ kept).tocoo()
    weights = sparse.csr_matrix((inner.data, (index[inner.row], inner.col)), shape=(count, size), dtype=np.float32)
    return _tamed(weights, stiffness)


def _tamed(weights: sparse.csr_matrix, stiffness: sparse.csr_matrix) -> sparse.csr_matrix:
    """Weights [N, K] in which points whose own come to more than `_MOST` have a blend of those around them, as even as
    the surface's `stiffness` [N, N] makes it; all others stay as they are."""
    wild = np.asarray(abs(weights).sum(axis=1)).reshape(-1) > _MOST
    if not wild.any():
        return weights
    own = stiffness[wild]
    among = own[:, wild] + sparse.diags(np.full(int(wild.sum()), 1e-9))  # a piece that is wild altogether stays
    around = splu(among.tocsc()).solve(-(own[:, ~wild] @ weights[~wild]).toarray().astype(np.float64))
    around[np.abs(around) < _SMALL] = 0.0
    tamed = weights.tolil()
    tamed[np.flatnonzero(wild)] = around.astype(np.float32)
    return tamed.tocsr()
