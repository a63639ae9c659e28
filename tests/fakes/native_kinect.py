"""A fake of pyk4a's native module: the real pyk4a on top of it sees cameras that can be unplugged and misbehave.

Import this before pyk4a; `cameras` is the desk the cameras stand on. Only what live capture calls is there.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import types
from collections import deque
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from tests.fakes.phone import pattern, pattern_depth_m

FAILED, TIMEOUT, SUCCESS = 1, 2, 0
WIDTH, HEIGHT, DEPTH_WIDTH, DEPTH_HEIGHT = 1280, 720, 640, 576
KEPT_JPEGS = 64
LENS = [0.0] * 10


def calibration_json() -> str:
    """A camera pair without lens and turn, so that the pattern's depth stays what it is."""

    def camera(purpose: str, parameters: list[float], offset_m: list[float]) -> dict[str, object]:
        return {
            "Purpose": purpose,
            "Intrinsics": {"ModelParameters": [*parameters, *LENS]},
            "Rt": {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": offset_m},
        }

    cameras = [
        camera("CALIBRATION_CameraPurposeDepth", [0.5, 0.5, 0.49, 0.49], [0, 0, 0]),
        camera("CALIBRATION_CameraPurposePhotoVideo", [0.5, 0.5, 0.48, 0.64], [-0.032, 0, 0]),
    ]
    return json.dumps({"CalibrationInformation": {"Cameras": cameras}}) + "\0"


@dataclass
class Camera:
    """One camera and how it behaves; change it while it runs."""

    serial: str = "000123456789"
    attached: bool = True
    in_use: bool = False  # by another program
    does_not_start: bool = False
    fps: float = 30.0
    silent: bool = False  # started, and every wait runs into its timeout
    lacks: str = ""  # "color" or "depth"
    frozen: bool = False  # gives the same picture again and again, with new times
    hole: float = 0.0  # share of the depth's columns, from the left, without a reading
    color_size: tuple[int, int] = (WIDTH, HEIGHT)
    depth_size: tuple[int, int] = (DEPTH_WIDTH, DEPTH_HEIGHT)
    raises: bool = False  # get_capture raises an exception without a word
    truncated_jpeg: bool = False
    clock_drift: float = 40e-6
    opened: int = 0
    started: bool = False
    index: int = 0
    due_s: float = 0.0
    made_s: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=200))  # index, monotonic time


@dataclass
class Desk:
    """All cameras of the machine, and what is open: handles must balance."""

    cameras: list[Camera] = field(default_factory=lambda: [Camera()])
    open_handles: int = 0
    film: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # JPEG bytes and depth in mm, not a pattern
    lock: threading.Lock = field(default_factory=threading.Lock)

    def attached(self) -> list[Camera]:
        return [camera for camera in self.cameras if camera.attached]

    def unplug(self, camera: Camera) -> float:
        camera.attached = camera.started = False
        return time.monotonic()

    def plug(self, camera: Camera) -> float:
        camera.attached = True
        return time.monotonic()


cameras = Desk()
_jpegs: dict[tuple[int, int, int], np.ndarray] = {}


def _jpeg(index: int, width: int, height: int) -> np.ndarray:
    wanted = (index, width, height)
    if wanted not in _jpegs:
        if len(_jpegs) >= KEPT_JPEGS:
            _jpegs.clear()
        rgb, _ = pattern(*wanted, 1, 1)
        _jpegs[wanted] = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].ravel()
    return _jpegs[wanted]


def device_get_installed_count() -> int:
    return len(cameras.attached())


def device_open(number: int, _thread_safe: bool) -> tuple[int, object]:
    attached = cameras.attached()
    if number >= len(attached) or attached[number].in_use or attached[number].opened:
        return FAILED, None
    with cameras.lock:
        cameras.open_handles += 1
    attached[number].opened += 1
    return SUCCESS, attached[number]


def device_close(camera: Camera, _thread_safe: bool) -> int:
    with cameras.lock:
        cameras.open_handles -= 1
    camera.opened -= 1
    camera.started = False
    return SUCCESS


