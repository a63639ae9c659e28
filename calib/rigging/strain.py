"""Skin that is not drawn out: where triangles are small and much happens, as in the corners of a mouth, neighbours move
more alike.

How a vertex moves is a row of a matrix, and rows may be averaged: what comes out is again a rig, and costs nothing when
it runs. Strain limiting by relaxation goes back to Provot, "Deformation constraints in a mass-spring model" (1995).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from calib.rig.expression_basis import ExpressionBasis, ExpressionUnits
from calib.survey.surface import directed_edges, undirected

MOST = 3.3  # times its length that an edge may reach in the poses below; engines add a little when lips are closed
_ROUNDS = 60
_SMILE = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}
_BARED = {f"{name}{side}": 0.8 for name in ("mouthUpperUp", "mouthLowerDown") for side in ("Left", "Right")}
_ALONE = ("jawOpen", "mouthPucker", "mouthLeft", "mouthRight", "mouthRollUpper", "mouthRollLower", "mouthShrugLower")
POSES: tuple[dict[str, float], ...] = (
    *({name: 1.0} for name in _ALONE),
    _SMILE,
    _SMILE | {"jawOpen": 0.6},
    _SMILE | _BARED,
    _BARED | {"jawOpen": 0.3},
    {"mouthFunnel": 1.0, "jawOpen": 0.3},
    {"mouthRollUpper": 1.0, "mouthRollLower": 1.0},
    {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "jawOpen": 0.3},
    {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
    {"mouthLeft": 1.0, "jawOpen": 0.4},
    {"mouthRight": 1.0, "jawOpen": 0.4},
    {"jawOpen": 1.0, "mouthStretchLeft": 0.6, "mouthStretchRight": 0.6},
    {"jawOpen": 1.0, "mouthClose": 1.0},
)
"""Unit weights of faces that draw the skin around a mouth out the most."""


def relaxing_rows(
    basis: ExpressionBasis,
    rest: NDArray[np.float64],
    point: NDArray[np.int64],
    faces: NDArray[np.int64],
    least: float,
) -> sparse.csr_matrix:
    """[R, R] averages of rows after which no edge grows more than `MOST` times in any of `POSES`; identity elsewhere.

    Args:
        rest: [R, 3]; point: [R] surface points, equal for vertices that only a texture seam divides.
        faces: [F, 3] vertices of those that may be drawn out.
        least: the ends of edges shorter than this move as one.
    """
    units = ExpressionUnits(basis)
    points, first, member = np.unique(point[faces], return_inverse=True, return_index=True)
    owner, count = faces.reshape(-1)[first], len(points)  # a vertex of each point
    edges = undirected(directed_edges(member.reshape(-1, 3)))[0]
    span = rest[owner[edges[:, 0]]] - rest[owner[edges[:, 1]]]
    length = np.linalg.norm(span, axis=1)
    weights = [np.array([pose.get(name, 0.0) for name in units.names]) for pose in POSES]
    moved = np.stack([units.displacement(each)[0][owner] for each in weights], axis=1).astype(np.float64)  # [N, P, 3]
    total = _as_one(edges[length < least], count)
    moved = (total @ moved.reshape(count, -1)).reshape(moved.shape)
    for _ in range(_ROUNDS):
        drawn = np.linalg.norm(span[:, None] + moved[edges[:, 0]] - moved[edges[:, 1]], axis=2).max(axis=1)
        long = edges[drawn > MOST * np.maximum(length, least)]
        if not len(long):
            break
        near = sparse.identity(count) + _graph(long, count)
        step = sparse.diags(1 / near.sum(axis=1).A1) @ near
        moved = (step @ moved.reshape(count, -1)).reshape(moved.shape)
        total = (step @ total).tocsr()
    return _by_vertex(total, point, owner, points, len(rest))


def _as_one(edges: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    """[count, count] averages over what hangs together by these edges [E, 2]."""
    group = connected_components(_graph(edges, count), directed=False)[1]
    members = sparse.csr_matrix((np.ones(count), (group, np.arange(count))))
    return (members.T @ sparse.diags(1 / np.bincount(group)) @ members).tocsr()


def _graph(edges: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    one = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return (one + one.T).tocsr()


def _by_vertex(
    total: sparse.csr_matrix,
    point: NDArray[np.int64],
    owner: NDArray[np.int64],
    points: NDArray[np.int64],
    count: int,
) -> sparse.csr_matrix:
    """Averages over points → [count, count] averages over vertices, the same for all vertices of a point."""
    changed = np.flatnonzero(np.abs(total - sparse.identity(len(points))).sum(axis=1).A1 > 1e-12)
    number = np.full(int(point.max()) + 1, -1)
    number[points[changed]] = changed
    of_vertex = number[point]
    rows = np.flatnonzero(of_vertex >= 0)
    averaged = total[of_vertex[rows]].tocoo()
    kept = np.setdiff1d(np.arange(count), rows)
    return sparse.csr_matrix(
        (
            np.concatenate([averaged.data, np.ones(len(kept))]),
            (
                np.concatenate([rows[averaged.row], kept]),
                np.concatenate([owner[averaged.col], kept]),
            ),
        ),
        shape=(count, count),
    )
