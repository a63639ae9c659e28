"""What a live camera has to offer to be kept alive by `capture.cameras.reconnecting`, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from core.frame import RgbdFrame
from core.source import DeviceState

Picture = TypeVar("Picture")


class DeviceError(Exception):
    """A live camera cannot be used right now. One line: what, and the next step. Passed on as a state, not raised to
    whoever reads frames."""

    state = DeviceState.RECONNECTING


class NoDeviceError(DeviceError):
    """Not plugged in, or not the one asked for."""

    state = DeviceState.NO_DEVICE


class DeviceBusyError(DeviceError):
    """Plugged in, but it cannot be opened: another program has it, or the user lacks the rights."""

    state = DeviceState.NO_DEVICE


class FirstFrameError(DeviceError):
    """Opened, and then no picture came."""


class DeviceLostError(DeviceError):
    """Unplugged, stopped or broken while in use."""


class FrozenError(DeviceError):
    """Sends the same picture again and again."""

    state = DeviceState.FROZEN


class DamagedStreamError(DeviceError):
    """Sends nothing but pictures that cannot be used."""

    state = DeviceState.DAMAGED


class DamagedPictureError(Exception):
    """One picture cannot be decoded; the next one may be fine."""


class LiveDevice(Protocol[Picture]):
    """A camera without any patience of its own. `open`, `capture`, `close` belong to one thread, `decode` to another.

    What else its library raises need not be caught: `guarded_device` and `frame_check` beside this file do.

    Attributes:
        name: as on the command line.
        identity: serial number or UDID, None until it was opened once; from then on only this very device will do.
        fps: nominal rate, 0 when unknown.
        latency_s: how long the device itself takes from exposure to arrival, where that is known; already taken off the
            timestamps of its frames.
        first_frame_s, first_frame_hint: how long the first picture may take, and what to do when it does not come.
    """

    name: str
    identity: str | None
    fps: float
    latency_s: float | None
    first_frame_s: float
    first_frame_hint: str

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:
        """Acquire the device; returns early, opened or not, once `cancelled()`.

        Raises DeviceError when it cannot be had now and SourceError when it never can (a missing library); a failed
        open leaves nothing open. A device that waits by itself until it can be had tells `report` why meanwhile.
        """

    def capture(self, timeout_s: float) -> Picture | None:
        """The next picture, as little processed as possible, or None.

        Raises DeviceError, and DamagedPictureError for a picture that came and cannot be had.
        """

    def decode(self, picture: Picture, index: int) -> RgbdFrame:
        """The frame of a picture. Raises DamagedPictureError, and SourceError for a size that no camera has."""

    def close(self) -> None:
        """Release everything, whatever state the device is in; raises nothing for a device that is gone."""
