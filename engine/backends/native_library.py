"""Compiles and loads the native kernels: one C file, for this very processor, once.

There is nothing to install but a C compiler; without one the other backends serve. The result is kept in the user's
cache under a name made from source, compiler and processor.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from render.errors import InputError

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("native_kernels.c")
# What -ffast-math allows, by name: the flag itself links start-up code that makes the whole program flush subnormal
# numbers to zero as soon as the library is loaded.
_LOOSE_MATH = ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math")
_FLAGS = ("-std=gnu11", "-O3", "-march=native", *_LOOSE_MATH, "-shared", "-fPIC")
_LIBRARIES = ("-lm", "-lpthread")
_TIMEOUT_S = 120


class NativeError(InputError):
    """The kernels cannot be had here; says why."""


def compiler() -> str | None:
    """The C compiler that would be used: $CC, cc, gcc or clang."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    return None


def missing() -> str | None:
    """Why the kernels cannot be had on this machine, in a few words, or None."""
    if os.name != "posix":
        return "the native kernels need a POSIX system"
    return None if compiler() else "no C compiler found (install gcc, or set CC)"


@functools.cache
def library(cache_dir: Path | None = None) -> ctypes.CDLL:
    """The kernels, compiled if need be, their threads started. Raises NativeError."""
    if reason := missing():
        raise NativeError(f"native kernels: {reason}; use another backend")
    path = _built(cache_dir or user_cache_path("vfa-live") / "native")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeError(f"{path}: does not load ({error}); delete it or use another backend") from error
    loaded.winograd_scratch.restype = ctypes.c_long
    loaded.pool_start(ctypes.c_int(thread_count()))
    return loaded


def thread_count() -> int:
    """The processors this process may use, at most eight."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, allowed))


def _built(cache_dir: Path) -> Path:
    command = [str(compiler()), *_FLAGS]
    facts = "\n".join([SOURCE.read_text(), *command, _version(command[0]), _processor()])
    path = cache_dir / f"kernels-{hashlib.sha256(facts.encode()).hexdigest()[:24]}.so"
    if path.is_file():
        return path
    cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log.info("compiling the native kernels, once")
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        result = Path(folder) / "kernels.so"
        arguments = [*command, "-o", str(result), str(SOURCE), *_LIBRARIES]
        try:
            run = subprocess.run(arguments, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NativeError(f"native kernels: {command[0]} does not run ({error}); use another backend") from error
        if run.returncode != 0:
            line = next((line for line in run.stderr.splitlines() if "error" in line), run.stderr.strip()[:200])
            raise NativeError(f"native kernels: {command[0]} refuses them ({line}); use another backend")
        result.replace(path)
    return path


def _version(command: str) -> str:
    try:
        run = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return run.stdout


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    except OSError:
        return platform.processor() + platform.machine()


def aligned(*shape: int) -> NDArray[np.float32]:
    """Zeroed float32 array that begins on a cache line."""
    count = int(np.prod(shape))
    raw = np.zeros(count + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + count].reshape(shape)


def pointer(array: NDArray[Any] | None) -> ctypes.c_void_p | None:
    """Address of a C-contiguous array, which the caller keeps alive."""
    if array is None:
        return None
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


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
