"""Compiles and loads native kernels: one C file, for this very processor, once.

There is nothing to install but a C compiler; without one, others serve. The result is kept in the user's cache under a
name made from source, compiler and processor, and from the content itself; it is loaded from there only while nobody
else may write that file or its folder.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from core.cache_folder import cache_folder, keep, refusal, temporary_folder
from core.errors import InputError

log = logging.getLogger(__name__)

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


def loaded(source: Path, folder: Path | None, expects: str) -> ctypes.CDLL:
    """The library made of a C file, which has the function `expects`: kept in `folder` (the cache's own where None is
    given), or compiled now. Raises NativeError."""
    if reason := missing():
        raise NativeError(f"native kernels: {reason}")
    folder = folder or cache_folder("native")
    return _opened(built(source, folder, lambda path: _opened(path, expects)), expects)


def loaded_if_possible(source: Path, folder: Path | None, expects: str, without: str) -> ctypes.CDLL | None:
    """As `loaded`; None where it cannot be had, and a line in the log: `without`, what it means, and why."""
    try:
        return loaded(source, folder, expects)
    except NativeError as error:
        log.info("%s: %s", without, error)
        return None


def _opened(path: Path, expects: str) -> ctypes.CDLL:
    """Whatever a compiler says it did, only what can be loaded is a library. Raises NativeError."""
    try:
        library = ctypes.CDLL(str(path))
        getattr(library, expects)
    except (OSError, AttributeError) as error:
        raise NativeError(f"native kernels: cannot be loaded ({error})") from error
    return library


def built(source: Path, folder: Path, check: Callable[[Path], object]) -> Path:
    """The compiled kernels: kept in `folder` from an earlier start, or compiled now, and then kept if that can be.
    Nothing is returned that another user could have put there, or that is no longer what the compiler wrote; nothing is
    kept over which `check` raises."""
    command = [str(compiler()), *_FLAGS]
    facts = "\n".join([source.read_text(), *command, _version(command[0]), _processor()])
    stem = f"{source.stem}-{_digest(facts.encode())}"
    for path in folder.glob(f"{stem}-*.so"):
        if _safe(path):
            return path
    log.info("compiling %s, once", source.name)
    own = temporary_folder() / f"{stem}.so"
    _compile(command, source, own)
    check(own)
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


def _compile(command: list[str], source: Path, result: Path) -> None:
    """Raises NativeError."""
    arguments = [*command, "-o", str(result), str(source), *_LIBRARIES]
    try:
        run = subprocess.run(
            arguments, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeError(f"native kernels: {command[0]} does not run ({error})") from error
    if run.returncode != 0:
        line = next((line for line in run.stderr.splitlines() if "error" in line), run.stderr.strip()[:200])
        raise NativeError(f"native kernels: {command[0]} refuses them ({line})")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _version(command: str) -> str:
    try:
        asked = [command, "--version"]
        run = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False)
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
