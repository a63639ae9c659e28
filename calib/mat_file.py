"""Arrays of numbers from MATLAB 5 files, compressed or not, with their sizes checked before anything is allocated.

SciPy's reader takes what a file says of itself on trust. The format is MathWorks' "MAT-File Level 5": elements, each a
tag of type and length and its content, padded to eight bytes; arrays are elements of elements.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from render.errors import InputError

_HEADER, _VERSION = 128, 0x0100
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64: neither cells, structures, objects, texts nor sparse matrices
_COMPLEX = 0x0800
_LONGEST_NAME, _MOST_AXES = 64, 8
_CHUNK = 1 << 20

Read = Callable[[int], bytes]


def read_mat(path: Path, names: Collection[str], largest: int) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that the file holds, in MATLAB's (Fortran's) order.

    Args:
        largest: bytes that all of them may take as float64.

    Raises InputError where it is no such file, damaged, or larger.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
            order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
            if order is None or struct.unpack(f"{order}H", header[124:126])[0] != _VERSION:
                raise ValueError("it does not begin as such a file does")
            return _arrays(file, order, set(names), largest)
    except (OSError, ValueError, zlib.error, struct.error, MemoryError) as error:
        raise InputError(f"{path}: expected a MATLAB 5 file, cannot read it ({error}); copy it again") from None


def _arrays(file: IO[bytes], order: str, names: set[str], largest: int) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    while tag := file.read(8):
        kind, size = struct.unpack(f"{order}II", tag)
        end = file.tell() + size
        read = _unpacking(file, size) if kind == _COMPRESSED else file.read
        if kind == _COMPRESSED:
            kind, size = struct.unpack(f"{order}II", read(8))
        if kind == _MATRIX and size:
            array = _matrix(_Elements(read, order), names - set(found), largest)
            if array is not None:
                name, values = array
                largest -= values.size * 8
                found[name] = values
        file.seek(end)
    return found


def _matrix(elements: _Elements, names: set[str], largest: int) -> tuple[str, NDArray[Any]] | None:
    """Name and values of a matrix; None where it is not wanted."""
    flags = elements.numbers(2)
    shape = tuple(int(side) for side in elements.numbers(_MOST_AXES))
    name = elements.numbers(_LONGEST_NAME).astype(np.uint8).tobytes().decode("ascii", "replace")
    if name not in names:
        return None
    if len(flags) != 2 or int(flags[0]) & 0xFF not in _NUMERIC_CLASSES or int(flags[0]) & _COMPLEX:
        raise ValueError(f"{name} is no array of real numbers")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * 8 > largest:
        raise ValueError(f"{name} has the shape {shape}, more than {largest} bytes")
    values = elements.numbers(count)
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} numbers, expected {shape}")
    return name, values.reshape(shape, order="F")


class _Elements:
    """Reads one element after the other."""

    def __init__(self, read: Read, order: str) -> None:
        self._read, self._order = read, order

    def numbers(self, most: int) -> NDArray[Any]:
        """The numbers of the next element, at most so many."""
        tag = self._exactly(8)
        kind, size = struct.unpack(f"{self._order}II", tag)
        small = kind >> 16  # content of up to four bytes may lie in the tag itself
        if small:
            kind, size = kind & 0xFFFF, small
        if kind not in _NUMBERS:
            raise ValueError(f"it holds an element of kind {kind} where numbers are expected")
        dtype = np.dtype(self._order + _NUMBERS[kind])
        if size % dtype.itemsize or size // dtype.itemsize > most:
            raise ValueError(f"an element has {size} bytes, expected {most} numbers at most")
        if small:
            return np.frombuffer(tag[4:], dtype, size // dtype.itemsize)
        values = np.frombuffer(self._exactly(size), dtype)
        self._read(-size % 8)
        return values

    def _exactly(self, size: int) -> bytearray:
        content = bytearray()
        while len(content) < size:
            chunk = self._read(min(size - len(content), _CHUNK))
            if not chunk:
                raise ValueError("it ends too early")
            content += chunk
        return content


def _unpacking(file: IO[bytes], size: int) -> Read:
    """Reads what the next `size` bytes unpack to, as much as is asked for."""
    packer, left = zlib.decompressobj(), size

    def read(wanted: int) -> bytes:
        nonlocal left
        unpacked = b""
        while wanted and not unpacked and not packer.eof:
            packed = packer.unconsumed_tail or file.read(min(left, _CHUNK))
            if not packed:
                break
            left -= len(packed) if not packer.unconsumed_tail else 0
            unpacked = packer.decompress(packed, wanted)
        return unpacked

    return read
