"""A picture of an Azure Kinect, live or out of a recording, and how it becomes a frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.cameras.depth_alignment import DepthAlignment
from capture.cameras.depth_kernels import Straightener, compiled_kernels
from capture.cameras.device import DamagedPictureError
from capture.cameras.registration import RgbdCalibration
from core.camera import Intrinsics

_JPEG_END = b"\xff\xd9"
_HEADER = 4096  # bytes in which a JPEG of the camera has said how large it is
_PADDING = 1024  # bytes the camera may leave behind the end of a JPEG


@dataclass(frozen=True, eq=False)
class KinectPicture:
    """color: [n] uint8 JPEG or [H, W, 4] uint8 BGRA, depth_mm: [h, w] uint16 in the depth camera's geometry, and when
    it was taken, in the seconds that frames are stamped with."""

    color: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16]
    timestamp_s: float


class KinectDecoder:
    """Decodes the colour and takes the lens out of it, cleans the depth and registers it to the colour.

    Args:
        calibration: of the modes the pictures were taken in.
        clean: take out flying pixels and noise.

    Attributes:
        intrinsics: of the frames.
        alignment: of the depth.
    """

    def __init__(self, calibration: RgbdCalibration, *, clean: bool = True) -> None:
        self.intrinsics: Intrinsics = calibration.color.intrinsics
        kernels = compiled_kernels()
        self._maps = calibration.color.undistortion_maps()
        self._straighten = None if kernels is None else Straightener(kernels, *self._maps)
        self.alignment = DepthAlignment(calibration, clean=clean)

    def __call__(self, picture: KinectPicture) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """rgb [H, W, 3] and depth_m [H, W] of the colour camera as a pinhole. Raises DamagedPictureError."""
        try:
            depth_m = self.alignment(picture.depth_mm)
        except ValueError as error:
            raise DamagedPictureError(str(error)) from None
        return self._rgb(picture.color), depth_m

    def _rgb(self, color: NDArray[np.uint8]) -> NDArray[np.uint8]:
        expected = (self.intrinsics.height, self.intrinsics.width, 3)
        bgr = _decoded_jpeg(color, expected[:2]) if color.ndim == 1 else color[..., :3]
        if bgr.shape != expected:
            raise DamagedPictureError(f"expected color of {expected} as calibrated, got {bgr.shape}")
        if self._straighten is not None:
            return self._straighten(bgr)
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        straight = cv2.remap(rgb, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(straight, dtype=np.uint8)


def jpeg_shape(data: bytes) -> tuple[int, int] | None:
    """(height, width) that a JPEG's header announces, without decoding anything; None where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        padding = marker == 0xFF
        at += 1 if padding else 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _decoded_jpeg(data: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """[H, W, 3] BGR. Raises DamagedPictureError also where only the beginning is there, which OpenCV would pad."""
    announced = jpeg_shape(data[:_HEADER].tobytes())
    if announced != shape:  # before OpenCV makes room for what may be 65500 pixels a side
        raise DamagedPictureError(f"expected color of {shape} as calibrated, its header says {announced}")
    if data.size < 128 or _JPEG_END not in data[-_PADDING:].tobytes():
        raise DamagedPictureError(f"a JPEG of {data.size} bytes without its end")
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DamagedPictureError(f"a JPEG of {data.size} bytes that cannot be decoded") from error
    if bgr is None:
        raise DamagedPictureError(f"a JPEG of {data.size} bytes that cannot be decoded")
    return np.asarray(bgr, dtype=np.uint8)
