"""Record3D over USB: the real library in its process, talking to a simulated phone."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from capture.cameras import picture_watch, reconnecting, record3d_process, record3d_usb
from capture.cameras.device import DamagedPictureError
from capture.cameras.devices import list_devices
from capture.cameras.reconnecting import ReconnectingSource
from capture.cameras.record3d_child import PhonePicture
from capture.cameras.record3d_usb import Record3dDevice, frame_of_picture, parse_rotation, record3d_source, rotated
from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from core.camera import Intrinsics
from core.errors import InputError
from core.frame import RgbdFrame
from core.source import DeviceState, SourceError
from tests.fakes.phone import UDID, Phone, read_pattern
from tests.fakes.rendered_face import TRUEDEPTH, eye_distance_m, rendered_faces
from tests.fakes.sensor_noise import truedepth

WAIT_S = 60.0  # by then a test has failed, on the slowest of machines
Source = ReconnectingSource[PhonePicture]


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Phone]:
    monkeypatch.setattr(reconnecting, "STALL_S", 60.0)  # what a busy machine does is no stall; see `impatient`
    monkeypatch.setattr(reconnecting, "GIVE_UP_S", 60.0)
    monkeypatch.setattr(reconnecting, "JOIN_S", 60.0)
    with Phone(tmp_path) as phone:
        for name, value in phone.environment.items():
            monkeypatch.setenv(name, value)
        yield phone
        assert not _leftovers(), "the library's process or its memory was left behind"


@pytest.fixture
def impatient(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests about stalls."""
    monkeypatch.setattr(reconnecting, "STALL_S", 0.5)
    monkeypatch.setattr(reconnecting, "GIVE_UP_S", 0.9)


@pytest.fixture
def source(phone: Phone, caplog: pytest.LogCaptureFixture) -> Iterator[Source]:
    source = record3d_source()
    source.open()
    yield source
    source.close()
    assert "abandoned" not in caplog.text


def _leftovers() -> list[str]:
    children = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    processes = [" ".join(command) for command in children if "capture.cameras.record3d_process" in command]
    return processes + [str(path) for path in Path("/dev/shm").glob(f"vfa-record3d-{os.getpid()}-*")]


def frames(source: Source, count: int, wait_s: float = WAIT_S) -> list[RgbdFrame]:
    """The next `count` frames: whole, in order, none twice."""
    got: list[RgbdFrame] = []
    ends_s = time.monotonic() + wait_s
    while len(got) < count and time.monotonic() < ends_s:
        if (frame := source.read(0.1)) is not None:
            got.append(frame)
    assert len(got) == count, f"{len(got)} of {count} frames; {source.state}: {source.detail}"
    numbers = [read_pattern(frame.rgb, frame.depth_m) for frame in got]
    assert None not in numbers, "torn"
    for before, after in itertools.pairwise(got):
        assert before.index < after.index
        assert before.timestamp_s < after.timestamp_s
    assert numbers == sorted(set(numbers))  # type: ignore[type-var]
    return got


def is_whole(frame: RgbdFrame | None) -> bool:
    return frame is not None and read_pattern(frame.rgb, frame.depth_m) is not None


def wait_for(source: Source, wanted: Callable[[], bool], wait_s: float = WAIT_S) -> None:
    ends_s = time.monotonic() + wait_s
    while not wanted() and time.monotonic() < ends_s:
        source.read(0.02)
    assert wanted(), f"{source.state}: {source.detail}"


def test_frames_are_turned_back_from_their_mirror(source: Source) -> None:
    got = frames(source, 30)
    assert source.identity == UDID
    assert source.state is DeviceState.STREAMING
    assert got[-1].intrinsics.cx == pytest.approx(160 / 2 + 3)
    assert got[-1].intrinsics.cy == pytest.approx(120 / 2 - 2)


def test_lidar_comes_unmirrored_small_and_with_confidence(phone: Phone, source: Source) -> None:
    phone.set(truedepth=False, width=320, height=240, depth_width=64, depth_height=48, confidence=2)
    wait_for(source, lambda: (frame := source.read(0.1)) is not None and frame.rgb.shape == (240, 320, 3))
    frame = frames(source, 3)[-1]
    assert frame.depth_m is not None
    assert frame.depth_m.shape == (240, 320)
    assert frame.intrinsics == Intrinsics(frame.intrinsics.fx, frame.intrinsics.fy, 163.0, 118.0, 320, 240)
    assert frame.intrinsics.fx == pytest.approx(352)
    phone.set(confidence=0)
    wait_for(
        source, lambda: (got := source.read(0.1)) is not None and got.depth_m is not None and not got.depth_m.any()
    )


