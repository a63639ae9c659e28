"""Meshes of too many triangles: made coarse along the surface, and followed by what they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calib.avatar import Avatar, prepare_avatar
from calib.rig.expression_basis import ExpressionUnits
from calib.survey.coarse_mesh import Binding, coarsened
from calib.survey.surface import directed_edges, make_surface, undirected
from core.mesh import Mesh, MeshPart, MorphTargets


def sphere(rows: int, columns: int, radius: float = 1.0, centre: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """A sphere whose texture has a seam down its back, where its vertices are there twice."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    points = np.stack([-np.sin(theta) * np.sin(phi), np.cos(theta), -np.sin(theta) * np.cos(phi)], axis=-1)
    points[:, -1] = points[:, 0]
    points[[0, -1]] = points[[0, -1], :1]
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    a, b, c, d = corner, corner + columns, corner + columns + 1, corner + 1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    uvs = np.stack([phi / (2 * np.pi), 1 - theta / np.pi], axis=-1).reshape(-1, 2).astype(np.float32)
    vertices = (points.reshape(-1, 3) * radius + centre).astype(np.float32)
    return Mesh(vertices, faces, uvs, faces.copy(), parts=(MeshPart("ball", 0, len(faces), 0),))


@pytest.fixture(scope="module")
def ball() -> tuple[Mesh, Mesh, Binding]:
    fine = sphere(120, 240)
    return fine, *coarsened(fine, 1500)


def test_it_stays_one_closed_surface_of_the_same_shape(ball: tuple[Mesh, Mesh, Binding]) -> None:
    fine, coarse, _ = ball
    assert 1200 < len(coarse.vertices) < 1900
    assert len(coarse.faces) < 0.1 * len(fine.faces)
    surface = make_surface(coarse.vertices, coarse.faces)
    assert (undirected(directed_edges(surface.faces))[2] == 2).all(), "no hole, and no edge of three faces"
    np.testing.assert_allclose(np.linalg.norm(coarse.vertices, axis=1), 1.0, atol=0.01)
    corners = coarse.vertices[coarse.faces].astype(float)
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((outward * corners.mean(axis=1)).sum(axis=1) > 0).all()


def test_the_texture_stays_where_it_was_across_its_seam(ball: tuple[Mesh, Mesh, Binding]) -> None:
    _, coarse, _ = ball
    assert coarse.uvs is not None
    assert coarse.faces_uv is not None
    corner, uv = coarse.vertices[coarse.faces].astype(float), coarse.uvs[coarse.faces_uv].astype(float)
    away = np.abs(corner[..., 1]).max(axis=1) < 0.9  # at the poles a texture of this kind shrinks to a point
    assert np.ptp(uv[away, :, 0], axis=1).max() < 0.2, "no triangle spans the whole texture"
    u = np.arctan2(-corner[..., 0], -corner[..., 2]) / (2 * np.pi)
    off = np.abs((uv[..., 0] - u + 0.5) % 1 - 0.5)
    assert off[away].max() < 0.03


def test_fine_vertices_follow_what_the_coarse_ones_do(ball: tuple[Mesh, Mesh, Binding]) -> None:
    fine, coarse, binding = ball
    turn = np.array([[0.0, -0.1, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.2]], np.float32)
    moved = binding.spread(coarse.vertices @ turn.T)
    np.testing.assert_allclose(moved, fine.vertices @ turn.T, atol=0.004)
    assert np.abs(binding.spread(np.ones_like(coarse.vertices)) - 1).max() < 1e-5
    stands = fine.vertices[binding.representative]
    assert np.linalg.norm(stands - coarse.vertices, axis=1).max() < 0.05


