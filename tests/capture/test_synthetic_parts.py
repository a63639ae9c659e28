"""What the parametric head and its files are made with: subdivision, noise, grids, decimation, glTF."""

import numpy as np
import pytest

from capture.synthetic.head.embedding import bilinear_rows, grid_faces, quad_grid
from capture.synthetic.head.geometry import smoothstep, value_noise, vertex_normals
from capture.synthetic.head.subdivision import bilinear, catmull_clark, triangulated
from core.mesh import Material, Mesh, MeshPart
from core.rigid_motion import rotation_matrix, rotation_vector
from render.mesh.mesh_io import load_mesh
from tools.assets.decimate import decimate
from tools.assets.glb_file import save_glb

CUBE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], dtype=float)
CUBE_QUADS = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]], dtype=np.int32
)


def test_subdividing_keeps_affine_shapes():
    plane = np.array([[x, y, 0.0] for y in range(4) for x in range(4)])
    quads = quad_faces(4, 4)
    step = catmull_clark(quads, len(plane))
    assert np.allclose(step.matrix.sum(axis=1), 1)
    assert np.allclose((step.matrix @ plane)[:, 2], 0)
    moved = plane @ np.array([[2, 0, 1], [0, 1, 0], [0, 0, 1]]) + [1, 2, 3]
    assert np.allclose(
        step.matrix @ moved, (step.matrix @ plane) @ np.array([[2, 0, 1], [0, 1, 0], [0, 0, 1]]) + [1, 2, 3]
    )


