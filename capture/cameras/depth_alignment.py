"""Depth of a camera beside the colour's, cleaned and brought to the colour picture; and how a file can say so."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.cameras.depth_cleaning import DepthCleaner
from capture.cameras.depth_kernels import compiled_kernels
from capture.cameras.registration import DepthRegistration, LensCamera, RgbdCalibration
from core.camera import Intrinsics
from core.picture_limits import check_depth_size, stated_intrinsics

_KINECT = "kinect"
_PINHOLE = ("fx", "fy", "cx", "cy", "width", "height")
_FARTHEST_M = 1.0  # between two cameras in one housing
_MOST_PIXELS = 1 << 22  # of a depth camera: four times the largest mode; working out its rays takes 100 bytes a pixel


class DepthAlignment:
    """What makes aligned depth of a Kinect's readings.

    Args:
        calibration: of the two cameras.
        clean: take out flying pixels and noise first.
        at_once: have everything worked out now. Otherwise it is with the first readings: what a file says of its camera
            costs nothing then unless its pictures are of that camera.

    Attributes:
        shape: rows and columns of the depth camera's pictures.
        told: the same in words and lists of numbers that JSON can hold, but for the colour camera, for `of`.
    """

    def __init__(self, calibration: RgbdCalibration, *, clean: bool = True, at_once: bool = True) -> None:
        self._calibration = calibration
        self._cleaner = DepthCleaner.for_kinect() if clean else None
        depth = calibration.depth
        self.shape = (depth.intrinsics.height, depth.intrinsics.width)
        self.told: dict[str, Any] = {
            "depth_kind": _KINECT,
            "depth_cleaned": clean,
            "depth_pinhole": [float(getattr(depth.intrinsics, key)) for key in _PINHOLE],
            "depth_lens": depth.distortion.tolist(),
            "T_color_depth": calibration.T_color_depth.ravel().tolist(),
        }
        if at_once:
            _ = self._registration

    @cached_property
    def _registration(self) -> DepthRegistration:
        return DepthRegistration(self._calibration, kernels=compiled_kernels())

    def __call__(self, depth_mm: NDArray[np.uint16]) -> NDArray[np.float32]:
        """[h, w] uint16 as the depth camera sees it, 0 where there is no reading → depth_m [H, W] of the colour camera
        as a pinhole. Raises ValueError for a picture of another size than the calibration's."""
        if depth_mm.shape != self.shape:
            raise ValueError(f"expected depth of {self.shape} as calibrated, got {depth_mm.shape}")
        depth_m = np.multiply(depth_mm, np.float32(0.001), dtype=np.float32)
        return self._registration(self._cleaner(depth_m) if self._cleaner is not None else depth_m)

    @staticmethod
    def of(told: Mapping[str, Any], color: Intrinsics, name: str) -> DepthAlignment:
        """What `told` says, which may come out of a file, of the depth beside the camera `color`. Raises ValueError
        where no camera is like that, and SourceError, which names `name`, where its pictures are none."""
        if told.get("depth_kind") != _KINECT:
            raise ValueError("expected the alignment of a Kinect's depth")
        depth = stated_intrinsics(*_numbers(told, "depth_pinhole", len(_PINHOLE)))
        check_depth_size(name, depth.width, depth.height)
        if depth.width * depth.height > _MOST_PIXELS:
            raise ValueError(f"depth of {depth.width}x{depth.height}, expected {_MOST_PIXELS} pixels at most")
        T_color_depth = _numbers(told, "T_color_depth", 16).reshape(4, 4)
        turn, offset_m = T_color_depth[:3, :3], T_color_depth[:3, 3]
        if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.abs(offset_m).max() > _FARTHEST_M:
            raise ValueError("T_color_depth: expected a rotation and less than a metre")
        lens = LensCamera(depth, _numbers(told, "depth_lens", 8))
        calibration = RgbdCalibration(lens, LensCamera(color, np.zeros(8)), T_color_depth)
        return DepthAlignment(calibration, clean=bool(told.get("depth_cleaned")), at_once=False)


def _numbers(told: Mapping[str, Any], key: str, count: int) -> NDArray[np.float64]:
    """Raises ValueError where they are not so many finite ones."""
    try:
        array = np.array(told.get(key), dtype=np.float64)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"{key}: expected {count} numbers")
    return array
