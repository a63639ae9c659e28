"""What a recording may say of its pictures and their camera, checked before anything is decoded or worked out."""

from __future__ import annotations

from collections.abc import Mapping

from core.camera import Intrinsics
from core.source import SourceError

LARGEST_SIDE = 8192
LARGEST_PIXELS = 50_000_000
LEAST_SIDE = 16
MOST_ASPECT = 10
SLOWEST_FPS, FASTEST_FPS = 0.1, 1000.0
_FOCAL_RANGE = (0.05, 100.0)  # of the larger side: from 168° to half a degree
_FARTHEST_CENTRE = 10.0  # sides away from the picture, for cameras of a small cut-out


def check_picture_size(name: str, width: int, height: int) -> None:
    """Whether a face could be seen in pictures of this size. Raises SourceError."""
    short, long = sorted((width, height))
    if not (short >= LEAST_SIDE and long <= min(LARGEST_SIDE, MOST_ASPECT * short) and short * long <= LARGEST_PIXELS):
        raise SourceError(
            f"{name}: expected pictures of {LEAST_SIDE} to {LARGEST_SIDE} pixels a side, {LARGEST_PIXELS // 10**6} "
            f"megapixels at most and at most {MOST_ASPECT} times as long as wide, got {width}x{height}; "
            "scale or crop them"
        )


def check_depth_size(name: str, width: int, height: int) -> None:
    """The same for depth, which may be coarse. Raises SourceError."""
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE and width * height <= LARGEST_PIXELS):
        raise SourceError(f"{name}: expected depth of up to {LARGEST_SIDE} pixels a side, got {width}x{height}")


def stated_intrinsics(fx: float, fy: float, cx: float, cy: float, width: float, height: float) -> Intrinsics:
    """A camera as a file states it. Raises ValueError where no camera is like that."""
    if not all(float(side).is_integer() and 1 <= side <= LARGEST_SIDE for side in (width, height)):
        raise ValueError(f"a picture of {width:g}x{height:g}, outside 1 to {LARGEST_SIDE} whole pixels")
    side = max(width, height)
    least, most = (share * side for share in _FOCAL_RANGE)
    if not (least <= fx <= most and least <= fy <= most):
        raise ValueError(f"fx={fx:g}, fy={fy:g}, outside {least:g} to {most:g} for a picture of {width:g}x{height:g}")
    reach = _FARTHEST_CENTRE * side
    if not (-reach <= cx <= side + reach and -reach <= cy <= side + reach):
        raise ValueError(f"cx={cx:g}, cy={cy:g}, far outside a picture of {width:g}x{height:g}")
    return Intrinsics(fx, fy, cx, cy, int(width), int(height))


def plausible_fps(fps: float) -> float:
    """`fps`, or 0 (unknown) where no camera runs at that rate."""
    return fps if SLOWEST_FPS <= fps <= FASTEST_FPS else 0.0


def number(content: Mapping[str, object], key: str) -> float:
    """A number of a JSON object. Raises KeyError where it is missing and ValueError where it is something else."""
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key}={str(value)[:40]!r}, expected a number")
    return float(value)


def whole_number(content: Mapping[str, object], key: str) -> int:
    """The same for whole numbers. Raises KeyError and ValueError."""
    value = number(content, key)
    if not value.is_integer():
        raise ValueError(f"{key}={value:g}, expected a whole number")
    return int(value)
