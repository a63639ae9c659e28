"""Damage to ZIP archives (`.npz`, checkpoints and `.r3d` are some): entries, directory, and decompression bombs."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

from tools.fuzz.raw_bytes import INTERESTING
from tools.fuzz.raw_bytes import damaged as damaged_bytes

Damage = Callable[[random.Random, bytes], bytes]
_BOMB_MEGABYTES = 1200
_MEGABYTE = 1 << 20
_TO_NUMBERS = {
    b"PK\1\2": (8, 10, 16, 20, 24, 28, 30, 32, 42),
    b"PK\5\6": (8, 10, 12, 16, 20),
    b"PK\3\4": (8, 14, 18, 22, 26),
}


def damaged(rng: random.Random, content: bytes, inner: Damage) -> bytes:
    """One entry damaged, left out, doubled or unpacking to far too much, or the directory lying about one."""
    entries = _entries(content)
    if not entries:
        return damaged_bytes(rng, content)
    number = rng.randrange(len(entries))
    name, data = entries[number]
    match rng.randrange(10):
        case 0:
            del entries[number]
        case 1:
            entries.append((name, inner(rng, data)))
        case 2:
            entries[number] = (rng.choice((name + "x", "../" + name, name.upper(), "rgbd/" + name)), data)
        case 3 | 4:
            return _lying(rng, content)
        case 5:
            return _written(entries, number, data)
        case _:
            entries[number] = (name, inner(rng, data))
    return _written(entries)


def _entries(content: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(item.filename, archive.read(item)) for item in archive.infolist() if item.file_size < 64 << 20]
    except Exception:  # already damaged, in any of the ways that zipfile and zlib have names for
        return []


def _lying(rng: random.Random, content: bytes) -> bytes:
    """A wrong number in the directory, an entry's own header, or at the end of the archive."""
    mark = rng.choice(sorted(_TO_NUMBERS))
    places = [match.start() for match in re.finditer(re.escape(mark), content)]
    if not places:
        return damaged_bytes(rng, content)
    changed = bytearray(content + b"\0" * 64)
    at, value = rng.choice(places) + rng.choice(_TO_NUMBERS[mark]), rng.choice(INTERESTING) & 0xFFFFFFFF
    struct.pack_into(rng.choice(("<H", "<I")) if value < 1 << 16 else "<I", changed, at, value)
    return bytes(changed[: len(content)])


def _written(entries: list[tuple[str, bytes]], bomb: int | None = None, start: bytes = b"") -> bytes:
    """A whole archive with right checksums; entry `bomb` unpacks to `start` and 1.2 GB more."""
    file, directory = io.BytesIO(), []
    for number, (name, data) in enumerate(entries):
        packed, size, checksum = _bomb(start) if number == bomb else _packed(data)
        encoded = name.encode("utf-8", "replace")
        fields = struct.pack("<HHHHHIIIHH", 20, 0x800, 8, 0, 0x21, checksum, len(packed), size, len(encoded), 0)
        directory.append(
            b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, file.tell()) + encoded
        )
        file.write(b"PK\3\4" + fields + encoded + packed)
    start_of_directory, listed = file.tell(), b"".join(directory)
    count = len(entries)
    file.write(listed + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), start_of_directory, 0))
    return file.getvalue()


def _packed(data: bytes) -> tuple[bytes, int, int]:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(), len(data), zlib.crc32(data)


def _bomb(start: bytes) -> tuple[bytes, int, int]:
    """Packed bytes that unpack to `start` and zeros (or blanks, after text); their checksum is not worked out."""
    filling = b" " if start.lstrip()[:1] in (b"{", b"[") else b"\0"
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    return packed + packed_zeros(_BOMB_MEGABYTES, filling, -zlib.MAX_WBITS), len(start) + _BOMB_MEGABYTES * _MEGABYTE, 0


@cache
def packed_zeros(megabytes: int, filling: bytes, window: int) -> bytes:
    """So many megabytes of one byte, deflated; the block for one is made once and repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(filling * _MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x78\xda" if window > 0 else b""
    return head + block * megabytes + zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
