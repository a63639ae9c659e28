"""Where the inside of a mesh can be seen: through the holes in its surface, and so only inside their outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from render.mesh_layout import weld_positions

Box = tuple[int, int, int, int]
_MOST_BOXES = 4
_MOST_LOOPS = 400


class Openings:
    """The holes of a mesh, neighbours taken together, followed as the vertices move.

    A ray from outside first meets a surface's back only where it came in through a hole. So backs need to be drawn
    only inside the boxes around the holes: drawn everywhere, they would take the processor a fifth of a frame.
    """

    def __init__(self, rest: NDArray[np.float32], faces: NDArray[np.int32]) -> None:
        place = weld_positions(rest)
        self._vertices, loop = _boundary(place, faces)
        group = _few_groups(rest[self._vertices], loop)
        order = np.argsort(group, kind="stable")
        self._vertices = self._vertices[order]
        self._starts = np.flatnonzero(np.diff(group[order], prepend=-1)) if len(order) else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._starts)

    def boxes(
        self, vertices: NDArray[np.float32], clip_from_head: NDArray[np.float64], size: tuple[int, int]
    ) -> list[Box]:
        """Pixel boxes (left, first row, width, height) around the holes as projected into a picture of this size."""
        if len(self) == 0:
            return []
        clip = vertices[self._vertices].astype(np.float64) @ clip_from_head[:, :3].T + clip_from_head[:, 3]
        if clip[:, 3].min() <= 0:
            return [(0, 0, *size)]
        pixels = (clip[:, :2] / clip[:, 3:] * 0.5 + 0.5) * size
        low = np.floor(np.minimum.reduceat(pixels, self._starts)).clip(0, size).astype(int) - 1
        high = np.ceil(np.maximum.reduceat(pixels, self._starts)).clip(0, size).astype(int) + 1
        low, high = low.clip(0), np.minimum(high, size)
        rows = np.concatenate([low, high - low], axis=1)
        return [(x, y, width, height) for x, y, width, height in rows.tolist() if width > 2 and height > 2]


def _boundary(place: NDArray[np.int64], faces: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices on edges that only one face has, and the number of the loop each belongs to."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    ends = np.sort(place[pairs], axis=1)
    key = ends[:, 0] * (int(place.max(initial=0)) + 1) + ends[:, 1]
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    single = (counts[inverse] == 1) & (ends[:, 0] != ends[:, 1])
    vertices = np.unique(pairs[single])
    links = place[pairs[single]]
    count = int(place.max(initial=0)) + 1
    graph: Any = sparse.coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    loop = connected_components(graph, directed=False)[1]
    return vertices, loop[place[vertices]]


def _few_groups(points: NDArray[np.float32], loop: NDArray[np.int64]) -> NDArray[np.int64]:
    """[B] number of a group of loops, at most _MOST_BOXES of them, near ones together."""
    _, inverse = np.unique(loop, return_inverse=True)
    count = int(inverse.max(initial=-1)) + 1
    if count <= _MOST_BOXES:
        return np.asarray(inverse, dtype=np.int64)
    if count > _MOST_LOOPS:  # a ragged scan: one box around everything
        return np.zeros(len(points), dtype=np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage  # a tenth of a second to import, and seldom needed

    middle = np.stack([(points[inverse == i].max(axis=0) + points[inverse == i].min(axis=0)) / 2 for i in range(count)])
    group = fcluster(linkage(middle, "ward"), _MOST_BOXES, "maxclust") - 1
    return np.asarray(group[inverse], dtype=np.int64)
