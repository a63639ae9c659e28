"""Heads in which no landmarker finds a face, but whose own shapes say where it is, and move it."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar, _content_key, prepare_avatar
from calib.head_file import own_unit_count
from calib.preparation_options import PreparationOptions
from calib.rigging.morphs import own_units
from calib.survey.face_finder import FaceFinder, NoFaceError
from calib.survey.head_survey import survey_head
from calib.survey.looking import looked_at
from calib.survey.placement import AXES, FACE_HEIGHT, Placement, axis_rotation, moved
from calib.survey.shape_landmarks import shape_landmarks
from calib.survey.shape_survey import contradicted, survey_by_shapes
from calib.survey.views import Studio
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, gaze_of
from core.mesh import Mesh, MorphTargets
from core.rigid_motion import rotation_matrix
from engine.expression.expression_engine import ExpressionEngine
from realtime.config import MotionOptions
from realtime.engines import make_engine
from realtime.rig.head_shapes import head_shapes
from realtime.rig.naming import targets
from realtime.rig_command import RigOptions, rig
from render.gl.gl_context import create_context, release_context
from render.gl.gpu_mesh import GpuMesh
from render.mesh.mesh_io import load_mesh
from tests.fakes.shaped_head import write_shaped_head
from tools.rigs.ict import ict_rig

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


@pytest.mark.parametrize("seed", ["", "1"])
def test_another_artists_shapes_tell_what_is_seen_on_the_face(shared_data: Path, seed: str) -> None:
    rig = ict_rig("ict", seed, shared_data / "rigs" / "ict_facekit.npz")
    names = tuple(rig.units)
    morphs = MorphTargets(names, np.stack([rig.units[name] for name in names]).astype(np.float32))
    mesh = replace(rig.mesh, morphs=morphs)
    with FaceFinder() as finder, Studio(mesh) as studio:
        seen = survey_head("head.glb", mesh, studio, finder)
        told = survey_by_shapes("head.glb", mesh, studio, finder.canonical.points)
    assert told is not None
    assert not contradicted("head.glb", seen)
    between = seen.placement.T_world_file @ np.linalg.inv(told.placement.T_world_file)
    off = np.linalg.norm((moved(told.landmarks, between) - seen.landmarks)[:, :2], axis=1) / FACE_HEIGHT
    assert np.median(off) < 0.025
    assert off[[133, 362, 159, 386, 61, 291, 13, 14, 4]].max() < 0.04, "corners, lids, lips and nose"


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


@pytest.mark.parametrize("scale", [0.0, 1e-9, 0.01, 1e9])
@pytest.mark.parametrize("every", [1, 400])
def test_shapes_that_are_noise_tell_nothing_and_break_nothing(person: Mesh, scale: float, every: int) -> None:
    rng = np.random.default_rng(int(1e9 * scale) % 1000)
    displacement = np.zeros((len(UNIT_NAMES), len(person.vertices), 3), dtype=np.float32)
    displacement[:, ::every] = scale * rng.normal(size=displacement[:, ::every].shape)
    told = shape_landmarks(replace(person, morphs=MorphTargets(UNIT_NAMES, displacement)))
    assert told is None or all(np.isfinite(point).all() for point in told.points.values())
    assert scale > 0 or told is None


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


def test_a_rig_of_a_head_without_a_face_names_its_own_shapes(animal_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"; or take the 52 ARKit shapes in its file, which need no face: --morphs$"):
        rig(RigOptions(avatar=str(animal_path), out=tmp_path / "rig.glb"))
    bare = tmp_path / "bare.obj"
    bare.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf 2 4 3\n")
    with pytest.raises(InputError) as refusal:
        rig(RigOptions(avatar=str(bare), out=tmp_path / "rig.glb"))
    assert "--morphs" not in str(refusal.value)


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
        change = engine.posed(weights, gaze_of(weights)) - rest
        expected = morphs.displacement[morphs.names.index(name)] @ animal.T_world_file[:3, :3].T
        np.testing.assert_allclose(change, expected, atol=1e-4, err_msg=name)


def test_for_other_programs_its_shapes_are_its_own(animal: Avatar, animal_path: Path) -> None:
    """`vfa rig --morphs`; without it they would be made anew, and nothing says of what."""
    assert own_unit_count(animal_path) == len(UNIT_NAMES)
    assert own_unit_count(animal_path.with_suffix(".obj")) == 0
    morphs = animal.file_mesh.morphs
    assert morphs is not None
    made = head_shapes(animal, targets("arkit")[:12])
    for shape in made.rigged.shapes:
        own = morphs.displacement[morphs.names.index(shape.name)]
        np.testing.assert_allclose(shape.dense(len(own)), own, atol=2e-5, err_msg=shape.name)


def test_its_eyes_go_where_the_driver_looks_unless_they_are_shut(animal: Avatar) -> None:
    engine = ExpressionEngine(animal, units=own_units(animal))
    assert animal.file_mesh.morphs is not None
    gaze = np.array([[0.2, 0.0], [0.2, 0.0]])
    rest = engine.posed(np.zeros(52), STILL)
    looks = np.abs(engine.posed(np.zeros(52), gaze) - rest).max()
    assert looks > 0.02
    shut = np.array([float(name.startswith("eyeBlink")) for name in UNIT_NAMES])
    np.testing.assert_allclose(engine.posed(shut, gaze), engine.posed(shut, STILL), atol=1e-6)


def test_of_its_blinks_the_last_is_finished(animal: Avatar) -> None:
    """Trackers leave a rest of an eye open."""
    engine = ExpressionEngine(animal, units=own_units(animal))
    blink = np.array([float(name.startswith("eyeBlink")) for name in UNIT_NAMES])
    rest = engine.posed(np.zeros(52), STILL)
    whole = np.linalg.norm(engine.posed(blink, STILL) - rest)
    for weight, least, most in ((0.5, 0.499, 0.501), (0.8, 0.799, 0.801), (0.95, 0.975, 1.0), (1.0, 0.999, 1.001)):
        assert least < np.linalg.norm(engine.posed(weight * blink, STILL) - rest) / whole < most


def test_its_shoulders_stay_and_its_face_goes_with_the_head(animal: Avatar) -> None:
    share, y = animal.rig.neck.share, animal.rig.rest[:, 1]
    assert share[y < y.min() + 0.1 * np.ptp(y)].max() < 0.05
    assert animal.file_mesh.morphs is not None
    seen = np.abs(animal.file_mesh.morphs.displacement).max(axis=(0, 2)) > 1e-3
    chin = animal.landmarks[152, 1]
    assert share[seen & (y > chin)].min() > 0.8


def test_its_pose_as_numbers_is_its_pose(animal: Avatar) -> None:
    """For graphics cards that make the vertices."""
    engine = ExpressionEngine(animal, units=own_units(animal))
    engine.defers = True
    rng = np.random.default_rng(3)
    T = np.eye(4)
    T[:3, :3] = rotation_matrix(np.array([0.1, 0.4, 0.0]))
    motion = FaceMotion(rng.uniform(0, 0.8, 52), rng.uniform(-0.3, 0.3, (2, 2)), T)
    engine.follow(FaceMotion.at_rest(), 0.0, 0)  # from which it eases to a motion
    pose = engine.follow(motion, 100.0, 1)
    assert pose.skin is not None
    context = create_context()
    try:
        mesh = GpuMesh(context, animal.display_mesh, None, False, None)
        mesh.set_pose(pose.skin)
        np.testing.assert_allclose(mesh.posed_vertices(), pose.vertices, atol=1e-4)
        mesh.release()
    finally:
        release_context(context)
    assert np.abs(pose.vertices - animal.rig.rest).max() > 0.1


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


def test_shapes_that_are_named_by_the_sides_of_the_picture_do_not_turn_a_face_away(
    person: Mesh, lowpoly: Avatar, caplog: pytest.LogCaptureFixture
) -> None:
    assert person.morphs is not None
    sides = {"Left": "Right", "Right": "Left"}
    names = tuple(re.sub("(Left|Right)$", lambda side: sides[side[0]], name) for name in person.morphs.names)
    mirrored = replace(person, morphs=replace(person.morphs, names=names))
    told = shape_landmarks(mirrored, usual=("y", "z"))
    assert told is not None
    assert told.front == "-z", "by its shapes alone it would look the other way"
    scale = FACE_HEIGHT / 0.18
    T = np.diag([scale, scale, scale, 1.0])
    T[1, 3] = scale * 0.03
    survey = Surveyed(mirrored, Placement(T, "y", "z", True, 0.0), lowpoly.landmarks.astype(float))
    with caplog.at_level("INFO"):
        assert not contradicted("person.glb", survey)  # type: ignore[arg-type]
    assert "left and right of its shapes" in caplog.text


def test_a_head_without_a_face_is_driven_by_the_shapes_that_vfa_rig_gave_it(animal: Avatar) -> None:
    morphs = animal.file_mesh.morphs
    assert morphs is not None
    rigged = replace(animal.file_mesh, morphs=replace(morphs, rigged=True))
    with Studio(rigged) as studio:
        assert looked_at("rigged.glb", rigged, studio, points=None, up=None, front=None).by_shapes
    bare = replace(rigged, morphs=None)
    keys = {_content_key(mesh, PreparationOptions(), None) for mesh in (rigged, bare, animal.file_mesh)}
    assert len(keys) == 3, "a bare mesh would take what moves nothing from the cache"


@dataclass(frozen=True)
class Surveyed:
    """What `contradicted` asks of a `HeadSurvey`."""

    mesh: Mesh
    placement: Placement
    landmarks: NDArray[np.float64]
