"""Landmarks placed by hand: their file, their mirror images, all 478 made from them, and a cow that speaks."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from calib.avatar import Avatar, prepare_avatar
from calib.preparation_options import PreparationOptions
from calib.rig.controllers import Role
from calib.survey.hand_landmarks import (
    GUIDE,
    LANDMARK_OF,
    completed,
    load_hand_landmarks,
    missing_points,
    save_hand_landmarks,
    symmetry_plane,
)
from calib.survey.hand_placement import place_by_hand, warped_landmarks
from calib.survey.placement import FACE_HEIGHT, axis_rotation
from capture.face.face_model_file import find_face_model
from core.canonical_face import load_canonical_face
from core.errors import InputError
from core.mesh import Mesh
from engine.motion.retarget import Retargeter

SPOT = Path(__file__).with_name("spot_landmarks.json")
Points = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def canonical() -> np.ndarray:
    return load_canonical_face(find_face_model()).points


def placed(landmarks: np.ndarray, *, left_only: bool) -> Points:
    """What a person would place on a face whose 478 landmarks are known."""
    every = {name: landmarks[number].astype(float) for name, number in LANDMARK_OF.items()}
    return {name: at for name, at in every.items() if not (left_only and name.startswith("right_"))}


def written(folder: Path, content: object) -> Path:
    path = folder / "points.json"
    path.write_text(json.dumps(content))
    return path


def test_a_file_comes_back_and_vertex_numbers_are_positions(tmp_path: Path, sheet: Mesh) -> None:
    save_hand_landmarks(tmp_path / "p.json", {"chin": np.array([0.1, 0.2, 0.3])})
    assert load_hand_landmarks(tmp_path / "p.json", sheet)["chin"].tolist() == [0.1, 0.2, 0.3]
    loaded = load_hand_landmarks(written(tmp_path, {"version": 1, "points": {"chin": 7}}), sheet)
    np.testing.assert_array_equal(loaded["chin"], sheet.vertices[7].astype(float))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "not a file of landmarks"),
        ({"version": 2, "points": {}}, "not a file of landmarks"),
        ({"version": 1, "points": {"left_eye_otter": [0, 0, 0]}}, "did you mean left_eye_outer"),
        ({"version": 1, "points": {"chin": [0, 0]}}, "three numbers"),
        ({"version": 1, "points": {"chin": [0, 0, "x"]}}, "three numbers"),
        ({"version": 1, "points": {"chin": True}}, "three numbers"),
        ({"version": 1, "points": {"chin": 10**9}}, "the mesh has 315"),
        ({"version": 1, "points": {"chin": [0, 0, 1e300]}}, "three numbers"),
        ({"version": 1, "points": {"chin": [0, 0, float("nan")]}}, "NaN, which is no JSON number"),
        ({"version": 1, "points": {"chin": [0, 0, 10**400]}}, "401 digits"),
        ({"version": 1, "points": {"chin": 10**18}}, "the mesh has 315"),
        ("x" * 70000, "65536 at most"),
    ],
)
def test_other_files_are_one_line_that_names_them(tmp_path: Path, sheet: Mesh, content: object, says: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=says) as refusal:
        load_hand_landmarks(path, sheet)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_face_that_is_a_dot_on_its_mesh_is_refused(sheet: Mesh, canonical: np.ndarray) -> None:
    points = placed(canonical * 1e-200, left_only=False)
    with pytest.raises(InputError, match="own coordinates"):
        completed("p.json", points, sheet, canonical)


def test_what_is_missing_is_named(sheet: Mesh, canonical: np.ndarray) -> None:
    points = placed(canonical, left_only=True)
    del points["chin"]
    assert missing_points(points) == ["chin"]
    with pytest.raises(InputError, match=r"chin.*--place-landmarks"):
        completed("p.json", points, sheet, canonical)
    assert missing_points({}) == [guide.name for guide in GUIDE if guide.required]


def test_points_of_another_file_are_refused(sheet: Mesh, canonical: np.ndarray) -> None:
    far = {name: at + 5.0 for name, at in placed(canonical, left_only=True).items()}
    with pytest.raises(InputError, match="away from the mesh"):
        completed("p.json", far, sheet, canonical)


@pytest.mark.parametrize("left_only", [True, False])
def test_the_plane_between_both_sides_is_found_however_the_head_is_turned(
    canonical: np.ndarray, left_only: bool
) -> None:
    turn = axis_rotation("z", "-y").T @ axis_rotation("y", "z")
    head = 40 * canonical @ turn.T + [3, -2, 9]
    plane = symmetry_plane(placed(head, left_only=left_only), canonical)
    np.testing.assert_allclose(plane.normal, turn[:, 0], atol=0.01)
    off = np.linalg.norm(plane.mirror(head[33]) - head[263])
    assert off < 0.02 * np.linalg.norm(head[33] - head[263])


def test_a_long_snout_does_not_tilt_the_plane(canonical: np.ndarray) -> None:
    snout = canonical.copy()
    snout[:, 2] += np.exp(-((snout[:, 1] + 0.03) ** 2 + snout[:, 0] ** 2) / 0.001) * 0.15
    plane = symmetry_plane(placed(snout, left_only=True), canonical)
    assert abs(plane.normal[0]) > np.cos(np.radians(1.5))


def test_a_human_face_comes_out_as_if_it_were_found(lowpoly: Avatar, canonical: np.ndarray) -> None:
    found = lowpoly.landmarks.astype(float)
    made = warped_landmarks(placed(found, left_only=False), canonical)
    off = np.linalg.norm(made - found, axis=1) / FACE_HEIGHT
    assert np.median(off) < 0.02
    assert np.quantile(off, 0.95) < 0.06


def test_it_stands_as_its_file_says_or_as_stated(lowpoly: Avatar, canonical: np.ndarray) -> None:
    head = lowpoly.landmarks.astype(float) @ axis_rotation("z", "-y")  # z up, looking along −y
    placement, landmarks = place_by_hand(placed(head, left_only=False), canonical)
    assert (placement.up, placement.front, placement.guessed) == ("z", "-y", True)
    assert np.ptp(landmarks[[10, 152], 1]) == pytest.approx(FACE_HEIGHT, rel=0.05)
    stated, _ = place_by_hand(placed(head, left_only=False), canonical, "z", "-y")
    assert not stated.guessed


@pytest.fixture(scope="module")
def cow(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    path = shared_data / "heads" / "spot" / "spot_triangulated.obj"
    return prepare_avatar(path, PreparationOptions(landmarks=SPOT), cache_dir=tmp_path_factory.mktemp("cow"))


def driven(cow: Avatar, moved: np.ndarray) -> np.ndarray:
    return Retargeter(cow.rig).vertices(moved, np.zeros((2, 2)))


def test_a_cow_is_placed_upright_with_its_mouth_and_eyes(cow: Avatar) -> None:
    assert "up y, facing -z" in cow.description
    assert cow.rig.mouth.closed
    assert cow.rig.mouth.width == pytest.approx(0.6, rel=0.15)
    for eye in cow.rig.eyes:
        assert eye.aperture.max() > 1.5 * eye.width  # tall painted eyes stay as tall as they are


def test_a_cow_opens_its_mouth_without_tearing(cow: Avatar) -> None:
    rest, faces = cow.rig.rest, cow.display_mesh.faces
    moved = np.zeros((len(cow.controllers.rest), 3))
    lower = cow.controllers.rest[:468, 1] < cow.rig.mouth.lower[16, 1] - 1e-3
    near = np.abs(cow.controllers.rest[:468, 0]) < 0.7 * cow.rig.mouth.width
    moved[:468][lower & near, 1] = -0.1
    rim = cow.controllers.of(Role.LOWER_LIP)
    moved[rim, 1] = -0.1 * np.sin(np.pi * cow.controllers.along[rim])
    vertices = driven(cow, moved)
    own = len(cow.file_mesh.vertices)
    assert np.linalg.norm(vertices - rest, axis=1).max() < 0.25
    assert (vertices[:own] - rest[:own])[:, 1].min() < -0.08
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    edges = edges[(edges < own).all(axis=1)]  # the file's own surface: nothing is pulled apart
    before, after = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (rest, vertices))
    assert (after - before).max() < 0.12


def test_a_cow_shuts_its_eyes(cow: Avatar) -> None:
    moved = np.zeros((len(cow.controllers.rest), 3))
    vertices = Retargeter(cow.rig).vertices(moved, np.zeros((2, 2)), lids=np.array([[1.0, 0.0]] * 2))
    for lids, rig in zip(cow.rig.lids, cow.rig.eyes, strict=True):
        upper, lower = vertices[lids.rims[:2, 4:-4, 0]]
        assert np.abs((upper - lower) @ rig.frame[1]).max() < 0.15 * rig.aperture.max()
    assert np.isfinite(vertices).all()
    assert np.linalg.norm(vertices - cow.rig.rest, axis=1).max() < 1.2 * max(e.aperture.max() for e in cow.rig.eyes)


def test_too_few_points_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "ball.obj"
    path.write_text(trimesh.creation.icosphere(3).export(file_type="obj"))
    given = written(tmp_path, {"version": 1, "points": {"chin": 0}})
    with pytest.raises(InputError, match="required landmarks are missing"):
        prepare_avatar(path, PreparationOptions(landmarks=given), cache_dir=tmp_path)
    assert not list(tmp_path.glob("*.npz"))
