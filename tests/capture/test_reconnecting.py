"""A live source and its faults, with a device that does what the test says."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from capture import reconnecting
from capture.device import DamagedPictureError, DeviceError, DeviceLostError, NoDeviceError
from capture.frame import RgbdFrame
from capture.reconnecting import ReconnectingSource
from capture.source import DeviceState, SourceError
from render.camera import Intrinsics

PINHOLE = Intrinsics(10.0, 10.0, 2.0, 2.0, 4, 4)


class Scripted:
    """A `LiveDevice` under a test's control."""

    name = "scripted"
    identity: str | None = None
    fps = 50.0
    latency_s: float | None = None
    first_frame_s = 0.3
    first_frame_hint = "wind it up"

    def __init__(self) -> None:
        self.absent = self.gone = self.still = self.damaged = self.broken = False
        self.hang = threading.Event()
        self.hang.set()
        self.opened = self.closed = self.taken = 0
        self.bug: Exception | None = None

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:
        if self.broken:
            raise SourceError("scripted: no library; install it")
        if self.absent:
            raise NoDeviceError("scripted: not there; plug it in")
        self.opened += 1
        self.gone = False
        self.identity = "S1"

    def capture(self, timeout_s: float) -> float | None:
        self.hang.wait()
        if self.bug is not None:
            raise self.bug
        if self.gone or self.absent:
            raise DeviceLostError("scripted: lost; check the cable")
        time.sleep(min(timeout_s, 1 / self.fps))
        if self.still:
            return None
        self.taken += 1
        return time.monotonic()

    def decode(self, picture: float, index: int) -> RgbdFrame:
        if self.damaged:
            raise DamagedPictureError("half of it")
        return RgbdFrame(np.zeros((4, 4, 3), np.uint8), None, PINHOLE, picture, index)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    monkeypatch.setattr(reconnecting, "GIVE_UP_S", 0.9)
    monkeypatch.setattr(reconnecting, "JOIN_S", 0.6)
    return Scripted()


@pytest.fixture
def source(device: Scripted) -> Iterator[ReconnectingSource[float]]:
    source = ReconnectingSource(device)
    source.open()
    yield source
    device.hang.set()
    source.close()


def wait_for(source: ReconnectingSource[float], wanted: Callable[[], bool], wait_s: float = 5.0) -> None:
    ends_s = time.monotonic() + wait_s
    while not wanted() and time.monotonic() < ends_s:
        source.read(0.01)
    assert wanted(), f"{source.state}: {source.detail}"


def next_frame(source: ReconnectingSource[float]) -> RgbdFrame:
    ends_s = time.monotonic() + 5
    while time.monotonic() < ends_s:
        if (frame := source.read(0.1)) is not None:
            return frame
    raise AssertionError(f"no frame; {source.state}: {source.detail}")


def test_from_nothing_to_streaming_and_back(device: Scripted) -> None:
    device.absent = device.still = True
    source = ReconnectingSource(device)
    seen = []

    def note() -> bool:
        if not seen or seen[-1] is not source.state:
            seen.append(source.state)
        return False

    source.open()
    wait_for(source, lambda: note() or source.detail.endswith("plug it in"))
    device.absent = False
    wait_for(source, lambda: note() or source.state is DeviceState.WAITING_FIRST_FRAME)
    device.still = False
    wait_for(source, lambda: note() or source.state is DeviceState.STREAMING)
    device.still = True
    wait_for(source, lambda: note() or source.state is DeviceState.STALLED)
    wait_for(source, lambda: note() or source.state is DeviceState.RECONNECTING)
    device.still = False
    wait_for(source, lambda: note() or source.state is DeviceState.STREAMING)
    source.close()
    note()
    names = [state.name for state in seen]
    assert names == [
        "NO_DEVICE", "WAITING_FIRST_FRAME", "STREAMING", "STALLED", "RECONNECTING", "STREAMING", "ENDED",
    ]  # fmt: skip
    assert device.opened == 2
    assert source.reconnects == 1
    assert len(source.gaps) == 1
    assert source.gaps[0].end_s - source.gaps[0].start_s > reconnecting.GIVE_UP_S * 0.9
    assert "stalled" in source.gaps[0].reason


