"""A live camera held to its contract, whatever the vendor's library under it raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic

from capture.cameras.device import (
    DamagedPictureError,
    DeviceBusyError,
    DeviceError,
    DeviceLostError,
    LiveDevice,
    Picture,
)
from core.errors import InputError
from core.frame import RgbdFrame

log = logging.getLogger(__name__)


class GuardedDevice(Generic[Picture]):
    """Calls a `LiveDevice` and turns every exception that `LiveDevice` does not name into one that it does.

    What was raised stays the cause, and its traceback goes to the debug log.
    """

    def __init__(self, device: LiveDevice[Picture]) -> None:
        self._device = device
        self._name = device.name
        self._close_failed = ""

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:
        """Raises DeviceError, and InputError where it can never be had."""
        try:
            self._device.open(cancelled, report)
        except (DeviceError, InputError):
            raise
        except Exception as error:
            log.debug("%s: open", self._name, exc_info=True)
            raise DeviceBusyError(
                f"{self._name}: cannot be opened ({_told(error)}); plug it in again, or install its library again"
            ) from error

    def capture(self, timeout_s: float) -> Picture | None:
        """Raises DeviceError and DamagedPictureError."""
        try:
            return self._device.capture(timeout_s)
        except (DeviceError, DamagedPictureError, InputError):
            raise
        except Exception as error:
            log.debug("%s: capture", self._name, exc_info=True)
            raise DeviceLostError(
                f"{self._name}: its library failed ({_told(error)}); it is opened anew, or plug it in again"
            ) from error

    def decode(self, picture: Picture, index: int) -> RgbdFrame:
        """As the device does; `FrameCheck` deals with what it raises."""
        return self._device.decode(picture, index)

    def close(self) -> None:
        """Raises nothing. What goes wrong is told once: the device is left all the same."""
        try:
            self._device.close()
        except Exception as error:
            log.debug("%s: close", self._name, exc_info=True)
            if _told(error) != self._close_failed:
                log.warning(
                    "%s: was not closed properly (%s); plug it in again if it stays busy", self._name, _told(error)
                )
            self._close_failed = _told(error)


def _told(error: Exception) -> str:
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
