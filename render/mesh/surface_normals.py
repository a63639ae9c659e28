"""Normals and outlines of a deforming mesh: what depends on its shape, worked out once a frame on the processor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from render.mesh.mesh_edges import MeshEdges
from render.mesh.mesh_layout import weld_smooth


class SurfaceNormals:
    """Face and vertex normals of a mesh whose vertices move. Vertices that share a smooth surface share a normal.

    0.4 ms a frame for 20 k faces: coordinates are gathered as three rows, and the sum over the faces around a vertex
    is one sparse product (area-weighted, since the cross products are not normalised).

    Attributes:
        around: [N, F] sparse, how often the normal of each face counts in that of a vertex.
        face_normals: [F, 3] float32 as of the last `update`, as long as twice the face's area.
        face_origins: [3, F] float32 the first corner of each face then.
    """

    def __init__(
        self, rest: NDArray[np.float32], faces: NDArray[np.int32], at: NDArray[np.int64] | None = None
    ) -> None:
        """`rest` [V, 3], `faces` [F, 3]; `at` [N]: the vertices whose normals are wanted, all V if left out."""
        self._gather = np.ascontiguousarray(faces.T).reshape(-1).astype(np.intp)
        self._count = len(faces)
        group = weld_smooth(rest, faces)
        entries = np.ones(faces.size, dtype=np.float32)
        columns = np.repeat(np.arange(len(faces)), 3)
        shape = (int(group.max()) + 1, len(faces))
        sums: Any = sparse.csr_matrix((entries, (group[faces].reshape(-1), columns)), shape=shape)
        self.around: Any = sums[group if at is None else group[at]]
        self.face_normals: NDArray[np.float32] = np.zeros((len(faces), 3), dtype=np.float32)
        self.face_origins: NDArray[np.float32] = np.zeros((3, len(faces)), dtype=np.float32)

    def update(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vertices [V, 3] → normals [N, 3], not of unit length. Keeps the face normals, too."""
        rows = np.ascontiguousarray(vertices.T).take(self._gather, axis=1).reshape(3, 3, self._count)
        x, y, z = rows
        ux, uy, uz = x[1] - x[0], y[1] - y[0], z[1] - z[0]
        wx, wy, wz = x[2] - x[0], y[2] - y[0], z[2] - z[0]
        normals = self.face_normals
        normals[:, 0] = uy * wz - uz * wy
        normals[:, 1] = uz * wx - ux * wz
        normals[:, 2] = ux * wy - uy * wx
        self.face_origins = rows[:, 0]
        return np.asarray(self.around @ normals, dtype=np.float32)

    def facing(self, eye: NDArray[np.float64]) -> NDArray[np.bool_]:
        """[F] which faces show their front to `eye` [3], in the vertices' frame."""
        away, normals = eye.astype(np.float32)[:, None] - self.face_origins, self.face_normals
        return np.asarray(normals[:, 0] * away[0] + normals[:, 1] * away[1] + normals[:, 2] * away[2] > 0)


class Outlines:
    """Edges where a surface turns away from the eye, or ends: where a picture of it needs smoothing."""

    def __init__(self, edges: MeshEdges) -> None:
        self._edges = edges
        self._left, self._right = edges.left.astype(np.intp), edges.right.astype(np.intp)
        self._slits = np.flatnonzero(edges.is_slit)
        self._slit_ends = edges.own[self._slits], edges.other[self._slits]
        self._borders = np.flatnonzero(edges.is_border)
        self._border_left = self._left[self._borders]

    @property
    def most(self) -> int:
        """How many edges `find` may return at most."""
        return len(self._edges) + len(self._slits)

    def find(
        self, vertices: NDArray[np.float32], surface: SurfaceNormals, facing: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """[n, 2, 3] ends of the outline edges, given which faces [F] show their front.

        Left out are ends of what faces away, and folds inwards, which the surface itself hides.
        """
        edges = self._edges
        left, right = facing.take(self._left), facing.take(self._right)
        turning = np.flatnonzero(left != right)
        own = edges.own.take(turning, axis=0)
        beyond = vertices.take(edges.across.take(turning), axis=0) - vertices.take(own[:, 0], axis=0)
        normals = surface.face_normals.take(self._left.take(turning), axis=0)
        chosen = [
            edges.own.take(self._borders[facing.take(self._border_left)], axis=0),
            own[(normals * beyond).sum(axis=1) < 0],
        ]
        if len(self._slits):
            one, other = self._slit_ends
            parted = (np.abs(vertices.take(one, axis=0) - vertices.take(other, axis=0)) > edges.apart).any((1, 2))
            chosen += [one[parted & left[self._slits]], other[parted & right[self._slits]]]
        return np.asarray(vertices.take(np.concatenate(chosen), axis=0), dtype=np.float32)
