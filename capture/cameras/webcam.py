"""Ordinary cameras (`--device webcam[:N]`): colour only, read by OpenCV, kept alive by `reconnecting`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.cameras.device import DamagedPictureError, DeviceError, DeviceLostError, NoDeviceError
from core.camera import Intrinsics, assumed_intrinsics
from core.frame import RgbdFrame
from core.picture_limits import check_picture_size
from core.source import SourceError

DEFAULT_SIZE = (640, 480)  # enough for a face at arm's length; a larger picture only takes longer to unpack
DEFAULT_FPS = 30.0
_FAILED_READS = 10  # in a row, before a camera counts as lost
_RETRY_S = 0.02


class WebcamPicture(NamedTuple):
    """A picture as it came: bgr [H, W, 3] uint8 and when, in monotonic seconds."""

    bgr: NDArray[np.uint8]
    timestamp_s: float


class WebcamDevice:
    """Camera number `number` as a `LiveDevice`.

    A camera that is not there when it is first opened is a mistake (SourceError, with those that are); one that
    vanishes later is waited for.

    Args:
        fov_deg: vertical field of view; assumed as `capture.recordings.camera_file.assumed_intrinsics` says by default.
        make_capture: makes the `cv2.VideoCapture`; for tests.
    """

    latency_s: float | None = None
    first_frame_s = 10.0  # some cameras take seconds to find their exposure
    first_frame_hint = "close other programs using it, or plug it in again"

    def __init__(
        self, number: int, fov_deg: float | None = None, make_capture: Callable[[int], Any] | None = None
    ) -> None:
        self.name = f"webcam:{number}"
        self.identity: str | None = None
        self.fps = DEFAULT_FPS
        self._number = number
        self._fov_deg = fov_deg
        self._make_capture = make_capture or _make_capture
        self._capture: Any = None
        self._intrinsics: Intrinsics | None = None
        self._failed_reads = 0

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:  # noqa: ARG002
        if cancelled():
            return
        capture = self._make_capture(self._number)
        if not capture.isOpened():
            capture.release()
            message = f"{self.name}: expected a camera, none could be opened; {_cameras_line()}"
            raise NoDeviceError(message) if self.identity is not None else SourceError(message)
        self._capture, self._failed_reads = capture, 0
        self.identity = str(self._number)

    def capture(self, timeout_s: float) -> WebcamPicture | None:
        """The next picture. OpenCV takes no timeout: it waits as long as the driver does (seconds, not for ever)."""
        good, bgr = self._capture.read()
        if good and bgr is not None:
            self._failed_reads = 0
            return WebcamPicture(bgr, time.monotonic())
        self._failed_reads += 1
        if self._failed_reads >= _FAILED_READS:
            raise DeviceLostError(f"{self.name}: gives no pictures any more; check that it is plugged in")
        time.sleep(min(timeout_s, _RETRY_S))
        return None

    def decode(self, picture: WebcamPicture, index: int) -> RgbdFrame:
        bgr = picture.bgr
        if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.dtype != np.uint8:
            raise DamagedPictureError(f"expected three channels of 8 bit, got {bgr.shape} {bgr.dtype}")
        height, width = bgr.shape[:2]
        if self._intrinsics is None or (self._intrinsics.width, self._intrinsics.height) != (width, height):
            check_picture_size(self.name, width, height)
            self._intrinsics = assumed_intrinsics(width, height, self._fov_deg)
        return RgbdFrame(np.ascontiguousarray(bgr[..., ::-1]), None, self._intrinsics, picture.timestamp_s, index)

    def close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def listed_cameras() -> list[str]:
    """Cameras the system shows, as device files; empty where it shows none (or is no Linux)."""
    if not sys.platform.startswith("linux"):
        return []
    return sorted(str(path) for path in Path("/dev").glob("video*"))


def _cameras_line() -> str:
    if cameras := listed_cameras():
        return f"this machine shows {', '.join(cameras)}: give webcam:N for one of them, or close the program using it"
    return "plug one in, close other programs using it, or give a recording"


def _make_capture(number: int) -> Any:
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # we say ourselves what went wrong
    capture = cv2.VideoCapture(number)
    if capture.isOpened():
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, DEFAULT_SIZE[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, DEFAULT_SIZE[1])
        capture.set(cv2.CAP_PROP_FPS, DEFAULT_FPS)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
