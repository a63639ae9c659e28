"""The Azure Kinect's factory calibration: from the JSON in device and recordings to two cameras in pixels.

Numbers in the JSON are relative to a full sensor read-out; each mode bins and crops it. The table of modes and the
half-pixel shift follow the sensor SDK's documented hardware modes; its own projection is the oracle in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.cameras.registration import LensCamera, RgbdCalibration
from core.errors import InputError
from core.picture_limits import stated_intrinsics
from core.untrusted import parse_json

_LARGEST_OFFSET_M = 1.0
PARAMETERS = 14  # cx cy fx fy k1..k6 codx cody p2 p1


@dataclass(frozen=True)
class SensorMode:
    """How one mode cuts its picture out of the read-out: binned size, upper left corner, picture size, in pixels."""

    read_out: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]


DEPTH_MODES = {
    "NFOV_2X2BINNED": SensorMode((512, 512), (96, 90), (320, 288)),
    "NFOV_UNBINNED": SensorMode((1024, 1024), (192, 180), (640, 576)),
    "WFOV_2X2BINNED": SensorMode((512, 512), (0, 0), (512, 512)),
    "WFOV_UNBINNED": SensorMode((1024, 1024), (0, 0), (1024, 1024)),
}
COLOR_MODES = {
    "720P": SensorMode((1280, 960), (0, 120), (1280, 720)),
    "1080P": SensorMode((1920, 1440), (0, 180), (1920, 1080)),
    "1440P": SensorMode((2560, 1920), (0, 240), (2560, 1440)),
    "1536P": SensorMode((2048, 1536), (0, 0), (2048, 1536)),
    "2160P": SensorMode((3840, 2880), (0, 360), (3840, 2160)),
    "3072P": SensorMode((4096, 3072), (0, 0), (4096, 3072)),
}


def parse_calibration(text: str, depth_mode: str, color_mode: str, *, name: str) -> RgbdCalibration:
    """The two cameras of a device in the given modes (keys of `DEPTH_MODES` and `COLOR_MODES`).

    Args:
        text: the JSON as device or recording hand it over; a trailing NUL is allowed.
        name: what the text came from, for the error.

    Raises InputError when modes or text are not an Azure Kinect's.
    """
    if depth_mode not in DEPTH_MODES or color_mode not in COLOR_MODES:
        raise InputError(
            f"{name}: expected a depth mode out of {', '.join(DEPTH_MODES)} and a color mode out of "
            f"{', '.join(COLOR_MODES)}, got {depth_mode} and {color_mode}; record with both cameras on"
        )
    try:
        content = parse_json(text.rstrip("\0"), "calibration")
        cameras = {camera["Purpose"]: camera for camera in content["CalibrationInformation"]["Cameras"]}
        depth = cameras["CALIBRATION_CameraPurposeDepth"]
        color = cameras["CALIBRATION_CameraPurposePhotoVideo"]
        T_color_depth = _pose(color) @ np.linalg.inv(_pose(depth))
        return RgbdCalibration(
            _camera(depth, DEPTH_MODES[depth_mode]), _camera(color, COLOR_MODES[color_mode]), T_color_depth
        )
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{name}: expected the factory calibration of an Azure Kinect, got a text that does not read as one "
            f"({type(error).__name__}: {error}); record again, or attach the device's own calibration.json"
        ) from error


def _camera(camera: dict[str, Any], mode: SensorMode) -> LensCamera:
    numbers = [float(number) for number in camera["Intrinsics"]["ModelParameters"]]
    if len(numbers) != PARAMETERS or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"expected {PARAMETERS} finite lens parameters, got {len(numbers)}")
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, _, _, p2, p1 = numbers
    (read_width, read_height), (left, top), (width, height) = mode.read_out, mode.corner, mode.size
    pinhole = stated_intrinsics(
        fx * read_width, fy * read_height, cx * read_width - left, cy * read_height - top, width, height
    )
    return LensCamera(pinhole, np.array([k1, k2, p1, p2, k3, k4, k5, k6]))


def _pose(camera: dict[str, Any]) -> NDArray[np.float64]:
    """[4, 4] from the rig's frame to the camera's, metres."""
    pose = np.eye(4)
    pose[:3, :3] = np.array(camera["Rt"]["Rotation"], dtype=np.float64).reshape(3, 3)
    pose[:3, 3] = np.array(camera["Rt"]["Translation"], dtype=np.float64).reshape(3)
    if not np.abs(pose[:3, 3]).max() <= _LARGEST_OFFSET_M:
        raise ValueError(f"expected cameras in one housing, got an offset of {np.abs(pose[:3, 3]).max():g} m")
    if not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-3) or not np.isfinite(pose).all():
        raise ValueError("expected a rotation between the cameras")
    return pose
