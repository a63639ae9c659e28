"""The border between sources and the program: no frame passes that the stages behind it would stumble over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from capture.cameras.device import DamagedPictureError
from core.errors import InputError
from core.frame import RgbdFrame, check_picture_size

FARTHEST_M = 100.0  # no depth camera reaches so far; squares of what is beyond soon leave the range of float32
FOCAL_SIDES = (0.01, 100.0)  # focal length in longer sides of the picture: all lenses, and nothing else
CENTRE_SIDES = 10.0  # how far, in longer sides, a principal point may lie outside its picture
_FARTHEST_BITS = np.float32(FARTHEST_M).view(np.uint32)


class FrameCheck:
    """Sees every frame of one source, live or recorded, before anybody else does.

    Attributes:
        mended: frames in which depth that is no distance was set to 0, no reading.
    """

    def __init__(self, name: str) -> None:
        self.mended = 0
        self._name = name

    def __call__(self, make: Callable[[], RgbdFrame]) -> RgbdFrame:
        """The frame that `make` decodes, sound but for its timestamp, which only the source can judge.

        Raises DamagedPictureError for a frame without sense, whatever `make` raised over it, and SourceError for a
        picture of a size that no camera has. An InputError of `make` passes.
        """
        try:
            frame = make()
        except (DamagedPictureError, InputError):
            raise
        except Exception as error:
            raise DamagedPictureError(f"it cannot be decoded ({type(error).__name__}: {error})") from error
        check_picture_size(frame.intrinsics.width, frame.intrinsics.height, self._name)
        it = frame.intrinsics
        side = max(it.width, it.height)
        least, most = (share * side for share in FOCAL_SIDES)
        focal = least <= min(it.fx, it.fy) and max(it.fx, it.fy) <= most
        if not focal or max(abs(it.cx), abs(it.cy)) > CENTRE_SIDES * side:
            raise DamagedPictureError(f"expected the focal length and centre of a camera, got {it}")
        # One reading that is no distance is no reason to lose the picture: it is no reading. As bits, floats from 0 on
        # are in the order of their values, and negative numbers, infinity and NaN come after all of those: one pass,
        # twice as quick as comparing floats.
        if frame.depth_m is None or frame.depth_m.view(np.uint32).max() <= _FARTHEST_BITS:
            return frame
        with np.errstate(invalid="ignore"):
            good = (frame.depth_m >= 0) & (frame.depth_m <= FARTHEST_M)
        self.mended += not good.all()
        return replace(frame, depth_m=np.where(good, frame.depth_m, np.float32(0)))
