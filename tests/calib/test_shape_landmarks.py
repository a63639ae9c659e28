"""Heads in which no landmarker finds a face, but whose own shapes say where it is, and move it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar, prepare_avatar
from calib.preparation_options import PreparationOptions
from calib.rigging.morphs import own_units
from calib.survey.face_finder import NoFaceError
from calib.survey.placement import AXES, Placement, axis_rotation
from calib.survey.shape_landmarks import shape_landmarks
from calib.survey.shape_survey import contradicted
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_motion import gaze_of
from core.mesh import Mesh, MorphTargets
from engine.expression.expression_engine import ExpressionEngine
from realtime.config import MotionOptions
from realtime.engines import make_engine
from render.mesh.mesh_io import load_mesh
from tests.fakes.shaped_head import write_shaped_head

STILL = np.zeros((2, 2))


def snouted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A flat, wide head with a long snout."""
    bent = points * [1.5, 0.75, 1.0]
    from_mouth = np.hypot(points[:, 0], points[:, 1] + 0.055)
    bent[:, 2] += 0.09 * np.exp(-((from_mouth / 0.035) ** 2)) / (1 + np.exp(-points[:, 2] / 0.01))
    return bent


def grey(mesh: Mesh) -> NDArray[np.float32]:
    return np.full((len(mesh.vertices), 3), 0.35, dtype=np.float32)


@pytest.fixture(scope="module")
def animal_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("animal") / "animal.glb"
    write_shaped_head(path, warp=snouted, paint=grey)
    return path