def device_get_serialnum(camera: Camera, _thread_safe: bool) -> str:
    return camera.serial if camera.attached else ""


def device_start_cameras(camera: Camera, _thread_safe: bool, *_config: object) -> int:
    if not camera.attached or camera.does_not_start:
        return FAILED
    camera.started, camera.due_s = True, time.monotonic()
    return SUCCESS


def device_stop_cameras(camera: Camera, _thread_safe: bool) -> int:
    camera.started = False
    return SUCCESS


def device_start_imu(camera: Camera, _thread_safe: bool) -> int:
    return SUCCESS if camera.attached else FAILED


def device_stop_imu(_camera: Camera, _thread_safe: bool) -> int:
    return SUCCESS


def device_get_calibration(_camera: Camera, _thread_safe: bool, *_modes: object) -> tuple[int, object]:
    return SUCCESS, object()


def calibration_get_intrinsics(_calibration: object, _thread_safe: bool, camera: int) -> list[float]:
    """As in `calibration_json`: cx cy fx fy and ten numbers of a lens that does nothing."""
    if camera == 0:
        return [0.5 * 1024 - 192 - 0.5, 0.5 * 1024 - 180 - 0.5, 0.49 * 1024, 0.49 * 1024, *LENS]
    return [0.5 * 1280 - 0.5, 0.5 * 960 - 120 - 0.5, 0.48 * 1280, 0.64 * 960, *LENS]


def calibration_get_extrinsics(
    _calibration: object, _thread_safe: bool, _source: int, _target: int
) -> tuple[list[float], list[float]]:
    return [1, 0, 0, 0, 1, 0, 0, 0, 1], [-32.0, 0, 0]


def device_set_color_control(camera: Camera, _thread_safe: bool, *_control: object) -> int:
    return SUCCESS if camera.attached else FAILED


def device_get_capture(camera: Camera, thread_safe: bool, timeout_ms: int) -> tuple[int, object]:
    assert not thread_safe, "holds the interpreter's lock while it waits"
    assert timeout_ms >= 0, "waits for ever"
    if camera.raises:
        raise RuntimeError
    ends_s = time.monotonic() + timeout_ms / 1000
    while camera.started and (camera.silent or time.monotonic() < camera.due_s):
        if time.monotonic() >= ends_s:
            return TIMEOUT, None
        time.sleep(0.001)
    if not camera.started:
        return FAILED, None
    camera.due_s = max(camera.due_s + 1 / camera.fps, time.monotonic() - 0.1)
    camera.index += not camera.frozen
    made_s = time.monotonic()
    camera.made_s.append((camera.index - 1, made_s))
    device_usec = int(made_s * (1 - camera.clock_drift) * 1e6) - 10_000_000
    return SUCCESS, (camera.index - 1, device_usec, replace(camera))


def capture_get_color_image(capture: tuple[int, int, Camera], _thread_safe: bool) -> tuple[np.ndarray | None, int, int]:
    index, device_usec, camera = capture
    jpeg = cameras.film[index % len(cameras.film)][0] if cameras.film else _jpeg(index, *camera.color_size)
    if camera.truncated_jpeg:
        jpeg = jpeg[: len(jpeg) // 2]
    return (None if camera.lacks == "color" else jpeg), device_usec, 0


def capture_get_depth_image(capture: tuple[int, int, Camera], _thread_safe: bool) -> tuple[np.ndarray | None, int, int]:
    index, device_usec, camera = capture
    if cameras.film:
        depth = cameras.film[index % len(cameras.film)][1].copy()
    else:
        depth = np.full(camera.depth_size[::-1], round(pattern_depth_m(index) * 1000), np.uint16)
    depth[:, : round(camera.hole * depth.shape[1])] = 0
    return (None if camera.lacks == "depth" else depth), device_usec, 0


def install() -> None:
    """Put this in place of the native module, before pyk4a is imported."""
    assert "pyk4a" not in sys.modules, "pyk4a already holds the real library"
    module = types.ModuleType("k4a_module")
    for name, value in globals().items():
        if name.startswith(("device_", "capture_", "calibration_get")):
            setattr(module, name, value)
    sys.modules["k4a_module"] = module
