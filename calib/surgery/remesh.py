"""Changing a mesh's triangles without touching its vertices: splitting edges, leaving faces out.

The file's vertices keep their numbers; new ones are appended. Edges are named by the points of
`calib.survey.surface`, so both sides of a texture seam are split alike and no crack opens.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.survey.surface import directed_edges, face_normals, make_surface, point_normals, undirected
from core.mesh import Material, Mesh, MeshPart

_SHARP = 0.5  # cosine: an edge is meant to be sharp where the normals of its faces differ more


@dataclass(frozen=True, eq=False)
class WorkMesh:
    """A mesh being prepared.

    Attributes:
        vertices: [V, 3] float64, the file's first.
        faces: [F, 3] int64.
        point: [V] int64, the surface point of each vertex (equal where only a texture seam divides).
        part: [F] int64, index of the file's MeshPart each face belongs to.
        origin: [F] int64, the face of the file's mesh it came from.
        uvs: [T, 2] float64 and faces_uv: [F, 3] int64, or None.
        colors: [V, 3] float64, or None.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    point: NDArray[np.int64]
    part: NDArray[np.int64]
    origin: NDArray[np.int64]
    uvs: NDArray[np.float64] | None
    faces_uv: NDArray[np.int64] | None
    colors: NDArray[np.float64] | None

    @property
    def point_faces(self) -> NDArray[np.int64]:
        """[F, 3] faces in surface points."""
        return self.point[self.faces]

    @property
    def point_count(self) -> int:
        return int(self.point.max(initial=-1)) + 1

    def points(self) -> NDArray[np.float64]:
        """[N, 3] position of every surface point."""
        positions = np.zeros((self.point_count, 3))
        positions[self.point] = self.vertices
        return positions


def work_mesh(mesh: Mesh) -> WorkMesh:
    """Start from a file's mesh."""
    part = np.zeros(len(mesh.faces), dtype=np.int64)
    for index, run in enumerate(mesh.parts):
        part[run.first_face : run.first_face + run.face_count] = index
    return WorkMesh(
        mesh.vertices.astype(np.float64),
        mesh.faces.astype(np.int64),
        make_surface(mesh.vertices, mesh.faces).point_of_vertex,
        part,
        np.arange(len(mesh.faces)),
        None if mesh.uvs is None else mesh.uvs.astype(np.float64),
        None if mesh.faces_uv is None else mesh.faces_uv.astype(np.int64),
        None if mesh.vertex_colors is None else mesh.vertex_colors.astype(np.float64),
    )


def display_mesh(
    work: WorkMesh, parts: tuple[MeshPart, ...], materials: tuple[Material, ...]
) -> tuple[Mesh, NDArray[np.int64]]:
    """The Mesh to draw, its faces sorted into the file's parts, and the [F] order they were taken in."""
    order = np.argsort(work.part, kind="stable")
    counts = np.bincount(work.part, minlength=max(len(parts), 1))
    starts = np.r_[0, np.cumsum(counts)]
    runs = tuple(replace(run, first_face=int(starts[k]), face_count=int(counts[k])) for k, run in enumerate(parts))
    mesh = Mesh(
        work.vertices.astype(np.float32),
        work.faces[order].astype(np.int32),
        None if work.uvs is None else work.uvs.astype(np.float32),
        None if work.faces_uv is None else work.faces_uv[order].astype(np.int32),
        None if work.colors is None else work.colors.astype(np.float32),
        runs,
        materials,
    )
    return mesh, order


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """The undirected edges of a mesh's surface.

    Attributes:
        ends: [E, 2] surface points, smaller first.
        of_face: [F, 3] index of the edge that leaves each corner.
    """

    ends: NDArray[np.int64]
    of_face: NDArray[np.int64]


def edge_table(work: WorkMesh) -> EdgeTable:
    ends, inverse, _ = undirected(directed_edges(work.point_faces))
    return EdgeTable(ends, inverse.reshape(3, -1).T)


