"""A `LiveDevice` that does what a test says, on a clock that only the test and its pictures move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from capture.cameras.device import DamagedPictureError, DeviceError, DeviceLostError, NoDeviceError
from core.camera import Intrinsics
from core.frame import RgbdFrame
from core.source import SourceError

PINHOLE = Intrinsics(30.0, 30.0, 12.0, 9.0, 24, 18)
_rng = np.random.default_rng(0)


@dataclass
class Clock:
    """Stands in for the module `time` in `reconnecting`: `monkeypatch.setattr(reconnecting, "time", clock)`."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


def noisy(_index: int) -> np.ndarray:
    """A picture of a sensor: never twice the same."""
    return _rng.integers(0, 255, (PINHOLE.height, PINHOLE.width, 3), np.uint8)


class Scripted:
    """The device. Attributes can be changed while it runs; a picture is the number it was taken as, and each takes
    1/`fps` of the clock's time (and a millisecond of ours).

    Attributes:
        bug, open_bug, close_bug: what capture, open and close raise, if anything.
        decoded: makes the frame out of (number, timestamp_s, index); for frames with faults.
        stamped: makes the timestamp out of that of the clock.
    """

    name = "scripted"
    identity: str | None = None
    fps = 50.0
    latency_s: float | None = None
    first_frame_s = 0.3
    first_frame_hint = "wind it up"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.absent = self.gone = self.still = self.damaged = self.broken = False
        self.hang = threading.Event()
        self.hang.set()
        self.opened = self.closed = self.taken = 0
        self.bug: Exception | None = None
        self.open_bug: Exception | None = None
        self.close_bug: Exception | None = None
        self.decoded: Callable[[int, float, int], RgbdFrame] = good_frame
        self.stamped: Callable[[float], float] = float

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:
        if self.broken:
            raise SourceError("scripted: no library; install it")
        if self.open_bug is not None:
            raise self.open_bug
        if self.absent:
            raise NoDeviceError("scripted: not there; plug it in")
        self.opened += 1
        self.gone = False
        self.identity = "S1"

    def capture(self, timeout_s: float) -> tuple[int, float] | None:
        self.hang.wait()
        if self.bug is not None:
            raise self.bug
        if self.gone or self.absent:
            raise DeviceLostError("scripted: lost; check the cable")
        time.sleep(0.001)
        if self.still:
            return None
        self.taken += 1
        self.clock.now_s += 1 / self.fps
        return self.taken, self.stamped(self.clock.now_s)

    def decode(self, picture: tuple[int, float], index: int) -> RgbdFrame:
        if self.damaged:
            raise DamagedPictureError("half of it")
        return self.decoded(*picture, index)

    def close(self) -> None:
        self.closed += 1
        if self.close_bug is not None:
            raise self.close_bug


def good_frame(number: int, timestamp_s: float, index: int) -> RgbdFrame:
    return RgbdFrame(noisy(number), None, PINHOLE, timestamp_s, index)