def test_surfaces_that_nearly_touch_stay_apart() -> None:
    """Two shells, as near as lips are: what moves one leaves the other."""
    inner, outer = sphere(120, 240), sphere(120, 240, 1.004)
    count = len(inner.vertices)
    both = Mesh(np.concatenate([inner.vertices, outer.vertices]), np.concatenate([inner.faces, outer.faces + count]))
    coarse, binding = coarsened(both, 3000)
    is_outer = binding.representative >= count
    values = np.where(is_outer, 1.0, 0.0)[:, None].repeat(3, axis=1)
    moved = binding.spread(values.astype(np.float32))
    np.testing.assert_allclose(moved[:count], 0)
    np.testing.assert_allclose(moved[count:], 1, atol=1e-5)
    assert (is_outer[coarse.faces].all(axis=1) | ~is_outer[coarse.faces].any(axis=1)).all()


def test_small_pieces_stay_whole_and_parts_and_morphs_go_along() -> None:
    large, small = sphere(120, 240), sphere(9, 12, 0.05, (0, 0, 2))
    count = len(large.vertices)
    faces = np.concatenate([large.faces, small.faces + count])
    parts = (MeshPart("skin", 0, len(large.faces), 0), MeshPart("eye", len(large.faces), len(small.faces), 0))
    vertices = np.concatenate([large.vertices, small.vertices])
    morphs = MorphTargets(("jawOpen",), 0.1 * vertices[None])
    coarse, binding = coarsened(Mesh(vertices, faces, parts=parts, morphs=morphs), 2000)
    eye = coarse.faces[coarse.parts[1].first_face :]
    assert len(eye) == coarse.parts[1].face_count == len(small.faces)
    assert coarse.morphs is not None
    np.testing.assert_allclose(coarse.morphs.displacement[0], 0.1 * vertices[binding.representative])


@pytest.fixture(scope="module")
def followed(lowpoly_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Avatar, Path]:
    cache = tmp_path_factory.mktemp("coarse")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calib.avatar.MOST_FACES", 1000)
        return prepare_avatar(lowpoly_file, cache_dir=cache), cache


@pytest.fixture(scope="module")
def lowpoly_file() -> Path:
    from capture.synthetic import builtin_avatar_path

    return builtin_avatar_path("lowpoly")


def opened(avatar: Avatar) -> np.ndarray:
    units = ExpressionUnits(avatar.rig.basis)
    weights = np.zeros(52)
    weights[units.names.index("mouthSmileLeft")] = 1.0
    return avatar.to_file(avatar.rig.rest + units.displacement(weights)[0]) - avatar.file_mesh.vertices


def test_every_vertex_of_the_file_moves_as_without_it(followed: tuple[Avatar, Path], lowpoly: Avatar) -> None:
    avatar, _ = followed
    assert avatar.binding is not None
    assert "are worked out and shown" in avatar.description
    np.testing.assert_allclose(avatar.to_file(avatar.rig.rest), avatar.file_mesh.vertices, atol=1e-6)
    most = np.abs(opened(lowpoly)).max()
    assert most > 0.003
    assert np.quantile(np.abs(opened(avatar) - opened(lowpoly)).max(axis=1), 0.98) < 0.15 * most


def test_it_comes_back_from_the_cache_and_damage_is_found(
    followed: tuple[Avatar, Path], lowpoly_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, cache = followed

    def refuse(*_: object) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr("calib.avatar._prepare", refuse)
    again = prepare_avatar(lowpoly_file, cache_dir=cache)
    assert again.binding is not None
    np.testing.assert_array_equal(again.to_file(avatar.rig.rest), avatar.to_file(avatar.rig.rest))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: replace(b, corners=b.corners + 10**6),
        lambda b: replace(b, weights=b.weights * 2),
        lambda b: replace(b, weights=b.weights[:-1]),
        lambda b: replace(b, representative=b.representative - 1),
    ],
)
def test_a_damaged_binding_is_refused(ball: tuple[Mesh, Mesh, Binding], change: Callable[[Binding], Binding]) -> None:
    fine, _, binding = ball
    assert Binding.from_arrays(binding.to_arrays(), len(fine.vertices)).corners.shape == (len(fine.vertices), 3)
    with pytest.raises(ValueError, match="binding"):
        Binding.from_arrays(change(binding).to_arrays(), len(fine.vertices))
