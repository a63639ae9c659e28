"""Lifting landmarks to metres: an average face, a person seen by a depth camera, and what such a camera gets wrong."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from capture.face import depth_sampling, head_pose
from capture.face.face_depth import draw_depth
from capture.face.face_landmarker import FaceLandmarks
from capture.face.face_lifting import FaceLifter, LiftedFace
from capture.face.lifting_kernels import compiled_kernels
from core.camera import Intrinsics
from core.canonical_face import CanonicalFace
from core.face_regions import LOWER_MOUTH_LINE, UPPER_MOUTH_LINE

CAMERA = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
DISTANCE_M = 0.6
WALL_M = 1.5
LOWER = np.array([*LOWER_MOUTH_LINE[1:-1], 16, 17, 85, 315, 84, 314, 86, 316, 15, 152, 199, 200, 18])
MOUTH_EDGE = [*UPPER_MOUTH_LINE[2:-2], *LOWER_MOUTH_LINE[2:-2]]


@pytest.fixture(autouse=True, params=("compiled", "numpy"))
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it twice: with a compiler and without one."""
    if request.param == "numpy":
        _without_kernels(monkeypatch)


def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (head_pose, depth_sampling):
        monkeypatch.setattr(module, "compiled_kernels", lambda: None)


def posed(points: NDArray[np.float64], yaw_deg: float, distance_m: float = DISTANCE_M) -> NDArray[np.float64]:
    turn = np.diag([1.0, -1.0, -1.0]) @ cv2.Rodrigues(np.radians([0.0, yaw_deg, 0.0]))[0]
    return points @ turn.T + (0, 0, distance_m)


def seen(points: NDArray[np.float64]) -> FaceLandmarks:
    """What a perfect tracker says of camera points."""
    middle = points[:, 2].mean()
    z_px = (points[:, 2] - middle) * CAMERA.fx / middle
    return FaceLandmarks(CAMERA.project(points), z_px, np.zeros(52, np.float32))


def with_open_mouth(face: CanonicalFace, drop_m: float = 0.02) -> NDArray[np.float64]:
    points = face.points.copy()
    points[LOWER, 1] -= drop_m
    return points


def head_points(lifted: LiftedFace) -> NDArray[np.float64]:
    pose = lifted.T_camera_head
    return (lifted.landmarks_m - pose[:3, 3]) @ pose[:3, :3]


def sensor(
    face: CanonicalFace, points: NDArray[np.float64], triangles: NDArray[np.int32] | None = None
) -> NDArray[np.float32]:
    """The face before a wall."""
    chosen = face.triangles if triangles is None else triangles
    depth_m = draw_depth(points.astype(np.float32), chosen, CAMERA)
    return np.where(depth_m > 0, depth_m, np.float32(WALL_M))


@pytest.mark.parametrize("yaw_deg", [0.0, 25.0, -40.0])
def test_color_only_gives_an_average_face_back(face: CanonicalFace, yaw_deg: float) -> None:
    lifted = FaceLifter(face).lift(seen(posed(face.points, yaw_deg)), CAMERA, None)
    assert np.abs(head_points(lifted) - face.points).mean() < 1e-3
    assert np.linalg.norm(head_points(lifted)[468] - head_points(lifted)[473]) == pytest.approx(0.063, rel=0.03)


def test_landmarks_project_to_where_they_were_seen(face: CanonicalFace) -> None:
    found = seen(posed(face.points, 20.0))
    depth_m = sensor(face, posed(face.points * 1.1, 20.0))
    for depth in (None, depth_m):
        lifted = FaceLifter(face).lift(found, CAMERA, depth)
        np.testing.assert_allclose(CAMERA.project(lifted.landmarks_m), found.px, atol=1e-3)


def test_stable_points_stay_put_while_the_head_turns_and_expressions_survive(face: CanonicalFace) -> None:
    lifter, stable = FaceLifter(face), face.stable_weights > 0
    opened = with_open_mouth(face)
    opened[[61, 291], 2] += 0.01  # corners of the mouth come forward
    heads = [head_points(lifter.lift(seen(posed(opened, yaw)), CAMERA, None)) for yaw in (-30, -10, 0, 15, 30)]
    assert np.std(heads, axis=0)[stable].max() < 1e-3
    moved = np.mean(heads, axis=0) - head_points(lifter.lift(seen(posed(face.points, 0)), CAMERA, None))
    assert moved[14, 1] == pytest.approx(-0.02, abs=0.002)
    assert moved[61, 2] == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("size", [0.85, 1.0, 1.2])
def test_depth_tells_the_size_and_the_place_of_the_person(face: CanonicalFace, size: float) -> None:
    points = posed(face.points * size, 15.0, 0.55)
    lifted = FaceLifter(face).lift(seen(points), CAMERA, sensor(face, points))
    error = np.linalg.norm(lifted.landmarks_m - points, axis=1)
    assert np.median(error) < 1e-3
    assert abs(lifted.T_camera_head[2, 3] - 0.55) < 0.003
    assert lifted.confidence > 0.8


def test_depth_shows_a_shape_the_average_face_lacks(face: CanonicalFace) -> None:
    person = face.points.copy()
    cheek = np.linalg.norm(person - person[50], axis=1) < 0.025
    person[cheek, 2] += 0.008  # a swollen cheek the tracker does not see
    average = posed(face.points, 0.0)
    lifted = FaceLifter(face).lift(seen(average), CAMERA, sensor(face, posed(person, 0.0)))
    assert average[50, 2] - lifted.landmarks_m[50, 2] == pytest.approx(0.008, abs=0.0025)
    assert abs(average[280, 2] - lifted.landmarks_m[280, 2]) < 0.0025  # the other one


