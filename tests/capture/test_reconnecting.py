"""A live source and its faults, with a device that does what the test says on the test's clock."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from capture.cameras import reconnecting
from capture.cameras.device import DeviceLostError, NoDeviceError
from capture.cameras.reconnecting import ReconnectingSource
from core.frame import RgbdFrame
from core.source import DeviceState, SourceError
from tests.fakes.scripted_device import Clock, Scripted

Source = ReconnectingSource[tuple[int, float]]
READS = 10_000  # of 5 ms each at most: by then a test has failed, on the slowest of machines


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    clock = Clock()
    monkeypatch.setattr(reconnecting, "time", clock)
    monkeypatch.setattr(reconnecting, "JOIN_S", 0.2)
    monkeypatch.setattr(reconnecting, "BACKOFF_S", (0.001, 0.002))
    monkeypatch.setattr(reconnecting, "ABSENT_S", 0.001)
    return Scripted(clock)


@pytest.fixture
def source(device: Scripted) -> Iterator[Source]:
    source = ReconnectingSource(device)
    source.open()
    yield source
    device.hang.set()
    source.close()


def wait_for(source: Source, wanted: Callable[[], bool]) -> None:
    for _ in range(READS):
        if wanted():
            return
        source.read(0.005)
    raise AssertionError(f"{source.state}: {source.detail}")


def next_frame(source: Source) -> RgbdFrame:
    for _ in range(READS):
        if (frame := source.read(0.005)) is not None:
            return frame
    raise AssertionError(f"no frame; {source.state}: {source.detail}")


def test_from_nothing_to_streaming_and_back(device: Scripted) -> None:
    device.absent = device.still = True
    source = ReconnectingSource(device)
    source.open()
    wait_for(source, lambda: source.detail.endswith("plug it in"))
    assert source.state is DeviceState.NO_DEVICE
    device.absent = False
    wait_for(source, lambda: source.state is DeviceState.WAITING_FIRST_FRAME)
    device.still = False
    next_frame(source)
    assert source.state is DeviceState.STREAMING
    device.still = True
    wait_for(source, lambda: source.read(0.005) is None and source.read(0.005) is None)  # all that was on its way
    device.clock.now_s += reconnecting.STALL_S + 0.01
    assert source.state is DeviceState.STALLED
    source.read(0.0)
    device.clock.now_s += reconnecting.GIVE_UP_S - reconnecting.STALL_S
    wait_for(source, lambda: source.state is DeviceState.RECONNECTING)
    device.still = False
    next_frame(source)
    wait_for(source, lambda: source.state is DeviceState.STREAMING)
    source.close()
    assert source.state is DeviceState.ENDED
    assert device.opened == 2
    assert source.faults["reconnects"] == 1
    assert len(source.gaps) == 1
    assert source.gaps[0].end_s - source.gaps[0].start_s > reconnecting.GIVE_UP_S
    assert "stalled" in source.gaps[0].reason


def test_faults_never_reach_the_reader_and_are_retried_for_ever(device: Scripted, source: Source) -> None:
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


def test_a_slow_reader_always_gets_a_fresh_frame_and_overtaken_ones_are_counted(
    device: Scripted, source: Source
) -> None:
    frames = []
    for _ in range(10):
        frames.append(next_frame(source))
        passed = device.taken + 5
        while device.taken < passed:
            time.sleep(0.001)
        assert next_frame(source).index >= passed - 2, "frames queue up"  # one may be on its way
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    source.close()
    assert 0 <= device.taken - source.skipped - 2 * len(frames) <= 1  # the newest waits when it is closed


def test_damaged_pictures_are_counted_and_the_next_one_is_fine(device: Scripted, source: Source) -> None:
    device.damaged = True
    wait_for(source, lambda: source.damaged >= 3)
    device.damaged = False
    next_frame(source)
    assert source.state is DeviceState.STREAMING


def test_no_first_frame_is_told_with_the_next_step(device: Scripted, source: Source) -> None:
    device.still = device.gone = True

    def told_while_time_passes() -> bool:
        device.clock.now_s += 0.01
        return "no picture came" in source.detail

    wait_for(source, told_while_time_passes)
    assert source.detail.endswith("wind it up")
    device.still = False
    next_frame(source)


def test_a_hanging_library_is_a_stall_and_closing_does_not_wait_for_it(
    device: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    source = ReconnectingSource(device)
    source.open()
    next_frame(source)
    device.hang.clear()
    wait_for(source, lambda: source.read(0.005) is None)
    device.clock.now_s += reconnecting.STALL_S + 0.01
    assert source.state is DeviceState.STALLED
    source.close()
    assert not device.hang.is_set(), "it still hangs, and closing has come back"
    assert "abandoned" in caplog.text
    device.hang.set()
    for thread in threading.enumerate():
        if thread.name == "device scripted":
            thread.join(60)
            assert not thread.is_alive()


def test_what_can_never_work_is_raised(device: Scripted) -> None:
    device.broken = True
    source = ReconnectingSource(device)
    source.open()
    with pytest.raises(SourceError, match="install it"):
        wait_for(source, lambda: False)
    source.close()


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
