"""The camera's own pictures in a session, one after the other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.cameras.depth_alignment import DepthAlignment
from capture.recordings.video_file import DecodedFrame, decode_video
from core.camera import Intrinsics
from realtime.session.folder_names import COLOR_NAME, DEPTH_NAME, PICTURES_NAME, there
from realtime.session.picture_records import PICTURE
from realtime.session.record_file import records_of

Pixels = tuple[NDArray[np.uint8], NDArray[np.float32] | None]  # rgb [H, W, 3], depth_m [H, W]


@dataclass(frozen=True, eq=False)
class KeptPicture:
    """A frame's picture as it was decoded, not converted yet."""

    _color: DecodedFrame
    _depth: DecodedFrame | None

    def pixels(self, camera: Intrinsics, align: DepthAlignment | None) -> Pixels | None:
        """rgb [H, W, 3] and depth_m [H, W], None without depth; None where they are of another camera.

        Args:
            align: of depth that was kept as its own camera saw it.
        """
        rgb = self._color.rgb()
        height, width = camera.height, camera.width
        if rgb.shape[:2] != (height + height % 2, width + width % 2):
            return None
        if self._depth is None:
            return rgb[:height, :width], None
        depth_mm = self._depth.gray16()
        if align is not None and depth_mm.shape == align.shape:
            return rgb[:height, :width], align(depth_mm)
        if depth_mm.shape != (height, width):
            return None
        return rgb[:height, :width], np.multiply(depth_mm, np.float32(0.001), dtype=np.float32)


class KeptPictures:
    """Reads them in order. Raises InputError where the files cannot be read."""

    def __init__(self, folder: Path) -> None:
        color, depth, pictures = (there(folder / name) for name in (COLOR_NAME, DEPTH_NAME, PICTURES_NAME))
        assert color is not None
        assert pictures is not None
        self._times_s = np.array(records_of(pictures, PICTURE)["timestamp_s"])
        self._color: Generator[DecodedFrame, None, None] = decode_video(color)
        self._depth: Generator[DecodedFrame, None, None] | None = None if depth is None else decode_video(depth)
        self._number = 0  # of the next picture

    @staticmethod
    def there(folder: Path) -> bool:
        """Whether a session has any."""
        return there(folder / COLOR_NAME) is not None and there(folder / PICTURES_NAME) is not None

    def at(self, timestamp_s: float) -> KeptPicture | None:
        """The picture of the frame of this time, later than that of the call before; None where none was kept."""
        while self._number < len(self._times_s) and self._times_s[self._number] <= timestamp_s:
            self._number += 1
            color = next(self._color, None)
            depth = None if self._depth is None else next(self._depth, None)
            if color is None or (depth is None and self._depth is not None):
                self._number = len(self._times_s)  # cut short
                return None
            if self._times_s[self._number - 1] == timestamp_s:
                return KeptPicture(color, depth)
        return None

    def close(self) -> None:
        """Close the files."""
        for frames in (self._color, self._depth):
            if frames is not None:
                frames.close()