def test_unplugged_for_a_while(phone: Phone, source: Source) -> None:
    last = frames(source, 5)[-1]
    phone.unplug(in_mid_frame=True)
    wait_for(source, lambda: "no iPhone or iPad on USB" in source.detail)
    assert source.state is DeviceState.RECONNECTING
    back_s = phone.plug()
    first = frames(source, 1)[0]
    assert first.timestamp_s > back_s
    assert first.index > last.index
    assert source.reconnects == 1
    assert len(source.gaps) == 1


def test_another_phone_is_not_taken_instead(phone: Phone, source: Source) -> None:
    frames(source, 2)
    phone.set(udid="other")
    phone.cut()
    wait_for(source, lambda: f"expected phone {UDID}" in source.detail)
    phone.set(udid=UDID)
    frames(source, 2)


def test_the_app_is_not_streaming(phone: Phone) -> None:
    phone.set(app_running=False)
    source = record3d_source(UDID)
    source.open()
    wait_for(source, lambda: "press the red button" in source.detail)
    assert source.state is DeviceState.NO_DEVICE
    phone.set(app_running=True)
    frames(source, 2)
    source.close()


def test_no_first_frame_asks_to_restart_the_app(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Record3dDevice, "first_frame_s", 0.4)
    phone.set(silent=True)
    source = record3d_source()
    source.open()
    wait_for(source, lambda: source.state is DeviceState.WAITING_FIRST_FRAME)
    wait_for(source, lambda: "close Record3D on the phone, open it again" in source.detail)
    phone.set(silent=False)
    frames(source, 2)
    source.close()


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_stands_still_is_restarted(phone: Phone, source: Source) -> None:
    frames(source, 2)
    phone.set(stalled=True)
    wait_for(source, lambda: source.state is DeviceState.STALLED)
    wait_for(source, lambda: source.state is DeviceState.RECONNECTING)
    phone.set(stalled=False)
    frames(source, 2)


def test_a_phone_service_that_hangs_freezes_nothing(phone: Phone, source: Source) -> None:
    frames(source, 2)
    phone.set(hung=True)
    phone.cut()
    wait_for(source, lambda: source.state is DeviceState.RECONNECTING)
    reads = []
    wait_for(source, lambda: bool(reads.append(0)) or "does not answer; restart it" in source.detail)
    assert len(reads) > 5, "reading comes back again and again, while the library waits"
    phone.set(hung=False)
    frames(source, 2)


def test_a_frozen_phone_is_opened_anew(phone: Phone, source: Source) -> None:
    frames(source, 2)
    phone.set(frozen=True)
    wait_for(source, lambda: source.state is DeviceState.FROZEN)
    assert "one and the same picture" in source.detail
    wait_for(source, lambda: source.reconnects >= 1)
    phone.set(frozen=False)
    frames(source, 3)
    assert source.faults["freezes"] == 1
    assert source.state is DeviceState.STREAMING


def test_a_phone_without_depth_is_told_once_and_becomes_a_state(
    phone: Phone, source: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_watch, "DAMAGED_S", 3600.0)
    frames(source, 2)
    phone.set(depth_width=0, depth_height=0)
    wait_for(source, lambda: source.damaged >= 20)
    assert caplog.text.count("got depth of 0x0") == 1
    monkeypatch.setattr(picture_watch, "DAMAGED_S", 0.0)
    wait_for(source, lambda: source.state is DeviceState.DAMAGED)
    assert "got depth of 0x0" in source.detail
    phone.set(depth_width=160, depth_height=120)
    frames(source, 2)


def test_depth_that_is_no_number_is_no_reading(phone: Phone, source: Source) -> None:
    frames(source, 1)
    phone.set(nan=0.5)
    wait_for(source, lambda: (got := source.read(0.1)) is not None and not got.depth_m[:60].any())  # type: ignore[index]
    frame = frames(source, 1)[0]
    assert frame.depth_m is not None
    assert np.isfinite(frame.depth_m).all()
    assert (frame.depth_m[70:] > 0).mean() > 0.9


