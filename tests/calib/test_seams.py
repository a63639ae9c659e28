"""Opening a mouth or an eye in a surface that is one piece."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from calib.rig.face_rig import COLUMNS
from calib.surgery.remesh import WorkMesh, refine, work_mesh
from calib.surgery.seams import cut_opening, sides_of
from calib.survey.openings import Opening
from calib.survey.surface import directed_edges
from core.mesh import Mesh


def opening(height: float) -> Opening:
    """An opening from x = −0.3 to 0.3 in the plane z = 0 whose rims bow up and down by `height`, tilted a little."""
    along = np.linspace(0, 1, COLUMNS)
    bow = height * np.sin(np.pi * along)
    slope = 0.05 * along
    upper = np.stack([-0.3 + 0.6 * along, 0.013 + slope + bow, 0 * along], axis=1)
    lower = np.stack([-0.3 + 0.6 * along, 0.013 + slope - bow, 0 * along], axis=1)
    axis = np.array([0.6, 0.05, 0]) / np.hypot(0.6, 0.05)
    frame = np.stack([axis, np.cross([0, 0, 1], axis), [0, 0, 1]])
    return Opening(upper, lower, False, height == 0, float(np.hypot(0.6, 0.05)), frame, 0.0)


def pieces(work: WorkMesh) -> np.ndarray:
    """[F] the connected piece each face belongs to."""
    edges = directed_edges(work.point_faces)
    count = work.point_count
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][work.point_faces[:, 0]])


def area(work: WorkMesh) -> float:
    a, b, c = work.vertices[work.faces].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize("longest", [0.2, 0.02])
def test_a_closed_line_parts_upper_from_lower_but_not_at_its_ends(sheet: Mesh, longest: float) -> None:
    work = refine(work_mesh(sheet), np.ones(len(sheet.vertices), dtype=bool), longest)
    mouth = opening(0.0)
    cut = cut_opening(work, mouth)
    assert len(np.unique(pieces(cut))) == 1, "the corners hold it together"
    assert np.isclose(area(cut), area(work), rtol=2e-3)
    np.testing.assert_array_equal(cut.vertices[: len(work.vertices)], work.vertices)
    added = cut.vertices[len(work.vertices) :]
    sides = sides_of(mouth, cut.points())
    faces_sides = sides.level[cut.point_faces]
    snapped = 0.2 * min(longest, 0.06) / mouth.width
    crossing = (faces_sides.max(axis=1) > snapped) & (faces_sides.min(axis=1) < -snapped)
    inside = np.abs(mouth.flat(cut.points()[cut.point_faces].mean(axis=1))[:, 0] - 0.5) < 0.45
    assert not (crossing & inside).any(), "no face reaches across the line"
    assert np.abs(sides_of(mouth, added).level).max() < 0.02


def test_an_open_contour_comes_loose_as_a_whole(sheet: Mesh) -> None:
    work = refine(work_mesh(sheet), np.ones(len(sheet.vertices), dtype=bool), 0.03)
    eye = opening(0.08)
    cut = cut_opening(work, eye)
    level = sides_of(eye, cut.points()).level[cut.point_faces].mean(axis=1)
    assert not set(pieces(cut)[level < -0.01]) & set(pieces(cut)[level > 0.01]), "nothing joins inside and outside"
    a, b, c = cut.vertices[cut.faces[level < 0]].transpose(1, 0, 2)
    patch = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert patch == pytest.approx(2 * 0.08 * 0.6 * 2 / np.pi, rel=0.05)


def test_sides_tell_above_from_below_and_inside_from_outside() -> None:
    closed, open_ = opening(0.0), opening(0.08)
    points = np.array([[0, 0.2, 0], [0, -0.1, 0], [0, 0.2, -5.0]])
    np.testing.assert_array_equal(np.sign(sides_of(closed, points).level[:2]), [1, -1])
    np.testing.assert_array_equal(sides_of(closed, points).near, [True, True, False])
    assert sides_of(open_, np.array([[0, 0.04, 0.0]])).level[0] < 0
    assert sides_of(open_, np.array([[0.5, 0.04, 0.0]])).level[0] > 0
