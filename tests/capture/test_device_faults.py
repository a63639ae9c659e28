"""Devices and libraries that lie, raise or freeze: what a live source makes of them."""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from capture.cameras import picture_watch, reconnecting
from capture.cameras.freeze import FROZEN_S
from capture.cameras.reconnecting import ReconnectingSource
from core.camera import Intrinsics
from core.frame import RgbdFrame
from core.source import DeviceState, SourceError
from tests.capture.test_reconnecting import next_frame, wait_for
from tests.fakes.scripted_device import PINHOLE, Clock, Scripted, good_frame, noisy

Source = ReconnectingSource[tuple[int, float]]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    clock = Clock()
    monkeypatch.setattr(reconnecting, "time", clock)
    monkeypatch.setattr(reconnecting, "BACKOFF_S", (0.001, 0.002))
    monkeypatch.setattr(reconnecting, "ABSENT_S", 0.001)
    return Scripted(clock)


@pytest.fixture
def source(device: Scripted) -> Iterator[Source]:
    source = ReconnectingSource(device)
    source.open()
    yield source
    source.close()


def frames(source: Source, count: int) -> list[RgbdFrame]:
    return [next_frame(source) for _ in range(count)]


# --- exceptions of a library ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["open_bug", "bug"])
def test_whatever_a_library_raises_is_a_state_and_is_retried(device: Scripted, source: Source, where: str) -> None:
    frames(source, 1)
    device.gone = True
    setattr(device, where, KeyError("vendor's own"))
    wait_for(source, lambda: 'KeyError: "vendor\'s own"' in source.detail)
    assert source.state is DeviceState.RECONNECTING
    assert source.detail.startswith("scripted: ")
    setattr(device, where, None)
    frames(source, 2)
    assert source.state is DeviceState.STREAMING


def test_an_exception_at_the_very_first_opening_is_no_device(device: Scripted) -> None:
    device.open_bug = OSError(5, "Input/output error")
    source = ReconnectingSource(device)
    source.open()
    wait_for(source, lambda: "cannot be opened (OSError: [Errno 5]" in source.detail)
    assert source.state is DeviceState.NO_DEVICE
    device.open_bug = None
    frames(source, 1)
    source.close()


def test_a_close_that_raises_is_told_once_and_changes_nothing(
    device: Scripted, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    device.close_bug = RuntimeError("handle 7")
    for _ in range(3):
        frames(source, 1)
        opened = device.opened
        device.gone = True
        wait_for(source, lambda opened=opened: device.opened > opened)
    frames(source, 1)
    source.close()
    assert device.closed == 4
    assert source.state is DeviceState.ENDED
    assert caplog.text.count("not closed properly (RuntimeError: handle 7)") == 1


# --- timestamps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [lambda _: math.nan, lambda _: math.inf, lambda _: -math.inf, lambda s: s - 3600.0, lambda s: s + 3600.0],
    ids=["nan", "inf", "-inf", "an hour back", "an hour ahead"],
)
def test_a_clock_that_is_broken_for_good_leaves_the_camera_usable(
    device: Scripted, source: Source, wrong: Callable[[float], float]
) -> None:
    before = frames(source, 2)[-1]
    device.stamped = wrong
    wait_for(source, lambda: source.faults["restamped"] >= 3)
    got = frames(source, 10)
    times = [before.timestamp_s, *(frame.timestamp_s for frame in got)]
    assert all(math.isfinite(time_s) for time_s in times)
    assert times == sorted(set(times))
    assert abs(times[-1] - device.clock.now_s) < 1.0  # of the test's clock
    assert source.state is DeviceState.STREAMING


def test_pictures_older_than_the_last_are_dropped_and_counted(device: Scripted, source: Source) -> None:
    last = frames(source, 2)[-1]
    began_s, late = device.clock.now_s, [True]
    device.stamped = lambda now_s: now_s - 1.0 if late[0] else now_s
    wait_for(source, lambda: source.faults["unordered"] >= 3)
    late[0] = False
    got = frames(source, 3)
    assert got[0].timestamp_s > max(last.timestamp_s, began_s)
    assert source.faults["restamped"] == 0


def test_a_clock_set_back_by_a_second_costs_no_more_than_a_second(device: Scripted, source: Source) -> None:
    frames(source, 2)
    device.stamped = lambda now_s: now_s - 1.0
    began_s = device.clock.now_s
    first = next_frame(source)
    assert first.timestamp_s <= began_s + 1.0
    assert source.faults["unordered"] > 0


