"""`vfa-live` in this process: what fails on a thread while the head is still being prepared."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calib.avatar import Avatar
from capture import open_source
from capture.face import face_tracker
from capture.synthetic.performer.performer import PerformerSource
from core.errors import InputError
from core.source import SourceError
from realtime import avatar_choice
from realtime.config import LiveOptions, RecordingOptions, WindowOptions
from realtime.live_command import _runs_unseen, live
from realtime.view_options import VirtualCameraOptions


@pytest.fixture
def preparing_lasts(monkeypatch: pytest.MonkeyPatch, lowpoly: Avatar) -> Iterator[None]:
    """The head is ready only once the test is over."""
    over = threading.Event()

    def prepare_avatar(*_: Any, **__: Any) -> Avatar:
        assert over.wait(120)
        return lowpoly

    monkeypatch.setattr(avatar_choice, "prepare_avatar", prepare_avatar)
    yield
    over.set()


def fails(error: Exception) -> Any:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    return failing


@pytest.mark.usefixtures("preparing_lasts")
@pytest.mark.parametrize("thread", ["tracker", "capture"])
def test_a_thread_that_fails_during_preparation_is_told(
    thread: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: InputError
    if thread == "tracker":
        error = InputError("the model is broken")
        monkeypatch.setattr(face_tracker, "FaceTracker", fails(error))
    else:
        error = SourceError("the camera is gone")
        source = PerformerSource(realtime=False)
        monkeypatch.setattr(source, "open", fails(error))
        monkeypatch.setattr(open_source, "open_source", lambda *_, **__: source)
    report, out = tmp_path / "report.json", tmp_path / "new" / "out"
    options = LiveOptions(
        avatar="lowpoly",
        window=WindowOptions(headless=True, size=(160, 120)),
        recording=RecordingOptions(record=out, report=report),
    )
    with pytest.raises(InputError) as told:
        live(options)
    assert told.value is error
    assert json.loads(report.read_text())["frames"]["shown"] == 0
    assert not out.parent.exists(), "no folder is left of a recording that never began"


@pytest.mark.usefixtures("lowpoly")
def test_a_phone_that_never_sends_ends_in_time_with_a_message_and_a_status(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.live.session.FIRST_MOTION_S", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = LiveOptions(
        device=f"livelink:{port}",
        avatar="lowpoly",
        seconds=0.2,
        window=WindowOptions(headless=True, size=(160, 120)),
    )
    with pytest.raises(SystemExit) as ended:
        live(options)
    assert ended.value.code == 1
    (told,) = [message for message in caplog.messages if "ended before any frame came" in message]
    assert f"set the app's target to this machine and port {port}" in told


@pytest.mark.usefixtures("lowpoly")
@pytest.mark.parametrize("refuses", [True, False])
def test_a_virtual_camera_that_is_not_there_shows_in_the_exit_status(
    refuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyvirtualcam = pytest.importorskip("pyvirtualcam")

    class Device:
        device, native_fourcc = "the only one", None

        def __init__(self, *_: Any, **__: Any) -> None:
            if refuses:
                raise RuntimeError("no device was found")

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def send(self, picture: Any) -> None:
            raise OSError("unplugged")  # once it was there, the given name was right

    monkeypatch.setattr(pyvirtualcam, "Camera", Device)
    options = LiveOptions(
        device="demo",
        avatar="lowpoly",
        seconds=1.0,
        window=WindowOptions(headless=True, size=(160, 120)),
        virtual_camera=VirtualCameraOptions(virtual_camera=""),
    )
    if refuses:
        with pytest.raises(SystemExit) as ended:
            live(options)
        assert ended.value.code == 2
    else:
        live(options)


@pytest.mark.parametrize(
    ("given", "frames", "unseen"),
    [
        ({}, None, True),
        ({"loop": True}, 100, True),
        ({}, 100, False),  # ends by itself
        ({"seconds": 5.0}, None, False),
        ({"send": ("osf://127.0.0.1:1",)}, None, False),
        ({"recording": RecordingOptions(record=Path("take"))}, None, False),
        ({"recording": RecordingOptions(report=Path("report.json"))}, None, False),
        ({"window": WindowOptions()}, None, False),
    ],
)
def test_what_runs_unseen_without_end_is_known(given: dict[str, Any], frames: int | None, unseen: bool) -> None:
    options = LiveOptions(**{"window": WindowOptions(headless=True), **given})
    assert _runs_unseen(options, SimpleNamespace(frame_count=frames)) is unseen  # type: ignore[arg-type]
