"""The network's input: published normalisation, a cut that stays, foreground and channel order."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from capture.face.face_tracker import untracked
from capture.face.preprocess import FaceBox, NetworkCropper, clip_depth, face_box, network_crop, network_input
from core.camera import Intrinsics
from core.canonical_face import CanonicalFace
from core.frame import FaceObservation, RgbdFrame

CAMERA = Intrinsics(400.0, 400.0, 160.0, 120.0, 320, 240)


def observation(
    face: CanonicalFace, *, depth: bool, distance_m: float = 0.45, shift_px: float = 0.0
) -> FaceObservation:
    points = (face.points @ np.diag([1.0, -1.0, -1.0]) + (0, 0, distance_m)).astype(np.float32)
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = distance_m
    rgb = np.full((240, 320, 3), (200, 100, 50), np.uint8)
    depth_m = np.full((240, 320), 2.0, np.float32) if depth else None
    if depth_m is not None:
        depth_m[60:180, 100:220] = np.linspace(distance_m - 0.05, distance_m + 0.05, 120, dtype=np.float32)
    frame = RgbdFrame(rgb, depth_m, CAMERA, 0.0, 0)
    px = CAMERA.project(points) + np.float32(shift_px)
    return FaceObservation(frame, True, 1.0, px, points, pose, np.zeros(52, np.float32))


def test_normalisation_is_the_published_one(shared_reference: Path) -> None:
    golden = np.load(shared_reference / "pipeline.npz")
    planes = network_input(np.ascontiguousarray(golden["source_bgr"][..., ::-1]), golden["source_depth"])
    np.testing.assert_allclose(planes[3], golden["source_rgbd"][3], atol=1e-6)
    np.testing.assert_allclose(planes[:3], golden["source_rgbd"][:3], atol=1.01 * 2 / 255)  # the picture is rounded


def test_depth_is_clipped_to_two_sigmas() -> None:
    depth_m = np.zeros((10, 10), np.float32)
    depth_m[2:8, 2:8] = np.linspace(0.4, 0.5, 36, dtype=np.float32).reshape(6, 6)
    depth_m[2, 2] = 0.1  # a speck of dust before the lens
    values = clip_depth(depth_m)
    assert values[0, 0] == 0
    assert values[depth_m > 0].min() == 1
    assert values.max() == 65535
    assert np.ptp(values[3:8, 2:8]) > 25_000  # of 14,000 if the speck set the range


def test_the_box_is_square_and_reaches_below_the_chin(face: CanonicalFace) -> None:
    seen = observation(face, depth=False)
    box = face_box(seen)
    low, high = seen.landmarks_px.min(axis=0), seen.landmarks_px.max(axis=0)
    assert box.width == box.height
    assert box.y == pytest.approx(low[1], abs=1)
    assert box.y + box.height == pytest.approx(high[1] + 15, abs=1)
    assert box.x + box.width / 2 == pytest.approx((low[0] + high[0]) / 2, abs=2)


def test_background_goes_black_and_channels_are_in_the_order_asked_for(face: CanonicalFace) -> None:
    seen, box = observation(face, depth=True), FaceBox(80, 40, 160, 160)
    rgb, bgr = (network_crop(seen, box, channel_order=order) for order in ("rgb", "bgr"))
    np.testing.assert_array_equal(rgb[:3], bgr[[2, 1, 0]])
    np.testing.assert_array_equal(rgb[3], bgr[3])
    assert rgb.shape == (4, 256, 256)
    assert (rgb[:, 0, 0] == -1).all()
    np.testing.assert_allclose(rgb[:3, 128, 128], np.array([200, 100, 50]) / 127.5 - 1, atol=1e-6)
    assert rgb[3].min() == -1
    assert rgb[3].max() == 1


def test_a_driver_farther_than_the_published_half_metre_is_kept(face: CanonicalFace) -> None:
    seen, box = observation(face, depth=True, distance_m=0.8), FaceBox(80, 40, 160, 160)
    assert network_crop(seen, box)[0, 128, 128] > -1
    assert (network_crop(seen, box, foreground_m=0.5) == -1).all()


def test_without_a_sensor_the_depth_is_that_of_the_face(face: CanonicalFace) -> None:
    planes = network_crop(observation(face, depth=False), face=face)
    assert (planes[:3, 0, 0] > -1).any()  # color is kept
    assert planes[3, 0, 0] == -1
    nose, cheek = planes[3, 128:176, 112:144].min(), planes[3, 120, 60]
    assert -1 <= nose < cheek


def test_the_cut_stays_where_the_first_face_was(face: CanonicalFace) -> None:
    cropper = NetworkCropper(face=face)
    first = observation(face, depth=False)
    assert cropper(untracked(first.frame)) is None
    cropper(first)
    box = cropper.box
    assert cropper(observation(face, depth=False, shift_px=30)) is not None
    assert cropper(untracked(first.frame)) is not None
    assert cropper.box == box == face_box(first)
    cropper.reset()
    cropper(observation(face, depth=False, shift_px=30))
    assert cropper.box != box


def test_a_box_over_the_edge_is_filled_with_background(face: CanonicalFace) -> None:
    planes = network_crop(observation(face, depth=True), FaceBox(-160, -40, 320, 320), channel_order="rgb")
    assert (planes[:, :, :127] == -1).all()
    assert np.isfinite(planes).all()


def test_no_face_no_box(face: CanonicalFace) -> None:
    with pytest.raises(ValueError, match="tracked"):
        face_box(untracked(observation(face, depth=False).frame))


def test_the_foreground_may_be_empty(face: CanonicalFace) -> None:
    seen = observation(face, depth=True)
    empty = dataclasses.replace(seen.frame, depth_m=np.zeros((240, 320), np.float32))
    assert (network_crop(dataclasses.replace(seen, frame=empty)) == -1).all()
