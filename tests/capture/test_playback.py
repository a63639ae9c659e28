"""Pacing: against a clock that the test holds."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from capture.recordings.playback import ClipFrame, ClipPicture, Excerpt, PastEndError, RecordedSource
from core.camera import Intrinsics
from core.frame import RgbdFrame
from core.source import DeviceState, SourceError

CAMERA = Intrinsics(30.0, 30.0, 12.0, 9.0, 24, 18)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Numbers:
    """A clip whose frames have their number as brightness."""

    name, fps, frame_count, sound_file = "numbers", 30.0, None, None

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
        return ClipPicture(np.full((18, 24, 3), number, np.uint8), None, CAMERA)


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
    source.open()
    read_all(source)
    source.close()
    assert caplog.text.count("own rate") == 1  # also when it is opened again
    totals = [line for line in caplog.messages if " s in all" in line]
    assert len(totals) == 2
    assert not any(" 0 times" in line or " 0.0 s" in line for line in totals)
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


# --- excerpts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "count"), [(0, 3), (2, None), (2, 2), (4, 9), (0, None)])
def test_an_excerpt_is_that_part_of_the_whole(first: int, count: int | None) -> None:
    times_s = [0.0, 0.5, 0.5, 0.2, 400.0, 400.1]  # some of them in need of mending: each by the one before
    whole = read_all(offline(Numbers(times_s)))
    clip = Numbers(times_s)
    source = RecordedSource(clip, realtime=False, excerpt=Excerpt(first, count))
    source.open()
    expected = whole[first : None if count is None else first + count]
    assert read_all(source) == expected
    assert clip.loaded == [index for index, _ in expected], "pictures of no other frame are decoded"
    assert Excerpt(first, count).of(len(whole)) == len(expected)


def test_an_excerpt_past_the_end_is_told() -> None:
    clip = Numbers([0.0, 0.1])
    with pytest.raises(PastEndError, match="numbers: has no frame 2"):
        RecordedSource(clip, realtime=False, excerpt=Excerpt(2)).open()
    assert clip.closed


# --- damage -----------------------------------------------------------------------------------------------------------


class Spoiled(Numbers):
    """Some of whose frames are not what they should be: number → picture, or exception to raise."""

    def __init__(self, count: int, spoiled: dict[int, object], **how: object) -> None:
        super().__init__([number / 30 for number in range(count)], **how)  # type: ignore[arg-type]
        self._spoiled = spoiled

    def _load(self, number: int) -> ClipPicture:
        it = self._spoiled.get(number)
        if isinstance(it, Exception):
            raise it
        return it if isinstance(it, ClipPicture) else super()._load(number)


def offline(clip: Numbers) -> RecordedSource:
    source = RecordedSource(clip, realtime=False)
    source.open()
    return source


def everything(source: RecordedSource) -> list[RgbdFrame]:
    frames = []
    while True:
        try:
            frame = source.read(0.1)
        except EOFError:
            return frames
        if frame is not None:
            frames.append(frame)


RGB = np.zeros((18, 24, 3), np.uint8)


@pytest.mark.parametrize(
    "spoiled",
    [
        KeyError("decoder"),
        ClipPicture(RGB[:9], None, CAMERA),
        ClipPicture(RGB, np.zeros((9, 12), np.float32), CAMERA),
        ClipPicture(RGB.astype(np.float64), None, CAMERA),  # type: ignore[arg-type]
        ClipPicture(RGB, None, Intrinsics(1e-30, 30.0, 12.0, 9.0, 24, 18)),
    ],
    ids=["exception", "colour shape", "depth shape", "colour type", "focal length"],
)
def test_a_damaged_frame_is_left_out_counted_and_told_once(spoiled: object, caplog: pytest.LogCaptureFixture) -> None:
    source = offline(Spoiled(8, {2: spoiled, 5: spoiled}))
    assert [frame.index for frame in everything(source)] == [0, 1, 3, 4, 6, 7]
    assert source.damaged == 2
    assert caplog.text.count("is left out") == 1


def test_a_recording_damaged_throughout_is_one_line() -> None:
    source = offline(Spoiled(50, dict.fromkeys(range(50), RuntimeError("vendor\nerror"))))
    with pytest.raises(SourceError, match=r"^numbers: is damaged \(30 frames in a row") as told:
        everything(source)
    assert "\n" not in str(told.value)


def test_what_a_reader_refuses_is_refused() -> None:
    source = offline(Spoiled(4, {1: SourceError("numbers: cut short; record again")}))
    with pytest.raises(SourceError, match="cut short; record again"):
        everything(source)


def test_depth_that_is_no_distance_is_no_reading() -> None:
    depth_m = np.full((18, 24), 0.5, np.float32)
    depth_m[0, :4] = [np.nan, np.inf, -1.0, 1e30]
    frame = everything(offline(Spoiled(1, {0: ClipPicture(RGB, depth_m, CAMERA)})))[0]
    assert frame.depth_m is not None
    assert not frame.depth_m[0, :4].any()
    assert (frame.depth_m.ravel()[4:] == 0.5).all()


@pytest.mark.parametrize("realtime", [True, False])
def test_times_that_are_none_neither_hang_nor_pass(realtime: bool, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    clip = Numbers([0.0, np.nan, 0.1, np.inf, 1e300, -1e300, 0.2])
    source = RecordedSource(clip, realtime=realtime, clock=clock, sleep=clock.sleep)
    source.open()
    began_s = clock.now_s
    times = [frame.timestamp_s for frame in everything(source)]
    assert len(times) + source.skipped == 7
    assert np.isfinite(times).all()
    assert all(later > earlier for earlier, later in pairwise(times))
    assert clock.now_s - began_s < 1.0  # of the test's clock
    assert "frames had no time" in caplog.text


def test_a_reader_that_breaks_down_is_one_line() -> None:
    class Broken(Numbers):
        def frames(self) -> Iterator[ClipFrame]:
            yield from super().frames()
            raise ZeroDivisionError("in a\ndecoder")

    source = offline(Broken([0.0, 0.1]))
    with pytest.raises(SourceError, match=r"^numbers: is damaged \(ZeroDivisionError: in a decoder\)"):
        everything(source)


def test_closing_that_fails_is_told_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Numbers):
        def frames(self) -> Iterator[ClipFrame]:
            try:
                yield from super().frames()
            finally:
                raise OSError("stale handle")

    source = offline(Stuck([0.0, 0.1]))
    source.close()
    assert source.state is DeviceState.ENDED
    assert "stale handle" in caplog.text


@pytest.mark.parametrize("fps", [1e-320, float("nan"), float("inf"), -5.0])
def test_a_rate_that_is_none_is_unknown(fps: float) -> None:
    clip = Numbers([0.0, 0.1])
    clip.fps = fps
    clock = Clock()
    source = live(clip, clock)
    assert source.fps == 0.0
    assert len(everything(source)) == 2


def test_a_picture_is_decoded_in_the_time_before_it_is_due() -> None:
    clock = Clock()

    class Slow(Numbers):
        def _load(self, number: int) -> ClipPicture:
            clock.now_s += 0.02
            return super()._load(number)

    clip = Slow([0.0, 0.05, 0.1, 0.15])
    source = live(clip, clock)
    late_s = []
    while len(late_s) < 4:
        frame = source.read(0.1)
        assert frame is not None
        late_s.append(clock.now_s - frame.timestamp_s)
    assert late_s == pytest.approx([0.02, 0, 0, 0]), "the first one is due at once"
    assert clip.loaded == [0, 1, 2, 3]
