"""Memory that begins where vector units like it."""

import numpy as np
from numpy.typing import NDArray


def aligned(*shape: int) -> NDArray[np.float32]:
    """Zeroed float32 array that begins on a cache line."""
    count = int(np.prod(shape))
    raw = np.zeros(count + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + count].reshape(shape)
