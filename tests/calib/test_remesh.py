"""Splitting and cutting leave the file's vertices and the surface's shape alone."""

from dataclasses import replace

import numpy as np
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.surgery.cutting import cut_along, extend_rim
from calib.surgery.remesh import (
    WorkMesh,
    display_mesh,
    edge_table,
    refine,
    split_edges,
    without_faces,
    work_mesh,
)
from calib.survey.surface import directed_edges, undirected
from core.mesh import Mesh, MeshPart


def area(work: WorkMesh) -> float:
    a, b, c = work.vertices[work.faces].transpose(1, 0, 2)
    return float(np.cross(b - a, c - a)[:, 2].sum() / 2)


def open_edges(work: WorkMesh) -> int:
    return int((undirected(directed_edges(work.point_faces))[2] == 1).sum())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_splitting_any_edges_keeps_the_surface(seed: int, share: float) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    vertices = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).reshape(-1)
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 6], 1), np.stack([corner, corner + 6, corner + 5], 1)]
    )
    work = work_mesh(Mesh(vertices, faces.astype(np.int32), vertices[:, :2].copy(), faces.astype(np.int32)))
    rng = np.random.default_rng(seed)
    table = edge_table(work)
    where = np.where(rng.random(len(table.ends)) < share, rng.uniform(0.1, 0.9, len(table.ends)), np.nan)
    split, vertex_of_edge = split_edges(work, table, where)
    assert np.isclose(area(split), area(work))
    np.testing.assert_array_equal(split.vertices[: len(vertices)], work.vertices)
    assert (vertex_of_edge >= 0).sum() == np.isfinite(where).sum()
    outline = np.isfinite(where) & (undirected(directed_edges(work.point_faces))[2] == 1)
    assert open_edges(split) == open_edges(work) + outline.sum(), "a T-junction would leave open edges inside"
    assert split.uvs is not None
    assert split.faces_uv is not None
    np.testing.assert_allclose(split.uvs[split.faces_uv], split.vertices[split.faces][..., :2], atol=1e-6)


def test_refining_shortens_edges_where_asked(sheet: Mesh) -> None:
    work = work_mesh(sheet)
    near = np.linalg.norm(work.points(), axis=1) < 0.2
    fine = refine(work, near, 0.02)
    table = edge_table(fine)
    points = fine.points()
    middle = points[table.ends].mean(axis=1)
    length = np.linalg.norm(points[table.ends[:, 0]] - points[table.ends[:, 1]], axis=1)
    assert length[np.linalg.norm(middle, axis=1) < 0.12].max() <= 0.021
    assert np.isclose(area(fine), area(work))
    assert fine.origin.max() < len(sheet.faces)


def test_rounded_refining_puts_new_vertices_on_a_ball_and_leaves_edges_and_flats_alone(sheet: Mesh) -> None:
    coarse = trimesh.creation.icosphere(1)
    ball = work_mesh(Mesh(coarse.vertices.astype(np.float32), coarse.faces.astype(np.int32)))
    every = np.ones(ball.point_count, dtype=bool)
    off = [
        np.abs(np.linalg.norm(refine(ball, every, 0.1, rounded=rounded).vertices, axis=1) - 1).max()
        for rounded in (False, True)
    ]
    assert off[1] < 0.1 * off[0]
    box = trimesh.creation.box()
    for mesh in (sheet, Mesh(box.vertices.astype(np.float32), box.faces.astype(np.int32))):
        work, near = work_mesh(mesh), np.ones(len(mesh.vertices), dtype=bool)
        straight, rounded = (refine(work, near, 0.03, rounded=each) for each in (False, True))
        np.testing.assert_array_equal(rounded.faces, straight.faces)
        np.testing.assert_allclose(rounded.vertices, straight.vertices, atol=1e-9)


def test_a_texture_seam_is_split_without_a_crack(sheet: Mesh) -> None:
    vertices = sheet.vertices[sheet.faces].reshape(-1, 3)
    faces = np.arange(len(vertices)).reshape(-1, 3).astype(np.int32)
    work = work_mesh(Mesh(vertices, faces))
    fine = refine(work, np.ones(work.point_count, dtype=bool), 0.03)
    assert open_edges(fine) == 2 * open_edges(work)


def test_a_cut_opens_the_middle_and_leaves_its_ends_whole(sheet: Mesh) -> None:
    work = work_mesh(sheet)
    table = edge_table(work)
    points = work.points()[table.ends]
    on_line = (np.abs(points[..., 1]) < 1e-6).all(axis=1) & (np.abs(points[..., 0]) < 0.301).all(axis=1)
    cut = cut_along(work, on_line, table)
    assert on_line.sum() == 12
    assert len(cut.vertices) == len(work.vertices) + 11
    assert open_edges(cut) == open_edges(work) + 2 * 12
    np.testing.assert_array_equal(cut.vertices[: len(work.vertices)], work.vertices)


def test_a_grown_rim_follows_the_boundary(sheet: Mesh) -> None:
    work = work_mesh(sheet)
    grown, source = extend_rim(
        work, np.ones(len(work.faces), dtype=bool), np.tile([0.0, 0, -0.1], (len(work.vertices), 1))
    )
    assert len(grown.vertices) == len(work.vertices) + len(source)
    np.testing.assert_allclose(grown.vertices[len(work.vertices) :], work.vertices[source] - [0, 0, 0.1])
    assert len(grown.faces) == len(work.faces) + 2 * open_edges(work)


def test_the_drawn_mesh_keeps_parts_together(sheet: Mesh) -> None:
    half = len(sheet.faces) // 2
    parts = (MeshPart("a", 0, half, 0), MeshPart("b", half, len(sheet.faces) - half, 0))
    mesh = replace(sheet, parts=parts)
    work = refine(work_mesh(mesh), np.ones(len(sheet.vertices), dtype=bool), 0.03)
    drawn, _ = display_mesh(without_faces(work, work.origin == 0), parts, mesh.materials)
    assert sum(part.face_count for part in drawn.parts) == len(drawn.faces)
    assert drawn.parts[1].first_face == drawn.parts[0].face_count
    used = drawn.vertices[drawn.faces[: drawn.parts[0].face_count]].mean(axis=1)
    original = mesh.vertices[mesh.faces[:half]].reshape(-1, 3)
    assert used[:, 1].min() >= original[:, 1].min() - 1e-6
