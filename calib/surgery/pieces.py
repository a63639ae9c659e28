"""Pieces that preparation adds to a head: a mouth's inside, teeth, eyeballs. Each is a small textured mesh."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.surgery.piece_textures import eye_texture, lining_texture, teeth_texture, tongue_texture
from calib.surgery.remesh import WorkMesh
from core.mesh import Material, MeshPart


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh to add.

    Attributes:
        name: of its part; the renderer knows "mouth_lining", "teeth_upper", "eye_left" by their names.
        vertices: [P, 3] float64 avatar units; faces: [Q, 3] int64, front faces towards where it is seen from.
        uvs: [P, 2] float64 into the texture of `piece_material(name)`.
        weights: [P, K] controlling weights.
    """

    name: str
    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    uvs: NDArray[np.float64]
    weights: sparse.csr_matrix


_TEXTURES = {"eye": eye_texture, "mouth": lining_texture, "teeth": teeth_texture, "tongue": tongue_texture}


def piece_material(name: str) -> Material:
    """The look of an added piece; always the same for a name, so that caches need not hold it."""
    return Material(name, (1.0, 1.0, 1.0, 1.0), _TEXTURES[name.split("_")[0]]())


def grid_faces(rows: int, columns: int, flip: bool = False) -> NDArray[np.int64]:
    """[2 (rows−1)(columns−1), 3] triangles of a grid of vertices numbered row by row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    a, b, c, d = corner, corner + 1, corner + columns, corner + columns + 1
    faces = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
    return np.ascontiguousarray(faces[:, ::-1]) if flip else faces


def with_pieces(
    work: WorkMesh, parts: tuple[MeshPart, ...], materials: tuple[Material, ...], pieces: list[Piece]
) -> tuple[WorkMesh, tuple[MeshPart, ...], tuple[Material, ...], list[NDArray[np.int64]]]:
    """Append pieces to a mesh: it, its parts and materials, and the vertices of each piece."""
    numbers: list[NDArray[np.int64]] = []
    for piece in pieces:
        first, count = len(work.vertices), len(piece.vertices)
        numbers.append(np.arange(first, first + count))
        uvs = work.uvs if work.uvs is not None else np.zeros((1, 2))
        faces_uv = work.faces_uv if work.faces_uv is not None else np.zeros_like(work.faces)
        work = WorkMesh(
            np.concatenate([work.vertices, piece.vertices]),
            np.concatenate([work.faces, piece.faces + first]),
            np.concatenate([work.point, work.point_count + np.arange(count)]),
            np.concatenate([work.part, np.full(len(piece.faces), len(parts))]),
            np.concatenate([work.origin, np.full(len(piece.faces), -1)]),
            np.concatenate([uvs, piece.uvs]),
            np.concatenate([faces_uv, piece.faces + len(uvs)]),
            None if work.colors is None else np.concatenate([work.colors, np.ones((count, 3))]),
        )
        parts = (*parts, MeshPart(piece.name, 0, 0, len(materials)))
        materials = (*materials, piece_material(piece.name))
    return work, parts, materials, numbers
