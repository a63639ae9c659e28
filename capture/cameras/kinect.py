"""A live Azure Kinect (`--device kinect[:serial][?options]`), through the package pyk4a.

Orbbec's Femto Bolt and Femto Mega are driven by the same code: install Orbbec's replacement of the k4a library and let
it be found before the bundled one (`docs/cameras.md`).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from capture.cameras.clock import DeviceClock
from capture.cameras.device import DamagedPictureError, DeviceBusyError, DeviceError, DeviceLostError, NoDeviceError
from capture.cameras.kinect_calibration import COLOR_MODES, DEPTH_MODES
from capture.cameras.kinect_picture import KinectDecoder, KinectPicture
from capture.cameras.reconnecting import ReconnectingSource
from capture.cameras.registration import LensCamera, RgbdCalibration
from core.camera import Intrinsics
from core.errors import InputError, MissingExtraError
from core.frame import RgbdFrame, SensedDepth
from core.source import SourceError

FIRST_FRAME_S = 6.0  # starting the laser and the exposure control takes about two
LATENCY_S = {"720P": 0.068}  # from the middle of the exposure to the computer, by the data sheet
IN_USE = "close the other program using it"
RIGHTS = "on Linux, let your user open it (udev rules 99-k4a.rules)"
_SYSTEMS = (
    "version 1.5.0.1 or later needs Windows or glibc 2.38 (Debian 13, Ubuntu 24.04); recordings (.mkv) play without it"
)
SYNC_MODES = ("standalone", "master", "subordinate")


@dataclass(frozen=True)
class KinectOptions:
    """How the camera runs. The defaults are for a face at 0.4 to 1 m.

    Attributes:
        color: resolution: 720P, 1080P, 1440P, 1536P, 2160P or 3072P.
        format: MJPG (less on the cable; decoded by us, off the capture thread) or BGRA (decoded by the library).
        depth: NFOV_UNBINNED (finest on a face), NFOV_2X2BINNED, WFOV_2X2BINNED or WFOV_UNBINNED.
        fps: 5, 15 or 30.
        exposure_us: fixed exposure time; 0 leaves it to the camera.
        mains_hz: 50 or 60, against lamps that flicker; 0 leaves it as it is.
        sync: standalone, master or subordinate, for cameras joined by a cable.
        delay_us: how much later than the master's this camera's pictures are taken (subordinate).
    """

    color: str = "720P"
    format: str = "MJPG"
    depth: str = "NFOV_UNBINNED"
    fps: int = 30
    exposure_us: int = 0
    mains_hz: int = 0
    sync: str = "standalone"
    delay_us: int = 0

    def __post_init__(self) -> None:
        self._check("color", COLOR_MODES)
        self._check("format", ("MJPG", "BGRA"))
        self._check("depth", DEPTH_MODES)
        self._check("fps", (5, 15, 30))
        self._check("mains_hz", (0, 50, 60))
        self._check("sync", SYNC_MODES)
        if self.fps == 30 and (self.color == "3072P" or self.depth == "WFOV_UNBINNED"):
            raise InputError(
                "kinect: color 3072P and depth WFOV_UNBINNED run at 15 frames a second at most; add fps=15"
            )
        if not 0 <= self.exposure_us <= 133_000 or not 0 <= self.delay_us <= 1_000_000:
            raise InputError("kinect: expected exposure_us of 0 to 133000 and delay_us of 0 to 1000000")

    def _check(self, name: str, allowed: Any) -> None:
        if getattr(self, name) not in allowed:
            choices = ", ".join(str(choice) for choice in allowed)
            raise InputError(f"kinect: {name}={getattr(self, name)}: expected one of {choices}")

    @staticmethod
    def parse(text: str) -> KinectOptions:
        """Out of "name=value&name=value". Raises InputError for unknown names and values."""
        kinds = {field.name: type(field.default) for field in fields(KinectOptions)}
        values: dict[str, Any] = {}
        for item in filter(None, text.split("&")):
            name, _, value = item.partition("=")
            if name not in kinds or (kinds[name] is int and not value.isdecimal()):
                raise InputError(f"kinect: option {item}: expected name=value with name one of {', '.join(kinds)}")
            words = value.lower() if name == "sync" else value.upper()
            values[name] = int(value) if kinds[name] is int else words
        return KinectOptions(**values)


def kinect_source(
    serial: str | None = None, options: KinectOptions | None = None, *, clean: bool = True
) -> ReconnectingSource[KinectPicture]:
    """An Azure Kinect as a live source: the one with that serial number, or the first, and from then on that one.

    Raises MissingExtraError where the library is not installed and SourceError where it cannot be loaded.
    """
    return ReconnectingSource(KinectDevice(load_library(), serial, options or KinectOptions(), clean=clean))


def load_library() -> Any:
    """The module pyk4a. Raises MissingExtraError and SourceError."""
    os.environ.setdefault("K4A_LOG_LEVEL", "c")  # or it complains on the terminal each time a camera is looked for
    if _built_for_numpy_1():
        raise SourceError(f"kinect: the installed pyk4a-bundle was built for numpy 1 and cannot be loaded; {_SYSTEMS}")
    try:
        import pyk4a
    except ModuleNotFoundError as error:
        raise MissingExtraError("kinect", "a live Azure Kinect (--device kinect)") from error
    except ImportError as error:
        raise SourceError(f"kinect: pyk4a-bundle is installed but cannot be loaded ({error}); {_SYSTEMS}") from error
    return pyk4a


def _built_for_numpy_1() -> bool:
    """Told by its version: loading it would print pages of numpy's advice first."""
    try:
        version = importlib.metadata.version("pyk4a-bundle")
    except importlib.metadata.PackageNotFoundError:
        return False
    return version in ("1.4.0", "1.4.1", "1.5.0") and int(np.__version__.split(".")[0]) > 1


