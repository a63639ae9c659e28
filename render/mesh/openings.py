"""Where the inside of a mesh can be seen: through the holes in its surface, and so only inside their outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from render.mesh.mesh_edges import MeshEdges

Box = tuple[int, int, int, int]
"""Left, first row, width and height in pixels."""

_MOST_BOXES = 4
_MOST_LOOPS = 400


def around(one: Box, other: Box) -> Box:
    """The smallest box that holds both; an empty one counts for nothing."""
    if 0 in other[2:] or 0 in one[2:]:
        return one if 0 in other[2:] else other
    left, low = min(one[0], other[0]), min(one[1], other[1])
    right, high = max(one[0] + one[2], other[0] + other[2]), max(one[1] + one[3], other[1] + other[3])
    return left, low, right - left, high - low


class Openings:
    """The holes of a mesh, neighbours taken together, followed as the vertices move.

    Holes are borders of the surface, and slits: edges that lie on each other at rest, as between cut lips, once they
    part. A ray from outside first meets a surface's back only where it came in through a hole. So backs need to be
    drawn only inside the boxes around the holes: drawn everywhere, they would take the processor a fifth of a frame.
    """

    def __init__(self, rest: NDArray[np.float32], edges: MeshEdges) -> None:
        borders = _Rims(rest, edges.place, edges.own[edges.is_border])
        slits = _Rims(rest, edges.place, np.concatenate([edges.own[edges.is_slit], edges.other[edges.is_slit]]))
        self._border = borders
        self._slit = slits
        self._slit_edges = edges.own[edges.is_slit], edges.other[edges.is_slit]
        self._apart = edges.apart

    def __len__(self) -> int:
        """Number of boxes that there may be."""
        return self._border.count + self._slit.count

    def boxes(
        self, vertices: NDArray[np.float32], clip_from_head: NDArray[np.float64], size: tuple[int, int]
    ) -> list[Box]:
        """Pixel boxes (left, first row, width, height) around the holes as projected into a picture of this size."""
        boxes = self._border.boxes(vertices, clip_from_head, size, None)
        own, other = self._slit_edges
        if len(own):
            parted = (np.abs(vertices.take(own, axis=0) - vertices.take(other, axis=0)) > self._apart).any(axis=2)
            if parted.any():
                moved = np.zeros(len(vertices), dtype=bool)
                moved[own[parted]] = moved[other[parted]] = True
                boxes += self._slit.boxes(vertices, clip_from_head, size, moved)
        return boxes


def faces_in_boxes(
    origins: NDArray[np.float32],
    reach: NDArray[np.float32],
    clip_from_head: NDArray[np.float64],
    size: tuple[int, int],
    boxes: list[Box],
) -> NDArray[np.bool_]:
    """[F] which faces may show in the boxes; given a corner [3, F] of each and how many pixels [F] it may extend."""
    rows = clip_from_head[[0, 1, 3], :3].astype(np.float32) @ origins
    x, y, w = rows + clip_from_head[[0, 1, 3], 3:].astype(np.float32)
    scale = np.float32(0.5) / np.maximum(w, np.float32(1e-6))
    x, y = (x * scale + np.float32(0.5)) * size[0], (y * scale + np.float32(0.5)) * size[1]
    inside = np.zeros(len(reach), dtype=bool)
    for left, low, width, height in boxes:
        near_x = np.abs(x - np.float32(left + width / 2)) < reach + np.float32(width / 2)
        inside |= near_x & (np.abs(y - np.float32(low + height / 2)) < reach + np.float32(height / 2))
    return inside


class _Rims:
    """Vertices around holes, in at most _MOST_BOXES groups."""

    def __init__(self, rest: NDArray[np.float32], place: NDArray[np.int64], edges: NDArray[np.int64]) -> None:
        vertices = np.unique(edges)
        count = int(place.max(initial=0)) + 1
        links = place[edges]
        graph: Any = sparse.coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
        loop = connected_components(graph, directed=False)[1][place[vertices]]
        group = _few_groups(rest[vertices], loop)
        order = np.argsort(group, kind="stable")
        self.vertices, group = vertices[order], group[order]  # one group after the other
        self._starts = np.flatnonzero(np.diff(group, prepend=-1))
        self.count = len(self._starts)

    def boxes(
        self,
        vertices: NDArray[np.float32],
        clip_from_head: NDArray[np.float64],
        size: tuple[int, int],
        only: NDArray[np.bool_] | None,
    ) -> list[Box]:
        """One box for each group with vertices, or with vertices [V] among `only`."""
        if self.count == 0:
            return []
        clip = vertices.take(self.vertices, axis=0).astype(np.float64) @ clip_from_head[:, :3].T + clip_from_head[:, 3]
        if clip[:, 3].min() <= 0:
            return [(0, 0, *size)]
        pixels = (clip[:, :2] / clip[:, 3:] * 0.5 + 0.5) * size
        least, most = pixels, pixels
        if only is not None:
            counted = only.take(self.vertices)[:, None]
            least, most = np.where(counted, pixels, np.inf), np.where(counted, pixels, -np.inf)
        lows = np.floor(np.minimum.reduceat(least, self._starts) - 1)
        highs = np.ceil(np.maximum.reduceat(most, self._starts) + 1)
        there = lows[:, 0] < highs[:, 0]
        lows, highs = (each[there].clip(0, size).astype(int) for each in (lows, highs))
        boxes = [(x, y, right - x, low - y) for (x, y), (right, low) in zip(lows.tolist(), highs.tolist(), strict=True)]
        return [box for box in boxes if box[2] > 2 and box[3] > 2]


def _few_groups(points: NDArray[np.float32], loop: NDArray[np.int32]) -> NDArray[np.int64]:
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
