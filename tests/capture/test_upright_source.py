"""Footage that was filmed sideways."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capture.face.face_model_file import find_face_model
from capture.face.networks.select import face_networks
from capture.open_source import Rotate, open_source
from capture.upright_source import UprightFinder, UprightSource, turned
from core.camera import Intrinsics
from core.frame import RgbdFrame
from core.source import DeviceState, RgbdSource, frames_of
from tests.fakes.rendered_face import RenderedFace


@pytest.mark.parametrize(("rotate", "turns"), [("90", 1), ("180", 2), ("270", 3)])
def test_a_given_angle_is_clockwise(
    write_video: Callable[..., Path], tmp_path: Path, rotate: Rotate, turns: int
) -> None:
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:16, :32] = 230
    path = write_video(tmp_path / "v.mp4", [rgb] * 3)
    frame = next(frames_of(open_source(str(path), realtime=False, rotate=rotate)))
    np.testing.assert_allclose(frame.rgb.astype(int), np.rot90(rgb, -turns), atol=30)
    assert (frame.intrinsics.height, frame.intrinsics.width) == frame.rgb.shape[:2]


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_camera_still_sees_points_where_they_are(turns: int) -> None:
    camera = Intrinsics(50.0, 60.0, 30.0, 20.0, 64, 48)
    depth_m = np.zeros((48, 64), np.float32)
    depth_m[10, 40] = 0.5
    rgb = np.zeros((48, 64, 3), np.uint8)
    frame = turned(RgbdFrame(rgb, depth_m, camera, 0.0, 0), turns)
    assert frame.depth_m is not None
    ((row, column),) = np.argwhere(frame.depth_m > 0)
    x, y, z = frame.intrinsics.unproject(np.array([column + 0.5, row + 0.5]), np.array(0.5))
    before = camera.unproject(np.array([40.5, 10.5]), np.array(0.5))
    for _ in range(turns):
        x, y = y, -x  # back again, counter-clockwise
    np.testing.assert_allclose((x, y, z), before, atol=1e-6)


@pytest.mark.parametrize("turns", range(4))
def test_a_recording_is_turned_by_the_face_from_its_first_frame_on(
    write_video: Callable[..., Path], tmp_path: Path, driver: RenderedFace, turns: int
) -> None:
    pictures = [np.zeros_like(driver.rgb)] * 10 + [driver.rgb] * 20
    path = write_video(tmp_path / "v.mp4", [np.ascontiguousarray(np.rot90(rgb, turns)) for rgb in pictures])
    frames = list(frames_of(open_source(str(path), realtime=False, rotate="auto")))
    assert len(frames) == 30
    assert {frame.rgb.shape for frame in frames} == {driver.rgb.shape}
    np.testing.assert_allclose(frames[-1].rgb.mean(axis=2), driver.rgb.mean(axis=2), atol=25)


class Camera(RgbdSource):
    """Gives the same picture again and again."""

    name, fps, frame_count, skipped = "camera", 30.0, None, 3

    def __init__(self, rgb: np.ndarray) -> None:
        height, width = rgb.shape[:2]
        self.frame = RgbdFrame(rgb, None, Intrinsics(500, 500, width / 2, height / 2, width, height), 0.0, 0)
        self.open_now = False

    @property
    def state(self) -> DeviceState:
        return DeviceState.STREAMING

    @property
    def detail(self) -> str:
        return "told"

    @property
    def faults(self) -> dict[str, int]:
        return {"gaps": 2}

    @property
    def device_latency_s(self) -> float | None:
        return 0.05

    def open(self) -> None:
        self.open_now = True

    def read(self, timeout_s: float) -> RgbdFrame | None:
        return self.frame if timeout_s > 0 else None

    def close(self) -> None:
        self.open_now = False


def test_a_camera_is_turned_once_it_has_shown_a_face(driver: RenderedFace) -> None:
    camera = Camera(np.ascontiguousarray(np.rot90(driver.rgb)))
    source = UprightSource(camera, None)
    source.open()
    frames = [source.read(1.0) for _ in range(8)]
    assert frames[0] is not None
    assert frames[-1] is not None
    assert frames[0].rgb.shape == (640, 480, 3)
    np.testing.assert_array_equal(frames[-1].rgb, driver.rgb)
    source.close()
    assert not camera.open_now


def test_everything_else_is_the_sources_own(driver: RenderedFace) -> None:
    source = UprightSource(Camera(driver.rgb), 1)
    assert (source.name, source.fps, source.frame_count, source.skipped) == ("camera", 30.0, None, 3)
    assert (source.state, source.detail, source.faults) == (DeviceState.STREAMING, "told", {"gaps": 2})
    assert source.device_latency_s == 0.05
    assert source.read(0.0) is None


@pytest.mark.parametrize("name", ["expressive_woman", "head_turns", "glasses_beard", "vfa_demo_driving_color"])
def test_real_faces_tell_all_four_ways(shared_data: Path, name: str) -> None:
    path = shared_data / "video" / f"{name}.mp4"
    pictures = [frame.rgb for frame in frames_of(open_source(str(path), realtime=False))][:60:10]
    with face_networks(find_face_model(url=None)).detector() as detector:
        for turns in range(4):
            finder = UprightFinder(detector)
            for rgb in pictures:
                finder.offer(np.ascontiguousarray(np.rot90(rgb, turns)))
            assert finder.quarter_turns == turns
