"""Depth registered to colour: against a plain z-buffer, and what has to hold for any scene. The vendor's library as the
oracle: test_kinect_library.py."""

import ctypes

import cv2
import numpy as np
import pytest

from capture.cameras.depth_kernels import Straightener, compiled_kernels
from capture.cameras.registration import DepthRegistration, LensCamera, RgbdCalibration, close_gaps
from core.camera import Intrinsics

LENS = np.array([0.55, -0.02, 2e-5, -7e-5, -0.0027, 0.89, 0.086, -0.014])
DEPTH = Intrinsics(252.0, 252.0, 166.4, 174.6, 320, 288)
COLOR = Intrinsics(305.9, 306.0, 319.9, 183.2, 640, 360)


@pytest.fixture(params=["numpy", "compiled"])
def kernels(request: pytest.FixtureRequest) -> ctypes.CDLL | None:
    """What does the work: OpenCV and NumPy, or the compiled kernels."""
    return None if request.param == "numpy" else native()


def native() -> ctypes.CDLL:
    library = compiled_kernels()
    if library is None:
        pytest.skip("no C compiler here")
    return library


def calibration(
    lens: np.ndarray = LENS, offset_m: tuple[float, float, float] = (-0.032, -0.002, 0.004)
) -> RgbdCalibration:
    tilt = np.radians(5.0)
    T_color_depth = np.eye(4)
    T_color_depth[1:3, 1:3] = [[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]]
    T_color_depth[:3, 3] = offset_m
    return RgbdCalibration(LensCamera(DEPTH, lens), LensCamera(COLOR, np.zeros(8)), T_color_depth)


