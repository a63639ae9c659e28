"""Heads that are damaged or made oddly: each gives an avatar, or one line; what is seen on them is known beforehand."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from calib import avatar as avatars
from calib.avatar import Avatar, prepare_avatar
from calib.rig.expression_basis import ExpressionBasis
from calib.rigging import assemble as assembling
from calib.survey.head_survey import survey_landmarked
from calib.survey.parts import Kind
from calib.survey.placement import Placement
from calib.survey.views import Studio
from core.errors import InputError
from core.mesh import Mesh, MeshPart
from render.mesh.mesh_save import save_ply


def bare(mesh: Mesh, keep: np.ndarray | None = None) -> Mesh:
    """Its triangles, or some of them, without names."""
    faces = mesh.faces if keep is None else mesh.faces[keep]
    return Mesh(mesh.vertices, faces)


def without_parts(mesh: Mesh) -> Mesh:
    """Empty sockets and an empty mouth."""
    return bare(mesh, np.arange(len(mesh.faces)) < mesh.parts[0].face_count)


def with_holes(mesh: Mesh) -> Mesh:
    return bare(mesh, np.random.default_rng(0).random(len(mesh.faces)) > 0.15)


def soup(mesh: Mesh) -> Mesh:
    """Every triangle with vertices of its own, as STL has them."""
    return Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(3 * len(mesh.faces), dtype=np.int32).reshape(-1, 3))


def doubled(mesh: Mesh) -> Mesh:
    """A second shell just inside the first."""
    inner = mesh.vertices * np.float32(0.98)
    faces = np.concatenate([mesh.faces, mesh.faces + len(mesh.vertices)])
    return Mesh(np.concatenate([mesh.vertices, inner]), faces)


def crossed(mesh: Mesh) -> Mesh:
    """Triangles across the whole head, some without area, edges of many triangles."""
    rng = np.random.default_rng(0)
    extra = rng.integers(0, len(mesh.vertices), (60, 3))
    return Mesh(mesh.vertices, np.concatenate([mesh.faces, extra, np.repeat(extra[:, :1], 3, axis=1)]).astype(np.int32))


def turned_over(mesh: Mesh) -> Mesh:
    """Every other triangle inside out."""
    odd = np.arange(len(mesh.faces))[:, None] % 2 == 0
    return Mesh(mesh.vertices, np.where(odd, mesh.faces[:, ::-1], mesh.faces).astype(np.int32))


def half(mesh: Mesh) -> Mesh:
    """One side is missing."""
    return bare(mesh, mesh.vertices[mesh.faces, 0].mean(axis=1) > -0.01)


def few(mesh: Mesh) -> Mesh:
    """Vertices on a coarse grid: large triangles, many of them gone flat."""
    size = np.ptp(mesh.vertices, axis=0).max()
    return replace(bare(mesh), vertices=(np.round(mesh.vertices / size * 40) / 40 * size).astype(np.float32))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, lowpoly: Avatar) -> Iterator[None]:
    """Carrying expressions over takes three seconds and does not depend on how the mesh hangs together."""
    monkeypatch.setattr(assembling, "fit_template", lambda *_: None)
    monkeypatch.setattr(assembling, "load_template", lambda: None)
    monkeypatch.setattr(assembling, "jaw_hinge", lambda *_: lowpoly.rig.jaw.hinge)
    basis = lowpoly.rig.basis

    def carried(*given: Any) -> ExpressionBasis:
        count, controllers = given[-1].shape
        rows = np.arange(count) % basis.vertices.shape[0]
        return replace(basis, vertices=basis.vertices[rows], corrections=sparse.csr_matrix((count, controllers)))

    monkeypatch.setattr(assembling, "carry_units", carried)
    return


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", [without_parts, with_holes, soup, doubled, crossed, turned_over, half, few])
def test_odd_heads_give_an_avatar(lowpoly: Avatar, change: Callable[[Mesh], Mesh]) -> None:
    mesh = change(lowpoly.file_mesh)
    placement = Placement(lowpoly.T_world_file, "y", "z", False, 0.0)
    with Studio(mesh) as studio:
        survey = survey_landmarked(mesh, studio, placement, lowpoly.landmarks.astype(float))
    display, rig = assembling.assemble(survey)
    assert np.isfinite(display.vertices).all()
    assert np.isfinite(rig.weights.data).all()
    assert rig.weights.shape[0] == len(display.vertices)
    np.testing.assert_allclose(display.vertices[: len(mesh.vertices)], survey.vertices, atol=1e-5)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["Sunglasses", "Object_7"])
def test_a_visor_that_hides_half_the_face_is_no_skin_and_does_not_bend(lowpoly: Avatar, name: str) -> None:
    """In two pieces, from temple to temple, with every landmark of eyes and brows on it."""
    inverse, file = np.linalg.inv(lowpoly.T_world_file), lowpoly.file_mesh
    vertices, faces, parts = [file.vertices], [file.faces], list(file.parts)
    count = len(file.vertices)
    for low, high in ((-0.5, 0.0), (0.0, 0.5)):
        x, y = np.meshgrid(np.linspace(low, high, 9), np.linspace(0.12, 0.45, 7))
        world = np.stack([x, y, 0.28 - 0.4 * x**2], axis=-1).reshape(-1, 3)
        corner = (np.arange(6)[:, None] * 9 + np.arange(8)).reshape(-1) + count
        own = np.concatenate([corner[:, None] + [0, 1, 9], corner[:, None] + [1, 10, 9]])
        parts.append(MeshPart(name, sum(map(len, faces)), len(own), 0))
        vertices.append((world @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.float32))
        faces.append(own.astype(np.int32))
        count += len(world)
    mesh = Mesh(np.concatenate(vertices), np.concatenate(faces), parts=tuple(parts), materials=file.materials)
    with Studio(mesh) as studio:
        placement = Placement(lowpoly.T_world_file, "y", "z", False, 0.0)
        survey = survey_landmarked(mesh, studio, placement, lowpoly.landmarks.astype(float))
    visor = np.arange(len(file.vertices), len(mesh.vertices))
    assert set(survey.parts.kind[visor].tolist()) == {Kind.RIGID}
    assert survey.eyes[0].parted, "the eyes behind it are found"
    weights = assembling.assemble(survey)[1].weights[visor].toarray()
    assert np.abs(weights - weights[0]).max() < 1e-6


@pytest.mark.parametrize("failure", [IndexError("index 3 is out of bounds"), np.linalg.LinAlgError("singular matrix")])
def test_a_head_that_cannot_be_worked_out_is_one_line(
    lowpoly: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    save_ply(lowpoly.file_mesh, tmp_path / "odd.ply")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(avatars, "_prepare", fail)
    with pytest.raises(InputError) as refusal:
        prepare_avatar(tmp_path / "odd.ply", cache_dir=tmp_path)
    assert str(tmp_path / "odd.ply") in str(refusal.value)
    assert str(failure) in str(refusal.value)
    assert "--place-landmarks" in str(refusal.value)


def test_what_ends_a_preparation_from_outside_is_no_odd_head(
    lowpoly: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(avatars, "_prepare", stop)
    save_ply(lowpoly.file_mesh, tmp_path / "odd.ply")
    with pytest.raises(StoppedError):
        prepare_avatar(tmp_path / "odd.ply", cache_dir=tmp_path)
