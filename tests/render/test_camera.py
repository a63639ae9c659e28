"""Cameras: inverses, conventions, and the round trip through the printed command line."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.camera import PUBLISHED_INTRINSICS, Intrinsics, OrbitCamera, gl_projection, look_at, transform_points
from core.errors import InputError

CAMERA = Intrinsics(500.0, 510.0, 300.0, 250.0, 640, 480)


def test_unproject_inverts_project_and_keeps_the_dtype():
    points = np.random.default_rng(0).uniform((-1, -1, 1), (1, 1, 3), (50, 3))
    np.testing.assert_allclose(CAMERA.unproject(CAMERA.project(points), points[:, 2]), points, atol=1e-12)
    assert CAMERA.project(points.astype(np.float32)).dtype == np.float32


def test_project_agrees_with_the_camera_matrix():
    point = np.array([0.2, -0.1, 1.7])
    homogeneous = CAMERA.matrix() @ point
    np.testing.assert_allclose(CAMERA.project(point), homogeneous[:2] / homogeneous[2])


def test_crop_and_resize_move_pixels_as_they_move_the_picture():
    points = np.array([[0.1, 0.2, 1.5], [-0.2, 0.1, 2.0]])
    pixels = CAMERA.project(points)
    np.testing.assert_allclose(CAMERA.crop(40, 30, 200, 100).project(points), pixels - [40, 30])
    np.testing.assert_allclose(CAMERA.resized(320, 120).project(points), pixels * [0.5, 0.25])


def test_fitted_shows_the_whole_picture_centred():
    window = PUBLISHED_INTRINSICS.fitted(960, 720)
    assert (window.cx, window.cy, window.fx) == (480.0, 360.0, pytest.approx(1000 * 720 / 256))
    assert PUBLISHED_INTRINSICS.fitted(256, 512).cy == 256.0


@pytest.mark.parametrize(
    "arguments",
    [(0, 1, 0, 0, 4, 4), (1, -1, 0, 0, 4, 4), (1, 1, math.nan, 0, 4, 4), (1, 1, 0, 0, 0, 4), (1, 1, 0, 0, 4, 2.5)],
)
def test_impossible_intrinsics_are_refused(arguments):
    with pytest.raises(ValueError, match="got"):
        Intrinsics(*arguments)


def test_published_camera_sees_right_up_and_nearer_as_documented():
    view = look_at((0, 0, 8))
    pixels = PUBLISHED_INTRINSICS.project(transform_points(view, np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])))
    np.testing.assert_allclose(pixels, [[128, 128], [128 + 62.5, 128], [128, 128 - 62.5]])
    assert transform_points(view, np.array([0.0, 0.0, 1.0]))[2] == pytest.approx(7.0)


@given(*(st.floats(-5, 5) for _ in range(3)))
def test_look_at_is_rigid_and_centres_its_target(x, y, z):
    target = np.array([0.3, -0.2, 6.5])
    view = look_at((x, y, z), target)
    np.testing.assert_allclose(view[:3, :3] @ view[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(view[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(transform_points(view, target)[:2], 0, atol=1e-9)


def test_gl_projection_puts_pixel_corners_on_clip_corners_and_planes_on_its_ends():
    matrix = gl_projection(CAMERA, 0.5, 4.0)
    corners = np.array([[0.0, 0.0], [640, 480], [320, 240]])
    for depth, clip_z in ((0.5, -1.0), (4.0, 1.0)):
        points = CAMERA.unproject(corners, np.full(3, depth))
        clip = np.c_[points, np.ones(3)] @ matrix.T
        np.testing.assert_allclose(clip[:, :2] / clip[:, 3:], [[-1, 1], [1, -1], [0, 0]], atol=1e-12)
        np.testing.assert_allclose(clip[:, 2] / clip[:, 3], clip_z, atol=1e-12)
    with pytest.raises(ValueError, match="near"):
        gl_projection(CAMERA, 2.0, 1.0)


def test_orbit_there_and_back_pan_zoom_reset_and_print():
    camera = OrbitCamera()
    camera.orbit(0.3, 0.2)
    assert camera.eye[0] > 0 < camera.eye[1]
    assert np.linalg.norm(camera.eye) == pytest.approx(8)
    camera.orbit(-0.3, -0.2)
    np.testing.assert_allclose(camera.eye, [0, 0, 8], atol=1e-12)
    camera.pan(0.1, 0.2)
    np.testing.assert_allclose(camera.translation, [0.1, 0.2, 0], atol=1e-12)
    camera.zoom(2)
    assert camera.command_line() == "--eye 0 0 4 --translation 0.1 0.2 0"
    again = OrbitCamera([0, 0, 4], [0.1, 0.2, 0])
    np.testing.assert_allclose(again.T_camera_world(), camera.T_camera_world(), atol=1e-9)
    camera.reset()
    assert camera.command_line() == "--eye 0 0 8 --translation 0 0 0"


def test_orbit_stops_before_the_poles():
    camera = OrbitCamera()
    camera.orbit(0.0, 10.0)
    assert 0 < camera.eye[1] < 8
    assert np.isfinite(camera.T_camera_world()).all()


@pytest.mark.parametrize("eye", [(0, 0, 0), (math.nan, 0, 1)])
def test_impossible_eye_is_a_plain_message(eye):
    with pytest.raises(InputError, match=r"--eye .* choose another point"):
        OrbitCamera(eye)


@pytest.mark.parametrize("above", [8.0, -8.0])
def test_from_straight_above_or_below_the_head_is_seen_as_after_a_turn_there(above):
    camera, beside = OrbitCamera([0, above, 0]), OrbitCamera([0, above, 0.05])
    np.testing.assert_allclose(camera.T_camera_world(), beside.T_camera_world(), atol=0.1)
    camera.pan(0.1, 0.0)
    camera.orbit(0.1, 0.0)
    assert np.isfinite(camera.T_camera_world()).all()


def test_limits_hold_for_every_way_nearer_and_a_view_beyond_them_is_only_left():
    camera = OrbitCamera(nearest=2.0, farthest=20.0)
    camera.zoom(100)
    np.testing.assert_allclose(camera.eye, [0, 0, 2])
    camera.shift(np.array([0.0, 0.0, 0.5]))
    np.testing.assert_allclose(camera.translation, 0)
    camera.zoom(1 / 100)
    np.testing.assert_allclose(camera.eye, [0, 0, 20])
    inside = OrbitCamera([0, 0, 1], nearest=2.0)
    inside.zoom(1.5)
    np.testing.assert_allclose(inside.eye, [0, 0, 1])
    inside.zoom(0.8)
    np.testing.assert_allclose(inside.eye, [0, 0, 1.25])