def scene(seed: int = 0) -> np.ndarray:
    """A slanted wall behind a ball and a bar, with holes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:288, :320].astype(np.float32)
    depth = (1.2 + 0.001 * x + 0.0005 * y).astype(np.float32)
    ball = 80.0**2 - (x - 150) ** 2 - (y - 140) ** 2
    depth = np.where(ball > 0, 0.7 - 0.001 * np.sqrt(np.maximum(ball, 0)), depth)
    depth[60:70, 40:280] = 0.45
    depth[rng.random(depth.shape) < 0.05] = 0
    return depth.astype(np.float32)


def plainly(depth_m: np.ndarray, it: RgbdCalibration) -> np.ndarray:
    """Every reading on its own, the nearest wins: the slow twin. Distances in eighths of a millimetre."""
    rays = it.depth.rays()
    best = np.full((COLOR.height, COLOR.width), np.inf)
    for row, column in np.argwhere(depth_m > 0):
        point = depth_m[row, column] * np.array([*rays[row, column], 1.0])
        x, y, z = it.T_color_depth[:3, :3] @ point + it.T_color_depth[:3, 3]
        u, v = int(np.floor(COLOR.fx * x / z + COLOR.cx)), int(np.floor(COLOR.fy * y / z + COLOR.cy))
        if 0 <= u < COLOR.width and 0 <= v < COLOR.height:
            best[v, u] = min(best[v, u], z)
    ticks = np.where(np.isfinite(best), best * 8000, 0).astype(np.uint16)
    close_gaps(ticks)
    return ticks / 8000.0


@pytest.mark.parametrize("side", [-0.032, 0.032], ids=["color camera to the right", "to the left"])
def test_equal_to_the_plain_z_buffer(side: float, kernels: ctypes.CDLL | None) -> None:
    it = calibration(offset_m=(side, -0.002, 0.004))
    depth_m = scene()
    ours, plain = DepthRegistration(it, kernels=kernels)(depth_m), plainly(depth_m, it)
    # rounding to float32 may move a reading that falls between two pixels into the other one
    same = np.abs(ours - plain) < 2e-4
    assert same.mean() > 0.998
    assert (ours > 0).mean() == pytest.approx((plain > 0).mean(), abs=1e-3)


def test_cameras_in_one_place_leave_the_picture_as_it_is(kernels: ctypes.CDLL | None) -> None:
    camera = LensCamera(COLOR, np.zeros(8))
    beside = np.eye(4)
    beside[0, 3] = 1e-9
    depth_m = np.random.default_rng(1).uniform(0.5, 0.51, (360, 640)).astype(np.float32)
    registered = DepthRegistration(RgbdCalibration(camera, camera, beside), kernels=kernels)(depth_m)
    np.testing.assert_allclose(registered, depth_m, atol=2e-4)


def test_every_reading_is_one_of_the_scene_s_surface_points(kernels: ctypes.CDLL | None) -> None:
    it = calibration()
    registered = DepthRegistration(it, kernels=kernels)(np.full((288, 320), 0.8, np.float32))
    rows, columns = np.nonzero(registered)
    points = COLOR.unproject(np.stack([columns + 0.5, rows + 0.5], axis=-1), registered[rows, columns].astype(float))
    back = (points - it.T_color_depth[:3, 3]) @ it.T_color_depth[:3, :3]
    assert len(points) > 50_000
    assert np.abs(back[:, 2] - 0.8).max() < 0.002  # a pixel of slant at 0.8 m


def test_what_is_hidden_from_the_color_camera_is_not_seen_through(kernels: ctypes.CDLL | None) -> None:
    depth_m = np.full((288, 320), 1.5, np.float32)
    depth_m[100:180, 120:200] = 0.5
    registered = DepthRegistration(calibration(), kernels=kernels)(depth_m)
    near = (registered > 0) & (registered < 0.8)
    rows, columns = np.nonzero(near)
    inside = registered[rows.min() + 2 : rows.max() - 1, columns.min() + 2 : columns.max() - 1]
    assert (inside < 0.8).all()
    assert (inside > 0).all()
    # and beside it lies the shadow that the depth camera cannot see into, not a stretched edge
    assert not ((registered > 0.8) & (registered < 1.3)).any()


def test_no_reading_gives_no_reading(kernels: ctypes.CDLL | None) -> None:
    assert not DepthRegistration(calibration(), kernels=kernels)(np.zeros((288, 320), np.float32)).any()


def test_a_single_reading_lands_where_its_ray_meets_the_color_picture(kernels: ctypes.CDLL | None) -> None:
    it = calibration()
    depth_m = np.zeros((288, 320), np.float32)
    depth_m[150, 170] = 0.6
    rows, columns = np.nonzero(DepthRegistration(it, kernels=kernels)(depth_m))
    point = it.T_color_depth[:3, :3] @ (0.6 * np.array([*it.depth.rays()[150, 170], 1.0])) + it.T_color_depth[:3, 3]
    np.testing.assert_allclose([columns[0], rows[0]], np.floor(COLOR.project(point)), atol=0)
    assert len(rows) == 1


def test_rays_are_bent_back_onto_their_pixels() -> None:
    camera = LensCamera(DEPTH, LENS)
    x, y = np.moveaxis(camera.rays(), -1, 0)
    k1, k2, p1, p2, k3, k4, k5, k6 = LENS
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    u = DEPTH.fx * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + DEPTH.cx
    v = DEPTH.fy * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + DEPTH.cy
    np.testing.assert_allclose(u, np.arange(320) + 0.5 + np.zeros((288, 1)), atol=1e-3)
    np.testing.assert_allclose(v, (np.arange(288) + 0.5)[:, None] + np.zeros((1, 320)), atol=1e-3)


def test_gaps_are_closed_and_outlines_stay() -> None:
    depth = np.zeros((40, 60), np.uint16)
    depth[10:30, 10:50] = 4000
    outline = depth > 0
    depth[12:28:3, 10:50:2] = 0  # thin gaps, empty
    depth[20, 30] = 12_000  # and one that shows the wall
    close_gaps(depth)
    np.testing.assert_array_equal(depth > 0, outline)
    assert (depth[outline] == 4000).all()
    depth[14:19, 20:26] = 0  # a hole is not a gap
    before = depth.copy()
    close_gaps(depth)
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize("offset_m", [(0.0, 0.0, 0.0), (0.0, 0.0, 0.1), (0.0, 0.05, 0.0), (0.01, 0.0, -0.2)])
def test_cameras_that_do_not_stand_side_by_side(
    offset_m: tuple[float, float, float], kernels: ctypes.CDLL | None
) -> None:
    """At one place, as after an alignment, above each other or behind each other."""
    it = calibration(offset_m=offset_m)
    depth_m = scene()
    ours, plain = DepthRegistration(it, kernels=kernels)(depth_m), plainly(depth_m, it)
    assert (np.abs(ours - plain) < 2e-4).mean() > 0.998


@pytest.mark.parametrize("strength", [0.0, 1.0, -4.0], ids=["none", "a Kinect's", "reaching beyond the picture"])
def test_pictures_are_straightened_as_by_opencv(strength: float) -> None:
    camera = LensCamera(COLOR, np.array([0.09, -0.06, 6e-4, -3e-4, 0.03, 0.0, 0.0, 0.0]) * strength)
    coarse, fine = camera.undistortion_maps()
    bgr = np.random.default_rng(3).integers(0, 256, (COLOR.height, COLOR.width, 3), np.uint8)
    expected = cv2.remap(bgr[..., ::-1], coarse, fine, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ours = Straightener(native(), coarse, fine)(bgr)
    error = np.abs(ours.astype(int) - expected)
    assert error.max() <= 1, "it rounds twice"
    assert error.mean() < 0.2


def test_wrong_pictures_are_refused() -> None:
    register = DepthRegistration(calibration())
    with pytest.raises(ValueError, match="float32 depth as calibrated"):
        register(np.zeros((288, 320), np.uint16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32 depth as calibrated"):
        register(np.zeros((576, 640), np.float32))