def split_edges(work: WorkMesh, table: EdgeTable, where: NDArray[np.float64]) -> tuple[WorkMesh, NDArray[np.int64]]:
    """Put a vertex on every edge whose `where` [E] is a fraction from its first end to its second (nan: leave it).

    Returns the mesh and [E] the new vertex of each edge, -1 where none. Faces are divided so that no T-junction stays.
    """
    marked = np.isfinite(where) & (table.ends[:, 0] != table.ends[:, 1])
    vertex_of_edge = np.where(marked, len(work.vertices) + np.cumsum(marked) - 1, -1)
    points = work.points()
    t = where[marked, None]
    ends = table.ends[marked]
    vertices = np.concatenate([work.vertices, points[ends[:, 0]] * (1 - t) + points[ends[:, 1]] * t])
    colors = work.colors
    if colors is not None:
        of_point = np.zeros((work.point_count, 3))
        of_point[work.point] = colors
        colors = np.concatenate([colors, of_point[ends[:, 0]] * (1 - t) + of_point[ends[:, 1]] * t])
    corner_vertex = vertex_of_edge[table.of_face]
    uvs, corner_uv = _split_uvs(work, table, where)
    pieces, face_of_piece = _divide(work, corner_vertex, corner_uv, vertices)
    new_points = work.point_count + np.arange(int(marked.sum()))
    return (
        WorkMesh(
            vertices,
            pieces[..., 0],
            np.concatenate([work.point, new_points]),
            work.part[face_of_piece],
            work.origin[face_of_piece],
            uvs,
            None if uvs is None else pieces[..., 1],
            colors,
        ),
        vertex_of_edge,
    )


def refine(
    work: WorkMesh, near: NDArray[np.bool_], longest: float, rounds: int = 3, *, rounded: bool = False
) -> WorkMesh:
    """Halve edges longer than `longest` that touch a surface point in `near` [N] (at first), at most `rounds` times.

    `rounded`: new vertices lie on the curve that the normals at both ends of an edge tell of, and not on its straight
    line: a coarse mesh that is shaded smoothly would show its triangles as facets once they are many flat ones.
    """
    for _ in range(rounds):
        table = edge_table(work)
        points = work.points()
        length = np.linalg.norm(points[table.ends[:, 0]] - points[table.ends[:, 1]], axis=1)
        chosen = (length > longest) & near[table.ends].any(axis=1)
        if not chosen.any():
            break
        off = _bulges(work, table.ends[chosen]) if rounded else np.zeros((int(chosen.sum()), 3))
        count = len(work.vertices)
        work, _ = split_edges(work, table, np.where(chosen, 0.5, np.nan))
        work = replace(work, vertices=np.concatenate([work.vertices[:count], work.vertices[count:] + off]))
        near = np.concatenate([near, near[table.ends[chosen]].all(axis=1)])
    return work


