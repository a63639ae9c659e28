"""Where a bust ends: inside a ball around the neck, with its border snapped to the ball and closed from below."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head.head_data import HeadData

Points = NDArray[np.float64]

BALL_CENTRE_M = np.array([0.0, -0.045, -0.062])
BALL_RADIUS_M = 0.178
RELAXED_M = 0.02  # so near to the border the skin gives way to it
NECK_BELOW_M = -0.06  # above it nothing is cut


def bust_quads(data: HeadData) -> NDArray[np.bool_]:
    """[F] which quads of the skin belong to the bust."""
    corners = data.vertices[data.parts["skin"]].astype(np.float64)
    distance = np.linalg.norm(corners - BALL_CENTRE_M, axis=-1)
    return np.asarray(((distance < BALL_RADIUS_M) | (corners[..., 1] > NECK_BELOW_M)).all(axis=1))


def border_loop(quads: NDArray[np.int32]) -> NDArray[np.int32]:
    """The one open edge of a patch as a loop of vertex numbers, in the direction of the faces' edges.

    Raises ValueError where there is not exactly one loop.
    """
    directed = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges = {(a, b) for a, b in directed.tolist()}
    following = {a: b for a, b in edges if (b, a) not in edges}
    start = next(iter(following))
    loop = [start]
    while following[loop[-1]] != start:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError(f"expected one open border, found {len(following) - len(loop)} more edges")
    return np.array(loop, dtype=np.int32)


def smoothed_border(data: HeadData, keep: NDArray[np.bool_]) -> Points:
    """[V, 3] displacements that bring the jagged border of the kept quads onto a smooth curve on the ball."""
    quads = data.parts["skin"][keep]
    template = data.vertices.astype(np.float64)
    points = template.copy()
    loop = border_loop(quads)
    near = np.linalg.norm(template - BALL_CENTRE_M, axis=1) > BALL_RADIUS_M - RELAXED_M
    near &= template[:, 1] < NECK_BELOW_M - RELAXED_M
    inner = np.setdiff1d(np.unique(quads)[near[np.unique(quads)]], loop)
    average = _neighbour_average(quads, len(template))
    for _ in range(12):
        border = points[loop]
        border = 0.5 * border + 0.25 * (np.roll(border, 1, axis=0) + np.roll(border, -1, axis=0))
        offset = border - BALL_CENTRE_M
        points[loop] = BALL_CENTRE_M + offset * (BALL_RADIUS_M / np.linalg.norm(offset, axis=1, keepdims=True))
        points[inner] = 0.5 * points[inner] + 0.5 * (average @ points)[inner]
    return points - template


def _neighbour_average(quads: NDArray[np.int32], count: int) -> sp.csr_matrix:
    ends = np.stack([quads.ravel(), np.roll(quads, -1, axis=1).ravel()])
    both = np.concatenate([ends, ends[::-1]], axis=1)
    links = sp.csr_matrix((np.ones(both.shape[1]), both), shape=(count, count))
    links.data[:] = 1
    return sp.diags(1 / np.maximum(links.getnnz(axis=1), 1)) @ links


def cap(loop: NDArray[np.int32], vertex_count: int) -> tuple[sp.csr_matrix, NDArray[np.int32]]:
    """Close a border from below: matrix [2 n + 1, vertex_count] of a rim turned inwards, and its faces.

    `loop` [n] are the border's vertices among the `vertex_count` ones that the matrix reads; the new ones are numbered
    after these.
    """
    count = len(loop)
    number = np.arange(count)
    middle = np.full((1, count), 1 / count)
    rims = [(1 - inward) * np.eye(count) + inward * np.repeat(middle, count, axis=0) for inward in (0.06, 0.25)]
    select = sp.csr_matrix((np.ones(count), (number, loop)), shape=(count, vertex_count))
    rings = [loop.astype(np.int64), vertex_count + number, vertex_count + count + number]
    faces = []
    for outer, inner in itertools.pairwise(rings):
        after_outer, after_inner = np.roll(outer, -1), np.roll(inner, -1)
        faces += [np.stack([after_outer, outer, inner], axis=1), np.stack([after_outer, inner, after_inner], axis=1)]
    centre = np.full(count, vertex_count + 2 * count)
    faces.append(np.stack([np.roll(rings[-1], -1), rings[-1], centre], axis=1))
    return sp.csr_matrix(np.concatenate([*rims, middle])) @ select, np.concatenate(faces).astype(np.int32)
