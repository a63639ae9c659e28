"""Playing a recording: at its own rate against the clock, or as fast as it can be read."""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from capture.cameras.device import DamagedPictureError
from capture.cameras.frame_check import FrameCheck
from capture.cameras.timestamps import LEAST_STEP_S, RecordedTimes
from core.camera import Intrinsics
from core.errors import InputError
from core.frame import RgbdFrame
from core.source import DeviceState, RgbdSource, Sound, SourceError

_LEAST_FPS = 0.01  # below that, a rate is a mistake
_HOPELESS_S = 0.5  # catching up for longer than this is given up; the recording then goes on late
_DAMAGED_FRAMES = 30  # in a row: the recording is given up

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ClipPicture:
    """Pixels of one frame of a clip: rgb [H, W, 3] uint8, depth_m [H, W] float32 metres or None, their camera."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None
    intrinsics: Intrinsics


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame of a clip: its number from 0, when it was taken (from the clip's start), and how to get at its pixels.

    `load` is only called for frames that are wanted, and not after the clip has been closed.
    """

    index: int
    time_s: float
    load: Callable[[], ClipPicture]


class _Loading:
    """A frame's `load` that may be begun before its picture is wanted."""

    def __init__(self, load: Callable[[], ClipPicture]) -> None:
        self._load = load
        self._picture: ClipPicture | None = None

    def ahead(self) -> None:
        """Do the work now. What goes wrong goes wrong again where it is told: when the picture is wanted."""
        if self._picture is None:
            with suppress(Exception):
                self._picture = self._load()

    def __call__(self) -> ClipPicture:
        return self._load() if self._picture is None else self._picture


@dataclass(frozen=True)
class Excerpt:
    """The frames of a recording from number `first` on, `count` of them or all: by the recording's own numbers."""

    first: int = 0
    count: int | None = None

    def of(self, total: int | None) -> int | None:
        """How many frames that is of a recording of `total`; None where that is not known."""
        if total is None:
            return None
        left = max(total - self.first, 0)
        return left if self.count is None else min(left, self.count)

    def ends_before(self, index: int) -> bool:
        """Whether frame `index` comes after its last one."""
        return self.count is not None and index >= self.first + self.count


WHOLE = Excerpt()


class PastEndError(SourceError):
    """An excerpt begins where the recording has ended already."""


class Clip(Protocol):
    """A recording as files hold it. What can be told without decoding is checked on construction (SourceError)."""

    name: str
    fps: float  # 0 when unknown
    frame_count: int | None
    sound_file: Path | None  # what may hold the sound that goes with it; None where its kind has none

    def frames(self) -> Iterator[ClipFrame]:
        """Open the files, yield every frame in order, close them. Raises SourceError where they cannot be read."""


