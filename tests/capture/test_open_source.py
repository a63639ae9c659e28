"""The --device string."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from capture.cameras import webcam
from capture.cameras.reconnecting import ReconnectingSource
from capture.cameras.webcam import WebcamDevice
from capture.open_source import is_camera, open_source
from core.camera import assumed_intrinsics
from core.errors import InputError
from core.source import SourceError


@pytest.mark.parametrize(
    ("device", "fragment"),
    [
        ("hologram", "demo, webcam"),
        ("", "demo, webcam"),
        ("webcam:front", "webcam:0"),
        ("webcam:-1", "webcam:0"),
        ("demo:2", "no number"),
        ("demo?fps=0", "fps=N"),
        ("demo?speed=2", "fps=N"),
        ("demo?fps=fast", "fps=N"),
        ("/no/such/file.mp4", "no such device or path"),
    ],
)
def test_what_is_no_device_is_told(device: str, fragment: str) -> None:
    with pytest.raises(InputError, match=fragment) as error:
        open_source(device, realtime=True)
    assert f"--device {device}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(200), r"still picture \(HEIC\).*folder of numbered"),
        (b"\xff\xd8\xff\xe0" + bytes(200), r"still picture \(JPEG\)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), r"still picture \(PNG\)"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(200), r"still picture \(WebP\)"),
        (b"glTF\2\0\0\0" + bytes(200), "give it as --avatar"),
        (b"PK\5\6" + bytes(18), "expected a video"),
    ],
)
@pytest.mark.parametrize("suffix", [".heic", ".mp4"])
def test_what_a_file_is_shows_in_its_content(tmp_path: Path, content: bytes, told: str, suffix: str) -> None:
    path = tmp_path / f"driver{suffix}"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=told) as error:
        open_source(str(path), realtime=False)
    assert "Kinect" not in str(error.value)


@pytest.mark.parametrize("device", ["webcam", "webcam:2", "/dev/video1", "kinect:0001", "record3d?rotate=90"])
def test_cameras(device: str) -> None:
    assert is_camera(device)


@pytest.mark.parametrize("device", ["demo", "clip.mp4", "./webcam", "", "kinects"])
def test_what_is_no_camera(device: str) -> None:
    assert not is_camera(device)


def test_a_pipe_is_not_waited_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="device or pipe"):
        open_source(str(tmp_path / "pipe.mp4"), realtime=False)


def test_webcams_are_made_without_touching_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webcam, "_make_capture", lambda number: pytest.fail(f"camera {number} was opened"))
    assert open_source("webcam", realtime=True).name == "webcam:0"
    assert open_source("webcam:2", realtime=True).name == "webcam:2"
    assert open_source("/dev/video3", realtime=True).name == "webcam:3"


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(folder))

    (tmp_path / "color").mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"Permission denied.*permissions"):
        open_source(str(tmp_path), realtime=False)


class FakeCapture:
    """cv2.VideoCapture, as far as it is used."""

    def __init__(self, good_reads: int, opens: bool = True) -> None:
        self.good_reads, self.opens, self.released = good_reads, opens, False

    def isOpened(self) -> bool:
        return self.opens

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.good_reads -= 1
        if self.good_reads < 0:
            return False, None
        return True, np.full((24, 32, 3), (1, 2, 3), np.uint8)

    def release(self) -> None:
        self.released = True


def test_webcam_frames_are_rgb_and_stamped() -> None:
    source = ReconnectingSource(WebcamDevice(0, make_capture=lambda _: FakeCapture(10_000)))
    source.open()
    frame = source.read(5.0)
    source.close()
    assert frame is not None
    assert frame.rgb[0, 0].tolist() == [3, 2, 1]
    assert frame.depth_m is None
    assert frame.intrinsics == assumed_intrinsics(32, 24)


def test_a_webcam_that_vanishes_is_opened_again() -> None:
    captures = [FakeCapture(3), FakeCapture(10_000)]
    left = list(captures)
    source = ReconnectingSource(WebcamDevice(0, make_capture=lambda _: left.pop(0)))
    source.open()
    while not captures[0].released:
        source.read(0.05)
    frame = source.read(5.0)
    source.close()
    assert frame is not None
    assert not left
    assert captures[1].released


def test_a_webcam_that_is_not_there_is_a_mistake() -> None:
    fake = FakeCapture(0, opens=False)
    source = ReconnectingSource(WebcamDevice(7, make_capture=lambda _: fake))
    source.open()
    with pytest.raises(SourceError, match="webcam:7: expected a camera"):
        source.read(5.0)
    source.close()
    assert fake.released


def test_assumed_cameras() -> None:
    landscape, portrait = assumed_intrinsics(1280, 720), assumed_intrinsics(720, 1280)
    assert landscape.fy == pytest.approx(360 / np.tan(np.radians(22.5)))
    assert portrait.fx == landscape.fx  # across the shorter side
    assert assumed_intrinsics(720, 1280, 90.0).fy == pytest.approx(640)  # a stated angle is the vertical one
