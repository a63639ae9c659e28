"""Live Azure Kinects and their faults: the real pyk4a on a fake native module. Runs in the second environment."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from tests.fakes import native_kinect
from tests.fakes.native_kinect import Camera, Desk

native_kinect.install()

from capture.cameras import picture_watch, reconnecting  # noqa: E402
from capture.cameras.devices import list_devices  # noqa: E402
from capture.cameras.kinect import KinectOptions, kinect_source  # noqa: E402
from capture.cameras.reconnecting import ReconnectingSource  # noqa: E402
from core.source import DeviceState  # noqa: E402
from tests.fakes.phone import read_pattern  # noqa: E402

WAIT_S = 60.0  # by then a test has failed, on the slowest of machines


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(reconnecting, "STALL_S", 60.0)  # what a busy machine does is no stall; see `impatient`
    monkeypatch.setattr(reconnecting, "GIVE_UP_S", 60.0)
    native_kinect.cameras.cameras = [Camera()]
    yield native_kinect.cameras
    assert native_kinect.cameras.open_handles == 0, "a camera was left open"


@pytest.fixture
def impatient(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests about stalls."""
    monkeypatch.setattr(reconnecting, "STALL_S", 0.5)
    monkeypatch.setattr(reconnecting, "GIVE_UP_S", 0.9)


@pytest.fixture
def source(desk: Desk) -> Iterator[ReconnectingSource]:  # type: ignore[type-arg]
    source = kinect_source()
    source.open()
    yield source
    source.close()
    assert source.state is DeviceState.ENDED


def frames(source: ReconnectingSource, count: int, wait_s: float = WAIT_S) -> list:  # type: ignore[type-arg]
    """The next `count` frames, whole and in order."""
    got: list = []
    ends_s = time.monotonic() + wait_s
    while len(got) < count and time.monotonic() < ends_s:
        if (frame := source.read(0.1)) is not None:
            got.append(frame)
    assert len(got) == count, f"{len(got)} of {count} frames in {wait_s} s; {source.state}: {source.detail}"
    for frame in got:
        assert read_pattern(frame.rgb, frame.depth_m) is not None, "torn"
    for before, after in itertools.pairwise(got):
        assert before.index < after.index
        assert before.timestamp_s < after.timestamp_s
    return got


def wait_for(source: ReconnectingSource, wanted: Callable[[], bool], wait_s: float = WAIT_S) -> None:  # type: ignore[type-arg]
    ends_s = time.monotonic() + wait_s
    while not wanted() and time.monotonic() < ends_s:
        source.read(0.02)
    assert wanted(), f"{source.state}: {source.detail}"


def test_frames_carry_both_pictures_and_the_time_of_capture(desk: Desk, source: ReconnectingSource) -> None:  # type: ignore[type-arg]
    got = frames(source, 20)
    read_s = time.monotonic()
    assert source.state is DeviceState.STREAMING
    assert source.identity == "000123456789"
    frame = got[-1]
    assert frame.rgb.shape == (720, 1280, 3)
    assert frame.depth_m is not None
    assert (frame.depth_m > 0).mean() > 0.5
    assert frame.intrinsics.fx == pytest.approx(0.48 * 1280)
    number = read_pattern(frame.rgb, frame.depth_m)
    assert number is not None
    made_s = dict(desk.cameras[0].made_s)[number]  # what the camera itself takes is part of it
    assert made_s - 0.068 - 0.01 <= frame.timestamp_s <= read_s - 0.068


def test_unplugged_and_plugged_in_again(desk: Desk, source: ReconnectingSource) -> None:  # type: ignore[type-arg]
    last = frames(source, 3)[-1]
    unplugged_s = desk.unplug(desk.cameras[0])
    wait_for(source, lambda: source.state is DeviceState.RECONNECTING)
    wait_for(source, lambda: "no Azure Kinect found" in source.detail)
    desk.plug(desk.cameras[0])
    first = frames(source, 1)[0]
    assert first.index > last.index
    assert source.state is DeviceState.STREAMING
    assert source.detail == ""
    assert source.reconnects == 1
    assert len(source.gaps) == 1
    assert last.timestamp_s <= source.gaps[0].start_s <= unplugged_s


def test_another_camera_is_not_taken_instead(desk: Desk, source: ReconnectingSource) -> None:  # type: ignore[type-arg]
    frames(source, 2)
    desk.cameras.append(Camera(serial="other"))
    desk.unplug(desk.cameras[0])
    wait_for(source, lambda: "expected the camera 000123456789, found other" in source.detail)
    desk.plug(desk.cameras[0])
    frames(source, 2)
    assert source.identity == "000123456789"
    assert not desk.cameras[1].opened


