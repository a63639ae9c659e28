"""A `.npz` whose first array grows while it is written.

The file is a ZIP of one stored entry from its first byte on, so that closing it needs no second copy: the length and
the checksum are put into its head, the short arrays and the ZIP's directory at its end. Until then (and after the
process was killed at any moment) head and data are there, and `complete` can close it.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

ENTRY = b"vertices.npy"
LARGEST_VERTEX_COUNT = 1 << 26
_ZIP_HEAD = struct.Struct("<4s5H3L2H")
_ZIP64_EXTRA = struct.Struct("<2H2Q")
_NPY_HEAD_BYTES = 128  # of text for any length, a multiple of 64 as NumPy wants it
_HEAD_BYTES = _ZIP_HEAD.size + len(ENTRY) + _ZIP64_EXTRA.size
DATA_OFFSET = _HEAD_BYTES + _NPY_HEAD_BYTES
_DATE = (0 << 9 | 1 << 5 | 1, 0)  # 1980-01-01 00:00: when it was recorded is in the timestamps
_CHUNK = 1 << 22


def frame_bytes(vertex_count: int) -> int:
    """Bytes of one frame [V, 3] float32."""
    return 12 * vertex_count


def first_bytes(vertex_count: int) -> bytes:
    """What the file begins with while it grows."""
    return _zip_head(0, 0) + _npy_head(0, vertex_count)


def _zip_head(crc: int, size: int) -> bytes:
    marked = 0xFFFFFFFF  # the sizes are in the extra field: there may be more than 4 GB
    head = _ZIP_HEAD.pack(b"PK\3\4", 45, 0, 0, _DATE[1], _DATE[0], crc, marked, marked, len(ENTRY), _ZIP64_EXTRA.size)
    return head + ENTRY + _ZIP64_EXTRA.pack(1, 16, size, size)


def _npy_head(frames: int, vertex_count: int) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({frames}, {vertex_count}, 3), }}"
    return (
        b"\x93NUMPY\1\0" + struct.pack("<H", _NPY_HEAD_BYTES - 10) + text.ljust(_NPY_HEAD_BYTES - 11).encode() + b"\n"
    )


def vertex_count_of(path: Path) -> int:
    """How many vertices the frames of an unfinished file have. Raises InputError where it is none."""
    with path.open("rb") as file:
        head = file.read(DATA_OFFSET)
    try:
        if len(head) != DATA_OFFSET or not head.startswith(b"PK\3\4") or head[_ZIP_HEAD.size :][: len(ENTRY)] != ENTRY:
            raise ValueError("its head is another")
        text = head[_HEAD_BYTES + 10 :].decode("ascii")
        shape = text.split("'shape': (", 1)[1].split(")", 1)[0].split(",")
        count, three = int(shape[1]), int(shape[2])
        if (
            three != 3
            or not 1 <= count <= LARGEST_VERTEX_COUNT
            or head[_HEAD_BYTES:] != _npy_head(int(shape[0]), count)
        ):
            raise ValueError(f"its frames are of shape {shape[1:]}")
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: expected an unfinished recording, {error}; it cannot be completed") from None
    return count


def complete(
    file: IO[bytes], frames: int, vertex_count: int, short: Mapping[str, NDArray[Any]], data_crc: int | None = None
) -> None:
    """Make an open file a whole `.npz` of `frames` frames and the `short` arrays. Can be repeated if interrupted.

    Args:
        file: opened for reading and writing.
        data_crc: CRC-32 of all frames where it is known; otherwise they are read once.

    Raises OSError.
    """
    size = frames * frame_bytes(vertex_count)
    file.truncate(DATA_OFFSET + size)
    crc_of_data = _crc_of_data(file) if data_crc is None else data_crc
    head = _npy_head(frames, vertex_count)
    crc = joined_crc(zlib.crc32(head), crc_of_data, size)
    file.seek(0)
    file.write(_zip_head(crc, len(head) + size) + head)
    file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        entry_there = zipfile.ZipInfo(
            ENTRY.decode()
        )  # stands in the file already: into the archive's directory with it
        entry_there.CRC, entry_there.header_offset = crc, 0
        entry_there.file_size = entry_there.compress_size = len(head) + size
        entry_there.extract_version = entry_there.create_version = 45
        archive.filelist.append(entry_there)
        archive.NameToInfo[entry_there.filename] = entry_there
        for name, array in short.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    file.flush()
    os.fsync(file.fileno())


def _crc_of_data(file: IO[bytes]) -> int:
    file.seek(DATA_OFFSET)
    crc = 0
    while chunk := file.read(_CHUNK):
        crc = zlib.crc32(chunk, crc)
    return crc


def joined_crc(first: int, second: int, second_bytes: int) -> int:
    """CRC-32 of two pieces of data one after the other, from the CRC-32 of each.

    The first one's is moved on by as many zero bytes as the second has: the polynomial x^(8n) modulo the CRC's, by
    repeated squaring (the method of zlib's `crc32_combine`).
    """
    step, moved = 1 << 30, 1 << 31  # x and 1, with the highest power in the lowest bit
    power = 8 * second_bytes
    while power:
        if power & 1:
            moved = _times(moved, step)
        step = _times(step, step)
        power >>= 1
    return _times(moved, first) ^ second


def _times(a: int, b: int) -> int:
    """Product of two polynomials over GF(2), modulo that of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (0xEDB88320 if b & 1 else 0)
    return product
