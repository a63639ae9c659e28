"""One step of Catmull-Clark subdivision as a sparse matrix, for anything that is linear in the vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Subdivision:
    """What one step makes of a quad mesh of V vertices, E edges and F faces.

    Attributes:
        matrix: [V + E + F, V] CSR float64; rows sum to one. Old vertices first, then edge points, then face points.
        quads: [4 F, 4] int32; the four children of face i are rows 4 i … 4 i + 3.
    """

    matrix: sp.csr_matrix
    quads: NDArray[np.int32]


def catmull_clark(quads: NDArray[np.int32], vertex_count: int) -> Subdivision:
    """The rules of Catmull and Clark (1978), with cubic B-spline curves along open edges.

    `quads` [F, 4] may leave vertices unused; those keep their place. Raises ValueError where an edge has more than
    two faces.
    """
    edges, face_edges, faces_per_edge = _edges(quads)
    face_points = _rows(np.repeat(np.arange(len(quads)), 4), quads.ravel(), 0.25, (len(quads), vertex_count))
    midpoints = _rows(np.repeat(np.arange(len(edges)), 2), edges.ravel(), 0.5, (len(edges), vertex_count))
    inner = faces_per_edge == 2
    of_edge = _rows(face_edges.ravel(), np.repeat(np.arange(len(quads)), 4), 1.0, (len(edges), len(quads)))
    blended = 0.5 * midpoints + 0.25 * (of_edge @ face_points)
    edge_points = sp.diags(inner.astype(float)) @ blended + sp.diags((~inner).astype(float)) @ midpoints
    vertex_points = _vertex_points(quads, edges, inner, face_points, midpoints, vertex_count)
    matrix = sp.vstack([vertex_points, edge_points, face_points]).tocsr()
    return Subdivision(matrix, _children(quads, face_edges, vertex_count, len(edges)))


def bilinear(quads: NDArray[np.int32], vertex_count: int) -> Subdivision:
    """The same topology with plain midpoints: for texture coordinates, which must not be smoothed."""
    edges, face_edges, _ = _edges(quads)
    face_points = _rows(np.repeat(np.arange(len(quads)), 4), quads.ravel(), 0.25, (len(quads), vertex_count))
    midpoints = _rows(np.repeat(np.arange(len(edges)), 2), edges.ravel(), 0.5, (len(edges), vertex_count))
    matrix = sp.vstack([sp.identity(vertex_count), midpoints, face_points]).tocsr()
    return Subdivision(matrix, _children(quads, face_edges, vertex_count, len(edges)))


def triangulated(quads: NDArray[np.int32]) -> NDArray[np.int32]:
    """[F, 4] quads → [2 F, 3] triangles with the same winding."""
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)


def _edges(quads: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Undirected edges [E, 2], each face's four of them [F, 4] and the number of faces at each [E]."""
    directed = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, face_edges, counts = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True, return_counts=True)
    if counts.max(initial=0) > 2:
        raise ValueError("an edge has more than two faces; subdivision needs a manifold mesh")
    return edges.astype(np.int32), face_edges.reshape(-1, 4).astype(np.int32), counts


def _vertex_points(
    quads: NDArray[np.int32],
    edges: NDArray[np.int32],
    inner: NDArray[np.bool_],
    face_points: sp.csr_matrix,
    midpoints: sp.csr_matrix,
    vertex_count: int,
) -> sp.csr_matrix:
    shape = (vertex_count, vertex_count)
    at_face = _rows(quads.ravel(), np.repeat(np.arange(len(quads)), 4), 1.0, (vertex_count, len(quads)))
    at_edge = _rows(edges.ravel(), np.repeat(np.arange(len(edges)), 2), 1.0, (vertex_count, len(edges)))
    valence = np.maximum(np.asarray(at_edge.sum(axis=1)).ravel(), 1)
    smooth = sp.diags(1 / valence**2) @ (at_face @ face_points + 2 * (at_edge @ midpoints))
    smooth = smooth + sp.diags((valence - 3) / valence) @ sp.identity(vertex_count)
    border = edges[~inner]
    neighbours = _rows(border.ravel(), border[:, ::-1].ravel(), 0.125, shape)
    on_border = np.bincount(border.ravel(), minlength=vertex_count) == 2
    used = np.bincount(quads.ravel(), minlength=vertex_count) > 0
    curve = sp.diags(on_border.astype(float)) @ (0.75 * sp.identity(vertex_count) + neighbours)
    at_corner = (np.bincount(border.ravel(), minlength=vertex_count) > 2) | ~used
    return sp.diags((used & ~on_border & ~at_corner).astype(float)) @ smooth + curve + sp.diags(at_corner.astype(float))


def _children(
    quads: NDArray[np.int32], face_edges: NDArray[np.int32], vertex_count: int, edge_count: int
) -> NDArray[np.int32]:
    edge_points = vertex_count + face_edges
    face_points = vertex_count + edge_count + np.arange(len(quads), dtype=np.int32)
    previous = np.roll(edge_points, 1, axis=1)
    children = np.stack([quads, edge_points, np.repeat(face_points[:, None], 4, axis=1), previous], axis=-1)
    return children.reshape(-1, 4).astype(np.int32)


def _rows(
    rows: NDArray[np.int64] | NDArray[np.int32], columns: NDArray[np.int32] | NDArray[np.int64], value: float,
    shape: tuple[int, int],
) -> sp.csr_matrix:  # fmt: skip
    return sp.csr_matrix((np.full(len(rows), value), (rows, columns)), shape=shape)
