"""Cutting a mesh along edges, and growing a strip from an open boundary. Old vertices keep their numbers."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from calib.surgery.remesh import EdgeTable, WorkMesh
from calib.survey.surface import directed_edges, undirected


def cut_along(
    work: WorkMesh, cut: NDArray[np.bool_], table: EdgeTable, copies_for: NDArray[np.bool_] | None = None
) -> WorkMesh:
    """Part the surface along the edges in `cut` [E]: points get one copy for every fan of faces the cut leaves them.

    The ends of an open cut stay whole. New vertices are appended; a fan without faces in `copies_for` [F] keeps the
    old ones if there is one.
    """
    faces, count = work.faces, len(work.faces)
    touched = np.zeros(work.point_count, dtype=bool)
    touched[table.ends[cut]] = True
    corner_face, corner = np.nonzero(touched[work.point_faces])
    corner_id = np.full((count, 3), -1, dtype=np.int64)
    corner_id[corner_face, corner] = np.arange(len(corner_face))
    joins = _fan_joins(work, table, cut, corner_id)
    size = len(corner_face)
    graph = sparse.coo_matrix((np.ones(len(joins)), (joins[:, 0], joins[:, 1])), shape=(size, size))
    fan = connected_components(graph, directed=False)[1]
    corner_point = work.point_faces[corner_face, corner]
    rank = np.zeros(size) if copies_for is None else copies_for[corner_face].astype(float)
    order = np.argsort(-rank, kind="stable")
    first_fan = np.full(work.point_count, -1, dtype=np.int64)
    first_fan[corner_point[order]] = fan[order]  # the last written, of the lowest rank, stays
    moved = fan != first_fan[corner_point]
    fans, inverse = np.unique(fan[moved], return_inverse=True)
    source = np.zeros(len(fans), dtype=np.int64)
    source[inverse] = faces[corner_face[moved], corner[moved]]
    new_faces = faces.copy()
    new_faces[corner_face[moved], corner[moved]] = len(work.vertices) + inverse
    return replace(
        work,
        vertices=np.concatenate([work.vertices, work.vertices[source]]),
        faces=new_faces,
        point=np.concatenate([work.point, work.point_count + np.arange(len(fans))]),
        colors=None if work.colors is None else np.concatenate([work.colors, work.colors[source]]),
    )


def extend_rim(
    work: WorkMesh, patch: NDArray[np.bool_], offset: NDArray[np.float64]
) -> tuple[WorkMesh, NDArray[np.int64]]:
    """Grow a strip from the open boundary of the faces `patch` [F], to lie hidden behind what borders on it.

    `offset` [V, 3] moves each boundary vertex to the strip's far side. The strip repeats the boundary's texture.
    Returns the mesh and the [S] vertices that the S new ones were grown from.
    """
    faces = work.faces[patch]
    face_index = np.flatnonzero(patch)
    edges = directed_edges(work.point[faces])
    _, inverse, count = undirected(edges)
    rim = np.flatnonzero(count[inverse] == 1)
    owner, side = rim % len(faces), rim // len(faces)
    a, b = faces[owner, side], faces[owner, (side + 1) % 3]
    source = np.unique(np.concatenate([a, b]))
    grown = len(work.vertices) + np.searchsorted(source, np.stack([a, b]))
    strip = np.concatenate([np.stack([b, a, grown[0]], axis=1), np.stack([b, grown[0], grown[1]], axis=1)])
    of_face = np.tile(face_index[owner], 2)
    faces_uv = work.faces_uv
    if faces_uv is not None:
        uv_a, uv_b = faces_uv[face_index[owner], side], faces_uv[face_index[owner], (side + 1) % 3]
        strip_uv = np.concatenate([np.stack([uv_b, uv_a, uv_a], axis=1), np.stack([uv_b, uv_a, uv_b], axis=1)])
        faces_uv = np.concatenate([faces_uv, strip_uv])
    return (
        replace(
            work,
            vertices=np.concatenate([work.vertices, work.vertices[source] + offset[source]]),
            faces=np.concatenate([work.faces, strip]),
            point=np.concatenate([work.point, work.point_count + np.arange(len(source))]),
            part=np.concatenate([work.part, work.part[of_face]]),
            origin=np.concatenate([work.origin, work.origin[of_face]]),
            faces_uv=faces_uv,
            colors=None if work.colors is None else np.concatenate([work.colors, work.colors[source]]),
        ),
        source,
    )


def _fan_joins(
    work: WorkMesh, table: EdgeTable, cut: NDArray[np.bool_], corner_id: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[J, 2] pairs of face corners at one point that share an edge which is not cut."""
    rows = []
    for k in range(3):  # edge k leaves corner k and enters corner k+1
        open_edge = ~cut[table.of_face[:, k]]
        for corner in (k, (k + 1) % 3):
            ids = corner_id[:, corner]
            use = open_edge & (ids >= 0)
            points = work.point_faces[use, corner]
            rows.append(np.stack([table.of_face[use, k], points, ids[use]], axis=1))
    table_rows = np.concatenate(rows)
    table_rows = table_rows[np.lexsort((table_rows[:, 1], table_rows[:, 0]))]
    same = (table_rows[1:, :2] == table_rows[:-1, :2]).all(axis=1)
    return np.stack([table_rows[:-1, 2][same], table_rows[1:, 2][same]], axis=1)
