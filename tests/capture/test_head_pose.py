"""The rigid pose solver against poses that are known."""

import cv2
import numpy as np
import pytest

from capture.face import head_pose
from capture.face.head_pose import HeadPose, PoseTask, solve_head_pose
from core.canonical_face import CanonicalFace
from core.rigid_motion import fit_similarity


@pytest.fixture(autouse=True, params=("compiled", "numpy"))
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it twice: with a compiler and without one."""
    if request.param == "numpy":
        monkeypatch.setattr(head_pose, "compiled_kernels", lambda: None)


FACING = np.diag([1.0, -1.0, -1.0])


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    turns = [cv2.Rodrigues(np.radians(axis))[0] for axis in ([0, yaw_deg, 0], [pitch_deg, 0, 0], [0, 0, roll_deg])]
    return FACING @ turns[0] @ turns[1] @ turns[2]


def task(
    face: CanonicalFace, turn: np.ndarray, at: np.ndarray, *, absolute: bool, pixels: float = 0.0, seed: int = 0
) -> PoseTask:
    """What a camera with a focal length of 600 px sees, with noise of so many pixels."""
    stable = np.flatnonzero(face.stable_weights)
    points = face.points[stable]
    seen = points @ turn.T + at
    noise = np.random.default_rng(seed).normal(0, pixels / 600, (len(points), 3))
    rays = seen[:, :2] / seen[:, 2:] + noise[:, :2]
    depth = seen[:, 2] + noise[:, 2] * at[2] if absolute else (seen[:, 2] - 0.3) / at[2] + noise[:, 2]
    return PoseTask(points, face.stable_weights[stable], rays, depth, np.ones(len(points)), absolute)


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))))


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("turn", [(0, 0, 0), (30, 0, 0), (-50, 10, 15), (0, -25, 0), (20, 20, -40)])
def test_an_exact_picture_gives_the_exact_pose(
    face: CanonicalFace, turn: tuple[float, float, float], absolute: bool
) -> None:
    expected, at = rotation(*turn), np.array([0.08, -0.05, 0.5])
    pose = solve_head_pose(task(face, expected, at, absolute=absolute))
    assert angle_deg(pose.rotation, expected) < 0.05
    np.testing.assert_allclose(pose.translation, at, atol=5e-4)


def test_noise_stays_small(face: CanonicalFace) -> None:
    expected, at = rotation(15, -10, 5), np.array([0.0, 0.0, 0.6])
    errors = [
        angle_deg(solve_head_pose(task(face, expected, at, absolute=False, pixels=1, seed=seed)).rotation, expected)
        for seed in range(20)
    ]
    assert np.median(errors) < 0.5


def test_outliers_hardly_count(face: CanonicalFace) -> None:
    expected, at = rotation(10, 5, 0), np.array([0.0, 0.0, 0.6])
    exact = task(face, expected, at, absolute=True)
    rays = exact.rays.copy()
    rays[::8] += 0.04  # one in eight is off by 24 pixels: a hand, hair
    pose = solve_head_pose(PoseTask(exact.points, exact.weights, rays, exact.depth, exact.depth_weight, True))
    assert angle_deg(pose.rotation, expected) < 1.0
    assert abs(pose.translation[2] - 0.6) < 0.004


def test_similarity_is_inverted(face: CanonicalFace) -> None:
    turn, offset = rotation(40, -20, 10), np.array([1.0, -2.0, 3.0])
    scale, found, shift = fit_similarity(face.points, 2.5 * face.points @ turn.T + offset, np.ones(478))
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(found, turn, atol=1e-9)
    np.testing.assert_allclose(shift, offset, atol=1e-9)


def test_a_similarity_never_mirrors(face: CanonicalFace) -> None:
    _, found, _ = fit_similarity(face.points, face.points * (-1, 1, 1), np.ones(478))
    assert np.linalg.det(found) == pytest.approx(1.0)


def test_matrix_and_apply_agree(face: CanonicalFace) -> None:
    pose = HeadPose(rotation(10, 20, 30), np.array([0.1, 0.2, 0.6]), 0.0)
    homogeneous = np.column_stack([face.points, np.ones(478)]) @ pose.matrix().T
    np.testing.assert_allclose(pose.apply(face.points), homogeneous[:, :3])
