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


@pytest.fixture(scope="module")
def small_mouthed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    """The cow with half as wide a mouth, on a muzzle that falls back steeply below it."""
    folder = tmp_path_factory.mktemp("small_mouthed")
    points = json.loads(SPOT.read_text())["points"]
    points |= {"left_mouth_corner": [0.103, 0.224, -0.643], "upper_lip_edge": [0, 0.232, -0.649]}
    points |= {"lower_lip_edge": [0, 0.222, -0.644], "lower_lip_bottom": [0, 0.191, -0.622]}
    points |= {"upper_lip_top": [0, 0.253, -0.658], "chin": [0, 0.135, -0.553]}
    path = shared_data / "heads" / "spot" / "spot_triangulated.obj"
    options = PreparationOptions(landmarks=written(folder, {"version": 1, "points": points}))
    return prepare_avatar(path, options, cache_dir=folder)


def test_teeth_stay_behind_a_chin_that_falls_back(small_mouthed: Avatar) -> None:
    mesh, mouth = small_mouthed.display_mesh, small_mouthed.rig.mouth
    parts = {part.name: mesh.faces[part.first_face : part.first_face + part.face_count] for part in mesh.parts}
    skin = mesh.vertices[parts["mesh"]].astype(float)
    for name in ("teeth_upper", "teeth_lower"):
        teeth = mesh.vertices[np.unique(parts[name])][::5].astype(float)
        covered = np.array([outermost(skin, at) > at[2] + 0.02 * mouth.width for at in teeth])
        assert covered.all(), f"{(~covered).sum()} of {len(teeth)} points of {name} show through the skin"


def outermost(triangles: np.ndarray, at: np.ndarray) -> float:
    """How far out (z) the outermost of triangles [F, 3, 3] lies before or behind a point [3]; -inf where none does."""
    start, one, other = triangles[:, 0], *(triangles[:, k] - triangles[:, 0] for k in (1, 2))
    area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    area = np.where(area == 0, np.nan, area)
    off = at - start
    u = (off[:, 0] * other[:, 1] - off[:, 1] * other[:, 0]) / area
    v = (one[:, 0] * off[:, 1] - one[:, 1] * off[:, 0]) / area
    inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    return float((start[:, 2] + u * one[:, 2] + v * other[:, 2])[inside].max(initial=-np.inf))


def test_a_muzzle_refined_around_the_mouth_stays_round(cow: Avatar) -> None:
    mesh, mouth = cow.display_mesh, cow.rig.mouth
    own = mesh.parts[0]
    skin = trimesh.Trimesh(mesh.vertices, mesh.faces[own.first_face : own.first_face + own.face_count], process=False)
    middle = mesh.vertices[skin.face_adjacency_edges].mean(axis=1)
    off = (middle - mouth.upper[16]) @ mouth.frame.T / mouth.width
    beside = (np.abs(off[:, 0]) < 0.3) & (np.abs(off[:, 1]) > 0.05) & (np.abs(off[:, 1]) < 0.25) & (off[:, 2] > -0.3)
    assert beside.sum() > 200
    assert np.degrees(skin.face_adjacency_angles[beside].max()) < 6.0


def test_too_few_points_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "ball.obj"
    path.write_text(trimesh.creation.icosphere(3).export(file_type="obj"))
    given = written(tmp_path, {"version": 1, "points": {"chin": 0}})
    with pytest.raises(InputError, match="required landmarks are missing"):
        prepare_avatar(path, PreparationOptions(landmarks=given), cache_dir=tmp_path)
    assert not list(tmp_path.glob("*.npz"))
