"""A live camera that may be unplugged: states instead of exceptions, and reconnecting for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Generic

from capture.cameras.device import (
    DamagedPictureError,
    DeviceError,
    DeviceLostError,
    FirstFrameError,
    LiveDevice,
    Picture,
)
from capture.cameras.frame_check import FrameCheck
from capture.cameras.guarded_device import GuardedDevice
from capture.cameras.picture_watch import PictureWatch
from capture.cameras.timestamps import LiveTimes
from core.frame import RgbdFrame
from core.source import DeviceState, RgbdSource, SourceError

log = logging.getLogger(__name__)

CAPTURE_TIMEOUT_S = 0.1
STALL_S = 0.5  # without a frame for so long, the stream is called stalled
GIVE_UP_S = 2.0  # and after so long the device is opened anew
ABSENT_S = 0.25  # how often a device that is not there is looked for
BACKOFF_S = (0.1, 1.0)  # first and longest wait after other faults; doubles in between
JOIN_S = 3.0
KEPT_GAPS = 1000


@dataclass(frozen=True)
class Gap:
    """A stretch without frames: monotonic seconds of the last frame before and the first one after it, and why."""

    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, eq=False)
class _Arrival(Generic[Picture]):
    """A picture as it came, counted from 0, and when."""

    index: int
    picture: Picture | DamagedPictureError
    arrival_s: float


class ReconnectingSource(RgbdSource, Generic[Picture]):
    """A `LiveDevice` that may be unplugged at any time.

    A thread of its own opens the device, takes its pictures and opens it again after a fault, with growing waits and
    without end, always the same device. It keeps only the newest picture; `read` decodes it on the caller's thread. So
    nothing queues up behind a slow reader, and neither a slow reader nor decoding ever keeps the device waiting.

    A frame that is handed out is sound and later than the one before. A picture that is damaged, or one of many that
    are the same bit for bit, is not handed out; where there are no others, that is a state, and the device is opened
    anew.

    Attributes:
        skipped: pictures that a newer one overtook before they were read.
        reconnects: times that frames came again after a fault.
        gaps: the latest thousand stretches without frames.
    """

    frame_count: int | None = None

    def __init__(self, device: LiveDevice[Picture]) -> None:
        self.name = device.name
        self.fps = device.fps
        self.skipped = self.reconnects = 0
        self.gaps: deque[Gap] = deque(maxlen=KEPT_GAPS)
        self._device = device
        self._guarded = GuardedDevice(device)
        self._check = FrameCheck(device.name)
        self._watch = PictureWatch(device.name)
        self._times = LiveTimes(device.latency_s or 0.0)
        self._condition = threading.Condition()
        self._newest: _Arrival[Picture] | None = None
        self._captured = 0
        self._phase = DeviceState.NO_DEVICE
        self._fault: DeviceError | None = None
        self._failure: BaseException | None = None
        self._last_picture_s: float | None = None  # when the latest one arrived
        self._last_frame_s: float | None = None  # timestamp of the latest one handed out
        self._gap: tuple[int, str] | None = None  # number of the first picture after it, and why there is one
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> DeviceState:
        """Also right while the vendor's library hangs: a stall shows in the time since the last picture."""
        last_s, wrong = self._last_picture_s, self._watch.fault
        if self._phase is not DeviceState.STREAMING:
            return self._phase
        if last_s is not None and time.monotonic() - last_s > STALL_S:
            return DeviceState.STALLED
        return wrong.state if wrong is not None else DeviceState.STREAMING

    @property
    def detail(self) -> str:
        fault = self._fault or self._watch.fault
        return str(fault) if fault is not None else ""

    @property
    def damaged(self) -> int:
        """Pictures that could not be decoded or made no sense."""
        return self._watch.damaged

    @property
    def faults(self) -> dict[str, int]:
        return {
            "reconnects": self.reconnects,
            "gaps": len(self.gaps),
            "damaged": self._watch.damaged,
            "freezes": self._watch.freezes,
            "mended": self._check.mended,
            "restamped": self._times.restamped,
            "unordered": self._times.unordered,
        }

    @property
    def identity(self) -> str | None:
        """Serial number or UDID, once the device was opened."""
        return self._device.identity

    @property
    def device_latency_s(self) -> float | None:
        """As the device knows it; timestamps are those of exposure."""
        return self._device.latency_s

    def open(self) -> None:
        """Start looking for the device; whether it is there shows in `state`."""
        if self._thread is not None:
            raise RuntimeError(f"{self.name} is already open")
        self._stop.clear()
        self._phase, self._failure, self._last_picture_s = DeviceState.NO_DEVICE, None, None
        self._fault = self._watch.fault = None
        self._thread = threading.Thread(target=self._run, name=f"device {self.name}", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> RgbdFrame | None:
        """The newest frame that was not read yet, or None after `timeout_s` without one or after one that is dropped.

        Raises SourceError when the device can never be had, or never sends a picture of a size that a camera has.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._newest is not None or self._failure is not None, timeout_s)
            newest, self._newest = self._newest, None
        if newest is None:
            if self._failure is not None:
                raise self._failure
            self._notice_silence()
            return None
        frame = self._judged(newest)
        if frame is None:
            self._notice_silence()
        else:
            self._end_gap(frame)
        return frame

    def close(self) -> None:
        """Release the device. Waits for it at most three seconds: a library that hangs is left to its thread."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(JOIN_S)
            if thread.is_alive():
                log.warning("%s: its library does not come back; it is abandoned", self.name)
        self._phase = DeviceState.ENDED
        with self._condition:
            self._newest = None

    # --- device thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        try:
            while not self._stop.is_set():
                before = self._captured
                try:
                    self._stream_until_fault()
                except DeviceError as fault:
                    failures = 0 if self._captured > before else failures + 1
                    self._enter_fault(fault)
                    self._stop.wait(_wait_s(fault, failures))
        except BaseException as error:
            self._failure = error
            with self._condition:
                self._condition.notify_all()

    def _stream_until_fault(self) -> None:
        try:
            self._guarded.open(self._stop.is_set, self._enter_fault)
            self._watch.connected()
            if self._last_picture_s is None:
                self._phase = DeviceState.WAITING_FIRST_FRAME
            self._take_pictures()
        finally:
            self._guarded.close()

    def _take_pictures(self) -> None:
        opened_s = time.monotonic()
        first_s: float | None = None
        while not self._stop.is_set():
            picture: Picture | DamagedPictureError | None
            try:
                picture = self._guarded.capture(CAPTURE_TIMEOUT_S)
            except DamagedPictureError as error:
                picture = error
            now_s = time.monotonic()
            if picture is not None:
                self._offer(picture, now_s)
                first_s = now_s if first_s is None else first_s
                if (wrong := self._watch.reason_to_reopen(now_s - first_s)) is not None:
                    raise wrong
            elif first_s is None and now_s - opened_s > self._device.first_frame_s:
                waited_s, hint = now_s - opened_s, self._device.first_frame_hint
                raise FirstFrameError(f"{self.name}: opened, but no picture came within {waited_s:.0f} s; {hint}")
            elif first_s is not None and now_s - (self._last_picture_s or 0.0) > GIVE_UP_S:
                raise DeviceLostError(f"{self.name}: no picture for {GIVE_UP_S:.0f} s; check the cable")

    def _offer(self, picture: Picture | DamagedPictureError, now_s: float) -> None:
        if self._phase is DeviceState.RECONNECTING:
            self.reconnects += 1
            log.info("%s: streaming again", self.name)
        self._last_picture_s = now_s
        self._phase, self._fault = DeviceState.STREAMING, None
        with self._condition:
            self.skipped += self._newest is not None
            self._newest = _Arrival(self._captured, picture, now_s)
            self._captured += 1
            self._condition.notify()

    def _enter_fault(self, fault: DeviceError) -> None:
        if str(fault) != str(self._fault):
            log.warning("%s", fault)
        self._fault = fault
        self._phase = fault.state if self._last_picture_s is None else DeviceState.RECONNECTING
        self._gap = self._gap or (self._captured, str(fault))

    # --- reader's thread ------------------------------------------------------------------------------------------

    def _judged(self, arrived: _Arrival[Picture]) -> RgbdFrame | None:
        """The frame of a picture, if it may be handed out."""
        picture = arrived.picture
        try:
            if isinstance(picture, DamagedPictureError):
                raise picture
            frame = self._check(lambda: self._guarded.decode(picture, arrived.index))
        except DamagedPictureError as error:
            self._watch.drop(str(error), arrived.arrival_s)
            return None
        except SourceError as error:
            self._watch.refuse(error, arrived.arrival_s)
            return None
        timestamp_s = self._times.stamp(frame.timestamp_s, arrived.arrival_s)
        if timestamp_s is None or not self._watch.admit(frame, arrived.arrival_s):
            return None
        return frame if timestamp_s == frame.timestamp_s else replace(frame, timestamp_s=timestamp_s)

    def _notice_silence(self) -> None:
        """A stretch without frames that no fault of the device thread began."""
        if self.state is DeviceState.STALLED:
            self._gap = self._gap or (self._captured, f"{self.name}: stalled")
        elif (wrong := self._watch.fault) is not None:
            self._gap = self._gap or (self._captured, str(wrong))

    def _end_gap(self, frame: RgbdFrame) -> None:
        """A picture taken before the fault may be read after it: only one from beyond the gap ends it."""
        gap = self._gap
        if gap is not None and frame.index >= gap[0]:
            if self._last_frame_s is not None:
                self.gaps.append(Gap(self._last_frame_s, frame.timestamp_s, gap[1]))
            self._gap = None
        self._last_frame_s = frame.timestamp_s


def _wait_s(fault: DeviceError, failures: int) -> float:
    if fault.state is DeviceState.NO_DEVICE:
        return ABSENT_S
    first_s, longest_s = BACKOFF_S
    return min(first_s * 2.0 ** min(failures, 10), longest_s)
