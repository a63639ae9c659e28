"""A mesh with too many triangles to be worked out, made coarse for that; the fine one does what the coarse one does.

Vertices are clustered along the surface, so that lips and lids that touch stay apart, each cluster becomes one vertex,
and triangles whose corners lie in three clusters stay (the dual of a Voronoi diagram on the surface; Valette and
Chassery, "Approximated centroidal Voronoi diagrams for uniform polygonal mesh coarsening", 2004, without their energy).

Collapses one edge after the other, as in `render.mesh.mesh_simplify`, would take minutes for millions of triangles, and
leave no even sizes for weights to be solved on.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from calib.survey.closest import closest_bary
from calib.survey.surface import directed_edges, undirected, zipped_points
from core.array_checks import expect
from core.mesh import Mesh

MOST_FACES: Final = 250_000
"""With more, a mesh is made coarse: working one out takes a minute and two gigabytes from there on."""
_COARSE_VERTICES = 50_000
_KEPT_WHOLE = 3_000  # vertices: pieces up to this size, such as eyes and lashes, stay as they are
_ROUNDS = 6
_CLOSE = 1.1
_AROUND = 8  # coarse triangles that a fine vertex is held against
_AT_ONCE = 1 << 15
_SAME_CHART = 4.0  # times the usual stretch of the texture: a corner farther away lies beyond a seam


@dataclass(frozen=True, eq=False)
class Binding:
    """How a fine mesh of V vertices hangs on a coarse one of C.

    Attributes:
        corners: [V, 3] int32 vertices of the coarse mesh, of the triangle each fine vertex lies nearest to.
        weights: [V, 3] float32 its place there, barycentric.
        representative: [C] int32 the fine vertex that stands for each coarse one.
    """

    corners: NDArray[np.int32]
    weights: NDArray[np.float32]
    representative: NDArray[np.int32]

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values [C', 3] at the coarse vertices, which come first → [V, 3] at the fine ones."""
        return np.asarray(self._matrix @ values[: len(self.representative)].astype(np.float32))

    @cached_property
    def _matrix(self) -> sparse.csr_matrix:
        starts = np.arange(len(self.corners) + 1, dtype=np.int32) * 3
        shape = (len(self.corners), len(self.representative))
        return sparse.csr_matrix((self.weights.reshape(-1), self.corners.reshape(-1), starts), shape=shape)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for `numpy.savez`; `from_arrays` is the inverse."""
        return {f"binding_{name}": getattr(self, name) for name in ("corners", "weights", "representative")}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], fine: int) -> "Binding":
        """Raises KeyError or ValueError where they are not those of a binding of a mesh of `fine` vertices."""
        representative = expect(arrays, "binding_representative", np.int32, None, below=fine)
        corners = expect(arrays, "binding_corners", np.int32, fine, 3, below=len(representative))
        weights = expect(arrays, "binding_weights", np.float32, fine, 3)
        if not (np.abs(weights.sum(axis=1) - 1) < 1e-3).all() or weights.min(initial=0) < -1e-3:
            raise ValueError("binding_weights are no places in triangles")
        return Binding(corners, weights, representative)


def coarsened(mesh: Mesh, vertices: int = _COARSE_VERTICES) -> tuple[Mesh, Binding]:
    """A mesh of about `vertices` vertices in place of many, with the same materials, and how the many follow it."""
    point = zipped_points(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64))
    count = int(point.max()) + 1
    positions = np.zeros((count, 3))
    positions[point] = mesh.vertices
    faces = point[mesh.faces]
    edges, _, uses = undirected(directed_edges(faces))
    own = edges[:, 0] != edges[:, 1]
    edges, border = edges[own], np.unique(edges[own][uses[own] == 1])
    length = np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1)
    graph = sparse.csr_matrix((np.maximum(length, 1e-30), (edges[:, 0], edges[:, 1])), shape=(count, count))
    used = np.flatnonzero(np.bincount(faces.reshape(-1), minlength=count))
    label = _clusters(positions, graph, used, vertices)
    centre, nearest = _cluster_centres(positions, label, border)
    number = np.full(count, -1)
    number[point[::-1]] = np.arange(len(point))[::-1]
    kept = _faces_between(label[faces])
    coarse_faces = label[faces[kept]]
    coarse = _coarse_mesh(mesh, centre, coarse_faces, kept, label[point], number[nearest])
    corners, weights = _bound(mesh.vertices.astype(np.float64), label[point], centre, coarse_faces)
    return coarse, Binding(corners, weights, number[nearest].astype(np.int32))


def _clusters(
    positions: NDArray[np.float64], graph: sparse.csr_matrix, used: NDArray[np.int64], wanted: int
) -> NDArray[np.int64]:
    """[N] number of the cluster of each point, counted from 0 without gaps."""
    component = connected_components(graph, directed=False)[1]
    size = np.bincount(component)
    small = size[component] <= _KEPT_WHOLE
    if small[used].sum() > wanted:
        small[:] = False
    seeds = np.union1d(used[small[used]], _spread_seeds(positions, component, used[~small[used]], wanted))
    for again in (True, False):
        _, _, source = dijkstra(graph, directed=False, indices=seeds, min_only=True, return_predecessors=True)
        lost = source < 0  # pieces too small to have a seed, and points without a face
        if lost.any():
            source[lost] = seeds[cKDTree(positions[seeds]).query(positions[lost])[1]]
        label = np.asarray(np.unique(source, return_inverse=True)[1], dtype=np.int64).reshape(-1)
        if again:  # from the middles of the first clusters they become even (Lloyd)
            seeds = _middlemost(positions, label)
    return label


def _faces_between(corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which faces [F, 3] in clusters stay, in order: one for each three clusters, and none where faces on both sides of
    it cancel out, as around a cluster with two neighbours only."""
    a, b, c = corners.T
    across = np.flatnonzero((a != b) & (b != c) & (c != a))
    own = corners[across]
    turned = np.take_along_axis(own, (own.argmin(axis=1)[:, None] + np.arange(3)) % 3, axis=1)
    side = np.where(turned[:, 1] < turned[:, 2], 1, -1)
    _, first, group = np.unique(np.sort(own, axis=1), axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    net = np.bincount(group, side)
    order = np.lexsort((side != np.sign(net)[group], group))  # in each group one that lies on the side that is left
    best = order[np.searchsorted(group[order], np.arange(len(first)))]
    return np.sort(across[best[net != 0]])


def _spread_seeds(
    positions: NDArray[np.float64], component: NDArray[np.int32], among: NDArray[np.int64], wanted: int
) -> NDArray[np.int64]:
    """About `wanted` of the points `among`: of each cell of a grid, and of each piece in it, the one in its middle."""
    if len(among) <= wanted:
        return among
    points = positions[among] - positions[among].min(axis=0)
    side = float(points.max()) / np.sqrt(wanted)
    for _ in range(_ROUNDS):
        cell = np.floor(points / side).astype(np.int64)
        steps = cell.max(axis=0) + 1
        key = ((component[among] * steps[0] + cell[:, 0]) * steps[1] + cell[:, 1]) * steps[2] + cell[:, 2]
        _, group = np.unique(key, return_inverse=True)
        found = int(group.max()) + 1
        if 1 / _CLOSE < found / wanted < _CLOSE:
            break
        side *= float(np.sqrt(found / wanted))
    return among[_middlemost(points, group.reshape(-1))]


def _middlemost(points: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """[G] of each group the number of the point nearest to its mean."""
    size = np.bincount(group)
    mean = np.stack([np.bincount(group, points[:, k]) for k in range(3)], axis=1) / size[:, None]
    return _nearest(points, group, mean)


def _nearest(points: NDArray[np.float64], group: NDArray[np.int64], to: NDArray[np.float64]) -> NDArray[np.int64]:
    """[G] of each group the number of the point nearest to the group's place in `to` [G, 3]."""
    away = ((points - to[group]) ** 2).sum(axis=1)
    order, size = np.lexsort((away, group)), np.bincount(group)
    return np.asarray(order[np.cumsum(size) - size])


def _cluster_centres(
    positions: NDArray[np.float64], label: NDArray[np.int64], border: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[C, 3] middle of each cluster, of its points on the border where it has any, so that openings keep their size;
    and [C] the point nearest to it."""
    count = int(label.max()) + 1
    weight = np.ones(len(label))
    at_border = np.zeros(count, dtype=bool)
    at_border[label[border]] = True
    weight[at_border[label]] = 1e-9
    weight[border] = 1.0
    total = np.bincount(label, weight, count)
    centre = np.stack([np.bincount(label, weight * positions[:, k], count) for k in range(3)], axis=1) / total[:, None]
    return centre, _nearest(positions, label, centre)


def _coarse_mesh(
    mesh: Mesh,
    centre: NDArray[np.float64],
    faces: NDArray[np.int64],
    kept: NDArray[np.int64],
    cluster: NDArray[np.int64],
    representative: NDArray[np.int64],
) -> Mesh:
    """The mesh of clusters [C, 3] with triangles [f, 3], which were the `kept` [f] of the fine mesh."""
    counts = [np.searchsorted(kept, [p.first_face, p.first_face + p.face_count]).tolist() for p in mesh.parts]
    parts = tuple(
        replace(part, first_face=first, face_count=last - first)
        for part, (first, last) in zip(mesh.parts, counts, strict=True)
    )
    colors = uvs = faces_uv = None
    if mesh.vertex_colors is not None:
        size = np.bincount(cluster, minlength=len(centre))[:, None]
        sums = [np.bincount(cluster, mesh.vertex_colors[:, k], len(centre)) for k in range(3)]
        colors = (np.stack(sums, axis=1) / np.maximum(size, 1)).astype(np.float32)
    if mesh.uvs is not None and mesh.faces_uv is not None:
        uvs, faces_uv = _coarse_uvs(mesh, kept, faces, representative)
    morphs = mesh.morphs
    if morphs is not None:
        morphs = replace(morphs, displacement=morphs.displacement[:, representative])
    return Mesh(centre.astype(np.float32), faces.astype(np.int32), uvs, faces_uv, colors, parts, mesh.materials, morphs)


def _coarse_uvs(
    mesh: Mesh, kept: NDArray[np.int64], faces: NDArray[np.int64], representative: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Texture coordinates of the coarse triangles: those of the vertices that stand for their corners, unless a seam
    of the texture lies between; then those of the fine corners themselves."""
    assert mesh.uvs is not None
    assert mesh.faces_uv is not None
    uv_of_vertex = np.full(len(mesh.vertices), -1, dtype=np.int64)
    uv_of_vertex[mesh.faces.reshape(-1)] = mesh.faces_uv.reshape(-1)
    fine, stands = mesh.faces_uv[kept], uv_of_vertex[representative[faces]]
    sides = np.linalg.norm(mesh.uvs[fine] - mesh.uvs[np.roll(fine, 1, axis=1)], axis=2)
    lengths = np.linalg.norm(
        mesh.vertices[mesh.faces[kept]] - mesh.vertices[np.roll(mesh.faces[kept], 1, axis=1)], axis=2
    )
    stretch = np.median(sides / np.maximum(lengths, 1e-30))
    moved = np.linalg.norm(mesh.vertices[mesh.faces[kept]] - mesh.vertices[representative[faces]], axis=2)
    off = np.linalg.norm(mesh.uvs[fine] - mesh.uvs[stands], axis=2)
    chosen = np.where((stands < 0) | (off > _SAME_CHART * stretch * moved), fine, stands)
    used, faces_uv = np.unique(chosen, return_inverse=True)
    return mesh.uvs[used], faces_uv.reshape(chosen.shape).astype(np.int32)


def _bound(
    vertices: NDArray[np.float64], cluster: NDArray[np.int64], centre: NDArray[np.float64], faces: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Corners and weights of a `Binding`: the nearest place on the triangles around each vertex's own cluster."""
    owner = faces.reshape(-1)
    order = np.argsort(owner, kind="stable")
    begin = np.searchsorted(owner[order], np.arange(len(centre) + 1))
    count = np.diff(begin)
    corners = np.repeat(cluster[:, None], 3, axis=1).astype(np.int32)
    weights = np.tile(np.array([1, 0, 0], dtype=np.float32), (len(vertices), 1))
    with_faces = np.flatnonzero(count)
    stand_in = np.arange(len(centre))
    alone = np.flatnonzero(count == 0)
    if len(alone) and len(with_faces):
        stand_in[alone] = with_faces[cKDTree(centre[with_faces]).query(centre[alone])[1]]
    cluster = stand_in[cluster]
    bound = np.flatnonzero(count[cluster] > 0)
    for start in range(0, len(bound), _AT_ONCE):
        rows = bound[start : start + _AT_ONCE]
        own = cluster[rows]
        around = begin[own][:, None] + np.arange(_AROUND) % np.maximum(count[own], 1)[:, None]
        near = order[around] // 3
        bary, squared = closest_bary(vertices[rows], centre[faces[near]])
        best = squared.argmin(axis=1)
        row = np.arange(len(rows))
        corners[rows] = faces[near[row, best]]
        weights[rows] = bary[row, best]
    return corners, weights
