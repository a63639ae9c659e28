"""Compiles and loads the native kernels: one C file, for this very processor, once.

There is nothing to install but a C compiler; without one the other backends serve. The result is kept in the user's
cache under a name made from source, compiler and processor, and from the content itself; it is loaded from there only
while nobody else may write that file or its folder.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cache_folder import cache_folder, keep, refusal, temporary_folder
from core.errors import InputError
from core.networks.alignment import aligned

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
    try:
        loaded = ctypes.CDLL(str(_built(cache_dir or cache_folder("native"))))
    except OSError as error:
        raise NativeError(f"native kernels: cannot be loaded ({error}); use another backend") from error
    loaded.winograd_scratch.restype = ctypes.c_long
    loaded.plan_begin.restype = ctypes.c_void_p
    loaded.pool_start(ctypes.c_int(thread_count()))
    return loaded


def thread_count() -> int:
    """The processors this process may use, at most eight."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, allowed))


def _built(folder: Path) -> Path:
    """The compiled kernels: kept in `folder` from an earlier start, or compiled now, and then kept if that can be.
    Nothing is returned that another user could have put there, or that is no longer what the compiler wrote."""
    command = [str(compiler()), *_FLAGS]
    facts = "\n".join([SOURCE.read_text(), *command, _version(command[0]), _processor()])
    stem = f"kernels-{_digest(facts.encode())}"
    for path in folder.glob(f"{stem}-*.so"):
        if _safe(path):
            return path
    log.info("compiling the native kernels, once")
    own = temporary_folder() / f"{stem}.so"
    _compile(command, own)
    content = own.read_bytes()
    path = folder / f"{stem}-{_digest(content)}.so"
    stays = keep(path, lambda partial: partial.write_bytes(content), "the compiled native library")
    return path if stays and _safe(path) else own


def _safe(path: Path) -> bool:
    """Whether nobody else could have written the library, and its content is that which its name says."""
    reason = refusal(path)
    try:
        if not reason and path.stem.rpartition("-")[2] != _digest(path.read_bytes()):
            reason = "it is damaged"
    except OSError as error:
        reason = str(error)
    if reason:
        log.warning("%s: not loaded, because %s", path, reason)
    return not reason


def _compile(command: list[str], result: Path) -> None:
    """Raises NativeError."""
    arguments = [*command, "-o", str(result), str(SOURCE), *_LIBRARIES]
    try:
        run = subprocess.run(
            arguments, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeError(f"native kernels: {command[0]} does not run ({error}); use another backend") from error
    if run.returncode != 0:
        line = next((line for line in run.stderr.splitlines() if "error" in line), run.stderr.strip()[:200])
        raise NativeError(f"native kernels: {command[0]} refuses them ({line}); use another backend")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _version(command: str) -> str:
    try:
        run = subprocess.run(
            [command, "--version"], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
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
