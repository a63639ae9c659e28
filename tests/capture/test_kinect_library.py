"""The Azure Kinect's real library, in the environment it needs (`.ci/kinect-env`), and recordings that it wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from capture.cameras.kinect_calibration import parse_calibration
from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from tests.fakes.kinect_env import need_kinect_env, need_tool, run_checks, run_in_kinect_env
from tests.fakes.rendered_face import RenderedFace, eye_distance_m, rendered_faces
from tests.fakes.sensor_noise import kinect_nfov

WRITER = str(Path(__file__).parents[1] / "fakes" / "kinect_writer.py")
TURN = 0.03  # radians between the two cameras


def test_our_reading_and_registration_against_the_library(shared_data: Path) -> None:
    need_kinect_env()
    need_tool("mkvpropedit", "mkvtoolnix")
    assert "passed" in run_checks("check_real_library.py", screen=True)


def test_live_cameras_and_their_faults() -> None:
    need_kinect_env()
    assert "passed" in run_checks("check_live.py")


def _calibration() -> str:
    def camera(purpose: str, parameters: list[float], rotation: np.ndarray, offset_m: list[float]) -> dict[str, object]:
        return {
            "Purpose": f"CALIBRATION_CameraPurpose{purpose}",
            "Intrinsics": {
                "ModelParameterCount": 14,
                "ModelParameters": [*parameters, *[0.0] * 10],
                "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
            },
            "Rt": {"Rotation": rotation.ravel().tolist(), "Translation": offset_m},
            "MetricRadius": 1.7,
            "SensorWidth": 1024 if purpose == "Depth" else 4096,
            "SensorHeight": 1024 if purpose == "Depth" else 3072,
            "Location": f"CALIBRATION_CameraLocation{'D0' if purpose == 'Depth' else 'PV0'}",
        }

    cosine, sine = np.cos(TURN), np.sin(TURN)
    tilt = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    cameras = [
        camera("Depth", [0.51, 0.52, 0.493, 0.493], np.eye(3), [0, 0, 0]),
        camera("PhotoVideo", [0.5, 0.507, 0.478, 0.637], tilt, [-0.032, -0.002, 0.004]),
    ]
    return json.dumps({"CalibrationInformation": {"Cameras": cameras}})


@pytest.fixture(scope="module")
def faces() -> tuple[list[RenderedFace], list[RenderedFace]]:
    """The head as the depth camera and as the colour camera sees it."""
    it = parse_calibration(_calibration(), "NFOV_UNBINNED", "720P", name="rendered")
    return rendered_faces(it.depth.intrinsics), rendered_faces(it.color.intrinsics, T_camera_first=it.T_color_depth)


@pytest.fixture(scope="module")
def recording(faces: tuple[list[RenderedFace], list[RenderedFace]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four expressions, written by the vendor's recorder: rendered colour, depth as the sensor would see it."""
    need_kinect_env()
    need_tool("mkvpropedit", "mkvtoolnix")
    folder = tmp_path_factory.mktemp("kinect")
    depth, color = faces
    seen = [kinect_nfov(face.depth_m, face.rgb, seed) for seed, face in enumerate(depth)]
    np.savez(
        folder / "pictures.npz",
        rgb=np.stack([face.rgb for face in color]),
        depth_mm=np.stack([np.round(image * 1000).astype(np.uint16) for image in seen]),
    )
    (folder / "factory.json").write_text(_calibration())
    run_in_kinect_env(WRITER, str(folder / "pictures.npz"), str(folder / "factory.json"), str(folder / "face.mkv"))
    return folder / "face.mkv"


def test_a_recorded_face_comes_out_where_it_was(
    recording: Path, faces: tuple[list[RenderedFace], list[RenderedFace]]
) -> None:
    source = open_source(str(recording), realtime=False)
    source.open()
    for number, truth in enumerate(faces[1]):
        frame = source.read(1.0)
        assert frame is not None
        assert frame.index == number
        assert frame.depth_m is not None
        assert np.abs(frame.rgb.astype(int) - truth.rgb).mean() < 3.0
        seen = truth.face & (frame.depth_m > 0)
        assert seen.sum() > 0.85 * truth.face.sum()
        error_mm = np.abs(frame.depth_m - truth.depth_m)[seen] * 1000
        assert np.median(error_mm) < 1.5
        assert np.percentile(error_mm, 95) < 8.0
    with pytest.raises(EOFError):
        source.read(1.0)
    source.close()


def test_a_recorded_face_is_tracked_at_its_size(recording: Path) -> None:
    source = open_source(str(recording), realtime=False)
    source.open()
    with FaceTracker() as tracker:
        observations = [tracker.track(frame) for _ in range(4) if (frame := source.read(1.0)) is not None]
    source.close()
    assert [it.tracked for it in observations] == [True] * 4
    for it in observations:
        apart_m = np.linalg.norm(it.landmarks_m[468] - it.landmarks_m[473])
        assert apart_m == pytest.approx(eye_distance_m(), rel=0.1)
        assert 0.42 < it.landmarks_m[1, 2] < 0.52  # the tip of the nose, half a metre away
