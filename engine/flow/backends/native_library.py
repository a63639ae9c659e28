"""The flow networks' native kernels, and what runs them: buffers for each thread, calls written down once."""

import ctypes
import functools
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.native.compiled_library import NativeError, loaded
from core.native.cores import allowed_cores
from core.networks.alignment import aligned

SOURCE = Path(__file__).with_name("native_kernels.c")


def backend_kernels(source: Path, cache_dir: Path | None, entry: str) -> ctypes.CDLL:
    """`core.native.compiled_library.loaded`, whose NativeError says what else runs a network."""
    try:
        return loaded(source, cache_dir, entry)
    except NativeError as error:
        raise NativeError(f"{error}; use another backend") from error


@functools.cache
def flow_kernels(cache_dir: Path | None = None) -> ctypes.CDLL:
    """The kernels, compiled if need be, their threads started. Raises NativeError."""
    kernels = backend_kernels(SOURCE, cache_dir, "pool_start")
    kernels.winograd_scratch.restype = ctypes.c_long
    kernels.plan_begin.restype = ctypes.c_void_p
    kernels.pool_start(ctypes.c_int(thread_count()))
    return kernels


def thread_count() -> int:
    """The processors this process may use, at most eight; or what VFA_FLOW_THREADS says."""
    if (asked := os.environ.get("VFA_FLOW_THREADS", "")).isdecimal() and int(asked) > 0:
        return min(int(asked), 64)
    return min(8, len(allowed_cores()))


class Scratch:
    """One buffer for each thread, as long as the greatest wish."""

    def __init__(self) -> None:
        self._floats = 0
        self._buffers: list[NDArray[np.float32]] = []
        self.pointers: Any = None

    def wish(self, floats: int) -> None:
        self._floats = max(self._floats, floats)

    def allocate(self) -> None:
        self._buffers = [aligned(self._floats) for _ in range(thread_count())]
        self.pointers = (ctypes.c_void_p * len(self._buffers))(*[b.ctypes.data for b in self._buffers])


class Plan:
    """Calls of kernels, written down once and run as often as wanted: one call from Python, and its lock not held.

    `calls` issues them; what they point to must stay where it is as long as the plan lives. Raises NativeError where
    there is no memory for it.
    """

    def __init__(self, kernels: ctypes.CDLL, calls: Callable[[], None]) -> None:
        self._kernels = kernels
        self._address = ctypes.c_void_p(kernels.plan_begin())
        try:
            calls()
        finally:
            whole = bool(kernels.plan_end())
            if self._address:
                weakref.finalize(self, kernels.plan_free, self._address)
        if not whole:
            raise NativeError("native kernels: not enough memory; close other programs, or use another backend")

    def __call__(self) -> None:
        self._kernels.plan_run(self._address)
