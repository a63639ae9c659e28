"""Morph targets that a file brings along, as the 52 expression units."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from calib.rig.expression_basis import UnitFields, UnitSum
from calib.rig.own_shapes import arkit_morphs
from calib.survey.closest import closest_on_faces
from calib.survey.surface import directed_edges, make_surface, undirected
from core.expression_units import UNIT_NAMES

if TYPE_CHECKING:
    from calib.avatar import Avatar
    from calib.rig.face_rig import JawRig


class MorphUnits:
    """Moves one avatar by the morph targets of its file. Called as `calib.rig.expression_basis.ExpressionUnits` is.

    What the file has no shape for stays still. Vertices that the preparation added go along with their neighbours.

    Attributes:
        names: of the 52 units, in the order of the weights.
        shut_lids: its blinks are made for this head.
        complete: they shut its eyes entirely and move teeth and tongue: nothing is left to do.
        turn_eyes: they turn its eyes, too.
    """

    names = UNIT_NAMES
    shut_lids = True

    def __init__(self, avatar: "Avatar") -> None:
        """Raises InputError where the file's morph targets are too few."""
        units, displacement = arkit_morphs(avatar.name, avatar.file_mesh)
        self.turn_eyes = avatar.rig.moves_nothing
        self.complete = self.turn_eyes or (avatar.file_mesh.morphs is not None and avatar.file_mesh.morphs.rigged)
        if avatar.binding is not None:
            displacement = displacement[:, avatar.binding.representative]
        self._columns = np.array([UNIT_NAMES.index(unit) for unit in units])
        moved = np.einsum("ij,mvj->mvi", avatar.T_world_file[:3, :3], displacement.astype(np.float64))
        rest, faces = avatar.rig.rest.astype(np.float64), avatar.display_mesh.faces.astype(np.int64)
        every = extended(moved, rest, faces)
        controllers = avatar.controllers.rest
        face, bary, _ = closest_on_faces(controllers, rest, faces, np.arange(len(faces)))
        at = np.einsum("mkcd,kc->mkd", every[:, faces[face]], bary)
        self._vertices = every.reshape(len(units), -1).astype(np.float32)
        self._controllers = at.reshape(len(units), -1).astype(np.float32)

    def displacement(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Displacement of the vertices [R, 3] and of the controllers [K, 3] in avatar units for weights [52]."""
        own = weights[self._columns].astype(np.float32)
        used = np.flatnonzero(np.abs(own) > 1e-4)
        return tuple((own[used] @ each[used]).reshape(-1, 3) for each in (self._vertices, self._controllers))

    def fields(self) -> UnitFields:
        """The same for who adds it up himself, from what `summed` says of the weights."""
        count = len(self._columns)
        vertices, controllers = (
            np.ascontiguousarray(each.reshape(count, -1, 3).transpose(1, 0, 2)).reshape(-1, 3 * count)
            for each in (self._vertices, self._controllers)
        )
        nothing = [sparse.csr_matrix((len(each), 0), dtype=np.float32) for each in (vertices, controllers)]
        pair = nothing[0], nothing[1]
        return UnitFields((vertices, controllers), pair, np.zeros(3, np.float32), pair)

    def tongue(self, jaw: "JawRig") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As of `ExpressionUnits`: the file's own shape where that moves what goes with the jaw; nothing where its
        shapes are complete, tongue and all."""
        if self.complete:
            return jaw.tongue[:0], jaw.tongue_out[:0]
        number = UNIT_NAMES.index("tongueOut")
        if number in self._columns:
            own = self._vertices[int(np.flatnonzero(self._columns == number)[0])].reshape(-1, 3)[jaw.vertices]
            if own.any():
                return jaw.vertices, own.astype(np.float64)
        return jaw.tongue, jaw.tongue_out

    def summed(self, weights: NDArray[np.float64]) -> UnitSum:
        """What weights [52] come to, for `fields`: shapes of the file are added up as they are."""
        return UnitSum(weights[self._columns].astype(np.float32), np.zeros(0, np.float32), None)


def own_units(avatar: "Avatar") -> MorphUnits | None:
    """What moves an avatar by the shapes of its file; None where these do not move it."""
    return None if avatar.file_mesh.morphs is None else MorphUnits(avatar)


def extended(moved: NDArray[np.float64], rest: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Displacements [M, V, 3] of the first vertices → [M, R, 3] of all [R, 3]: the others take the mean of their
    neighbours (a discrete harmonic field), none where no way along the surface leads to a vertex that is known."""
    shapes, known = moved.shape[:2]
    surface = make_surface(rest, faces.astype(np.int32))
    point = surface.point_of_vertex
    count = int(point.max()) + 1
    at_point = np.zeros((count, shapes * 3))
    at_point[point[:known]] = moved.transpose(1, 0, 2).reshape(known, -1)
    given = np.zeros(count, dtype=bool)
    given[point[:known]] = True
    edges, _, _ = undirected(directed_edges(point[faces]))
    edges = edges[edges[:, 0] != edges[:, 1]]
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    graph = (graph + graph.T).tocsr()
    open_ = np.flatnonzero(~given)
    if len(open_):
        degree = np.asarray(graph.sum(axis=1)).reshape(-1)[open_]
        system = sparse.diags(degree + 1e-6) - graph[open_][:, open_]
        at_point[open_] = splu(system.tocsc()).solve(graph[open_] @ (given[:, None] * at_point))
    result = at_point[point].reshape(-1, shapes, 3).transpose(1, 0, 2)
    result[:, :known] = moved
    return np.asarray(result)