def test_faults_never_reach_the_reader_and_are_retried_for_ever(
    device: Scripted, source: ReconnectingSource[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnecting, "BACKOFF_S", (0.01, 0.02))
    next_frame(source)
    for _ in range(10):
        opened = device.opened
        device.gone = True
        wait_for(source, lambda opened=opened: device.opened > opened)
        next_frame(source)
    assert source.reconnects == 10
    assert device.opened == 11


def test_the_wait_between_tries_grows_but_stays_short() -> None:
    lost, absent = DeviceLostError("x"), NoDeviceError("x")
    waits = [reconnecting._wait_s(lost, failures) for failures in range(2000)]
    assert waits[0] == 0.1
    assert waits == sorted(waits)
    assert max(waits) == 1.0
    assert reconnecting._wait_s(absent, 2000) == reconnecting.ABSENT_S


def test_indices_and_times_rise_and_overtaken_pictures_are_counted(
    device: Scripted, source: ReconnectingSource[float]
) -> None:
    frames = []
    for _ in range(5):
        frames.append(next_frame(source))
        time.sleep(0.1)
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert indices[-1] + 1 - len(indices) > 5
    assert abs(device.taken - source.skipped - len(frames)) <= 2  # one waits, one may be on its way
    assert all(time.monotonic() - frame.timestamp_s < 1.0 for frame in frames)


def test_a_slow_reader_always_gets_a_fresh_frame(source: ReconnectingSource[float]) -> None:
    next_frame(source)
    ages_s = []
    for _ in range(10):
        time.sleep(0.08)
        ages_s.append(time.monotonic() - next_frame(source).timestamp_s)
    assert max(ages_s) < 0.06, "frames queue up"


def test_damaged_pictures_are_counted_and_the_next_one_is_fine(
    device: Scripted, source: ReconnectingSource[float]
) -> None:
    device.damaged = True
    wait_for(source, lambda: source.damaged >= 3)
    device.damaged = False
    next_frame(source)
    assert source.state is DeviceState.STREAMING


def test_no_first_frame_is_told_with_the_next_step(device: Scripted, source: ReconnectingSource[float]) -> None:
    device.still = True
    device.gone = True
    wait_for(source, lambda: "no picture came" in source.detail)
    assert source.detail.endswith("wind it up")
    device.still = False
    next_frame(source)


def test_a_hanging_library_is_a_stall_and_closing_does_not_wait_for_it(device: Scripted) -> None:
    source = ReconnectingSource(device)
    source.open()
    next_frame(source)
    device.hang.clear()
    wait_for(source, lambda: source.state is DeviceState.STALLED)
    assert source.read(0.05) is None
    began_s = time.monotonic()
    source.close()
    assert time.monotonic() - began_s < reconnecting.JOIN_S + 0.5
    device.hang.set()


def test_what_can_never_work_is_raised(device: Scripted) -> None:
    device.broken = True
    source = ReconnectingSource(device)
    source.open()
    with pytest.raises(SourceError, match="install it"):
        wait_for(source, lambda: False)
    source.close()


def test_a_bug_of_ours_is_raised_not_retried(device: Scripted, source: ReconnectingSource[float]) -> None:
    next_frame(source)
    device.bug = KeyError("ours")
    with pytest.raises(KeyError, match="ours"):
        wait_for(source, lambda: False)


def test_it_can_be_closed_at_any_time_and_opened_again(device: Scripted) -> None:
    before = threading.active_count()
    source = ReconnectingSource(device)
    source.close()
    for _ in range(3):
        source.open()
        next_frame(source)
        source.close()
        source.close()
        assert source.state is DeviceState.ENDED
        assert source.read(0.01) is None
    assert device.opened == 3
    assert threading.active_count() == before
    source.open()
    with pytest.raises(RuntimeError, match="already open"):
        source.open()
    source.close()
