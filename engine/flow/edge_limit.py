"""Skin does not grow to several times its length: the last word on what a flow engine shows.

The guard keeps controllers within what an avatar's skin can do; between two of them that say different things a short
edge may still be pulled apart. Such edges are shortened by moving their ends towards each other (Müller et
al., "Position based dynamics", 2007), which no other part of the face notices. Where that does not do, the whole face
moves less.
"""

import ctypes

import numpy as np
from numpy.typing import NDArray

from calib.close_up import UNITS_PER_METRE
from calib.rig.expression_basis import ExpressionUnits
from calib.rig.face_rig import FaceRig
from core.native.compiled_library import pointer
from engine.flow.following_kernels import compiled_kernels
from engine.motion.retarget import Retargeter

TORN = 4.0
"""Times its length at rest, beyond which an edge shows as torn."""
SHORT = 0.001 * UNITS_PER_METRE
"""Avatar units, a millimetre of a head: shorter edges count as that long, since less cannot be seen."""
_AT_MOST = 0.95 * TORN
_ROUNDS = 40  # the first alone where nothing is torn
_SUSPICIOUS = np.float32(1 - 1e-4)  # of the greatest length: how exact the squares are that all edges are measured by

Points = NDArray[np.float32]


class EdgeLimit:
    """Of one avatar. Edges that one of its own units alone stretches beyond TORN are left alone: corners of mouths and
    eyes, and sheets between lips that a scan left, belong to its preparation."""

    def __init__(self, rig: FaceRig, faces: NDArray[np.int32], retargeter: Retargeter) -> None:
        sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        edges = np.unique(sides, axis=0)
        rest = np.maximum(_lengths(rig.rest.astype(np.float32), edges), np.float32(SHORT))
        stretch = np.zeros(len(edges), np.float32)
        units = ExpressionUnits(rig.basis)
        for weights in np.eye(len(units.names)):
            moved = units.displacement(weights)
            shape = retargeter.vertices(moved[1].astype(np.float64), np.zeros((2, 2)), moved)
            stretch = np.maximum(stretch, _lengths(shape, edges) / rest)
        follows = np.zeros(len(rig.rest), bool)
        follows[: rig.weights.shape[0]] = np.diff(rig.weights.indptr) > 0
        watched = follows[edges].any(axis=1) & (stretch <= TORN)
        self._edges, self._most = edges[watched], np.float32(_AT_MOST) * rest[watched]
        self._rest = rig.rest.astype(np.float32)
        self._ends = tuple(np.ascontiguousarray(end.astype(np.intp)) for end in self._edges.T)
        self._ends_32 = [end.astype(np.int32) for end in self._ends]
        self._suspicious = np.square(_SUSPICIOUS * self._most)
        self._kernels = compiled_kernels()

    def apply(self, vertices: Points) -> None:
        """Shorten what is too long in [R, 3], which is changed."""
        watched = self._suspects(vertices)
        for _ in range(_ROUNDS):
            length = _lengths(vertices, self._edges[watched])
            too_long = length > self._most[watched]
            torn, length = watched[too_long], length[too_long]
            if not len(torn):
                return
            ends = self._edges[torn]
            way = vertices[ends[:, 0]] - vertices[ends[:, 1]]
            way *= (0.5 * (1 - self._most[torn] / length))[:, None]
            moved, share = np.unique(ends, return_counts=True)
            at = np.searchsorted(moved, ends)
            step = np.zeros((len(moved), 3), np.float32)
            np.add.at(step, at[:, 0], -way)
            np.add.at(step, at[:, 1], way)
            vertices[moved] += step / np.sqrt(share)[:, None].astype(np.float32)
            watched = self._ending_at(moved, len(vertices))  # no other edge has changed
        vertices[:] = self._rest + self._share(vertices) * (vertices - self._rest)

    def _suspects(self, vertices: Points) -> NDArray[np.intp]:
        """Numbers of the edges that may be too long: a few where nothing is torn. One axis at a time, and no root."""
        first, second = self._ends
        if self._kernels is not None and vertices.flags.c_contiguous:
            ends, found = self._ends_32, np.empty(len(first), np.int64)
            given = pointer(vertices), pointer(ends[0]), pointer(ends[1]), pointer(self._suspicious)
            return found[: self._kernels.long_edges(*given, ctypes.c_long(len(first)), pointer(found))]
        square = np.zeros(len(first), np.float32)
        for axis in np.ascontiguousarray(vertices.T):
            apart = axis.take(first)
            apart -= axis.take(second)
            apart *= apart
            square += apart
        return np.flatnonzero(square > self._suspicious)

    def _ending_at(self, moved: NDArray[np.int32], count: int) -> NDArray[np.intp]:
        """Numbers of the edges that end at these of `count` vertices."""
        marked = np.zeros(count, bool)
        marked[moved] = True
        return np.flatnonzero(marked.take(self._ends[0]) | marked.take(self._ends[1]))

    def _share(self, vertices: Points) -> np.float32:
        """The largest share of all motion at which no edge is too long: |rest + share · way| = most, edge by edge."""
        first, second = self._edges.T
        rest = (self._rest[first] - self._rest[second]).astype(np.float64)
        way = (vertices[first] - vertices[second]) - rest
        a, b = np.einsum("ed,ed->e", way, way), np.einsum("ed,ed->e", rest, way)
        c = np.square(self._most.astype(np.float64)) - np.einsum("ed,ed->e", rest, rest)  # > 0
        return np.float32((c / np.maximum(np.sqrt(b * b + a * c) + b, 1e-18)).min(initial=1.0))


def _lengths(vertices: Points, edges: NDArray[np.int32]) -> NDArray[np.float32]:
    apart = vertices[edges[:, 0]] - vertices[edges[:, 1]]
    return np.asarray(np.sqrt(np.einsum("ed,ed->e", apart, apart)), np.float32)
