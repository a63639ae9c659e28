"""The surface behind a mesh: vertices that only texture seams keep apart are one, faces without area do not count.

Files split vertices along texture seams, at hard edges, or give every triangle its own three. Motion must not see
that. Boundary edges that lie on each other are zipped; vertices that merely touch (closed lips, lids) are not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

RELATIVE_TOLERANCE = 1e-6  # of the mesh's diagonal: positions closer than this are the same


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle surface with its own vertex numbering.

    Attributes:
        points: [N, 3] float64.
        faces: [G, 3] int64, into points; faces without area or repeated ones are left out.
        point_of_vertex: [V] int64, the surface point each mesh vertex lies on.
        face_origin: [G] int64, the mesh face each surface face came from.
    """

    points: NDArray[np.float64]
    faces: NDArray[np.int64]
    point_of_vertex: NDArray[np.int64]
    face_origin: NDArray[np.int64]

    def edges(self) -> NDArray[np.int64]:
        """[E, 2] undirected edges, each once, smaller point first."""
        return undirected(directed_edges(self.faces))[0]

    def components(self) -> NDArray[np.int64]:
        """[N] number of the connected component each point belongs to."""
        edges = self.edges()
        count = len(self.points)
        graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)

    def restricted(self, keep: NDArray[np.bool_]) -> tuple["Surface", NDArray[np.int64]]:
        """The faces whose three points all are in `keep` [N], and the [N] new number of each point (-1: dropped)."""
        inside = keep[self.faces].all(axis=1)
        used = np.zeros(len(self.points), dtype=bool)
        used[self.faces[inside]] = True
        number = np.where(used, np.cumsum(used) - 1, -1)
        part = Surface(
            self.points[used],
            number[self.faces[inside]],
            np.where(self.point_of_vertex >= 0, number[self.point_of_vertex], -1),
            self.face_origin[inside],
        )
        return part, number


def directed_edges(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """[3F, 2] edges in the direction of each face; edge k of face f is row k·F + f."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def undirected(
    edges: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Edges [D, 2] without regard to direction: each once, smaller point first [E, 2]; which of them each given one is
    [D]; and how often each was given [E]."""
    low, high = edges.min(axis=1), edges.max(axis=1)
    base = int(high.max(initial=0)) + 1
    keys, inverse, count = np.unique(low * base + high, return_inverse=True, return_counts=True)
    return np.stack([keys // base, keys % base], axis=1), inverse.reshape(-1), count


def make_surface(vertices: NDArray[np.floating[Any]], faces: NDArray[np.int32]) -> Surface:
    """Zip a mesh of vertices [V, 3] and faces [F, 3] into its surface. Vertices no face uses stay on their own."""
    points = np.asarray(vertices, dtype=np.float64)
    corners = np.asarray(faces, dtype=np.int64)
    point_of_vertex = zipped_points(points, corners)
    count = int(point_of_vertex.max(initial=-1)) + 1
    first = np.full(count, -1, dtype=np.int64)
    first[point_of_vertex[::-1]] = np.arange(len(points))[::-1]
    surface_points = points[first]
    keep = _proper_faces(surface_points, point_of_vertex[corners])
    return Surface(surface_points, point_of_vertex[corners[keep]], point_of_vertex, keep)


def face_normals(points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """[F, 3] unit normals; zero for a face without area."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.asarray(np.divide(normal, length, out=np.zeros_like(normal), where=length > 0))


def point_normals(points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N, 3] area-weighted unit normals; zero for a point without faces."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    normal = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for corner in range(3):
        np.add.at(total, faces[:, corner], normal)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(np.divide(total, length, out=np.zeros_like(total), where=length > 0))


def _proper_faces(points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of faces with three different points, some area, and no earlier twin on the same three points."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    longest = np.max([np.linalg.norm(b - a, axis=1), np.linalg.norm(c - b, axis=1), np.linalg.norm(a - c, axis=1)], 0)
    proper = (area > 1e-9 * np.maximum(longest, 1e-30) ** 2) & (longest > 0)
    proper &= (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    first_of_kind = np.zeros(len(faces), dtype=bool)
    low, middle, high = np.sort(faces, axis=1).T
    base = len(points) + 1
    pair = np.unique(low * base + middle, return_inverse=True)[1].reshape(-1)
    first_of_kind[np.unique(pair * base + high, return_index=True)[1]] = True
    return np.flatnonzero(proper & first_of_kind)


def zipped_points(points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """[V] surface point of each vertex [V, 3]: the two ends of matching boundary edges of faces [F, 3] are joined."""
    edges = directed_edges(faces)
    _, inverse, uses = undirected(edges)
    alone = np.flatnonzero((uses[inverse] == 1) & (edges[:, 0] != edges[:, 1]))  # with a face on one side only
    edges, owner = edges[alone], alone % max(len(faces), 1)
    ends, number = np.unique(edges, return_inverse=True)
    tolerance = RELATIVE_TOLERANCE * float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0
    place = _places(points[ends], tolerance)[number.reshape(edges.shape)]
    pairs = _matching_edges(place, face_normals(points, faces[owner]))
    one, other = edges[pairs[:, 0]], edges[pairs[:, 1]]
    crossed = place[pairs[:, 0], 0] != place[pairs[:, 1], 0]
    other = np.where(crossed[:, None], other[:, ::-1], other)
    joins = np.concatenate([np.stack([one[:, k], other[:, k]], axis=1) for k in range(2)])
    count = len(points)
    graph = sparse.coo_matrix((np.ones(len(joins)), (joins[:, 0], joins[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _places(points: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]:
    """[V] number of the position each vertex has, equal for vertices within the tolerance."""
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    rows = np.ascontiguousarray(points + 0.0).view(np.dtype((np.void, 3 * points.itemsize))).reshape(-1)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    unique = points[first]
    near = cKDTree(unique).query_pairs(tolerance, output_type="ndarray")
    graph = sparse.coo_matrix((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(unique), len(unique)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)[inverse.reshape(-1)]


def _matching_edges(place: NDArray[np.int64], normals: NDArray[np.float64]) -> NDArray[np.int64]:
    """[P, 2] pairs of boundary edges that lie on each other; `place` [B, 2] numbers the positions of their ends, and
    `normals` [B, 3] are those of their faces.

    Where more than two lie together (closed lips of separate triangles) the pair that bends least is taken first.
    """
    key = np.sort(place, axis=1)
    order = np.lexsort((key[:, 1], key[:, 0]))
    key = key[order]
    starts = np.flatnonzero(np.r_[True, (key[1:] != key[:-1]).any(axis=1)]) if len(key) else np.zeros(0, dtype=int)
    sizes = np.diff(np.r_[starts, len(key)])
    doubles = starts[sizes == 2]
    pairs = [np.stack([order[doubles], order[doubles + 1]], axis=1)]
    for start, size in zip(starts[sizes > 2], sizes[sizes > 2], strict=True):
        pairs.append(_least_bent_pairs(order[start : start + size], place, normals))
    return np.concatenate(pairs).astype(np.int64)


def _least_bent_pairs(
    group: NDArray[np.int64], place: NDArray[np.int64], normals: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Greedy pairs among edges at one place: opposite directions first, then the most similar face normals."""
    score = normals[group] @ normals[group].T + 2.0 * (place[group][:, None, 0] != place[group][None, :, 0])
    score[np.tril_indices(len(group))] = -np.inf
    pairs = []
    while np.isfinite(best := score.max()) and best > 1.0:
        i, j = np.unravel_index(score.argmax(), score.shape)
        pairs.append((group[i], group[j]))
        score[[i, j], :] = score[:, [i, j]] = -np.inf
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