class KinectDevice:
    """The `LiveDevice` of an Azure Kinect.

    Args:
        library: the module pyk4a. Every call gives a time limit and lets other threads run meanwhile.
        serial: the camera wanted; None for the first that can be opened.
    """

    first_frame_s = FIRST_FRAME_S
    first_frame_hint = "plug it into a USB 3 port of its own, with its power supply"

    def __init__(self, library: Any, serial: str | None, options: KinectOptions, *, clean: bool = True) -> None:
        self.name = f"kinect:{serial}" if serial else "kinect"
        self.identity = serial
        self.fps = float(options.fps)
        self._library = library
        self._options = options
        self._clean = clean
        self._camera: Any = None
        self._decoder: KinectDecoder | None = None
        self.latency_s = LATENCY_S.get(options.color)
        self._clock = DeviceClock(self.latency_s or 0.0)

    def open(self, cancelled: Callable[[], bool], report: Callable[[DeviceError], None]) -> None:  # noqa: ARG002
        try:
            count = int(self._library.connected_device_count())
        except Exception as error:
            raise DeviceLostError(f"{self.name}: cameras cannot be listed{_told(error)}; unplug and plug it") from error
        if count == 0:
            raise NoDeviceError(f"{self.name}: no Azure Kinect found; plug it into USB 3 and its power supply")
        camera = self._find(count, cancelled)
        if camera is None:
            return
        try:
            self._start(camera)
        except BaseException:
            _release(camera)
            raise
        self._camera = camera
        self._clock.restart()

    def capture(self, timeout_s: float) -> KinectPicture | None:
        """The next capture that has both pictures; None for one that lacks one of them, too."""
        try:
            capture = self._camera.get_capture(timeout=max(1, round(timeout_s * 1000)))
            arrival_s = time.monotonic()
            color, depth = capture.color, capture.depth
            device_s = capture.color_timestamp_usec / 1e6
        except self._library.K4ATimeoutException:
            return None
        except Exception as error:
            raise DeviceLostError(
                f"{self.name}: the camera stopped answering{_told(error)}; check its cable and power supply"
            ) from error
        if color is None or depth is None:
            return None
        return KinectPicture(color, depth, self._clock.to_monotonic(device_s, arrival_s))

    def decode(self, picture: KinectPicture, index: int) -> RgbdFrame:
        decoder = self._decoder
        if decoder is None:
            raise DamagedPictureError("a picture of a camera that was never opened")
        rgb, depth_m = decoder(picture)
        sensed = SensedDepth(picture.depth_mm, decoder.alignment.told)
        return RgbdFrame(rgb, depth_m, decoder.intrinsics, picture.timestamp_s, index, sensed=sensed)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            _release(camera)

    # --- opening --------------------------------------------------------------------------------------------------

    def _find(self, count: int, cancelled: Callable[[], bool]) -> Any:
        """Open cameras until it is the right one; the others are closed again."""
        others: list[str] = []
        for number in range(count):
            if cancelled():
                return None
            camera = self._library.PyK4A(self._configuration(), device_id=number, thread_safe=False)
            serial = _opened_serial(camera)
            if serial is None:
                continue
            if self.identity in (None, serial):
                self.identity = serial
                return camera
            _release(camera)
            others.append(serial)
        if others:
            found = ", ".join(others)
            raise NoDeviceError(f"{self.name}: expected the camera {self.identity}, found {found}; plug that one in")
        raise DeviceBusyError(f"{self.name}: found, but it cannot be opened; {IN_USE}, or {RIGHTS}")

    def _start(self, camera: Any) -> None:
        try:
            camera.start()
            if self._options.exposure_us:
                camera.exposure = self._options.exposure_us
            if self._options.mains_hz:
                camera.powerline_frequency = {50: 1, 60: 2}[self._options.mains_hz]
            calibration = camera.calibration
            cameras = calibration_of(self._library, calibration, self._options.depth, self._options.color)
        except Exception as error:
            raise DeviceBusyError(
                f"{self.name}: opened, but it does not start{_told(error)}; {IN_USE}, or {self.first_frame_hint}"
            ) from error
        if self._decoder is None:
            self._decoder = KinectDecoder(cameras, clean=self._clean)

    def _configuration(self) -> Any:
        library, options = self._library, self._options
        formats = {"MJPG": library.ImageFormat.COLOR_MJPG, "BGRA": library.ImageFormat.COLOR_BGRA32}
        return library.Config(
            color_resolution=library.ColorResolution[f"RES_{options.color}"],
            color_format=formats[options.format],
            depth_mode=library.DepthMode[options.depth],
            camera_fps=library.FPS[f"FPS_{options.fps}"],
            synchronized_images_only=True,
            wired_sync_mode=library.WiredSyncMode[options.sync.upper()],
            subordinate_delay_off_master_usec=options.delay_us,
        )


