"""The published controllers and controlling weights (arXiv 2308.06076), as a mode beside this project's own.

Controllers come from face landmarks found on the avatar's rendered picture, weights from heat-method geodesics
(Crane et al. 2013). The released code solves once for every vertex. Distance is symmetric up to the heat method's own
error, so the same weights come from one solve for every corner of a controller's face; `way="per_vertex"` repeats
the released numbers exactly, at its cost.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, identity
from scipy.sparse.csgraph import connected_components

from core.errors import InputError

UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_LIP = (375, 321, 405, 314, 17, 84, 181, 91, 146, 61)
_INNER_LIP_RINGS = (
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
_MAX_COLUMN = 205  # the released code looks no further right
_MIN_DISTANCE = 10  # pixels, L1
_DEPTH_PROBE = 3  # pixels
_DEPTH_CHANGE = 0.05  # of the avatar's depth range
_SOFTENING = 1e-3
NEIGHBOURS = 10

Way = Literal["per_controller", "per_vertex"]


@dataclass(frozen=True, eq=False)
class PublishedControllers:
    """Controllers in the avatar's picture, lips first.

    Attributes:
        pixels: [K, 2] int64 column and row.
        depth: [K] float64 camera depth at those pixels.
        upper_lip, lower_lip: [K] bool.
    """

    pixels: NDArray[np.int64]
    depth: NDArray[np.float64]
    upper_lip: NDArray[np.bool_]
    lower_lip: NDArray[np.bool_]


def select_controllers(landmarks: NDArray[np.floating[Any]], source_depth: NDArray[np.float32]) -> PublishedControllers:
    """Landmarks [478, 2 or 3] (x, y as fractions of the width), camera depth [N, N] (<= 0 where empty) -> controllers.

    First the outer lip contours, then every landmark away from the lips that lies on the mesh, within the first 205 of
    256 columns, 10 px (L1) from all kept before it, and where depth is even. Raises InputError where none is left.
    """
    size = source_depth.shape[1]
    pixels = (np.asarray(landmarks)[:, :2] * size).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    kept: list[int] = []
    for index in (*UPPER_LIP, *LOWER_LIP):
        if inside[index] and not any((pixels[index] == pixels[other]).all() for other in kept):
            kept.append(index)
    lips = len(kept)
    allowed = _lies_evenly(pixels, inside, source_depth) & (pixels[:, 0] <= _MAX_COLUMN * size // 256)
    allowed[[*UPPER_LIP, *LOWER_LIP, *(i for ring in _INNER_LIP_RINGS for i in ring)]] = False
    for other in np.flatnonzero(allowed):
        if (np.abs(pixels[kept] - pixels[other]).sum(axis=1) >= _MIN_DISTANCE).all():
            kept.append(int(other))
    at = pixels[kept]
    depth = source_depth[at[:, 1], at[:, 0]].astype(np.float64)
    on_mesh = depth > 0
    if not on_mesh.any():
        raise InputError("avatar: expected face landmarks on its picture, none lies on the mesh; adjust --eye")
    order, is_lip = np.array(kept), np.arange(len(kept)) < lips
    upper = is_lip & np.isin(order, UPPER_LIP)
    return PublishedControllers(at[on_mesh], depth[on_mesh], upper[on_mesh], (is_lip & ~upper)[on_mesh])


def _lies_evenly(
    pixels: NDArray[np.int64], inside: NDArray[np.bool_], source_depth: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether each pixel shows the mesh, and depth 3 px to each side is within 5 % of the avatar's range of it."""
    size = source_depth.shape[1]
    shown = source_depth[source_depth > 0]
    if not shown.size:
        return np.zeros(len(pixels), bool)
    x, y = np.clip(pixels, 0, size - 1).T
    here = source_depth[y, x]
    step = _DEPTH_PROBE * size // 256
    beside = [
        source_depth[np.clip(y + dy, 0, size - 1), np.clip(x + dx, 0, size - 1)]
        for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step))
    ]
    change = np.abs(np.stack(beside) - here).max(axis=0)
    even: NDArray[np.bool_] = inside & (here > 0) & (change <= _DEPTH_CHANGE * np.ptp(shown))
    return even


def controlling_weights(
    vertices: NDArray[np.floating[Any]],
    faces: NDArray[np.integer[Any]],
    controller_faces: NDArray[np.integer[Any]],
    *,
    k: int = NEIGHBOURS,
    way: Way = "per_controller",
    progress: Callable[[float], None] | None = None,
) -> csr_matrix:
    """[V, K] weights, rows summing to one: 1/(d² + 1e-3) of the k geodesically nearest controllers.

    controller_faces [K] is the face under each controller's pixel; distance to a controller is the least of those to
    its face's corners. A vertex on a part without any controller has an empty row. "per_controller" differs from
    "per_vertex" (the released way) by the heat method's asymmetry alone.
    """
    corners = np.asarray(faces)[np.asarray(controller_faces)]  # [K, 3]
    geodesics = _Geodesics(vertices, faces)
    if way == "per_vertex":
        rows = [
            _nearest(geodesics.from_vertex(v)[corners].min(axis=1)[None], k)
            for v in _counted(range(len(vertices)), progress)
        ]
        index, weight = (np.concatenate(part) for part in zip(*rows, strict=True))
    else:
        sources, place = np.unique(corners, return_inverse=True)
        distance = np.stack([geodesics.from_vertex(int(s)) for s in _counted(list(sources), progress)])  # [S, V]
        index, weight = _nearest(distance[place.reshape(corners.shape)].min(axis=1).T, k)
    return _as_matrix(index, weight, len(corners))


