"""Who uses which cores, in one place: set before the libraries concerned are loaded. docs/performance.md says why.

    capture, inference, main      a thread each (`realtime.live.session`)
    BLAS, OpenCV                  one: inside the thread that calls them
    the tracker's networks        the inference thread itself (`capture.face.networks`); with MediaPipe one
                                  beside it, which it waits for
    Mesa's software rasteriser    all cores, four at most
    the painter                   the main thread, and one that helps it where a core is free (`render.native`)
    film and picture encoders     a process each (`realtime.recording.encoder_process`), which give way to all others
    writers                       one thread each, no lower than the others: they hold Python's lock now and then
    flow engine                   all cores, eight at most (`engine.flow.backends.native_library`)
    training, preparing           as their own options and modules say

What a user has set in the environment stays.
"""

import ctypes
import os
import sys
import threading
from contextlib import suppress

from core.native.cores import allowed_cores

_MOST_RASTERISING = 4
_ARENAS = 2
_M_ARENA_MAX = -8  # of glibc's mallopt
YIELDING = 10  # of nice's 19


def share_out() -> None:
    """To be called once, before NumPy, OpenCV or OpenGL is loaded.

    A millisecond's work that is shared out among threads is waited for longer than it takes, above all where the other
    cores are busy: BLAS and OpenCV also spin while they wait.
    """
    own = {f"{library}_NUM_THREADS": 1 for library in ("OPENBLAS", "MKL", "BLIS")}
    own |= {
        "VECLIB_MAXIMUM_THREADS": 1,
        "OPENCV_FOR_THREADS_NUM": 1,
        "LP_NUM_THREADS": min(len(allowed_cores()), _MOST_RASTERISING),
    }
    for name, count in own.items():
        os.environ.setdefault(name, str(count))
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):  # another C library than GNU's has neither these arenas nor this call
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)  # each thread's own heap keeps what others could use


def return_memory() -> None:
    """Give memory that is free but kept, by GNU's C library, back to the system: once what was needed to start is done
    with. Takes some milliseconds."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def give_way() -> None:
    """Let the calling thread run only where no other wants to: for work that nobody waits for. No effect where threads
    have no priorities of their own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), YIELDING)
