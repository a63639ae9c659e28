"""Metres out of depth whose scale was lost."""

from pathlib import Path

import numpy as np
import pytest

from capture.face.face_depth import lift_depth
from capture.face.face_tracker import FaceTracker
from capture.recordings.scaled_depth import DepthScale, _fit_line, scale_from_face
from capture.recordings.video_file import decode_video
from core.camera import assumed_intrinsics
from core.frame import RgbdFrame

LARGEST = 65535


def test_the_ends_of_the_range_stand_for_its_ends_and_are_no_readings() -> None:
    scale = DepthScale.between(0.3, 0.5, LARGEST)
    values = np.array([[0, 1, 2, 32768, 65534, 65535]], np.uint16)
    metres = scale.metres(values)
    assert metres.dtype == np.float32
    assert metres[0, [0, 1, 5]].tolist() == [0, 0, 0]
    np.testing.assert_allclose(metres[0, [2, 3, 4]], [0.3, 0.4, 0.5], atol=1e-5)


def test_the_line_is_found_among_outliers() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(2, 60_000, 400)
    y = 0.31 + 4e-6 * x + rng.normal(0, 0.002, 400)
    y[::7] += 0.3  # hair, a hand
    offset, slope = _fit_line(x, y) or (0, 0)
    assert offset == pytest.approx(0.31, abs=0.003)
    assert slope == pytest.approx(4e-6, rel=0.03)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.arange(5.0), np.arange(5.0)),  # too few
        (np.full(50, 3.0), np.arange(50.0)),  # nothing but one value
        (np.arange(50.0), -np.arange(50.0)),  # nearer where it should be farther
    ],
)
def test_what_is_no_scale_is_not_taken_for_one(x: np.ndarray, y: np.ndarray) -> None:
    assert _fit_line(x, y) is None


def test_a_face_tells_the_scale(shared_data: Path) -> None:
    """A clip's depth, stretched as published, comes back in metres."""
    pictures, depths = [], []
    with FaceTracker() as tracker:
        for picture in decode_video(shared_data / "video" / "vfa_demo_driving_color.mp4"):
            if picture.index % 10:
                continue
            rgb = picture.rgb()
            camera = assumed_intrinsics(rgb.shape[1], rgb.shape[0])
            depth_m = lift_depth(tracker.track(RgbdFrame(rgb, None, camera, picture.time_s, picture.index)))
            pictures.append(rgb)
            depths.append(depth_m)
            if len(depths) == 6:
                break
    readings = depths[0][depths[0] > 0]
    near, far = readings.min(), readings.max()
    stretched = [
        np.where(depth > 0, np.clip(1 + (depth - near) / (far - near) * 65534, 1, LARGEST), 0).astype(np.uint16)
        for depth in depths
    ]
    scale = scale_from_face("clip", zip(pictures, stretched, strict=True), camera, LARGEST)
    both = (stretched[0] > 1) & (stretched[0] < LARGEST)
    np.testing.assert_allclose(scale.metres(stretched[0])[both], depths[0][both], atol=0.006)
