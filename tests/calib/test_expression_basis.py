"""Expression units carried onto a head of another person, prepared as any bare mesh is."""

from pathlib import Path

import numpy as np
import pytest

from calib.avatar import Avatar, prepare_avatar
from calib.rig.controllers import Role
from calib.rig.expression_basis import ExpressionBasis, ExpressionUnits
from calib.rig.template_units import template_data
from calib.rigging.expression_transfer import lip_faces
from calib.rigging.template_head import load_template, read_landmarks
from calib.survey.closest import closest_on_faces
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.identity import random_identity
from core.errors import InputError
from core.mesh import Mesh
from render.mesh.mesh_save import save_ply

MOVES_M = 0.0005


@pytest.fixture(scope="module")
def person() -> HeadModel:
    """Someone who moves as the template does, so that what is judged is the way onto the head."""
    return HeadModel(random_identity(np.random.default_rng(77), load_head_data()), data=template_data())


@pytest.fixture(scope="module")
def avatar(person: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    folder = tmp_path_factory.mktemp("person")
    mesh = person.mesh()
    save_ply(Mesh(mesh.vertices, mesh.faces, vertex_colors=mesh.vertex_colors), folder / "person.ply")
    return prepare_avatar(folder / "person.ply", cache_dir=folder)


def weights(person: HeadModel, **units: float) -> np.ndarray:
    return person.weight_vector(units)


def carried_m(avatar: Avatar, units: np.ndarray) -> np.ndarray:
    """[V, 3] displacement of the file's vertices in the file's own metres."""
    moved, _ = ExpressionUnits(avatar.rig.basis).displacement(units)
    return avatar.to_file(avatar.rig.rest + moved) - avatar.file_mesh.vertices


def explained(predicted: np.ndarray, true: np.ndarray) -> float:
    moves = np.linalg.norm(true, axis=1) > MOVES_M
    return 1 - float(np.sqrt(((predicted - true)[moves] ** 2).sum() / (true[moves] ** 2).sum()))


@pytest.mark.parametrize(
    ("units", "least"),
    [
        ({"jawOpen": 0.8}, 0.75),
        ({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}, 0.7),
        ({"mouthPucker": 0.8}, 0.7),
        ({"browInnerUp": 0.9, "browOuterUpLeft": 0.7}, 0.65),
        ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, 0.6),
        ({"mouthRollLower": 0.8, "mouthRollUpper": 0.8}, 0.55),
        ({"jawOpen": 0.4, "mouthSmileLeft": 0.5, "cheekSquintLeft": 0.6, "browDownRight": 0.7}, 0.75),
    ],
)
def test_an_unrigged_head_moves_as_the_same_head_with_a_rig(
    person: HeadModel, avatar: Avatar, units: dict[str, float], least: float
) -> None:
    values = weights(person, **units)
    skin = person.part("skin")
    true = (person.vertices(values) - person.vertices())[skin]
    assert explained(carried_m(avatar, values)[skin], true) > least


def test_nothing_moves_at_rest_and_the_skull_never(person: HeadModel, avatar: Avatar) -> None:
    assert np.abs(carried_m(avatar, np.zeros(52))).max() < 2e-5  # single precision of the file's coordinates
    values = weights(person, jawOpen=1.0, mouthSmileLeft=1.0, eyeBlinkRight=1.0)
    crown = avatar.file_mesh.vertices[:, 1] > 0.09
    assert crown.sum() > 100
    assert np.abs(carried_m(avatar, values)[crown]).max() < 0.001


def test_lips_in_contact_part_cleanly(person: HeadModel, avatar: Avatar) -> None:
    """No vertex of one lip may go along with the other."""
    ring = person.data.lip_rings[2]
    base = person.base[ring]
    kept = np.unique(person.data.parts["skin"][person.topology.kept_quads])  # the first vertices of a subdivided mesh
    down = -carried_m(avatar, weights(person, jawOpen=1.0))[np.searchsorted(kept, ring), 1]
    corner = np.abs(base[:, 0]) > 0.7 * np.abs(base[:, 0]).max()
    upper = np.arange(len(ring)) < int(np.argmax(base[:, 0]))
    assert down[~upper & ~corner].min() > 0.01
    assert down[upper & ~corner].max() < 0.006