def test_a_phone_with_pictures_of_an_absurd_shape_is_refused(phone: Phone) -> None:
    phone.set(width=640, height=1)
    source = record3d_source()
    source.open()
    with pytest.raises(SourceError, match=r"expected pictures of at least 16x16 .* got 640x1; choose another size"):
        wait_for(source, lambda: False)
    source.close()


@pytest.mark.parametrize("how", ["fields", "size", "header"])
def test_garbage_ends_the_library_s_process_and_nothing_else(
    phone: Phone, source: Source, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnecting, "BACKOFF_S", (0.01, 0.02))
    monkeypatch.setattr(reconnecting, "GIVE_UP_S", 0.9)
    frames(source, 2)
    phone.set(garbage=how, fps=300.0)
    wait_for(source, lambda: phone.counts()["damaged"] > 10)
    phone.set(garbage="", fps=60.0)
    # where a message announced gigabytes, what follows is swallowed: then only the watchdog helps
    wait_for(source, lambda: is_whole(source.read(0.1)))
    frames(source, 3)


def test_a_worker_slower_than_the_phone_always_gets_the_newest(source: Source) -> None:
    last = frames(source, 1)[0]
    for _ in range(20):
        passed_over = source.skipped + 3
        while source.skipped < passed_over:  # the worker is busy
            time.sleep(0.005)
        frame = frames(source, 1)[0]
        assert frame.index > last.index + 3, "frames queue up"
        last = frame