def _bulges(work: WorkMesh, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """[E, 3] from the middle of straight edges [E, 2] to that of a cubic at right angles to the normals at its ends, as
    of Vlachos and others, "Curved PN triangles" (I3D 2001); 0 at sharp edges and borders."""
    points, (one, other) = work.points(), ends.T
    normal = point_normals(points, work.point_faces)
    span = points[other] - points[one]
    here, there = (np.einsum("ed,ed->e", span, normal[end])[:, None] for end in (one, other))
    off = (there * normal[other] - here * normal[one]) / 8
    table = edge_table(work)
    face = np.repeat(np.arange(len(work.faces)), 3)
    order = np.argsort(table.of_face.ravel(), kind="stable")
    edge, face = table.of_face.ravel()[order], face[order]
    first = np.searchsorted(edge, np.arange(len(table.ends)))
    count = np.bincount(edge, minlength=len(table.ends))
    of_face = face_normals(points, work.point_faces)
    other_face = face[np.minimum(first + 1, len(face) - 1)]
    bent = np.einsum("ed,ed->e", of_face[face[first]], of_face[other_face])
    sharp = np.zeros(len(points), dtype=bool)
    sharp[table.ends[(count != 2) | (bent < _SHARP)]] = True
    straight = sharp[one] | sharp[other]
    return np.asarray(np.where(straight[:, None], 0.0, off))


def without_faces(work: WorkMesh, dropped: NDArray[np.bool_]) -> WorkMesh:
    """The mesh without some faces [F]; every vertex stays."""
    keep = ~dropped
    return replace(
        work,
        faces=work.faces[keep],
        part=work.part[keep],
        origin=work.origin[keep],
        faces_uv=None if work.faces_uv is None else work.faces_uv[keep],
    )


def _split_uvs(
    work: WorkMesh, table: EdgeTable, where: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    """The texture coordinates with those of new corners appended, and [F, 3] the new one on each face's edge."""
    t = where[table.of_face]
    face, k = np.nonzero(np.isfinite(t))
    index = np.full(table.of_face.shape, -1, dtype=np.int64)
    if work.uvs is None or work.faces_uv is None:
        return None, index
    forward = work.point_faces[face, k] == table.ends[table.of_face[face, k], 0]
    fraction = np.where(forward, t[face, k], 1 - t[face, k])[:, None]
    a, b = work.uvs[work.faces_uv[face, k]], work.uvs[work.faces_uv[face, (k + 1) % 3]]
    index[face, k] = len(work.uvs) + np.arange(len(face))
    return np.concatenate([work.uvs, a * (1 - fraction) + b * fraction]), index


def _divide(
    work: WorkMesh, middle: NDArray[np.int64], middle_uv: NDArray[np.int64], vertices: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Faces [P, 3, 2] (vertex, uv) after division, and [P] the face each came from. `middle` [F, 3]: -1 = not split."""
    corners_uv = work.faces_uv if work.faces_uv is not None else np.full_like(work.faces, -1)
    corner = np.stack([work.faces, corners_uv], axis=-1)  # [F, 3, 2]
    mid = np.stack([middle, middle_uv], axis=-1)
    split = middle >= 0
    number = split.sum(axis=1)
    whole = np.flatnonzero(number == 0)
    pieces, origin = [corner[whole]], [whole]
    turns: list[tuple[int, Callable[[NDArray[np.bool_]], Any]]] = [
        (1, lambda s: s.argmax(1)),
        (2, lambda s: (s.argmin(1) + 1) % 3),
        (3, lambda s: s.argmax(1)),
    ]
    for count, turn in turns:
        chosen = np.flatnonzero(number == count)
        first = turn(split[chosen])[:, None] if len(chosen) else np.zeros((0, 1), dtype=np.int64)
        columns = (first + np.arange(3)) % 3
        c, m = corner[chosen[:, None], columns], mid[chosen[:, None], columns]
        for piece in _pattern(count, c, m, vertices):
            pieces.append(piece)
            origin.append(chosen)
    order = np.argsort(np.concatenate(origin), kind="stable")
    return np.concatenate(pieces)[order], np.concatenate(origin)[order]


def _pattern(
    count: int, c: NDArray[np.int64], m: NDArray[np.int64], vertices: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """The triangles of faces turned so that their `count` split edges come first; each [n, 3, 2]."""

    def tri(x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack([x, y, z], axis=1)

    a, b, d = c[:, 0], c[:, 1], c[:, 2]
    ab, bd, da = m[:, 0], m[:, 1], m[:, 2]
    if count == 1:
        return [tri(a, ab, d), tri(ab, b, d)]
    if count == 3:
        return [tri(a, ab, da), tri(ab, b, bd), tri(da, bd, d), tri(ab, bd, da)]
    across = np.linalg.norm(vertices[a[:, 0]] - vertices[bd[:, 0]], axis=1)
    along = np.linalg.norm(vertices[ab[:, 0]] - vertices[d[:, 0]], axis=1)
    shorter = (across <= along)[:, None, None]
    return [
        tri(ab, b, bd),
        np.where(shorter, tri(a, ab, bd), tri(a, ab, d)),
        np.where(shorter, tri(a, bd, d), tri(ab, bd, d)),
    ]
