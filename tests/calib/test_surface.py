"""Zipping what only a file keeps apart, and nothing else."""

import numpy as np

from calib.survey.surface import make_surface, point_normals, undirected
from core.mesh import Mesh


def soup(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Every triangle with vertices of its own."""
    vertices = mesh.vertices[mesh.faces].reshape(-1, 3)
    return vertices, np.arange(len(vertices)).reshape(-1, 3).astype(np.int32)


def test_triangles_with_their_own_vertices_become_one_surface(sheet: Mesh) -> None:
    surface = make_surface(*soup(sheet))
    assert len(surface.points) == len(sheet.vertices)
    assert len(surface.faces) == len(sheet.faces)
    assert surface.components().max() == 0
    np.testing.assert_allclose(surface.points[surface.point_of_vertex], soup(sheet)[0])


def test_a_mesh_without_seams_keeps_its_vertices(sheet: Mesh) -> None:
    surface = make_surface(sheet.vertices, sheet.faces)
    np.testing.assert_array_equal(surface.point_of_vertex, np.arange(len(sheet.vertices)))


def test_surfaces_that_merely_touch_stay_apart(sheet: Mesh) -> None:
    """Closed lips: an upper sheet lies on a lower one, vertex on vertex, but their edges are whole."""
    bent = sheet.vertices.copy()
    bent[:, 2] -= np.abs(bent[:, 1])  # a ridge that touches its mirror image along y = 0
    mirrored = bent * np.float32([1, 1, -1])
    faces = np.concatenate([sheet.faces, sheet.faces[:, ::-1] + len(bent)])
    surface = make_surface(np.concatenate([bent, mirrored]), faces)
    assert surface.components().max() == 1
    assert len(surface.points) == 2 * len(bent)


def test_faces_without_area_and_repeated_faces_do_not_count(sheet: Mesh) -> None:
    bad = np.array([[0, 0, 1], [0, 1, 2], sheet.faces[3], sheet.faces[3][::-1]], dtype=np.int32)
    surface = make_surface(sheet.vertices, np.concatenate([sheet.faces, bad]))
    assert len(surface.faces) == len(sheet.faces)
    np.testing.assert_array_equal(surface.face_origin, np.arange(len(sheet.faces)))


def test_normals_point_to_the_front(sheet: Mesh) -> None:
    surface = make_surface(*soup(sheet))
    np.testing.assert_allclose(point_normals(surface.points, surface.faces), [[0, 0, 1]] * len(surface.points))


def test_undirected_edges_are_counted_once() -> None:
    edges, inverse, count = undirected(np.array([[4, 1], [1, 4], [2, 3]]))
    np.testing.assert_array_equal(edges, [[1, 4], [2, 3]])
    np.testing.assert_array_equal(inverse, [0, 0, 1])
    np.testing.assert_array_equal(count, [2, 1])