# --- pictures ---------------------------------------------------------------------------------------------------------


def _with(**changes: object) -> Callable[[int, float, int], RgbdFrame]:
    return lambda number, time_s, index: replace(good_frame(number, time_s, index), **changes)  # type: ignore[arg-type]


def _lens(**changes: float) -> Callable[[int, float, int], RgbdFrame]:
    return lambda number, time_s, index: _with(intrinsics=replace(PINHOLE, **changes))(number, time_s, index)


@pytest.mark.parametrize(
    "spoiled",
    [
        _with(rgb=np.zeros((0, 0, 3), np.uint8)),
        _with(rgb=np.full((18, 24, 3), np.nan, np.float32)),
        _with(rgb=np.zeros((18, 24), np.uint8)),
        _with(rgb=None),
        _with(depth_m=np.zeros((9, 12), np.float32)),
        _with(depth_m=np.zeros((18, 24), np.uint16)),
        _lens(width=0, height=0),
        _lens(fx=math.nan),
        _lens(cy=math.inf),
        _lens(fx=1e-30),
        _lens(fy=1e30),
        _lens(cx=-1e20),
        lambda number, time_s, index: {}["no such key"],
    ],
    ids=["0x0", "nan colour", "gray", "none", "depth shape", "depth type", "0x0 lens", "nan focal", "inf centre",
         "focal 1e-30", "focal 1e30", "centre 1e20", "decoder raises"],
)  # fmt: skip
def test_pictures_without_sense_are_dropped_and_then_a_state(
    device: Scripted, source: Source, spoiled: Callable[[int, float, int], RgbdFrame], caplog: pytest.LogCaptureFixture
) -> None:
    frames(source, 1)
    device.decoded = spoiled
    wait_for(source, lambda: source.damaged >= 1)
    assert source.state is DeviceState.STREAMING, "one damaged picture is none of the user's business"
    wait_for(source, lambda: source.state is DeviceState.DAMAGED)
    assert "every picture is damaged" in source.detail
    assert source.detail.startswith("scripted: ")
    opened = device.opened
    wait_for(source, lambda: device.opened > opened)
    device.decoded = good_frame
    frames(source, 2)
    assert source.state is DeviceState.STREAMING
    assert source.detail == ""
    assert len(source.gaps) == 1
    assert "damaged" in source.gaps[0].reason


