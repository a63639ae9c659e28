"""Pacing: against a clock that the test holds."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from capture.playback import ClipFrame, ClipPicture, RecordedSource
from capture.source import DeviceState, SourceError
from render.camera import Intrinsics

CAMERA = Intrinsics(10.0, 10.0, 4.0, 3.0, 8, 6)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Numbers:
    """A clip whose frames have their number as brightness."""

    name, fps, frame_count = "numbers", 30.0, None

    def __init__(self, times_s: list[float], clock: Clock | None = None, decode_s: float = 0.0) -> None:
        self._times_s, self._clock, self._decode_s = times_s, clock, decode_s
        self.loaded: list[int] = []
        self.closed = False

    def frames(self) -> Iterator[ClipFrame]:
        try:
            for number, time_s in enumerate(self._times_s):
                if self._clock is not None:
                    self._clock.now_s += self._decode_s
                yield ClipFrame(number, time_s, lambda number=number: self._load(number))  # type: ignore[misc]
        finally:
            self.closed = True

    def _load(self, number: int) -> ClipPicture:
        self.loaded.append(number)
        return ClipPicture(np.full((6, 8, 3), number, np.uint8), None, CAMERA)


def live(clip: Numbers, clock: Clock) -> RecordedSource:
    source = RecordedSource(clip, realtime=True, clock=clock, sleep=clock.sleep)
    source.open()
    return source


def read_all(source: RecordedSource) -> list[tuple[int, float]]:
    frames = []
    while True:
        try:
            frame = source.read(0.1)
        except EOFError:
            return frames
        if frame is not None:
            assert frame.rgb[0, 0, 0] == frame.index
            frames.append((frame.index, frame.timestamp_s))


def test_offline_gives_every_frame_at_once() -> None:
    clip = Numbers([0.0, 0.1, 5.0, 5.1])
    source = RecordedSource(clip, realtime=False, sleep=lambda _: pytest.fail("it slept"))
    source.open()
    assert read_all(source) == [(0, 0.0), (1, 0.1), (2, 5.0), (3, 5.1)]
    assert source.state is DeviceState.ENDED


def test_live_frames_come_when_they_are_due_also_at_a_changing_rate() -> None:
    clock = Clock()
    source = live(Numbers([0.0, 0.033, 0.1, 0.11, 0.4]), clock)
    clock.now_s += 7.0  # the tracker takes its time to load; the recording waits for the first reader
    start_s = clock.now_s
    arrivals = []
    while True:
        try:
            frame = source.read(1.0)
        except EOFError:
            break
        assert frame is not None
        assert clock.now_s == pytest.approx(frame.timestamp_s)
        arrivals.append(clock.now_s - start_s)
    assert arrivals == pytest.approx([0.0, 0.033, 0.1, 0.11, 0.4])


def test_read_returns_in_time_when_nothing_is_due() -> None:
    clock = Clock()
    source = live(Numbers([0.0, 1.0]), clock)
    assert source.read(0.1) is not None
    before_s = clock.now_s
    assert source.read(0.1) is None
    assert clock.now_s - before_s == pytest.approx(0.1)
    frames = [source.read(0.1) for _ in range(9)]
    assert [frame is None for frame in frames] == [True] * 8 + [False]


def test_a_late_reader_skips_to_what_is_due_and_only_that_is_converted() -> None:
    clock = Clock()
    clip = Numbers([number / 30 for number in range(60)])
    source = live(clip, clock)
    source.read(0.1)
    clock.now_s += 0.5
    frame = source.read(0.1)
    assert frame is not None
    assert clock.now_s - frame.timestamp_s <= 1 / 30 + 1e-6
    assert source.skipped == frame.index - 1 > 10
    assert clip.loaded == [0, frame.index]
    rest = read_all(source)
    assert [index for index, _ in rest] == list(range(frame.index + 1, 60))


def test_a_reader_later_than_the_end_still_gets_the_last_frame() -> None:
    clock = Clock()
    source = live(Numbers([0.0, 0.1, 0.2]), clock)
    source.read(0.1)
    clock.now_s += 60
    assert [index for index, _ in read_all(source)] == [2]


def test_files_that_decode_too_slowly_play_on_late_instead_of_hanging(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    source = live(Numbers([number / 30 for number in range(90)], clock, decode_s=0.1), clock)
    frames = read_all(source)
    assert len(frames) > 5
    assert frames[-1][0] >= 88
    assert "own rate" in caplog.text
    times = [time_s for _, time_s in frames]
    assert times == sorted(set(times))


def test_timestamps_always_rise() -> None:
    source = RecordedSource(Numbers([0.0, 0.5, 0.5, 0.2, 0.6]), realtime=False)
    source.open()
    times = [time_s for _, time_s in read_all(source)]
    assert all(later > earlier for earlier, later in pairwise(times))


def test_closing_closes_the_clip_and_opening_starts_over() -> None:
    clip = Numbers([0.0, 0.1])
    source = RecordedSource(clip, realtime=False)
    source.open()
    source.read(0.1)
    source.close()
    source.close()
    assert clip.closed
    with pytest.raises(SourceError, match="not open"):
        source.read(0.1)
    source.open()
    assert [index for index, _ in read_all(source)] == [0, 1]


def test_an_empty_clip_is_told_and_left_closed() -> None:
    clip = Numbers([])
    source = RecordedSource(clip, realtime=False)
    with pytest.raises(SourceError, match="numbers: expected a recording, found no frame"):
        source.open()
    assert clip.closed
