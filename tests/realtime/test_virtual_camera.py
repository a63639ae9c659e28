"""The virtual camera: what pyvirtualcam is given, at which rate, and what happens where it cannot be had."""

import io
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from core.errors import InputError, MissingExtraError
from realtime.live.report import LiveReport
from realtime.live.virtual_camera import VirtualCamera
from realtime.view_options import VirtualCameraOptions, WindowOptions
from render.gl.background import plain

pyvirtualcam = pytest.importorskip("pyvirtualcam")

FAKES = Path(__file__).parents[1] / "fakes"
GREEN = plain((0, 255, 0))


class Device:
    """A backend below pyvirtualcam's own class: remembers what it is sent; may refuse, break or be slow."""

    opened: "list[Device]" = []  # noqa: RUF012
    refuses = breaks_after = slow_s = None

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.size, self.fps, self.name = (width, height), fps, device or "the first one"
        self.sent: list[np.ndarray] = []
        self.thread = threading.current_thread().name
        self.closed = False
        Device.opened.append(self)

    def send(self, frame: np.ndarray) -> None:
        if self.breaks_after is not None and len(self.sent) >= self.breaks_after:
            raise OSError("unplugged\nfor good")
        if self.slow_s:
            time.sleep(self.slow_s)
        self.sent.append(frame.reshape(self.size[1], self.size[0], 3).copy())

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})
    monkeypatch.setattr(Device, "opened", [])
    pyvirtualcam.register_backend("fake", Device)
    return Device


class Pictures:
    """A viewer that shows numbered pictures, and counts how it was asked."""

    def __init__(self, size: tuple[int, int] = (64, 48)) -> None:
        self.size, self.number = size, 0
        self.read: list[Any] = []

    @property
    def intrinsics(self) -> Any:
        return type("Camera", (), {"width": self.size[0], "height": self.size[1]})

    def read_rgb(self) -> np.ndarray:
        self.number += 1
        self.read.append("shown")
        return np.full((self.size[1], self.size[0], 3), self.number % 256, np.uint8)

    def read_other_rgb(self, background: Any, size: tuple[int, int]) -> np.ndarray:
        self.number += 1
        self.read.append((background, size))
        return np.full((size[1], size[0], 3), self.number % 256, np.uint8)


def made(backend, size=(64, 48), fps=100.0, background=None, shares=True, name="") -> VirtualCamera:
    camera = VirtualCamera(name, size, fps, background, shares_background=shares)
    camera.start()
    return camera


def until(done, within_s: float = 60.0) -> None:
    ends_s = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < ends_s, "waited in vain"
        time.sleep(0.005)


def offer_until(camera: VirtualCamera, viewer: Any, done) -> None:
    def offered() -> bool:
        camera.offer(viewer)
        return bool(done())

    until(offered)


def test_pictures_arrive_in_their_size_on_a_thread_of_its_own(backend):
    camera, viewer = made(backend, name="/dev/video9-of-tests".removeprefix("/dev/")), Pictures()
    offer_until(camera, viewer, lambda: camera.sent >= 5)
    camera.close()
    (device,) = backend.opened
    assert device.name == "video9-of-tests"
    assert (device.size, device.fps, device.closed) == ((64, 48), 100.0, True)
    assert device.thread == "virtual-camera"
    values = [int(picture[0, 0, 0]) for picture in device.sent]
    assert values == sorted(values), "newest wins, and none comes back"
    assert camera.summary() == {"device": "video9-of-tests", "sent": camera.sent, "problem": ""}


def test_the_last_picture_is_repeated_while_nothing_new_comes(backend):
    camera, viewer = made(backend), Pictures()
    camera.offer(viewer)
    until(lambda: camera.sent >= 6)
    camera.close()
    assert {int(picture[0, 0, 0]) for picture in backend.opened[0].sent} == {1}


def test_pictures_are_taken_at_the_cameras_rate_and_not_the_viewers():
    now = [100.0]
    camera = VirtualCamera("", (64, 48), 20.0, None, shares_background=True, clock=lambda: now[0])
    viewer = Pictures()
    for _ in range(600):  # ten seconds at 60
        camera.offer(viewer)
        now[0] += 1 / 60
    assert 195 <= viewer.number <= 205
    viewer.number = 0
    for _ in range(200):  # ten seconds at 20, each a little early or late
        camera.offer(viewer)
        now[0] += 0.05 + 0.004 * (-1) ** viewer.number
    assert viewer.number >= 190


@pytest.mark.parametrize(
    ("size", "shares", "read"),
    [((64, 48), True, "shown"), ((32, 24), True, "shown"), ((96, 48), True, None), ((64, 48), False, None)],
)
def test_only_another_shape_or_background_is_drawn_anew(backend, size, shares, read):
    camera, viewer = made(backend, size, background=GREEN, shares=shares), Pictures()
    camera.offer(viewer)
    until(lambda: camera.sent)
    camera.close()
    assert viewer.read[0] == (read or (GREEN, size))
    assert backend.opened[0].sent[0].shape == (size[1], size[0], 3)


def test_a_slow_camera_holds_nobody_up(backend, monkeypatch):
    monkeypatch.setattr(backend, "slow_s", 0.2)
    camera, viewer = made(backend, fps=200.0), Pictures()
    offer_until(camera, viewer, lambda: viewer.number >= 100)
    until(lambda: camera.sent >= 3)
    camera.close()
    values = [int(picture[0, 0, 0]) for picture in backend.opened[0].sent]
    assert values[1] - values[0] > 5, "what it could not take was overtaken"


