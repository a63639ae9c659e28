"""Weights interpolate at controllers, carry constants, die away, and never cross a cut."""

from dataclasses import replace

import numpy as np
import pytest

from calib.rigging.smooth_weights import Anchors, laplacian, solve_weights
from calib.surgery.cutting import cut_along
from calib.surgery.remesh import edge_table, work_mesh
from calib.survey.closest import closest_on_faces, edge_distance
from core.mesh import Mesh


def anchored(targets: np.ndarray, points: np.ndarray, faces: np.ndarray) -> Anchors:
    return Anchors(*closest_on_faces(targets, points, faces, np.arange(len(faces))), np.full(len(targets), 0.01))


def solved(points: np.ndarray, faces: np.ndarray, anchors: Anchors, reach: float = 10.0) -> np.ndarray:
    free = edge_distance(points, faces, np.unique(faces[anchors.face])) < reach
    return solve_weights(points, faces, anchors, free, np.full(len(points), 0.3)).toarray()


TARGETS = np.array([[-0.3, 0.2, 0.0], [0.3, 0.2, 0.0], [0.0, -0.2, 0.0], [0.02, 0.05, 0.0]])


def test_each_controller_moves_its_own_place(sheet: Mesh) -> None:
    work = work_mesh(sheet)
    points, faces = work.points(), work.point_faces
    anchors = anchored(TARGETS, points, faces)
    weights = solved(points, faces, anchors)
    at_controllers = anchors.matrix(faces, len(points)) @ weights
    np.testing.assert_allclose(at_controllers, np.eye(4), atol=0.1)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=0.02)


def test_motion_has_died_away_where_nothing_is_free(sheet: Mesh) -> None:
    work = work_mesh(sheet)
    points, faces = work.points(), work.point_faces
    anchors = anchored(TARGETS[:1], points, faces)
    weights = solved(points, faces, anchors, reach=0.25)
    far = np.linalg.norm(points - TARGETS[0], axis=1) > 0.32
    assert np.abs(weights[far]).max() == 0
    assert np.abs(weights).max() > 0.8


def test_nothing_crosses_a_cut(sheet: Mesh) -> None:
    work = work_mesh(sheet)
    table = edge_table(work)
    across = (np.abs(work.points()[table.ends][..., 1]) < 1e-6).all(axis=1)
    cut = cut_along(work, across, table, copies_for=work.points()[work.point_faces].mean(axis=1)[:, 1] < 0)
    points, faces = cut.points(), cut.point_faces
    anchors = anchored(np.array([[0.0, 0.1, 0.0], [0.0, -0.1, 0.0]]), points, faces)
    weights = solved(points, faces, anchors)
    upper = np.unique(faces[points[faces].mean(axis=1)[:, 1] > 0])
    assert np.abs(weights[upper, 1]).max() < 1e-6
    assert np.abs(np.delete(weights, upper, axis=0)[:, 0]).max() < 1e-6


def test_bad_triangles_give_finite_weights() -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (60, 3)) * [1, 1, 0.01]
    points[10:20] = points[:10] + 1e-9
    faces = rng.integers(0, 60, (150, 3))
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    anchors = anchored(points[[0, 30]], points, faces)
    weights = solved(points, faces, anchors)
    assert np.isfinite(weights).all()
    assert np.abs(weights).max() < 5


def test_the_laplacian_ignores_constants_and_is_positive(sheet: Mesh) -> None:
    stiffness, mass = laplacian(sheet.vertices.astype(float), sheet.faces.astype(np.int64))
    np.testing.assert_allclose(stiffness @ np.ones(len(sheet.vertices)), 0, atol=1e-9)
    assert mass.min() > 0
    assert np.isclose(mass.sum(), 0.7, rtol=1e-5)
    assert np.linalg.eigvalsh(stiffness.toarray()).min() > -1e-9


def test_closest_places_lie_on_the_faces_asked_for(sheet: Mesh) -> None:
    points, faces = sheet.vertices.astype(float), sheet.faces.astype(np.int64)
    targets = np.array([[0.013, 0.021, 0.3], [5.0, 0.0, 0.0]])
    face, bary, distance = closest_on_faces(targets, points, faces, np.arange(len(faces)))
    there = (points[faces[face]] * bary[..., None]).sum(axis=1)
    np.testing.assert_allclose(there, [[0.013, 0.021, 0], [0.5, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(distance, [0.3, 4.5], atol=1e-6)
    with pytest.raises(ValueError, match="no faces"):
        closest_on_faces(targets, points, faces, np.zeros(0, dtype=np.int64))


def test_two_sides_of_thin_flesh_move_alike(sheet: Mesh) -> None:
    front = sheet.vertices.astype(float)
    points = np.concatenate([front, front - [0, 0, 0.05]])
    faces = np.concatenate([sheet.faces, sheet.faces[:, ::-1] + len(front)]).astype(np.int64)
    anchors = anchored(TARGETS, points, faces[: len(sheet.faces)])
    walls = np.stack([np.arange(len(front)), len(front) + np.arange(len(front))], axis=1)
    free = np.ones(len(points), dtype=bool)
    weights = solve_weights(points, faces, anchors, free, np.full(len(points), 0.3), walls).toarray()
    np.testing.assert_allclose(weights[: len(front)], weights[len(front) :], atol=0.02)


def test_points_beyond_controllers_that_sit_in_one_place_are_not_thrown_about(sheet: Mesh) -> None:
    """A field from 1 to 0 between two of them rises to a multiple of 1 beyond: skin, and what hangs on lips, would
    leave the head by a motion of millimetres."""
    work = work_mesh(sheet)
    points, faces = work.points(), work.point_faces
    near = np.array([[-0.3, 0.2, 0.0], [0.0, 0.0, 0.0], [0.002, 0.0, 0.0], [0.0, 0.002, 0.0], [0.3, -0.2, 0.0]])
    anchors = replace(anchored(near, points, faces), scale=np.full(5, 0.0003))
    weights = solved(points, faces, anchors)
    assert np.abs(weights).sum(axis=1).max() < 6.001
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=0.1)
    np.testing.assert_allclose((anchors.matrix(faces, len(points)) @ weights)[[0, 4]], np.eye(5)[[0, 4]], atol=0.1)
