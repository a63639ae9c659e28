"""A mesh with named shapes, as all formats get it, and how normals turn when it takes one on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.mesh import Mesh
from render.mesh.surface_normals import SurfaceNormals


@dataclass(frozen=True, eq=False)
class Shape:
    """One shape of a mesh: the vertices that move, and how far.

    Attributes:
        name: as the file will have it.
        rows: [n] int64 vertices, rising.
        moved: [n, 3] float32 their displacement in the mesh's coordinates.
    """

    name: str
    rows: NDArray[np.int64]
    moved: NDArray[np.float32]

    @staticmethod
    def of(name: str, displacement: NDArray[np.float32], least: float) -> Shape:
        """From a displacement [R, 3] of every vertex; what moves by less than `least` is left out."""
        rows = np.flatnonzero(np.einsum("nd,nd->n", displacement, displacement) > least * least)
        return Shape(name, rows, displacement[rows].astype(np.float32))

    def dense(self, count: int) -> NDArray[np.float32]:
        """[count, 3] displacement of every vertex."""
        full = np.zeros((count, 3), dtype=np.float32)
        full[self.rows] = self.moved
        return full


@dataclass(frozen=True, eq=False)
class RiggedMesh:
    """A head's mesh in the coordinates of its file, and its shapes.

    Attributes:
        mesh: at rest. The V vertices of the file first, in its order; its parts first, in its order.
        file_rest: [V, 3] float32 where the file itself has its vertices.
        file_faces: [F, 3] int32 the file's triangles; file_first_faces: the first of each of its parts.
        shapes: what moves.
        altered: numbers of the file's parts that have other triangles here, or stand otherwise at rest, than in the
            file: lips that were cut apart, eyes that were shut.
        least: displacements below it are none.
        T_metres_file: [4, 4] file coordinates → metres, y up, z out of the face.
    """

    mesh: Mesh
    file_rest: NDArray[np.float32]
    file_faces: NDArray[np.int32]
    file_first_faces: tuple[int, ...]
    shapes: tuple[Shape, ...]
    altered: frozenset[int]
    least: float
    T_metres_file: NDArray[np.float64]

    @property
    def added(self) -> tuple[int, ...]:
        """Numbers of the parts that are not the file's."""
        return tuple(range(len(self.file_first_faces), len(self.mesh.parts)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(shape.name for shape in self.shapes)

    def moving(self) -> NDArray[np.bool_]:
        """[R] vertices that move in any shape."""
        mask = np.zeros(len(self.mesh.vertices), dtype=bool)
        for shape in self.shapes:
            mask[shape.rows] = True
        return mask


class TurningNormals:
    """Normals of a mesh whose vertices move. Owned by one thread."""

    def __init__(self, mesh: Mesh) -> None:
        self._vertices = mesh.vertices
        self._surface = SurfaceNormals(mesh.vertices, mesh.faces)
        self.rest = self._unit(mesh.vertices)
        """[R, 3] float64 unit normals at rest; zeros where there are none."""

    def of(self, shape: Shape) -> NDArray[np.float64]:
        """[R, 3] unit normals in a shape."""
        return self._unit(self._vertices + shape.dense(len(self._vertices)))

    def at(self, vertices: NDArray[np.float32]) -> NDArray[np.float64]:
        """[R, 3] unit normals with the vertices [R, 3] there."""
        return self._unit(vertices)

    def _unit(self, vertices: NDArray[np.float32]) -> NDArray[np.float64]:
        return unit(self._surface.update(vertices).astype(np.float64))


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] vectors at length 1; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-20, vectors / np.maximum(length, 1e-20), 0.0))


def turned(
    vectors: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Vectors [n, 3] turned as the unit vectors `before` [n, 3] have to be turned to become `after` [n, 3].

    So normals that an artist gave a file keep what they differ by from those of its triangles.
    """
    axis = np.cross(before, after)
    cosine = np.einsum("nd,nd->n", before, after)[:, None]
    along = np.einsum("nd,nd->n", axis, vectors)[:, None]
    return np.asarray(vectors * cosine + np.cross(axis, vectors) + axis * along / np.maximum(1 + cosine, 1e-3))


def unrolled(mesh: Mesh, faces: slice) -> tuple[NDArray[np.int64], NDArray[np.float32] | None, NDArray[np.int64]]:
    """Some faces with one vertex for each (position, texture coordinate), as glTF and USD want them: [n] the mesh's
    vertex behind each, [n, 2] its texture coordinate (v upwards; None where there are none), and [f, 3] the faces."""
    corners = mesh.faces[faces].astype(np.int64)
    if mesh.uvs is None or mesh.faces_uv is None:
        used, inverse = np.unique(corners, return_inverse=True)
        return used, None, inverse.reshape(corners.shape)
    same = _same_coordinates(mesh.uvs, mesh.faces_uv[faces])
    key = corners * (int(same.max(initial=0)) + 1) + same
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return corners.reshape(-1)[first], mesh.uvs[mesh.faces_uv[faces].reshape(-1)[first]], inverse.reshape(corners.shape)


def _same_coordinates(uvs: NDArray[np.float32], corners: NDArray[np.int32]) -> NDArray[np.int64]:
    """[f, 3] a number for each corner, equal where texture coordinates are equal."""
    rows = np.ascontiguousarray(uvs[corners.reshape(-1)] + np.float32(0.0))
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * 2))).reshape(-1)
    return np.asarray(np.unique(keys, return_inverse=True)[1], dtype=np.int64).reshape(corners.shape)