@pytest.fixture(scope="module")
def animal(animal_path: Path) -> Avatar:
    return prepare_avatar(animal_path, cache_dir=animal_path.parent)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Metres, its origin midway between its eyes, y up, facing +z."""
    path = tmp_path_factory.mktemp("person") / "person.glb"
    write_shaped_head(path)
    return load_mesh(path, morphs=True)


def turned(mesh: Mesh, up: str, front: str, scale: float) -> Mesh:
    assert mesh.morphs is not None
    rotation = scale * axis_rotation(up, front)
    shift = np.array([3.0, -7.0, 11.0])
    displacement = (mesh.morphs.displacement @ rotation).astype(np.float32)
    vertices = (mesh.vertices @ rotation + shift).astype(np.float32)
    return replace(mesh, vertices=vertices, morphs=replace(mesh.morphs, displacement=displacement))


@pytest.mark.parametrize(("up", "front"), [(u, f) for u in AXES for f in AXES if u[-1] != f[-1]])
def test_shapes_tell_how_a_head_stands_and_where_its_face_is(person: Mesh, up: str, front: str) -> None:
    scale = 250.0
    told = shape_landmarks(turned(person, up, front, scale), usual=("y", "z"))
    assert told is not None
    assert (told.up, told.front) == (up, front)
    at = {name: (point - [3.0, -7.0, 11.0]) @ axis_rotation(up, front).T / scale for name, point in told.points.items()}
    for name, x, y, off in (
        ("eye_top", 0.030, 0.004, 0.003),
        ("eye_bottom", 0.030, -0.006, 0.003),
        ("eye_outer", 0.046, 0.0, 0.004),
        ("eye_inner", 0.015, 0.0, 0.004),
        ("mouth_corner", 0.025, -0.068, 0.006),
        ("brow_middle", 0.040, 0.018, 0.010),
    ):
        for side, sign in (("right", 1), ("left", -1)):  # of the picture: the person's left, at +x, is on its right
            assert np.hypot(*(at[f"{side}_{name}"][:2] - [sign * x, y])) < off, f"{side} {name}"
    lips = (at["upper_lip_edge"] + at["lower_lip_edge"]) / 2
    assert np.hypot(lips[0], lips[1] + 0.070) < 0.008
    assert np.hypot(at["nose_tip"][0], at["nose_tip"][1] + 0.036) < 0.006
    assert np.hypot(at["chin"][0], at["chin"][1] + 0.106) < 0.008


def test_stated_axes_are_kept_to_and_nothing_is_told_where_shapes_contradict_them(person: Mesh) -> None:
    told = shape_landmarks(person, up="y", front="z")
    assert told is not None
    assert (told.up, told.front) == ("y", "z")
    assert shape_landmarks(person, up="-y") is None, "its eyes would be below its mouth"


def test_without_shapes_of_the_mouth_nothing_is_told(person: Mesh) -> None:
    assert person.morphs is not None
    kept = [number for number, name in enumerate(UNIT_NAMES) if not name.startswith("mouth")]
    names = tuple(UNIT_NAMES[number] for number in kept)
    few = replace(person, morphs=MorphTargets(names, person.morphs.displacement[kept]))
    assert shape_landmarks(few) is None


def test_a_head_without_a_face_is_prepared_by_its_shapes_and_left_as_it_is(animal: Avatar, animal_path: Path) -> None:
    assert "by its own shapes alone" in animal.description
    assert animal.rig.moves_nothing
    file = animal.file_mesh
    assert len(animal.display_mesh.vertices) == len(file.vertices)
    np.testing.assert_array_equal(animal.display_mesh.faces, file.faces)
    again = prepare_avatar(animal_path, cache_dir=animal_path.parent)
    assert again.rig.moves_nothing
    np.testing.assert_array_equal(again.landmarks, animal.landmarks)
    with pytest.raises(NoFaceError):
        prepare_avatar(animal_path, PreparationOptions(morphs="off"), cache_dir=animal_path.parent)


def test_its_shapes_and_nothing_else_move_it(animal: Avatar) -> None:
    """Lids, lips, teeth, tongue and eyes: as far as the file says, and no vertex otherwise."""
    morphs = animal.file_mesh.morphs
    assert morphs is not None
    engine = make_engine(MotionOptions(), animal)
    assert isinstance(engine, ExpressionEngine)
    rest = engine.posed(np.zeros(52), STILL)
    np.testing.assert_allclose(rest, animal.rig.rest, atol=1e-6)
    for name in UNIT_NAMES:
        weights = np.array([float(unit == name) for unit in UNIT_NAMES])
        moved = engine.posed(weights, gaze_of(weights)) - rest
        expected = morphs.displacement[morphs.names.index(name)] @ animal.T_world_file[:3, :3].T
        np.testing.assert_allclose(moved, expected, atol=1e-4, err_msg=name)


def test_its_eyes_go_where_the_driver_looks_unless_they_are_shut(animal: Avatar) -> None:
    engine = ExpressionEngine(animal, units=own_units(animal))
    assert animal.file_mesh.morphs is not None
    gaze = np.array([[0.2, 0.0], [0.2, 0.0]])
    rest = engine.posed(np.zeros(52), STILL)
    looks = np.abs(engine.posed(np.zeros(52), gaze) - rest).max()
    assert looks > 0.02
    shut = np.array([float(name.startswith("eyeBlink")) for name in UNIT_NAMES])
    np.testing.assert_allclose(engine.posed(shut, gaze), engine.posed(shut, STILL), atol=1e-6)


def test_its_shoulders_stay_and_its_face_goes_with_the_head(animal: Avatar) -> None:
    share, y = animal.rig.neck.share, animal.rig.rest[:, 1]
    assert share[y < y.min() + 0.1 * np.ptp(y)].max() < 0.05
    assert animal.file_mesh.morphs is not None
    seen = np.abs(animal.file_mesh.morphs.displacement).max(axis=(0, 2)) > 1e-3
    chin = animal.landmarks[152, 1]
    assert share[seen & (y > chin)].min() > 0.8


@pytest.mark.parametrize("engine", ["landmark", "flow"])
def test_other_engines_have_nothing_to_move_it_by(animal: Avatar, engine: str) -> None:
    with pytest.raises(InputError, match=f"by the shapes in its file.*leave out --engine {engine}, or place landmarks"):
        make_engine(MotionOptions(engine=engine), animal)  # type: ignore[arg-type]


def test_a_face_that_is_not_where_shapes_open_it_is_none(person: Mesh, lowpoly: Avatar) -> None:
    """Landmarks on a mask that hangs beside the head, or on the back of it."""
    told = shape_landmarks(person)
    assert told is not None
    scale = 7.7
    T = np.diag([scale, scale, scale, 1.0])
    T[1, 3] = scale * 0.03
    landmarks = lowpoly.landmarks.astype(float)
    survey = Surveyed(person, Placement(T, "y", "z", True, 0.0), landmarks)
    assert not contradicted("person.glb", survey)  # type: ignore[arg-type]
    for away in ([0.5, 0.0, 0.0], [0.0, 0.0, -1.5]):
        elsewhere = replace(survey, landmarks=landmarks + away)
        assert contradicted("person.glb", elsewhere)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Surveyed:
    """What `contradicted` asks of a `HeadSurvey`."""

    mesh: Mesh
    placement: Placement
    landmarks: NDArray[np.float64]
