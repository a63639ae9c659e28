"""Fixed-size records one after the other in a `.npy`, which any NumPy reads, and which may end anywhere.

The head has a fixed length and says how many records follow; while the file grows it says none, and its length tells.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.writable import reason_of

HEAD_BYTES: Final = 1024
"""Of text for any count, a multiple of 64 as NumPy wants it."""
_MAGIC = b"\x93NUMPY\1\0"


def head(dtype: np.dtype[Any], count: int = 0) -> bytes:
    """What a file of `count` records begins with."""
    descr = np.lib.format.dtype_to_descr(dtype)
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({count},), }}".encode()
    length = HEAD_BYTES - len(_MAGIC) - 2
    if len(text) >= length:
        raise ValueError(f"{dtype} takes {len(text)} bytes to describe, expected fewer than {length}")
    return _MAGIC + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"


def count_of(path: Path, dtype: np.dtype[Any]) -> int:
    """How many records a file holds in full. Raises InputError where it is no file of such records."""
    try:
        with path.open("rb") as file:
            start = file.read(HEAD_BYTES)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None
    if start[: len(_MAGIC)] != _MAGIC or not (stated := _stated(start)).isdecimal():
        raise InputError(f"{path}: expected records of a session, its head is another")
    if start != head(dtype, int(stated)):
        raise InputError(f"{path}: holds records of another kind; was it written by another version?")
    whole = (size - HEAD_BYTES) // dtype.itemsize
    return whole if stated == "0" else min(whole, int(stated))


def _stated(start: bytes) -> str:
    return start.rpartition(b"'shape': (")[2].partition(b",")[0].decode("ascii", "replace")[:18]


def records_of(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """[T] all records of a file, left on the disk until they are looked at. Raises InputError."""
    count = count_of(path, dtype)
    if not count:
        return np.zeros(0, dtype)
    try:
        return np.memmap(path, dtype, "r", HEAD_BYTES, (count,))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None


def complete(file: IO[bytes], dtype: np.dtype[Any], count: int) -> None:
    """Make an open file a whole one of its first `count` records. Can be repeated if interrupted. Raises OSError."""
    file.truncate(HEAD_BYTES + count * dtype.itemsize)
    file.seek(0)
    file.write(head(dtype, count))
    file.flush()
    os.fsync(file.fileno())