def test_mouth_close_shuts_an_open_jaw_along_a_smooth_line(person: HeadModel) -> None:
    shut = person.base + person.units[[person.unit_names.index(unit) for unit in ("jawOpen", "mouthClose")]].sum(axis=0)
    line = shut[person.data.lip_rings[1]]
    corner = int(line[:, 0].argmax())
    upper, lower = line[: corner + 1], line[np.r_[0, len(line) - 1 : corner - 1 : -1]]
    apart = upper[:, 1] - np.interp(upper[:, 0], lower[:, 0], lower[:, 1])
    assert np.abs(apart).max() < 0.0015, "as at rest, where they overlap by 0.4 mm"
    for rim in (upper, lower):
        assert np.abs(np.diff(rim[:, 1])).max() < 0.001, "no step towards the corners"


def test_rims_of_lips_are_known_where_the_skin_has_them(person: HeadModel, avatar: Avatar) -> None:
    """What keeps lips from passing through each other looks at controllers."""
    rig, width = avatar.rig, avatar.rig.mouth.width
    faces = avatar.display_mesh.faces.astype(np.int64)
    faces = faces[(np.linalg.norm(rig.rest - rig.mouth.upper.mean(axis=0), axis=1) < width)[faces].all(axis=1)]
    roles = (Role.UPPER_LIP, Role.LOWER_LIP)
    for role, own in zip(roles, lip_faces(rig.controllers, rig.weights, faces), strict=True):
        rows = rig.controllers.of(role)
        face, bary, _ = closest_on_faces(rig.controllers.rest[rows], rig.rest.astype(float), own, np.arange(len(own)))
        for unit in ("mouthRollLower", "mouthRollUpper", "mouthPucker", "mouthLeft"):
            skin, controllers = ExpressionUnits(rig.basis).displacement(weights(person, **{unit: 1.0}))
            there = np.einsum("nk,nkd->nd", bary, skin[own[face]])
            assert np.linalg.norm(there, axis=1).max() > 0.02 * width or unit.startswith("mouthRoll")
            assert np.linalg.norm(controllers[rows] - there, axis=1).max() < 0.002 * width


def test_arrays_bring_the_basis_back(avatar: Avatar) -> None:
    basis = avatar.rig.basis
    counts = basis.corrections.shape
    again = ExpressionBasis.from_arrays(basis.to_arrays(), *counts)
    values = np.linspace(0, 0.5, 52)
    for one, other in zip(
        ExpressionUnits(basis).displacement(values), ExpressionUnits(again).displacement(values), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(KeyError):
        ExpressionBasis.from_arrays({"basis_base": basis.base}, *counts)


def test_the_template_is_bent_onto_the_head(person: HeadModel, avatar: Avatar) -> None:
    """The base mesh that was found is that of the person, up to where skin is smooth enough to slide on."""
    face = load_template().face
    found = avatar.rig.basis.base
    size = np.linalg.norm(found[face] - found[face].mean(axis=0)) / np.linalg.norm(
        person.base[face] - person.base[face].mean(axis=0)
    )
    assert size == pytest.approx(1.0, abs=0.06)
    template = load_template().mean
    off = [_aligned_error(each[face], person.base[face]) for each in (found, template)]
    assert off[0] < 0.0025
    assert off[0] < 0.6 * off[1]


def _aligned_error(points: np.ndarray, target: np.ndarray) -> float:
    from core.rigid_motion import fit_similarity

    scale, rotation, shift = fit_similarity(points, target)
    return float(np.linalg.norm(scale * points @ rotation.T + shift - target, axis=1).mean())


def test_a_missing_landmark_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.npz.*install the package again"):
        read_landmarks(tmp_path / "missing.npz", 10)