def calibration_of(library: Any, calibration: Any, depth_mode: str, color_mode: str) -> RgbdCalibration:
    """The two cameras as the library describes them, which also holds for cameras that only behave like a Kinect.

    The library counts pixel centres from 0, we from 0.5.
    """
    kinds, cameras = library.CalibrationType, []
    for kind, mode in ((kinds.DEPTH, DEPTH_MODES[depth_mode]), (kinds.COLOR, COLOR_MODES[color_mode])):
        matrix = calibration.get_camera_matrix(kind)
        pinhole = Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2] + 0.5, matrix[1, 2] + 0.5, *mode.size)
        cameras.append(LensCamera(pinhole, np.asarray(calibration.get_distortion_coefficients(kind), np.float64)))
    rotation, offset_m = calibration.get_extrinsic_parameters(kinds.DEPTH, kinds.COLOR)
    T_color_depth = np.eye(4)
    T_color_depth[:3, :3], T_color_depth[:3, 3] = rotation, np.ravel(offset_m)
    return RgbdCalibration(cameras[0], cameras[1], T_color_depth)


def list_kinects() -> Iterator[tuple[str, str]]:
    """(serial, state) of every camera on this machine; "" and why for those that cannot be opened."""
    library = load_library()
    for number in range(int(library.connected_device_count())):
        camera = library.PyK4A(device_id=number, thread_safe=False)
        serial = _opened_serial(camera)
        yield (serial or "", "ready" if serial else f"cannot be opened; {IN_USE}, or {RIGHTS}")
        _release(camera)


def _opened_serial(camera: Any) -> str | None:
    """Open it and ask for its serial number; None, and closed again, where that fails (the library never says why)."""
    try:
        camera.open()
        return str(camera.serial)
    except Exception:
        _release(camera)
        return None


def _release(camera: Any) -> None:
    """Stop and close in whatever state the camera is; one that was unplugged fails at it, and is gone all the same."""
    if camera.is_running:
        with contextlib.suppress(Exception):
            camera.stop()
    camera.is_running = False  # or its destructor tries again, at a time of its own
    if camera.opened:
        with contextlib.suppress(Exception):
            camera.close()


def _told(error: Exception) -> str:
    """The library's own words, of which there are usually none."""
    return f" ({error})" if str(error) else ""
