"""Ways along a surface."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from calib.survey.surface import Surface


def surface_paths(surface: Surface, pairs: NDArray[np.int64], limit: float) -> NDArray[np.float64]:
    """[P] shortest way along edges between two mesh faces of each pair: 0 if they touch, inf if over `limit`."""
    number = np.full(int(max(surface.face_origin.max(initial=0), pairs.max(initial=0))) + 1, -1)
    number[surface.face_origin] = np.arange(len(surface.face_origin))
    known = (number[pairs] >= 0).all(axis=1)
    corners = surface.faces[number[pairs[known]]]  # [P, 2, 3]
    touch = (corners[:, 0, :, None] == corners[:, 1, None, :]).any(axis=(1, 2))
    result = np.zeros(len(pairs))
    asked = np.flatnonzero(known)[~touch]
    if not len(asked):
        return result
    starts, ends = corners[~touch, 0, 0], corners[~touch, 1]
    near = surface.points[np.unique(corners)]
    low, high = near.min(axis=0), near.max(axis=0)
    local = ((surface.points > low - limit) & (surface.points < high + limit)).all(axis=1)
    part, renumber = surface.restricted(local)
    edges = part.edges()
    length = np.linalg.norm(part.points[edges[:, 0]] - part.points[edges[:, 1]], axis=1)
    graph = sparse.csr_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(part.points),) * 2)
    sources, which = np.unique(renumber[starts], return_inverse=True)
    distance = dijkstra(graph, directed=False, indices=sources, limit=limit)
    result[asked] = distance[which.reshape(-1)[:, None], renumber[ends]].min(axis=1)
    return result