def test_a_serial_number_chooses_among_cameras(desk: Desk) -> None:
    desk.cameras.append(Camera(serial="second"))
    source = kinect_source("second")
    source.open()
    frames(source, 2)
    assert desk.cameras[1].started
    assert not desk.cameras[0].opened
    source.close()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"in_use": True}, "close the other program using it"),
        ({"does_not_start": True}, "does not start"),
        ({"attached": False}, "no Azure Kinect found"),
    ],
)
def test_a_camera_that_cannot_be_had_is_a_state_with_the_next_step(desk: Desk, fault: dict, says: str) -> None:
    vars(desk.cameras[0]).update(fault)
    source = kinect_source()
    source.open()
    wait_for(source, lambda: says in source.detail)
    assert source.state is DeviceState.NO_DEVICE
    vars(desk.cameras[0]).update({name: not value for name, value in fault.items()})
    frames(source, 2)
    source.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [{"silent": True}, {"lacks": "color"}, {"lacks": "depth"}])
def test_no_usable_picture_is_a_stall_and_then_a_restart(desk: Desk, source: ReconnectingSource, fault: dict) -> None:  # type: ignore[type-arg]
    frames(source, 2)
    vars(desk.cameras[0]).update(fault)
    wait_for(source, lambda: source.state is DeviceState.STALLED)
    wait_for(source, lambda: source.state is DeviceState.RECONNECTING)
    vars(desk.cameras[0]).update(silent=False, lacks="")
    frames(source, 2)
    assert source.reconnects == 1


def test_an_exception_without_a_word_is_a_fault(desk: Desk, source: ReconnectingSource) -> None:  # type: ignore[type-arg]
    frames(source, 2)
    desk.cameras[0].raises = True
    wait_for(source, lambda: source.state is DeviceState.RECONNECTING)
    assert "stopped answering; check its cable" in source.detail
    desk.cameras[0].raises = False
    frames(source, 2)


def test_half_a_jpeg_is_dropped_and_counted(desk: Desk, source: ReconnectingSource) -> None:  # type: ignore[type-arg]
    frames(source, 2)
    desk.cameras[0].truncated_jpeg = True
    wait_for(source, lambda: source.damaged >= 2)
    desk.cameras[0].truncated_jpeg = False
    frames(source, 3)


def test_a_frozen_camera_is_opened_anew(desk: Desk, source: ReconnectingSource) -> None:  # type: ignore[type-arg]
    frames(source, 2)
    desk.cameras[0].frozen = True
    wait_for(source, lambda: source.state is DeviceState.FROZEN)
    wait_for(source, lambda: source.reconnects >= 1)
    desk.cameras[0].frozen = False
    frames(source, 2)
    assert source.faults["freezes"] == 1


@pytest.mark.parametrize(
    "fault", [{"color_size": (640, 1)}, {"depth_size": (0, 0)}, {"depth_size": (320, 288)}], ids=str
)
def test_pictures_of_another_shape_are_a_state_that_ends(
    desk: Desk,
    source: ReconnectingSource,  # type: ignore[type-arg]
    fault: dict,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture_watch, "DAMAGED_S", 3600.0)
    frames(source, 2)
    before = {name: getattr(desk.cameras[0], name) for name in fault}
    vars(desk.cameras[0]).update(fault)
    wait_for(source, lambda: source.damaged >= 10)
    assert caplog.text.count("a picture was dropped") == 1
    monkeypatch.setattr(picture_watch, "DAMAGED_S", 0.0)
    wait_for(source, lambda: source.state is DeviceState.DAMAGED)
    assert "as calibrated" in source.detail
    vars(desk.cameras[0]).update(before)
    frames(source, 2)


def test_no_first_picture(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.cameras.kinect.KinectDevice.first_frame_s", 0.4)
    desk.cameras[0].silent = True
    source = kinect_source()
    source.open()
    wait_for(source, lambda: source.state is DeviceState.WAITING_FIRST_FRAME)
    wait_for(source, lambda: "USB 3 port of its own" in source.detail)
    desk.cameras[0].silent = False
    frames(source, 2)
    source.close()


def test_options_reach_the_camera(desk: Desk) -> None:
    source = kinect_source(None, KinectOptions.parse("exposure_us=8000&mains_hz=50&fps=15&sync=master"))
    source.open()
    frames(source, 2)
    assert source.fps == 15
    source.close()


def test_cameras_are_listed_with_their_state(desk: Desk) -> None:
    desk.cameras.append(Camera(serial="busy", in_use=True))
    rows = [row for row in list_devices() if row.kind == "kinect"]
    assert [(row.identity, row.state.split(";")[0]) for row in rows] == [
        ("000123456789", "ready"),
        ("", "cannot be opened"),
    ]
    assert rows[0].hint == "--device kinect:000123456789"
