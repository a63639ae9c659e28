"""`pictures.npy`: which frame each picture of `color.mp4` and `depth.mkv` belongs to, in their order."""

from __future__ import annotations

from typing import Final

import numpy as np

PICTURE: Final = np.dtype([("index", "<i8"), ("timestamp_s", "<f8")])
"""Number and timestamp of the frame, as in its observation."""
