"""Depth drawn from the face's surface."""

import numpy as np
import pytest

from capture.face.face_depth import draw_depth, lift_depth
from capture.face.face_tracker import untracked
from core.camera import Intrinsics
from core.canonical_face import CanonicalFace
from core.frame import FaceObservation, RgbdFrame

CAMERA = Intrinsics(300.0, 310.0, 80.0, 60.0, 160, 120)


def observation(face: CanonicalFace, distance_m: float = 0.6) -> FaceObservation:
    frame = RgbdFrame(np.zeros((120, 160, 3), np.uint8), None, CAMERA, 0.0, 0)
    points = (face.points @ np.diag([1.0, -1.0, -1.0]) + (0, 0, distance_m)).astype(np.float32)
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = distance_m
    return FaceObservation(frame, True, 1.0, CAMERA.project(points), points, pose, np.zeros(52, np.float32))


def test_a_slanted_triangle_has_the_depth_of_its_plane() -> None:
    corners = np.array([[-0.2, -0.15, 0.5], [0.2, -0.1, 0.9], [0.0, 0.2, 0.7]], np.float32)
    depth_m = draw_depth(corners, np.array([[0, 1, 2]], np.int32), CAMERA)
    rows, columns = np.nonzero(depth_m)
    assert len(rows) > 1000
    inside = CAMERA.unproject(np.column_stack([columns, rows]) + 0.5, depth_m[rows, columns].astype(float))
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    off = np.abs((inside - corners[0]) @ normal) / np.linalg.norm(normal)
    assert np.percentile(off, 95) < 1e-4
    assert off.max() < 0.01  # the rim, where a pixel's centre may lie just outside


def test_the_nearer_surface_wins_whatever_the_order() -> None:
    square = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]], np.float32)
    points = np.concatenate([square + np.array([0, 0, z]) for z in (0.5, 0.8)]).astype(np.float32)
    near, far = [[0, 1, 2], [0, 2, 3]], [[4, 5, 6], [4, 6, 7]]
    for triangles in (near + far, far + near):
        assert draw_depth(points, np.array(triangles, np.int32), CAMERA)[60, 80] == pytest.approx(0.5)


def test_landmarks_lie_on_the_lifted_depth(face: CanonicalFace) -> None:
    seen = observation(face)
    depth_m = lift_depth(seen, face)
    front = [1, 4, 9, 50, 280, 151, 199, 205, 425]
    columns, rows = np.floor(seen.landmarks_px[front]).astype(int).T
    np.testing.assert_allclose(depth_m[rows, columns], seen.landmarks_m[front, 2], atol=0.003)
    assert depth_m[0, 0] == 0
    assert 0.05 < (depth_m > 0).mean() < 0.6


def test_another_window_shows_the_same_face(face: CanonicalFace) -> None:
    seen = observation(face)
    whole = lift_depth(seen, face)
    window = lift_depth(seen, face, CAMERA.crop(40, 20, 80, 80))
    both = (whole[20:100, 40:120] > 0) & (window > 0)
    apart = np.abs(window[both] - whole[20:100, 40:120][both])
    assert np.percentile(apart, 99) < 1e-5
    assert apart.max() < 0.003  # a pixel on an edge may go to either triangle


def test_no_face_no_depth(face: CanonicalFace) -> None:
    assert not lift_depth(untracked(observation(face).frame), face).any()


def test_a_face_beside_or_behind_the_camera_draws_nothing(face: CanonicalFace) -> None:
    assert not lift_depth(observation(face, -0.6), face).any()
