"""Depth cleaning measured against rendered truth with what the two sensors make of it."""

import numpy as np
import pytest

from capture.cameras.depth_cleaning import DepthCleaner
from tests.fakes.rendered_face import KINECT_NFOV, TRUEDEPTH, RenderedFace, rendered_faces
from tests.fakes.sensor_noise import kinect_nfov, truedepth

FLYING_M = 0.008
SENSORS = {
    "kinect": (kinect_nfov, DepthCleaner.for_kinect()),
    "truedepth": (truedepth, DepthCleaner.for_truedepth()),
}


@pytest.fixture(scope="module", params=SENSORS)
def measured(request: pytest.FixtureRequest) -> list[tuple[RenderedFace, np.ndarray, np.ndarray]]:
    """(truth, as the sensor sees it, cleaned) of each expression."""
    sense, clean = SENSORS[request.param]
    faces = rendered_faces(KINECT_NFOV, 0.5) if request.param == "kinect" else rendered_faces(TRUEDEPTH, 0.4)
    seen = [sense(face.depth_m, face.rgb, seed) for seed, face in enumerate(faces)]
    return [(face, raw, clean(raw)) for face, raw in zip(faces, seen, strict=True)]


def figures(truth: RenderedFace, depth_m: np.ndarray) -> tuple[float, float, float]:
    """On the head: share with a reading, share of those that fly, RMS error of the others in mm."""
    there = truth.face & (depth_m > 0)
    error_m = np.abs(depth_m - truth.depth_m)[there]
    kept = error_m[error_m < FLYING_M]
    return there.sum() / truth.face.sum(), (error_m >= FLYING_M).mean(), 1000 * np.sqrt((kept**2).mean())


def test_flying_pixels_go_noise_shrinks_and_the_face_stays(
    measured: list[tuple[RenderedFace, np.ndarray, np.ndarray]],
) -> None:
    before = np.mean([figures(truth, raw) for truth, raw, _ in measured], axis=0)
    after = np.mean([figures(truth, cleaned) for truth, _, cleaned in measured], axis=0)
    print(f"covered, flying, rms mm: {np.round(before, 4)} → {np.round(after, 4)}")
    assert after[1] < 0.15 * before[1]
    assert after[2] < 0.85 * before[2]
    assert after[2] < 1.0
    assert after[0] > before[0] - 0.065  # outlines lose the pixels that mix two distances


def test_holes_in_the_middle_of_the_face_are_closed(
    measured: list[tuple[RenderedFace, np.ndarray, np.ndarray]],
) -> None:
    for truth, raw, cleaned in measured:
        rows, columns = np.nonzero(truth.face)
        top, middle = int(np.percentile(rows, 25)), int(np.median(columns))
        window = np.s_[top : int(np.percentile(rows, 50)), middle - 30 : middle + 30]
        assert (cleaned[window] == 0).sum() <= 0.2 * (raw[window] == 0).sum() + 5


def test_nothing_stays_nothing_and_a_plane_a_plane() -> None:
    for clean in (DepthCleaner.for_kinect(), DepthCleaner.for_truedepth()):
        assert not clean(np.zeros((60, 80), np.float32)).any()
        y, x = np.mgrid[:60, :80]
        plane = (0.5 + 0.0008 * x + 0.0004 * y).astype(np.float32)
        inside = np.s_[4:-4, 4:-4]
        np.testing.assert_allclose(clean(plane)[inside], plane[inside], atol=3e-4)


def test_edges_stay_where_they_are_and_big_holes_open() -> None:
    depth = np.full((100, 100), 0.5, np.float32)
    depth[:, 50:] = 1.0
    depth[20:40, 10:30] = 0
    depth[70:73, 20:23] = 0
    cleaned = DepthCleaner.for_kinect()(depth)
    np.testing.assert_allclose(cleaned[60, 10:49], 0.5, atol=1e-3)
    np.testing.assert_allclose(cleaned[60, 52:90], 1.0, atol=1e-3)
    assert not cleaned[23:37, 13:27].any()
    np.testing.assert_allclose(cleaned[70:73, 20:23], 0.5, atol=1e-3)
    assert set(np.unique(np.round(cleaned[60], 3))) <= {np.float32(0.0), np.float32(0.5), np.float32(1.0)}


def test_a_lone_reading_is_taken_out() -> None:
    depth = np.zeros((30, 30), np.float32)
    depth[15, 15] = 0.6
    assert not DepthCleaner.for_kinect()(depth).any()
