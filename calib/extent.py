"""Whether a mesh is of one size at all: a single stray vertex makes everything else a dot."""

import numpy as np

from core.errors import InputError
from core.mesh import Mesh

_MOST = 0.9  # of the vertices lie within the mesh's own reach
_FARTHEST = 1e4  # times that reach: no head has anything so far away


def check_extent(name: str, mesh: Mesh) -> None:
    """Raises InputError where most of the mesh is one point, or a vertex lies far away from all others. `name` is the
    file's."""
    points = mesh.vertices.astype(np.float64)
    used = points[np.unique(mesh.faces)]
    middle = np.median(used, axis=0)
    reach = float(np.quantile(np.abs(used - middle).max(axis=1), _MOST))
    if not reach > 0:
        raise InputError(f"{name}: expected a head, most of its vertices lie at one point; export the mesh again")
    distance = np.abs(points - middle).max(axis=1)
    farthest = int(distance.argmax())
    if distance[farthest] > _FARTHEST * reach:
        raise InputError(
            f"{name}: vertex {farthest} (counted from 0) is {distance[farthest]:.3g} away from a mesh that reaches "
            f"{reach:.3g}; remove it, or export the mesh again"
        )
