"""An iPhone or iPad with the app Record3D, over USB: TrueDepth (the face side) and LiDAR (the back)."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.cameras.depth_cleaning import DepthCleaner
from capture.cameras.device import (
    DamagedPictureError,
    DeviceBusyError,
    DeviceError,
    DeviceLostError,
    NoDeviceError,
)
from capture.cameras.reconnecting import ReconnectingSource
from capture.cameras.record3d_child import LibraryProcess, PhonePicture
from capture.cameras.record3d_process import HUNG_STATUS
from core.camera import Intrinsics
from core.errors import InputError, MissingExtraError, install_line
from core.frame import RgbdFrame, check_picture_size
from core.source import SourceError

Rotation = Literal[0, 90, 180, 270]

SILENT_S = 5.0  # without a word from the process for so long while connecting, it hangs
FIRST_FRAME_S = 3.0
NEAREST_M, FARTHEST_M = 0.1, 8.0
LEAST_CONFIDENCE = 1  # of 0 low, 1 medium, 2 high
_NO_ANSWER = "the phone service (usbmuxd, or iTunes on Windows) does not answer; restart it, or plug the phone in again"
_START_APP = 'start Record3D on it, choose "USB streaming" and press the red button'


def record3d_source(
    udid: str | None = None, rotation: Rotation = 0, *, clean: bool = True
) -> ReconnectingSource[PhonePicture]:
    """A phone as a live source: the one with that UDID, or whichever is found first, and from then on that one.

    Args:
        udid: serial of the phone, as `vfa devices` shows it.
        rotation: degrees to turn the pictures clockwise until they stand upright.
        clean: take out flying pixels and noise.

    Raises MissingExtraError when the library is not installed.
    """
    if importlib.util.find_spec("record3d") is None:
        raise MissingExtraError("record3d", "an iPhone or iPad over USB (--device record3d)")
    return ReconnectingSource(Record3dDevice(udid, rotation, clean=clean))


def parse_rotation(options: str) -> Rotation:
    """Out of "" or "rotate=90". Raises InputError."""
    rotations: dict[str, Rotation] = {"": 0, "rotate=0": 0, "rotate=90": 90, "rotate=180": 180, "rotate=270": 270}
    if options not in rotations:
        raise InputError(f"record3d: option {options}: expected rotate=0, 90, 180 or 270 (degrees clockwise)")
    return rotations[options]


class Record3dDevice:
    """The `LiveDevice` of a phone. Every connection has a process of its own, ended with it."""

    fps = 60.0
    latency_s: float | None = None
    first_frame_s = FIRST_FRAME_S
    first_frame_hint = "close Record3D on the phone, open it again and press the red button"

    def __init__(self, udid: str | None = None, rotation: Rotation = 0, *, clean: bool = True) -> None:
        self.name = f"record3d:{udid}" if udid else "record3d"
        self.identity = udid
        self._rotation: Rotation = rotation
        self._cleaner = DepthCleaner.for_truedepth() if clean else None
        self._process: LibraryProcess | None = None
        self._connected = False

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:
        self._process = LibraryProcess(self.identity or "")
        self._connected = False
        heard_s = time.monotonic()
        while not self._connected and not cancelled():
            news = self._process.next_event(0.05)
            if news is None and time.monotonic() - heard_s > SILENT_S:
                raise DeviceLostError(f"{self.name}: {_NO_ANSWER}")
            if news is not None:
                heard_s = time.monotonic()
                self._take_news(news, report)

    def capture(self, timeout_s: float) -> PhonePicture | None:
        assert self._process is not None
        picture = self._process.next_picture(timeout_s)
        while picture is None and (news := self._process.next_event(0.0)) is not None:
            self._take_news(news, lambda _absence: None)  # while streaming, only what ends the stream matters
        return picture

    def decode(self, picture: PhonePicture, index: int) -> RgbdFrame:
        return frame_of_picture(picture, index, self._rotation, self._cleaner)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _take_news(self, news: dict[str, object], report: Callable[[DeviceError], None]) -> None:
        event = news.get("event")
        if event == "connected":
            self._connected = True
            self.identity = str(news.get("udid"))
        elif event == "absent":
            report(self._absent(news))
        elif event == "refused":
            report(DeviceBusyError(f"{self.name}: the phone is there, but Record3D is not streaming; {_START_APP}"))
        elif event == "damaged":
            raise DamagedPictureError(f"the phone's picture cannot be passed on ({news.get('reason')})")
        elif event == "stopped":
            raise DeviceLostError(f"{self.name}: the phone ended the stream; check the cable, or {_START_APP}")
        elif event == "unusable":
            raise SourceError(
                f"{self.name}: the record3d library cannot be loaded ({news.get('reason')}); install it again with  "
                f"{install_line('record3d', '--force-reinstall')}"
            )
        elif event == "ended" and news.get("status") == HUNG_STATUS:
            raise DeviceLostError(f"{self.name}: {_NO_ANSWER}")
        elif event == "ended":
            raise DeviceLostError(
                f"{self.name}: the record3d library ended its process (status {news.get('status')}) over what the "
                "phone sent; if it happens again, close and open Record3D"
            )

    def _absent(self, news: dict[str, object]) -> NoDeviceError:
        others = news.get("udids") or []
        if self.identity and others:
            return NoDeviceError(f"{self.name}: expected phone {self.identity}, found {others}; plug that one in")
        return NoDeviceError(
            f"{self.name}: no iPhone or iPad on USB; plug it in, unlock it, trust this computer, and {_START_APP}"
        )


def frame_of_picture(picture: PhonePicture, index: int, rotation: Rotation, cleaner: DepthCleaner | None) -> RgbdFrame:
    """Put a phone's picture right: mirrored TrueDepth turned back, rotated, depth of doubtful readings taken out and
    brought to the colour's size. The intrinsics are the colour's throughout.

    Raises DamagedPictureError when intrinsics make no sense or depth is missing, SourceError for an absurd size.
    """
    height, width = picture.rgb.shape[:2]
    check_picture_size(width, height, "record3d")
    if picture.depth_m.size == 0:
        rows, columns = picture.depth_m.shape
        raise DamagedPictureError(f"expected depth with the color of {width}x{height}, got depth of {columns}x{rows}")
    try:
        intrinsics = Intrinsics(picture.fx, picture.fy, picture.cx, picture.cy, width, height)
    except ValueError as error:
        raise DamagedPictureError(str(error)) from error
    depth_m = trusted_depth(picture.depth_m, picture.confidence)
    if cleaner is not None:
        depth_m = cleaner(depth_m)
    rgb, depth_m = picture.rgb, resized_depth(depth_m, width, height)
    if not picture.lidar:
        rgb, depth_m, intrinsics = mirrored(rgb, depth_m, intrinsics)
    rgb, depth_m, intrinsics = rotated(rgb, depth_m, intrinsics, rotation)
    return RgbdFrame(rgb, depth_m, intrinsics, picture.arrival_s, index)


def trusted_depth(depth_m: NDArray[np.float32], confidence: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[h, w] with 0 for what is not a distance, out of range, or of low confidence (empty: the sensor gives none)."""
    with np.errstate(invalid="ignore"):
        good = (depth_m >= NEAREST_M) & (depth_m <= FARTHEST_M)
    if confidence.shape == depth_m.shape:
        good &= confidence >= LEAST_CONFIDENCE
    return np.where(good, depth_m, np.float32(0))


def resized_depth(depth_m: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """To the colour's size by nearest reading: distances are never mixed across an edge."""
    if depth_m.shape == (height, width):
        return depth_m
    resized = cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.float32)


def mirrored(
    rgb: NDArray[np.uint8], depth_m: NDArray[np.float32], intrinsics: Intrinsics
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Intrinsics]:
    """Swap left and right. The principal point swaps sides with the picture."""
    width = intrinsics.width
    turned = Intrinsics(intrinsics.fx, intrinsics.fy, width - intrinsics.cx, intrinsics.cy, width, intrinsics.height)
    return np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(depth_m[:, ::-1]), turned


def rotated(
    rgb: NDArray[np.uint8], depth_m: NDArray[np.float32], intrinsics: Intrinsics, rotation: Rotation
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Intrinsics]:
    """Turn clockwise by 0, 90, 180 or 270 degrees; the camera turns with its picture."""
    turns = rotation // 90
    pictures = np.ascontiguousarray(np.rot90(rgb, -turns)), np.ascontiguousarray(np.rot90(depth_m, -turns))
    return *pictures, intrinsics.turned(turns)
