"""What the flow engine does around its network, compiled on the user's machine: `following_kernels.c`.

Where there is no compiler, NumPy does the same in `flow_landing`, `flow_guard`, `edge_limit` and `ours.flow_following`,
in two to five times as long.
"""

import ctypes
import functools
from pathlib import Path

from core.native.compiled_library import loaded_if_possible

SOURCE = Path(__file__).with_suffix(".c")
MOST_UNITS, LANES = 64, 8
"""Of a fit; units come in multiples of the second."""


@functools.cache
def compiled_kernels(folder: Path | None = None) -> ctypes.CDLL | None:
    """The compiled kernels; None, and a line in the log, where they cannot be had."""
    kernels = loaded_if_possible(SOURCE, folder, "long_edges", "flow is followed by NumPy, which takes longer")
    if kernels is not None:
        kernels.long_edges.restype = ctypes.c_long
    return kernels
