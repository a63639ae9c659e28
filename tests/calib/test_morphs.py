"""ARKit morph targets of a file as expression units of its avatar."""

from dataclasses import replace

import numpy as np
import pytest

from calib.avatar import Avatar
from calib.rig.own_shapes import arkit_morphs, unit_of
from calib.rigging.morphs import MorphUnits, extended
from capture.synthetic.head.head_model import HeadModel
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Mesh, MorphTargets


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("jawOpen", "jawOpen"),
        ("JawOpen", "jawOpen"),
        ("jaw_open", "jawOpen"),
        ("eyeBlinkLeft", "eyeBlinkLeft"),
        ("eyeBlink_L", "eyeBlinkLeft"),
        ("EyeBlinkR", "eyeBlinkRight"),
        ("blendShape1.mouthSmile_R", "mouthSmileRight"),
        ("Face.M_F00_000_00_Fcl_BrowInnerUp", "browInnerUp"),
        ("mouthLeft", "mouthLeft"),
        ("viseme_aa", None),
        ("Fcl_EYE_Close", None),
        ("left", None),
        ("", None),
    ],
)
def test_names_as_exporters_write_them(name: str, unit: str | None) -> None:
    assert unit_of(name) == unit


def test_the_units_are_those_of_the_model() -> None:
    assert HeadModel().unit_names == UNIT_NAMES


def test_too_few_are_refused_and_say_how_many(sheet: Mesh) -> None:
    with pytest.raises(InputError, match="found 0 of 0"):
        arkit_morphs("bare.glb", sheet)
    names = ("jawOpen", "eyeBlink_L", "smile")
    few = replace(sheet, morphs=MorphTargets(names, np.zeros((3, len(sheet.vertices), 3), dtype=np.float32)))
    with pytest.raises(InputError, match="found 2 of 3, without eyeBlinkRight"):
        arkit_morphs("few.glb", few)


def test_added_vertices_go_between_their_neighbours_and_not_across_a_gap() -> None:
    rest = np.array([[0, 0, 0], [0, 1, 0], [2, 0, 0], [9, 0, 0], [9, 1, 0], [8, 0, 0], [1, 0, 0]], dtype=float)
    faces = np.array([[0, 6, 1], [6, 2, 1], [3, 4, 5]])
    moved = np.zeros((1, 3, 3))
    moved[0, 2] = [0, 0, 3]
    full = extended(moved, rest, faces)
    np.testing.assert_allclose(full[0, :3], moved[0])
    np.testing.assert_allclose(full[0, 6], [0, 0, 1], atol=1e-4)
    assert not full[0, 3:6].any()


def test_an_avatar_moves_by_its_own_shapes(lowpoly: Avatar) -> None:
    file = lowpoly.file_mesh
    shapes = np.zeros((len(UNIT_NAMES), len(file.vertices), 3), dtype=np.float32)
    shapes[UNIT_NAMES.index("jawOpen")] = [0.0, -0.01, 0.0]
    avatar = replace(lowpoly, file_mesh=replace(file, morphs=MorphTargets(UNIT_NAMES, shapes)))
    units = MorphUnits(avatar)
    weights = np.zeros(len(UNIT_NAMES))
    weights[UNIT_NAMES.index("jawOpen")] = 0.5
    vertices, controllers = units.displacement(weights)
    assert vertices.shape == avatar.rig.rest.shape
    assert controllers.shape == avatar.controllers.rest.shape
    expected = avatar.T_world_file[:3, :3] @ [0.0, -0.005, 0.0]
    np.testing.assert_allclose(vertices[: len(file.vertices)], np.tile(expected, (len(file.vertices), 1)), atol=1e-5)
    np.testing.assert_allclose(controllers[:468], np.tile(expected, (468, 1)), atol=1e-3)
    assert not units.displacement(np.zeros(len(UNIT_NAMES)))[0].any()