def test_a_camera_that_cannot_be_opened_is_one_line_and_the_show_goes_on(backend, monkeypatch, caplog):
    monkeypatch.setattr(backend, "refuses", "No device found.\nDid you run modprobe?")
    with caplog.at_level(logging.ERROR):
        camera, viewer = made(backend), Pictures()
        until(lambda: camera.problem)
    told = camera.take_notice()
    assert told is not None
    assert "\n" not in told
    assert "No device found. Did you run modprobe?" in told
    assert "v4l2loopback" in told or "OBS" in told
    assert told.endswith("; the show goes on without it")
    assert camera.take_notice() is None
    assert caplog.messages == [told]
    camera.offer(viewer)
    assert viewer.number == 0, "no time is spent on it any more"
    camera.close()
    camera.close()


def test_a_camera_that_goes_away_is_one_line(backend, monkeypatch, caplog):
    monkeypatch.setattr(backend, "breaks_after", 3)
    with caplog.at_level(logging.ERROR):
        camera, viewer = made(backend), Pictures()
        offer_until(camera, viewer, lambda: camera.problem)
    assert camera.sent == 3
    assert not camera.active
    assert caplog.messages == [
        "virtual camera the first one: went away (unplugged for good); start again once it is back; "
        "the show goes on without it"
    ]
    assert backend.opened[0].closed
    said = io.StringIO()
    counted = dict.fromkeys(("captured", "processed", "shown", "dropped", "skipped"), 0)
    report = LiveReport(
        counted, {"shown": 0.0}, {}, {}, {}, 0, 0, 0, "test", "test", {}, {}, [], {}, [], camera.summary()
    )
    report.print(Console(file=said, width=300))
    assert "virtual camera: failed after 3 pictures, as told above" in said.getvalue()
    assert "unplugged for good" not in said.getvalue(), "told once"
    camera.close()


def test_without_the_extra_the_install_line_is_given(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="virtual-camera"):
        VirtualCamera("", (64, 48), 30.0, None, shares_background=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"virtual_camera_size": (640, 480)}, "--virtual-camera-size: only --virtual-camera uses it"),
        ({"virtual_camera": "", "virtual_camera_size": (641, 480)}, "even width"),
        ({"virtual_camera": "", "virtual_camera_fps": float("nan")}, "1 to 240"),
        ({"virtual_camera": "webcam:0"}, "--device webcam:0"),
    ],
)
def test_options_that_cannot_be_used(given, words):
    with pytest.raises(InputError, match=words):
        VirtualCameraOptions(**given).check()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"window": "transparent", "background": "red"}, "leave one of the two out"),
        ({"window": "chroma", "background": "red,blue"}, "expected one colour"),
        ({"window": "clean", "headless": True}, "--window clean"),
        ({"on_top": True, "headless": True}, "--on-top"),
        ({"background": "nothing.png"}, "there is neither a colour nor a file"),
    ],
)
def test_window_options_that_cannot_be_used(given, words):
    with pytest.raises(InputError, match=words):
        WindowOptions(**given).check()


def test_chroma_in_the_window_is_the_cameras_too_and_drawn_once():
    window = WindowOptions(window="chroma").backdrop()
    assert VirtualCameraOptions(virtual_camera="", virtual_camera_background="chroma").backdrop(window) is window
    assert VirtualCameraOptions(virtual_camera="").size((961, 721)) == (960, 720)


LOOPBACK_SCRIPT = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from realtime.live.virtual_camera import VirtualCamera

    device = sys.argv[1]
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 32:] = 255

    class Viewer:
        intrinsics = type("Camera", (), {"width": 64, "height": 48})
        def read_rgb(self): return picture

    camera = VirtualCamera(device, (64, 48), 50.0, None, shares_background=True)
    camera.start()
    ends_s = time.monotonic() + 60
    while time.monotonic() < ends_s and not camera.problem and camera.sent < 5:
        camera.offer(Viewer()); time.sleep(0.01)
    print(camera.device == device, camera.sent >= 5)
    if camera.sent:
        Path(device).unlink()
        while time.monotonic() < ends_s and not camera.problem:
            camera.offer(Viewer()); time.sleep(0.01)
    print(camera.problem)
    camera.close()
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
class TestLoopback:
    """pyvirtualcam's own native backend, on a device that is faked below it."""

    def run(self, tmp_path: Path, **environment: str) -> list[str]:
        library = tmp_path / "fake.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, FAKES / "loopback_device.c", "-ldl"], check=True, timeout=60
        )
        folder = Path("/dev/shm") / tmp_path.name  # below /dev, as devices are
        folder.mkdir()
        device = folder / "video.loopback"
        device.touch()
        try:
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(LOOPBACK_SCRIPT), device],
                env={**os.environ, "LD_PRELOAD": str(library), **environment},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()
        finally:
            shutil.rmtree(folder)

    def test_its_library_is_fed_and_a_device_file_that_vanishes_is_told(self, tmp_path):
        fed, problem = self.run(tmp_path)
        assert fed == "True True"
        assert "went away (its device file is gone)" in problem

    def test_what_is_no_loopback_device_is_refused_by_the_library_and_told(self, tmp_path):
        fed, problem = self.run(tmp_path, FAKE_DRIVER="uvcvideo")
        assert fed == "False False"
        assert "cannot be opened" in problem
        assert "modprobe v4l2loopback" in problem