def test_damage_is_told_once_per_connection(
    device: Scripted, source: Source, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(picture_watch, "DAMAGED_PICTURES", 10_000)
    device.damaged = True
    wait_for(source, lambda: source.damaged >= 50)
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    opened = device.opened
    device.gone = True
    wait_for(source, lambda: device.opened > opened)
    damaged = source.damaged
    wait_for(source, lambda: source.damaged >= damaged + 20)
    assert caplog.text.count("a picture was dropped (half of it)") == 2


def test_depth_that_is_no_distance_becomes_no_reading(device: Scripted, source: Source) -> None:
    depth_m = np.full((18, 24), 0.5, np.float32)
    depth_m[0, :6] = [math.nan, math.inf, -math.inf, -1.0, 1e30, 101.0]
    device.decoded = _with(depth_m=depth_m)
    wait_for(source, lambda: source.faults["mended"] > 0)
    seen = frames(source, 1)[0].depth_m
    assert seen is not None
    assert not seen[0, :6].any()
    assert (seen.ravel()[6:] == 0.5).all()
    assert source.damaged == 0


@pytest.mark.parametrize("size", [(640, 1), (1, 640), (15, 15), (640, 40)])
def test_a_camera_with_pictures_of_an_absurd_shape_is_refused(device: Scripted, size: tuple[int, int]) -> None:
    width, height = size
    camera = Intrinsics(640.0, 640.0, width / 2, height / 2, width, height)
    device.decoded = _with(rgb=np.zeros((height, width, 3), np.uint8), intrinsics=camera)
    source = ReconnectingSource(device)
    source.open()
    with pytest.raises(SourceError, match=rf"^scripted: .*got {width}x{height}; choose another size"):
        wait_for(source, lambda: False)
    source.close()


def test_garbage_of_all_sizes_is_no_reason_to_refuse(device: Scripted, source: Source) -> None:
    def any_size(number: int, time_s: float, index: int) -> RgbdFrame:
        width = 1 + number % 7
        camera = Intrinsics(640.0, 640.0, 1.0, 0.5, width, 1)
        return RgbdFrame(np.zeros((1, width, 3), np.uint8), None, camera, time_s, index)

    device.decoded = any_size
    wait_for(source, lambda: source.damaged > 3 * picture_watch.REFUSED_PICTURES)
    device.decoded = good_frame
    frames(source, 1)


def test_an_absurd_picture_in_mid_show_ends_nothing(device: Scripted, source: Source) -> None:
    frames(source, 1)
    wide = Intrinsics(640.0, 640.0, 320, 0.5, 640, 1)
    device.decoded = _with(rgb=np.zeros((1, 640, 3), np.uint8), intrinsics=wide)
    wait_for(source, lambda: source.state is DeviceState.DAMAGED)
    assert source.damaged > picture_watch.REFUSED_PICTURES
    device.decoded = good_frame
    frames(source, 2)


# --- frozen -----------------------------------------------------------------------------------------------------------


def still(rgb: np.ndarray, depth_m: np.ndarray | None = None) -> Callable[[int, float, int], RgbdFrame]:
    return lambda _number, time_s, index: RgbdFrame(rgb.copy(), depth_m, PINHOLE, time_s, index)


def test_a_frozen_camera_is_a_state_and_is_opened_anew(device: Scripted, source: Source) -> None:
    frames(source, 2)
    froze_s = device.clock.now_s
    device.decoded = still(noisy(0))
    wait_for(source, lambda: source.state is DeviceState.FROZEN)
    assert device.clock.now_s - froze_s >= FROZEN_S
    assert "one and the same picture" in source.detail
    opened = device.opened
    wait_for(source, lambda: device.opened > opened)
    for _ in range(20):
        assert source.read(0.005) is None, "the same picture after opening anew is still no sign of life"
    device.decoded = good_frame
    frames(source, 2)
    assert source.state is DeviceState.STREAMING
    assert source.faults["freezes"] == 1
    assert [gap.end_s - gap.start_s > 0 for gap in source.gaps] == [True]
    assert "one and the same picture" in source.gaps[0].reason


def test_a_camera_that_stays_frozen_is_opened_less_and_less_often(device: Scripted, source: Source) -> None:
    device.decoded = still(noisy(0))
    wait_for(source, lambda: device.opened >= 2)
    times_s = []
    for _ in range(4):
        opened = device.opened
        wait_for(source, lambda opened=opened: device.opened > opened)
        times_s.append(device.clock.now_s)
    waits_s = np.diff(times_s)
    assert waits_s[0] >= picture_watch.REOPEN_S[0]
    assert (waits_s[1:] > 1.5 * waits_s[:-1]).all()
    assert source.faults["freezes"] == 1


def test_a_change_of_one_pixel_is_a_sign_of_life(device: Scripted, source: Source) -> None:
    large = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
    scene = np.random.default_rng(3).integers(0, 255, (480, 640, 3), np.uint8)

    def one_pixel(number: int, time_s: float, index: int) -> RgbdFrame:
        rgb = scene.copy()
        rgb[101, 203, 1] = number % 251  # not among the points that are compared first
        return RgbdFrame(rgb, None, large, time_s, index)

    device.decoded = one_pixel
    until_s = device.clock.now_s + 3 * FROZEN_S
    wait_for(source, lambda: device.clock.now_s > until_s)
    assert source.faults["freezes"] == 0


def test_a_frozen_picture_with_live_depth_is_not_frozen(device: Scripted, source: Source) -> None:
    rgb = noisy(0)
    rng = np.random.default_rng(1)
    device.decoded = lambda number, time_s, index: still(rgb, rng.random((18, 24), np.float32))(number, time_s, index)
    until_s = device.clock.now_s + 3 * FROZEN_S
    wait_for(source, lambda: device.clock.now_s > until_s)
    assert source.faults["freezes"] == 0


@pytest.mark.parametrize("level", [0, 3, 255])
def test_a_covered_lens_is_no_failure(device: Scripted, source: Source, level: int) -> None:
    device.decoded = still(np.full((18, 24, 3), level, np.uint8), np.zeros((18, 24), np.float32))
    until_s = device.clock.now_s + 3 * FROZEN_S
    wait_for(source, lambda: device.clock.now_s > until_s)
    assert source.faults["freezes"] == 0
    assert source.state is DeviceState.STREAMING
    assert device.opened == 1