def test_lips_do_not_fall_into_the_open_mouth(face: CanonicalFace) -> None:
    points = posed(with_open_mouth(face), 0.0)
    inside = {*UPPER_MOUTH_LINE, *LOWER_MOUTH_LINE[1:-1]}
    skin = np.array([tri for tri in face.triangles.tolist() if not set(tri) <= inside], np.int32)
    depth_m = sensor(face, points, skin)
    opening = CAMERA.project(points[[*UPPER_MOUTH_LINE, *LOWER_MOUTH_LINE[-2:0:-1]]]).astype(int)
    mouth = cv2.fillConvexPoly(np.zeros(depth_m.shape, np.uint8), opening, 1)
    depth_m[(mouth > 0) & (depth_m == WALL_M)] = points[13, 2] + 0.04  # the throat
    lifted = FaceLifter(face).lift(seen(points), CAMERA, depth_m)
    assert np.abs(lifted.landmarks_m[MOUTH_EDGE, 2] - points[MOUTH_EDGE, 2]).max() < 0.004


def test_flying_pixels_noise_and_holes_are_not_followed(face: CanonicalFace) -> None:
    rng = np.random.default_rng(3)
    points = posed(face.points, 20.0)
    clean = sensor(face, points)
    kernel = np.ones((5, 5), np.uint8)
    near, far = cv2.erode(clean, kernel), cv2.dilate(clean, kernel)
    mixed = near + (far - near) * rng.random(clean.shape, dtype=np.float32)
    depth_m = np.where(far - near > 0.05, mixed, clean) + rng.normal(0, 0.0015, clean.shape).astype(np.float32)
    depth_m[rng.random(clean.shape) < 0.3] = 0.0
    lifted = FaceLifter(face).lift(seen(points), CAMERA, depth_m.astype(np.float32))
    error = np.abs(lifted.landmarks_m[:, 2] - points[:, 2])
    assert np.median(error) < 0.0015
    assert error.max() < 0.012  # nothing hangs in the air between the face and the wall


def test_landmarks_without_a_reading_are_filled(face: CanonicalFace) -> None:
    points = posed(face.points * 1.1, 0.0)
    depth_m = sensor(face, points)
    x, y = CAMERA.project(points)[280]
    depth_m[int(y) - 25 : int(y) + 25, int(x) - 25 : int(x) + 25] = 0.0  # a hole over one cheek
    lifted = FaceLifter(face).lift(seen(points), CAMERA, depth_m)
    assert abs(lifted.landmarks_m[280, 2] - points[280, 2]) < 0.003


def test_a_frame_whose_depth_fails_keeps_the_size_known_before(face: CanonicalFace) -> None:
    lifter = FaceLifter(face)
    points = posed(face.points * 1.15, 0.0)
    for _ in range(3):
        lifter.lift(seen(points), CAMERA, sensor(face, points))
    lifted = lifter.lift(seen(points), CAMERA, np.zeros((480, 640), np.float32))
    assert np.median(np.abs(lifted.landmarks_m - points)) < 0.003
    assert lifted.confidence < 0.7


def test_depth_of_something_else_is_not_taken_for_the_face(face: CanonicalFace) -> None:
    points = posed(face.points, 0.0)
    lifted = FaceLifter(face).lift(seen(points), CAMERA, np.full((480, 640), 3.0, np.float32))  # a wall behind
    assert abs(lifted.T_camera_head[2, 3] - DISTANCE_M) < 0.01


def test_confidence_falls_as_the_face_turns_away(face: CanonicalFace) -> None:
    values = [FaceLifter(face).lift(seen(posed(face.points, yaw)), CAMERA, None).confidence for yaw in (0, 60, 75)]
    assert values[0] > 0.95
    assert values[0] > values[1] > values[2]


def test_landmarks_outside_the_picture_are_harmless(face: CanonicalFace) -> None:
    points = posed(face.points, 0.0) + np.array([0.30, 0.0, 0.0])
    lifted = FaceLifter(face).lift(seen(points), CAMERA, sensor(face, points))
    assert np.isfinite(lifted.landmarks_m).all()
    assert np.median(np.abs(lifted.landmarks_m - points)) < 0.005


@pytest.mark.parametrize("distance_m", [0.3, 0.7, 2.5])
@pytest.mark.parametrize("shift_px", [0, 290])
def test_the_compiled_kernels_do_what_numpy_does(
    face: CanonicalFace, monkeypatch: pytest.MonkeyPatch, distance_m: float, shift_px: int
) -> None:
    """Near, far, partly beside the picture; with noise, holes and what no reading is."""
    if compiled_kernels() is None:
        pytest.skip("needs a C compiler")
    random, points = np.random.default_rng(0), posed(face.points * 1.1, 20.0, distance_m)
    found = seen(points + random.normal(0, 0.001, points.shape))
    found = FaceLandmarks(found.px + np.array([shift_px, 0]), found.z_px, found.scores)
    depth_m = sensor(face, points) + random.normal(0, 0.004, (CAMERA.height, CAMERA.width)).astype(np.float32)
    depth_m[random.random(depth_m.shape) < 0.2] = 0.0
    depth_m[random.random(depth_m.shape) < 0.02] = -1.0
    depth_m = np.roll(depth_m, shift_px, axis=1)
    compiled = FaceLifter(face).lift(found, CAMERA, depth_m)
    _without_kernels(monkeypatch)
    plain = FaceLifter(face).lift(found, CAMERA, depth_m)
    np.testing.assert_allclose(compiled.landmarks_m, plain.landmarks_m, atol=1e-6)
    np.testing.assert_allclose(compiled.T_camera_head, plain.T_camera_head, atol=1e-6)
    assert compiled.confidence == pytest.approx(plain.confidence, abs=1e-6)
