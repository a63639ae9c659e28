"""The nearest place on a surface, and the shortest way along its edges."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from calib.survey.surface import directed_edges, undirected

_BLOCK = 256  # targets at a time


def closest_on_faces(
    targets: NDArray[np.float64], points: NDArray[np.float64], faces: NDArray[np.int64], among: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Nearest place on the faces `among` to each target [K, 3]: face [K], barycentric [K, 3], distance [K].

    Looked for among the 24 faces with the nearest middles. Raises ValueError where there are no faces.
    """
    if not len(among):
        raise ValueError("no faces to attach to")
    _, nearest = cKDTree(points[faces[among]].mean(axis=1)).query(targets, k=min(24, len(among)))
    candidates = among[nearest.reshape(len(targets), -1)]
    bary, squared = closest_bary(targets, points[faces[candidates]])
    best = squared.argmin(axis=1)
    rows = np.arange(len(targets))
    return candidates[rows, best], bary[rows, best], np.sqrt(squared[rows, best])


def closest_bary(
    targets: NDArray[np.float64], triangles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Closest point of each of [K, C] triangles [K, C, 3, 3]: barycentric [K, C, 3] and squared distance [K, C]."""
    shape = triangles.shape[:2]
    bary, squared = np.empty((*shape, 3)), np.empty(shape)
    for start in range(0, len(targets), _BLOCK):
        some = slice(start, start + _BLOCK)
        corners = np.ascontiguousarray(triangles[some].transpose(2, 3, 0, 1))
        here, squared[some] = _closest_bary(targets[some].T[:, :, None], corners)
        bary[some] = here.transpose(1, 2, 0)
    return bary, squared


def _closest_bary(
    target: NDArray[np.float64], corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `closest_bary`, by component: target [3, K, 1], corners [3, 3, K, C]; barycentric [3, K, C]. A few planes of
    numbers side by side stay in the processor's cache, where vectors of three would be walked through in strides."""
    a, b, c = corners
    u, v, w = b - a, c - a, target - a
    uu, uv, vv, wu, wv = _dot(u, u), _dot(u, v), _dot(v, v), _dot(w, u), _dot(w, v)
    determinant = np.maximum(uu * vv - uv * uv, 1e-30)
    beta, gamma = (vv * wu - uv * wv) / determinant, (uu * wv - uv * wu) / determinant
    bary = np.stack([1 - beta - gamma, beta, gamma])
    inside = (bary >= 0).all(axis=0)
    off = target - (bary[0] * a + bary[1] * b + bary[2] * c)
    squared = np.where(inside, _dot(off, off), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge, away = corners[j] - corners[i], target - corners[i]
        t = np.clip(_dot(away, edge) / np.maximum(_dot(edge, edge), 1e-30), 0, 1)
        off = away - t * edge
        there = _dot(off, off)
        on_edge = np.zeros_like(bary)
        on_edge[i], on_edge[j] = 1 - t, t
        better = there < squared
        bary, squared = np.where(better, on_edge, bary), np.where(better, there, squared)
    return bary, squared


def _dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products [...] of vectors [3, ...]."""
    return np.asarray(one[0] * other[0] + one[1] * other[1] + one[2] * other[2])


def edge_distance(
    points: NDArray[np.float64], faces: NDArray[np.int64], sources: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[N] length of the shortest way along edges to any of `sources`; inf where there is none."""
    edges = undirected(directed_edges(faces))[0]
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    graph = sparse.csr_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2)
    return np.asarray(dijkstra(graph, directed=False, indices=sources, min_only=True))
