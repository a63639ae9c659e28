"""The Azure Kinect's real library against our reading, calibration and registration. Runs in the second environment.

Its registration needs a screen (Xvfb) and gives the oracle; its recorder writes the recordings that we read.
"""

from pathlib import Path

import cv2
import numpy as np
import pyk4a
import pytest

from benchmarks.registration import agreement, without_color_lens
from capture.cameras.kinect import calibration_of
from capture.cameras.kinect_calibration import parse_calibration
from capture.cameras.registration import DepthRegistration
from capture.recordings.kinect_file import KinectClip, is_kinect_recording
from tests.fakes.kinect_writer import write_recording


def _open(path: Path) -> pyk4a.PyK4APlayback:
    playback = pyk4a.PyK4APlayback(path, thread_safe=False)
    playback.open()
    return playback


@pytest.mark.parametrize("lens", [True, False], ids=["as captured", "without lens"])
def test_registration_agrees_with_the_library(shared_data: Path, lens: bool) -> None:
    playback = _open(shared_data / "rgbd/pyk4a_recording.mkv")
    text = playback.calibration_raw.rstrip("\0")
    if not lens:
        text = without_color_lens(text)
        playback.calibration_raw = text
    capture = playback.get_next_capture()
    theirs_mm = capture.transformed_depth
    assert theirs_mm is not None, "the library's registration gave nothing: is there a screen?"
    calibration = parse_calibration(text, "NFOV_UNBINNED", "720P", name="oracle")
    ours_m = DepthRegistration(calibration, lens=lens)(capture.depth.astype(np.float32) / 1000)
    agreeing, covered = agreement(ours_m, theirs_mm.astype(np.float64))
    print(f"agreement {agreeing:.4%}, covering {covered:.4%} of the library's")
    assert agreeing >= 0.99
    assert covered >= 0.99
    playback.close()


@pytest.mark.parametrize("mode", ["NFOV_2X2BINNED", "NFOV_UNBINNED", "WFOV_2X2BINNED", "WFOV_UNBINNED"])
@pytest.mark.parametrize("color", ["720P", "1080P", "1440P", "1536P", "2160P", "3072P"])
def test_cameras_of_every_mode_are_the_library_s(shared_data: Path, mode: str, color: str) -> None:
    playback = _open(shared_data / "rgbd/pyk4a_recording.mkv")
    text = playback.calibration_raw.rstrip("\0")
    playback.close()
    theirs = pyk4a.Calibration.from_raw(
        text, pyk4a.DepthMode[mode], pyk4a.ColorResolution[f"RES_{color}"], thread_safe=False
    )
    ours = parse_calibration(text, mode, color, name="oracle")
    live = calibration_of(pyk4a, theirs, mode, color)
    for camera, expected in ((ours.depth, live.depth), (ours.color, live.color)):
        assert camera.intrinsics.width == expected.intrinsics.width
        np.testing.assert_allclose(camera.intrinsics.matrix(), expected.intrinsics.matrix(), atol=1e-3)
        np.testing.assert_allclose(camera.distortion, expected.distortion, atol=1e-7)
    np.testing.assert_allclose(ours.T_color_depth, live.T_color_depth, atol=1e-6)


def test_rays_are_the_library_s(shared_data: Path) -> None:
    playback = _open(shared_data / "rgbd/pyk4a_recording.mkv")
    calibration = parse_calibration(playback.calibration_raw, "NFOV_UNBINNED", "720P", name="oracle")
    rays = calibration.depth.rays()
    for column, row in [(320, 288), (100, 100), (500, 450), (330, 60)]:
        x, y, z = playback.calibration.convert_2d_to_3d((column, row), 1000.0, pyk4a.CalibrationType.DEPTH)
        np.testing.assert_allclose(rays[row, column], [x / z, y / z], atol=2e-4)
    playback.close()


def test_what_the_library_plays_we_read_the_same(shared_data: Path, tmp_path: Path) -> None:
    recording = shared_data / "rgbd/pyk4a_recording.mkv"
    original = _open(recording)
    calibration = original.calibration_raw.rstrip("\0")
    original.close()
    rng = np.random.default_rng(4)
    jpegs = [
        cv2.imencode(".jpg", cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), (1280, 720)))[1].ravel()
        for _ in range(12)
    ]
    depths = [cv2.resize(rng.integers(400, 900, (9, 10)).astype(np.uint16), (640, 576)) for _ in range(12)]
    path = tmp_path / "face.mkv"
    write_recording(path, jpegs, depths, calibration)
    assert is_kinect_recording(path)
    clip = KinectClip(path)
    playback = _open(path)
    pictures = list(clip.pictures())
    assert len(pictures) == clip.frame_count == 12
    for jpeg, depth, picture in zip(jpegs, depths, pictures, strict=True):
        theirs = playback.get_next_capture()
        np.testing.assert_array_equal(picture.depth_mm, theirs.depth)
        np.testing.assert_array_equal(picture.color, theirs.color)
        np.testing.assert_array_equal(picture.depth_mm, depth)
        np.testing.assert_array_equal(picture.color, jpeg)
        assert picture.timestamp_s * 1e6 + 1e6 / 30 == pytest.approx(theirs.color_timestamp_usec, abs=2)
    with pytest.raises(EOFError):
        playback.get_next_capture()
    playback.close()