def test_a_face_on_the_phone_is_tracked_at_its_size_and_place(
    phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = rendered_faces(TRUEDEPTH, 0.4)
    it = TRUEDEPTH
    np.savez(
        tmp_path / "faces.npz",
        rgb=np.stack([face.rgb for face in faces]),
        depth_m=np.stack([truedepth(face.depth_m, face.rgb) for face in faces]),
        intrinsics=[it.fx, it.fy, it.cx, it.cy],
    )
    phone.set(pictures=str(tmp_path / "faces.npz"), fps=10.0)
    source = record3d_source()
    source.open()
    seen = []
    with FaceTracker() as tracker:
        while len(seen) < 8:
            if (frame := source.read(2.0)) is not None:
                seen.append(tracker.track(frame))
    source.close()
    assert all(observation.tracked for observation in seen)
    for observation in seen[2:]:
        pupils = observation.landmarks_m[[468, 473]]
        assert np.linalg.norm(pupils[0] - pupils[1]) == pytest.approx(eye_distance_m(), rel=0.1)
        assert pupils[:, 2].mean() == pytest.approx(0.4, abs=0.03)
        assert abs(pupils[:, 0].mean()) < 0.02  # straight in front: the mirror was undone in K as well
        assert pupils[0, 2] + 0.005 < pupils[1, 2]  # it looks to image right, so its own right eye is nearer


def test_phones_are_listed(phone: Phone) -> None:
    rows = [row for row in list_devices() if row.kind == "record3d"]
    assert [(row.identity, row.state, row.hint) for row in rows] == [(UDID, "connected", f"--device record3d:{UDID}")]
    phone.unplug()
    assert [row.state for row in list_devices() if row.kind == "record3d"] == ["none found"]


def test_the_library_s_process_ends_with_its_parent(phone: Phone) -> None:
    code = (
        "import os, time; from capture.cameras.record3d_usb import record3d_source\n"
        "source = record3d_source(); source.open()\n"
        "while source.read(0.1) is None: pass\n"
        "import psutil; print(psutil.Process().children()[0].pid, flush=True); os._exit(9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(record3d_usb.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    child = int(done.stdout)
    ends_s = time.monotonic() + WAIT_S
    while psutil.pid_exists(child) and time.monotonic() < ends_s:
        time.sleep(0.05)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_of_the_session_is_left_to_the_session(
    source: Source, number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    """As of Ctrl-C in a terminal, or of a service that is stopped."""
    frames(source, 1)
    (child,) = (each for each in psutil.Process().children() if "capture.cameras.record3d_process" in each.cmdline())
    child.send_signal(number)
    frames(source, 20)
    assert child.is_running()
    assert source.reconnects == 0
    assert "ended its process" not in caplog.text


def test_closing_while_it_looks_for_a_phone_is_quick_and_complete(phone: Phone) -> None:
    phone.unplug()
    threads, files = threading.active_count(), psutil.Process().num_fds()
    for wait_s in (0.0, 0.05, 0.4):
        source = record3d_source()
        source.open()
        time.sleep(wait_s)
        source.close()
    assert threading.active_count() == threads
    assert psutil.Process().num_fds() == files


# --- pictures, without a phone --------------------------------------------------------------------------------------


def picture(**changes: object) -> PhonePicture:
    fields: dict[str, object] = {
        "rgb": np.zeros((48, 64, 3), np.uint8),
        "depth_m": np.full((24, 32), 0.5, np.float32),
        "confidence": np.zeros((0, 0), np.uint8),
        "fx": 60.0,
        "fy": 62.0,
        "cx": 30.0,
        "cy": 25.0,
        "lidar": True,
        "arrival_s": 7.0,
    }
    return PhonePicture(**{**fields, **changes})  # type: ignore[arg-type]


def test_readings_that_are_none_are_zero() -> None:
    depth = np.full((24, 32), 0.5, np.float32)
    depth[0, :5] = [np.nan, np.inf, -1.0, 1e30, 0.01]
    frame = frame_of_picture(picture(depth_m=depth), 0, 0, None)
    assert frame.depth_m is not None
    assert not frame.depth_m[0, :10].any()
    assert (frame.depth_m[2:] == 0.5).all()


@pytest.mark.parametrize(
    "wrong",
    [{"fx": 0.0}, {"fy": np.nan}, {"depth_m": np.zeros((0, 0), np.float32)}],
)
def test_a_picture_without_sense_is_damaged(wrong: dict[str, object]) -> None:
    with pytest.raises(DamagedPictureError):
        frame_of_picture(picture(**wrong), 0, 0, None)


@pytest.mark.parametrize("size", [(0, 0), (4, 4), (1, 640)])
def test_a_picture_of_a_size_no_camera_has_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(SourceError, match="expected pictures of at least 16x16"):
        frame_of_picture(picture(rgb=np.zeros((*size, 3), np.uint8)), 0, 0, None)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turning_a_picture_turns_its_camera(rotation: record3d_usb.Rotation) -> None:
    pinhole = Intrinsics(60.0, 62.0, 30.0, 25.0, 64, 48)
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[10, 50] = 255
    depth = np.where(rgb[..., 0] > 0, 0.5, 0).astype(np.float32)
    point = pinhole.unproject(np.array([50.5, 10.5]), np.array(0.5))
    turned_rgb, turned_depth, camera = rotated(rgb, depth, pinhole, rotation)
    row, column = np.argwhere(turned_rgb[..., 0] == 255)[0]
    assert turned_depth[row, column] == 0.5
    angle = np.radians(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    np.testing.assert_allclose(camera.project(turn @ point), [column + 0.5, row + 0.5], atol=1e-9)


def test_options_of_a_device() -> None:
    assert parse_rotation("rotate=270") == 270
    with pytest.raises(InputError, match="expected rotate=0, 90, 180 or 270"):
        open_source("record3d?rotate=45", realtime=True)
    assert open_source(f"record3d:{UDID}?rotate=90", realtime=True).name == f"record3d:{UDID}"


def test_a_picture_too_large_for_the_shared_memory_is_refused() -> None:
    import mmap

    with mmap.mmap(-1, record3d_process.SLOTS * record3d_process.SLOT_BYTES) as memory:
        writer = record3d_process.SlotWriter(memory)
        none = np.zeros((0, 0), np.uint8)
        depth = np.zeros((10, 10), np.float32)
        with pytest.raises(ValueError, match="too large"):
            writer.write(np.zeros((2400, 3600, 3), np.uint8), depth, none, (1, 1, 1, 1), False, 0.0)
        with pytest.raises(ValueError, match="too large"):
            writer.write(np.zeros((2, 5000, 3), np.uint8), depth, none, (1, 1, 1, 1), False, 0.0)
        assert writer.write(np.zeros((20, 50, 3), np.uint8), depth, none, (1, 1, 1, 1), False, 0.0) == 1
