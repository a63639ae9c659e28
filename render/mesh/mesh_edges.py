"""The edges of a mesh, with vertices in the same place taken for one: which end the surface, which may part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from render.mesh.mesh_layout import weld_positions


class MeshEdges:
    """Edges of some of a mesh's faces at rest.

    Attributes:
        place: [V] the same number for vertices in the same place.
        own: [E, 2] vertices of each edge, in the order of the face on its left.
        other: [E, 2] the vertices that the face on the right has in the same two places; as `own` where it shares
            them, or where there is no other face.
        left, right: [E] the faces on either side; the same one twice where the surface ends.
        across: [E] third vertex of the face on the right.
        is_border: [E] the surface ends here, or more than two faces meet.
        is_slit: [E] two faces meet in vertices of their own: a texture seam, or a cut that may open.
        apart: distance from which on slits count as open.
    """

    def __init__(self, rest: NDArray[np.float32], faces: NDArray[np.int32], among: NDArray[np.int64]) -> None:
        """`among`: indices of the faces whose edges count."""
        self.place = weld_positions(rest)
        corners = faces[among].astype(np.int64)
        turns = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
        pairs = np.concatenate([corners[:, [i, j]] for i, j, _ in turns])
        opposite = np.concatenate([corners[:, k] for _, _, k in turns])
        owner = np.tile(among, 3)
        ends = np.sort(self.place[pairs], axis=1)
        key = ends[:, 0] * (int(self.place.max(initial=0)) + 1) + ends[:, 1]
        order = np.argsort(key, kind="stable")
        order = order[ends[order, 0] != ends[order, 1]]
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        length = np.diff(np.r_[first, len(order)])
        rows = order[first]
        partner = np.where(length == 2, order[np.minimum(first + 1, max(len(order) - 1, 0))], rows)
        self.own, other = pairs[rows], pairs[partner]
        opposed = self.place[other[:, 0]] != self.place[self.own[:, 0]]
        self.other = np.where(opposed[:, None], other[:, ::-1], other)
        self.left, self.right, self.across = owner[rows], owner[partner], opposite[partner]
        self.is_border = length != 2
        self.is_slit = (self.own != self.other).any(axis=1)
        self.apart = 1e-4 * float(np.ptp(rest, axis=0).max(initial=0.0))

    def __len__(self) -> int:
        return len(self.own)
