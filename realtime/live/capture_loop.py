"""The capture thread: reads the source, and hands each frame to the inference thread."""

import threading
import time

from core.source import AnyFrame, DeviceState, Source
from realtime.threads.latest_slot import LatestSlot
from realtime.threads.timing import Rate, SectionTimes, StateClock
from realtime.threads.worker import Stop

READ_TIMEOUT_S = 0.1
SILENCE_S, SILENT_FRAMES = 0.15, 3  # how long, and how many frames of a slow source, may be missing unnoticed


class CaptureLoop:
    """Owns the source: it is opened, read and closed on the thread that calls `run` and `end`.

    The properties and `faults` only read figures; any thread may ask for them.

    Args:
        frames: where frames go.
        ready: set once somebody takes frames; until then the source is open and nothing is read.
        states: is told what the source is doing.
        times: is told how long each frame was waited for and decoded.

    Attributes:
        rate: of the frames captured.
    """

    def __init__(
        self,
        source: Source[AnyFrame],
        frames: LatestSlot[AnyFrame],
        ready: threading.Event,
        states: StateClock,
        times: SectionTimes,
        stop: Stop,
    ) -> None:
        self._source = source
        self._frames = frames
        self._ready = ready
        self._states = states
        self._times = times
        self._stop = stop
        self.rate = Rate()

    def run(self) -> None:
        """Read until the source ends or the session does. Raises SourceError."""
        self._enter(DeviceState.WAITING_FIRST_FRAME)
        self._source.open()
        while not self._ready.wait(READ_TIMEOUT_S):
            if self._stop.requested:
                return
        while not self._stop.requested:
            try:
                with self._times.waiting("read") as waiting:
                    frame = self._source.read(READ_TIMEOUT_S)
                    waiting.frame = None if frame is None else frame.index
            except EOFError:
                return
            if frame is None:
                self._enter(self._source.state)
                continue
            self.rate.tick(time.monotonic())
            self._frames.put(frame)

    def end(self) -> None:
        """No more frames: wakes who waits for one, and closes the source."""
        self._frames.close()
        self._source.close()
        self._enter(DeviceState.ENDED)

    def _enter(self, state: DeviceState) -> None:
        self._states.enter(state.value, time.monotonic())

    @property
    def name(self) -> str:
        """Of the source."""
        return self._source.name

    @property
    def skipped(self) -> int:
        """Frames of a paced recording that were passed over because the reader was late."""
        return self._source.skipped

    @property
    def silence_s(self) -> float:
        """How long frames may be missing before it shows."""
        return max(SILENCE_S, SILENT_FRAMES / self._source.fps if self._source.fps > 0 else 0.0)

    @property
    def detail(self) -> str:
        """What the source adds to its state, or nothing."""
        return self._source.detail

    def faults(self) -> dict[str, float]:
        """As `LiveReport.device`."""
        latency_s = self._source.device_latency_s
        return {**self._source.faults, **({} if latency_s is None else {"latency_ms": latency_s * 1e3})}
