"""The rigs of several artists, in one form: the same frame, and left where it is the person's own."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Material, Mesh, MeshPart
from tools.artist_rigs import load_rig, rig_names
from tools.rigs.reshaped import STYLES, colors_at_vertices
from tools.rigs.rig import EYES, SKIN, ArtistRig


def _rigs_folder(shared_data: Path) -> Path:
    if not (shared_data / "rigs" / "ict_facekit.npz").is_file():
        pytest.skip("needs the rigs of other artists: ict_facekit.npz and valid/")
    return shared_data / "rigs"


def _check(rig: ArtistRig, aside: float = 0.005) -> None:
    """Eyes level about the origin, 5 to 8 cm apart, the nose before them, every unit on the side it is named for."""
    rest = rig.mesh.vertices
    eyes = rest[rig.piece == EYES]
    left, right = eyes[eyes[:, 0] > 0].mean(axis=0), eyes[eyes[:, 0] < 0].mean(axis=0)
    assert 0.05 < left[0] - right[0] < 0.08
    assert abs(left[1] + right[1]) < 0.004
    skin = rest[rig.piece == SKIN]
    middle = skin[(np.abs(skin[:, 0]) < 0.01) & (np.abs(skin[:, 1] + 0.035) < 0.02)]
    assert middle[:, 2].max() > 0.02
    for unit, moved in rig.units.items():
        assert moved.shape == rest.shape
        length = np.linalg.norm(moved, axis=1)
        assert 0.001 < length.max() < 0.08, unit
        side = float((length**2 * rest[:, 0]).sum() / (length**2).sum())
        if unit.startswith(("jaw", "mouthLeft", "mouthRight")):
            assert abs(side) < 0.01, unit
        elif unit.endswith("Left"):
            assert side > aside, unit
        elif unit.endswith("Right"):
            assert side < -aside, unit
    lowered = rig.units["jawOpen"][rig.piece == SKIN]
    assert lowered[:, 1].min() < -0.008
    if "jawLeft" in rig.units:
        chin = np.abs(rig.units["jawLeft"][:, 0]).argmax()
        assert rig.units["jawLeft"][chin, 0] > 0.002


def test_the_built_in_head_has_all_units() -> None:
    rig = load_rig("cc0:1")
    assert set(rig.units) == set(UNIT_NAMES)
    _check(rig)
    assert np.allclose(rig.vertices({}), rig.mesh.vertices)
    half = rig.vertices({"jawOpen": 0.5})
    assert np.allclose(half - rig.mesh.vertices, 0.5 * rig.units["jawOpen"], atol=1e-6)


def test_ict_and_valid_stand_in_the_same_frame(shared_data: Path) -> None:
    folder = _rigs_folder(shared_data)
    mean, one = load_rig("ict", folder), load_rig("ict:3", folder)
    assert len(mean.units) == 51
    assert np.abs(mean.mesh.vertices - one.mesh.vertices).max() > 0.002
    valid = load_rig("valid:White_M_1", folder)
    for rig in (mean, one, valid):
        _check(rig)
        array, has = rig.unit_array()
        assert array.shape == (52, len(rig.mesh.vertices), 3)
        assert has.sum() == len(rig.units)
        assert rig.loose <= set(rig.units)
    assert {"cc0", "ict", "valid:White_M_1"} <= set(rig_names(folder))


def test_a_unit_that_no_shape_was_made_for_and_a_rig_that_is_not_there(tmp_path: Path) -> None:
    rig = load_rig("cc0")
    with pytest.raises(ValueError, match="no shape for noSuchUnit"):
        rig.vertices({"noSuchUnit": 1.0})
    with pytest.raises(InputError, match="ict_facekit"):
        load_rig("ict", tmp_path)
    with pytest.raises(InputError, match="expected a rig of"):
        load_rig("nobody", tmp_path)
    with pytest.raises(InputError, match="White_M_1"):
        load_rig("valid:White_M_1", tmp_path)


@pytest.mark.parametrize("style", STYLES)
def test_a_stylised_head_has_other_proportions_and_its_artists_shapes(style: str) -> None:
    whole, bent = load_rig("cc0:1"), load_rig(f"cc0:1+{style}")
    _check(bent, aside=0.003)  # dolls have small mouths
    assert bent.basis == whole.basis
    eyes = [
        np.ptp(rig.mesh.vertices[(rig.piece == EYES) & (rig.mesh.vertices[:, 0] > 0)], axis=0) for rig in (whole, bent)
    ]
    assert eyes[1][1] > 1.3 * eyes[0][1]
    normals = []
    for rig in (whole, bent):  # nothing is folded over
        a, b, c = rig.mesh.vertices[rig.mesh.faces[(rig.piece == SKIN)[rig.mesh.faces].all(axis=1)]].transpose(1, 0, 2)
        normals.append(np.cross(b - a, c - a))
    assert ((normals[0] * normals[1]).sum(axis=1) < 0).mean() < 0.01
    shut, rest = bent.vertices({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}), bent.mesh.vertices
    assert np.linalg.norm(shut - rest, axis=1).max() > 0.004


def test_a_coarse_head_keeps_vertices_and_what_they_do() -> None:
    whole, few = load_rig("cc0:1"), load_rig("cc0:1+coarse1500")
    assert 1000 < len(few.mesh.vertices) < 2000
    assert set(few.units) == set(whole.units)
    distance, of = cKDTree(whole.mesh.vertices).query(few.mesh.vertices)
    assert distance.max() == 0
    alike = [np.abs(few.units[unit] - whole.units[unit][of]).max(axis=1) < 1e-6 for unit in ("jawOpen", "eyeBlinkLeft")]
    assert np.mean(alike) > 0.98  # where two vertices lie at one place, either stands for it
    assert sum(part.face_count for part in few.mesh.parts) == len(few.mesh.faces)
    bending = [np.linalg.norm(rig.units["jawOpen"], axis=1)[rig.piece == SKIN] > 0.002 for rig in (whole, few)]
    assert bending[1].mean() > 1.2 * bending[0].mean()


def test_a_reshaping_that_there_is_not() -> None:
    for how in ("clay", "coarse", "coarse7"):
        with pytest.raises(InputError, match="expected cartoon, doll, toon, or coarse"):
            load_rig(f"cc0:1+{how}")


def test_colours_of_textures_at_vertices() -> None:
    texture = np.zeros((2, 2, 3), dtype=np.uint8)
    texture[0, 1] = (255, 0, 51)  # the first row is at v = 1
    corners = np.array([[0, 1, 2]], dtype=np.int32)
    mesh = Mesh(
        np.eye(3, dtype=np.float32), corners, np.array([[0.9, 0.9], [0.1, 0.1], [0.9, 0.1]], dtype=np.float32), corners,
        parts=(MeshPart("all", 0, 1, 0),), materials=(Material(texture=texture),),
    )  # fmt: skip
    np.testing.assert_allclose(colors_at_vertices(mesh), [[1, 0, 0.2], [0, 0, 0], [0, 0, 0]], atol=1e-6)