def smoothing_weights(
    vertices: NDArray[np.floating[Any]],
    faces: NDArray[np.integer[Any]],
    *,
    k: int = NEIGHBOURS,
    way: Way = "per_controller",
    progress: Callable[[float], None] | None = None,
) -> csr_matrix:
    """[V, V] weights, rows summing to one: 1/(d² + 1e-3) of the k nearest vertices, itself included.

    "per_vertex" takes heat-method distances over the whole mesh, as released. Otherwise neighbourhoods of three rings
    and straight distances, which is what geodesics are at that range.
    """
    count = len(vertices)
    if way == "per_vertex":
        geodesics = _Geodesics(vertices, faces)
        rows = [_nearest(geodesics.from_vertex(v)[None], k) for v in _counted(range(count), progress)]
        index, weight = (np.concatenate(part) for part in zip(*rows, strict=True))
        return _as_matrix(index, weight, count)
    near = _adjacency(np.asarray(faces), count) + identity(count, dtype=np.int8, format="csr")
    rings = (near @ near @ near).tocoo()
    distance = np.linalg.norm(np.asarray(vertices)[rings.row] - np.asarray(vertices)[rings.col], axis=1)
    order = np.lexsort((distance, rings.row))
    row, column, distance = rings.row[order], rings.col[order], distance[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    keep = rank < k
    return normalised(coo_matrix((_kernel(distance[keep]), (row[keep], column[keep])), shape=(count, count)).tocsr())


class _Geodesics:
    """Heat-method distance from any vertex, infinite to parts of the mesh that are not connected with it."""

    def __init__(self, vertices: NDArray[np.floating[Any]], faces: NDArray[np.integer[Any]]) -> None:
        faces = np.asarray(faces, dtype=np.int64)
        self._count = len(vertices)
        if len(faces) == 0 or faces.min() < 0 or faces.max() >= self._count:
            raise InputError(f"avatar: expected faces that index its {self._count} vertices; repair the mesh")
        self._part = connected_components(_adjacency(faces, self._count), directed=False)[1]
        self._solvers: dict[int, tuple[NDArray[np.int64], Any]] = {}
        self._vertices, self._faces = np.asarray(vertices, dtype=np.float64), faces
        self._local = np.full(self._count, -1)

    def from_vertex(self, source: int) -> NDArray[np.float64]:
        """[V] distance from vertex `source` over the surface."""
        distance = np.full(self._count, np.inf)
        distance[source] = 0.0
        part = int(self._part[source])
        if part not in self._solvers:
            self._solvers[part] = self._prepare(part)
        members, solver = self._solvers[part]
        if solver is not None:
            distance[members] = solver.compute_distance(int(self._local[source]))
        return distance

    def _prepare(self, part: int) -> tuple[NDArray[np.int64], Any]:
        import potpourri3d

        members = np.flatnonzero(self._part == part)
        self._local[members] = np.arange(len(members))
        faces = self._faces[self._part[self._faces[:, 0]] == part]
        if len(faces) == 0:
            return members, None
        return members, potpourri3d.MeshHeatMethodDistanceSolver(self._vertices[members], self._local[faces])


def _adjacency(faces: NDArray[np.integer[Any]], count: int) -> csr_matrix:
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    one_way = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    both = ((one_way + one_way.T) > 0).astype(np.int8)
    return both.tocsr()


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = 1.0 / (distance**2 + _SOFTENING)
    return weight


def _nearest(distance: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """distance [R, n] -> index [R, k] and kernel [R, k] of the k least, zero where infinite."""
    k = min(k, distance.shape[1])
    index = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return index, _kernel(np.take_along_axis(distance, index, axis=1))


def _as_matrix(index: NDArray[np.int64], weight: NDArray[np.float64], columns: int) -> csr_matrix:
    rows, k = index.shape
    matrix = csr_matrix((weight.ravel(), index.ravel(), np.arange(0, rows * k + 1, k)), shape=(rows, columns))
    matrix.eliminate_zeros()
    return normalised(matrix)


def normalised(matrix: csr_matrix) -> csr_matrix:
    """With rows that sum to one, or stay empty."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return (diags(scale) @ matrix).tocsr().astype(np.float32)


def _counted(items: Sequence[int], progress: Callable[[float], None] | None) -> Iterator[int]:
    """The items, reporting the share walked through."""
    for position, item in enumerate(items):
        if progress is not None and position % 64 == 0:
            progress(position / len(items))
        yield item
    if progress is not None:
        progress(1.0)