def test_subdividing_a_cube_makes_it_rounder_and_keeps_it_closed():
    step = catmull_clark(CUBE_QUADS, 8)
    points = step.matrix @ CUBE - 0.5
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() / radius.min() < np.sqrt(3)
    assert len(step.quads) == 24
    edges = np.sort(np.stack([step.quads, np.roll(step.quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    assert signed_volume(points, triangulated(step.quads)) > 0


def test_bilinear_has_the_same_quads_but_moves_no_old_vertex():
    smooth, plain = catmull_clark(CUBE_QUADS, 8), bilinear(CUBE_QUADS, 8)
    assert np.array_equal(smooth.quads, plain.quads)
    assert np.allclose((plain.matrix @ CUBE)[:8], CUBE)


def test_subdivision_refuses_edges_with_three_faces():
    with pytest.raises(ValueError, match="manifold"):
        catmull_clark(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]], dtype=np.int32), 8)


def test_quad_grid_finds_rows_and_columns_whatever_the_order():
    rng = np.random.default_rng(0)
    quads = quad_faces(3, 5)
    shuffled = np.stack([np.roll(quad, rng.integers(4)) for quad in rng.permutation(quads)])
    grid = quad_grid(shuffled)
    assert grid.shape == (3, 5)
    expected = np.arange(15).reshape(3, 5)
    assert any(np.array_equal(grid, e) for e in (expected, expected[::-1], expected[:, ::-1], expected[::-1, ::-1]))


def test_quad_grid_refuses_what_is_no_patch():
    with pytest.raises(ValueError, match="4 corners"):
        quad_grid(CUBE_QUADS)


def test_bilinear_rows_reproduce_the_grid():
    grid = np.arange(12).reshape(3, 4).astype(np.int32)
    points = np.random.default_rng(1).normal(size=(12, 3))
    rows, columns = np.array([0.0, 2.0, 1.0, 0.5]), np.array([0.0, 3.0, 2.0, 1.5])
    found = bilinear_rows(grid, rows, columns, 12) @ points
    assert np.allclose(found[:3], points[[0, 11, 6]])
    assert np.allclose(found[3], points[[1, 2, 5, 6]].mean(axis=0))


def test_grid_faces_look_towards_the_viewer():
    points = np.array([[x, y, 0.0] for y in range(3) for x in range(4)])
    assert (vertex_normals(points, grid_faces(3, 4))[:, 2] > 0.99).all()


def test_noise_is_smooth_bounded_and_repeats():
    points = np.random.default_rng(2).uniform(-1, 1, (2000, 3))
    first, again = value_noise(points, 0.1, 3), value_noise(points, 0.1, 3)
    assert np.array_equal(first, again)
    assert not np.allclose(first, value_noise(points, 0.1, 4))
    assert np.abs(first).max() <= 1
    assert first.std() > 0.2
    assert np.abs(value_noise(points + 1e-6, 0.1, 3) - first).max() < 1e-3


def test_smoothstep_runs_either_way():
    value = np.array([0.0, 0.5, 1.0])
    assert np.allclose(smoothstep(0, 1, value), [0, 0.5, 1])
    assert np.allclose(smoothstep(1, 0, value), [1, 0.5, 0])


def test_rotation_vector_inverts_rotation_matrix():
    for vector in np.random.default_rng(3).normal(size=(20, 3)):
        matrix = rotation_matrix(vector)
        assert np.allclose(matrix @ matrix.T, np.eye(3))
        assert np.isclose(np.linalg.det(matrix), 1)
        if np.linalg.norm(vector) < 3:
            assert np.allclose(rotation_vector(matrix), vector)


def test_decimation_keeps_shape_symmetry_and_fixed_vertices():
    points, faces = sphere(16, 24)
    fixed = np.zeros(len(points), dtype=bool)
    twin = np.linalg.norm(points[:, None] - points * [-1, 1, 1], axis=2).argmin(axis=1)
    fixed[[0, 5, twin[5]]] = True
    coarse = decimate(points, faces, 200, np.ones(len(points)), fixed, twin)
    assert len(coarse) <= 202
    assert {0, 5, int(twin[5])} <= set(coarse.ravel().tolist())
    assert signed_volume(points, coarse) > 0.85 * signed_volume(points, faces)
    edges = np.sort(np.concatenate([coarse[:, [0, 1]], coarse[:, [1, 2]], coarse[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_glb_survives_loading(tmp_path):
    texture = np.random.default_rng(4).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    texture[:] = texture.mean(axis=(0, 1))  # JPEG keeps an even colour
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]], dtype=np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]], dtype=np.int32)
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.25, 0.75]], dtype=np.float32)
    faces_uv = np.array([[0, 1, 2], [4, 2, 3], [0, 0, 0]], dtype=np.int32)
    colors = np.array([[1, 1, 1]] * 2 + [[0.2, 0.5, 0.8]] * 3, dtype=np.float32)
    parts = (MeshPart("face", 0, 2, 1), MeshPart("ear", 2, 1, 0))
    mesh = Mesh(
        points, faces, uvs, faces_uv, colors, parts, (Material("plain"), Material("skin", (1, 1, 1, 1), texture))
    )
    save_glb(mesh, tmp_path / "x.glb")
    back = load_mesh(tmp_path / "x.glb")
    assert [part.name for part in back.parts] == ["face", "ear"]
    assert np.allclose(back.vertices[back.faces], points[faces])
    assert back.uvs is not None
    assert np.allclose(back.uvs[back.faces_uv[:2]], uvs[faces_uv[:2]], atol=1e-4)
    assert np.allclose(back.vertex_colors[back.faces[2]], colors[faces[2]], atol=2e-3)
    found = back.materials[back.parts[0].material].texture
    assert np.abs(found[..., :3].astype(int) - texture).max() <= 3


def quad_faces(rows: int, columns: int) -> np.ndarray:
    index = np.arange(rows * columns).reshape(rows, columns)
    corners = [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]]
    return np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32)


def sphere(rings: int, segments: int) -> tuple[np.ndarray, np.ndarray]:
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    turn = np.arange(segments) * 2 * np.pi / segments
    rows = [[np.sin(p) * np.cos(t), np.cos(p), np.sin(p) * np.sin(t)] for p in polar for t in turn]
    points = np.array([*rows, [0, 1, 0], [0, -1, 0]])
    faces = []
    for r in range(rings - 2):
        for s in range(segments):
            a, b = r * segments + s, r * segments + (s + 1) % segments
            faces += [[a, b, b + segments], [a, b + segments, a + segments]]
    top, bottom, last = len(points) - 2, len(points) - 1, (rings - 2) * segments
    for s in range(segments):
        faces += [[top, (s + 1) % segments, s], [bottom, last + s, last + (s + 1) % segments]]
    return points, np.array(faces, dtype=np.int32)


def signed_volume(points: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