class RecordedSource(RgbdSource):
    """A clip, played.

    Frames that are handed out are sound and their times rise (`RecordedTimes`); damaged ones are left out and counted.

    Args:
        clip: what is played.
        realtime: hand every frame over when it is due, on the monotonic clock, in which its timestamp then is. Frames
            that a late reader can no longer get in time are passed over and counted in `skipped`. Otherwise
            every frame is handed over at once, with the time since the recording's start.
        excerpt: the frames that are played.
        clock, sleep: for tests.

    Attributes:
        damaged: frames left out since the recording was opened.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        realtime: bool,
        excerpt: Excerpt = WHOLE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = clip.name
        self.fps = clip.fps if _LEAST_FPS <= clip.fps < math.inf else 0.0
        self.frame_count = excerpt.of(clip.frame_count)
        self._excerpt = excerpt
        self.skipped = self.damaged = 0
        self._clip = clip
        self._realtime = realtime
        self._clock, self._sleep = clock, sleep
        self._state = DeviceState.NO_DEVICE
        self._frames: Iterator[ClipFrame] | None = None
        self._next: ClipFrame | None = None
        self._start_s: float | None = None  # of the recording, on our clock; set when the first frame is asked for
        self._last_timestamp_s = -math.inf
        self._damaged_in_a_row = 0
        self._check, self._times = FrameCheck(clip.name), RecordedTimes(self.fps)
        self._delays, self._delayed_s, self._told_late = 0, 0.0, False

    @property
    def state(self) -> DeviceState:
        return self._state

    @property
    def sound(self) -> Sound | None:
        path = self._clip.sound_file
        begins_s = self._start_s if self._realtime else 0.0
        return None if begins_s is None or path is None else Sound(path, begins_s)

    def open(self) -> None:
        """Open the files and read up to the first frame. Raises SourceError where there is none."""
        self.close()
        self.skipped, self._start_s, self._last_timestamp_s = 0, None, -math.inf
        self.damaged = self._damaged_in_a_row = 0
        self._check, self._times = FrameCheck(self.name), RecordedTimes(self.fps)
        self._delays, self._delayed_s = 0, 0.0
        self._frames = self._clip.frames()
        try:
            if self._peek() is None:
                if self._excerpt.first:
                    raise PastEndError(f"{self.name}: has no frame {self._excerpt.first}; give a smaller number")
                raise SourceError(f"{self.name}: expected a recording, found no frame in it; give another one")
        except BaseException:
            self.close()
            raise
        self._state = DeviceState.WAITING_FIRST_FRAME

    def read(self, timeout_s: float) -> RgbdFrame | None:
        """The next frame; None when it is not due within `timeout_s` or is damaged.

        Raises EOFError after the last one and SourceError where the recording cannot be read on.
        """
        if self._frames is None:
            raise SourceError(f"{self.name}: is not open")
        frame = self._peek()
        if frame is None:
            self._state = DeviceState.ENDED
            if self._times.restamped:
                log.warning(
                    "%s: %d frames had no time, or one far from the frame before's; they follow it at %.0f a second",
                    self.name, self._times.restamped, self.fps or 30.0,
                )  # fmt: skip
            raise EOFError(f"{self.name}: end of the recording")
        if self._realtime:
            if -self._late_s(frame) > 0 and isinstance(frame.load, _Loading):
                frame.load.ahead()  # handed over when it is due, it is as fresh as a camera's
            if (wait_s := -self._late_s(frame)) > 0:
                self._sleep(min(wait_s, timeout_s))
            if wait_s > timeout_s:
                return None
            frame = self._catch_up(frame)
        else:
            self._next = None
        return self._deliver(frame)

    def close(self) -> None:
        """Close the files. May be called at any time."""
        if self._delays:
            log.warning("%s: went on late %d times, %.1f s in all", self.name, self._delays, self._delayed_s)
        self._delays = 0
        frames, self._frames, self._next = self._frames, None, None
        if isinstance(frames, Generator):
            try:
                frames.close()
            except Exception as error:  # nobody needs the file any more
                log.warning("%s: was not closed properly (%s: %s)", self.name, type(error).__name__, error)
        if self._state is not DeviceState.NO_DEVICE:
            self._state = DeviceState.ENDED

    def _peek(self) -> ClipFrame | None:
        """The next frame, which stays the next one. It is decoded here, in the time before it is due."""
        assert self._frames is not None
        if self._next is not None:
            return self._next
        try:
            for frame in self._frames:
                time_s = self._times.stamp(frame.time_s)  # of those passed over, too: each depends on the one before
                if self._excerpt.ends_before(frame.index):
                    break
                if frame.index >= self._excerpt.first:
                    self._next = replace(frame, time_s=time_s, load=_Loading(frame.load))
                    break
        except InputError:
            raise
        except Exception as error:
            raise self._unreadable(f"{type(error).__name__}: {error}") from error
        return self._next

    def _late_s(self, frame: ClipFrame) -> float:
        if self._start_s is None:
            self._start_s = self._clock() - frame.time_s
        return self._clock() - self._start_s - frame.time_s

    def _catch_up(self, frame: ClipFrame) -> ClipFrame:
        """`frame`, or the latest one that is due when the reader comes too late for it. Leaves what follows it next."""
        began_s = self._clock()
        self._next = None
        while (late_s := self._late_s(frame)) > 1 / (self.fps or 30.0):
            if self._clock() - began_s > _HOPELESS_S:
                self._delays += 1
                self._delayed_s += late_s
                if not self._told_late:  # once, however often it is opened
                    log.warning("%s: cannot be read at its own rate; goes on late, and the total is told", self.name)
                self._told_late = True
                self._start_s = (self._start_s or 0.0) + late_s
                break
            following = self._peek()
            if following is None or self._late_s(following) < 0:
                break
            frame, self._next = following, None
            self.skipped += 1
        return frame

    def _deliver(self, frame: ClipFrame) -> RgbdFrame | None:
        timestamp_s = max((self._start_s or 0.0) + frame.time_s, self._last_timestamp_s + LEAST_STEP_S)

        def decoded() -> RgbdFrame:
            picture = frame.load()
            return RgbdFrame(picture.rgb, picture.depth_m, picture.intrinsics, timestamp_s, frame.index)

        try:
            delivered = self._check(decoded)
        except DamagedPictureError as error:
            self._leave_out(frame, error)
            return None
        self._damaged_in_a_row = 0
        self._last_timestamp_s = timestamp_s
        self._state = DeviceState.STREAMING
        return delivered

    def _leave_out(self, frame: ClipFrame, error: DamagedPictureError) -> None:
        if self.damaged == 0:
            log.warning("%s: frame %d is left out (%s); further ones are only counted", self.name, frame.index, error)
        self.damaged += 1
        self._damaged_in_a_row += 1
        if self._damaged_in_a_row >= _DAMAGED_FRAMES:
            raise self._unreadable(f"{_DAMAGED_FRAMES} frames in a row, the last of them: {error}") from error

    def _unreadable(self, reason: str) -> SourceError:
        return SourceError(f"{self.name}: is damaged ({' '.join(reason.split())[:300]}); record it again")
