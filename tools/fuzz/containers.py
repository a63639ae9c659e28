"""Damage inside files of a known structure, which stays whole around it: checksums and lengths are made right again,
so that what reads the content is reached."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable

from tools.fuzz import json_text, zip_archive
from tools.fuzz.raw_bytes import INTERESTING, NUMBERS

Damage = Callable[[random.Random, bytes], bytes]
Structure = Callable[[random.Random, bytes, Damage], bytes]

_PNG, _NPY, _GLB = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY", b"glTF"
_BOMB_SIDE = 13000


def structure_of(content: bytes) -> Structure | None:
    """How to damage `content` from the inside; None where its kind is not known."""
    if content.startswith(_PNG):
        return _damaged_png
    if content.startswith(b"PK\3\4"):
        return zip_archive.damaged
    if content.startswith(_NPY):
        return _damaged_npy
    if content.startswith(_GLB):
        return _damaged_glb
    if content.lstrip()[:1] in (b"{", b"["):
        return _damaged_json
    return None


def _damaged_json(rng: random.Random, content: bytes, _: Damage) -> bytes:
    return json_text.damaged(rng, content)


def _damaged_npy(rng: random.Random, content: bytes, inner: Damage) -> bytes:
    """A changed number or letter in the header, whose length is told anew."""
    size = struct.unpack_from("<H", content, 8)[0] if len(content) >= 10 else 0
    header, values = content[10 : 10 + size], content[10 + size :]
    if rng.random() < 0.3:
        return content[: 10 + size] + (inner(rng, values) if values else b"\0")
    places = list(re.finditer(rb"\d+|[<>|][a-zA-Z]|True|False|\(|,", header))
    if places:
        place = rng.choice(places)
        kinds = (b"|O", b"<U", b"|V", b"<f", b"True", b"(9,", b"-1", b"1000000000", rng.choice(NUMBERS).encode())
        header = header[: place.start()] + rng.choice(kinds) + header[place.end() :]
    return content[:8] + struct.pack("<H", len(header) & 0xFFFF) + header + values


def _damaged_glb(rng: random.Random, content: bytes, _: Damage) -> bytes:
    """Another JSON chunk of the right length before the same data."""
    size = struct.unpack_from("<I", content, 12)[0] if len(content) >= 20 else 0
    text = json_text.damaged(rng, content[20 : 20 + size])
    text += b" " * (-len(text) % 4)
    rest = content[20 + size :]
    return content[:8] + struct.pack("<III", 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def _damaged_png(rng: random.Random, content: bytes, inner: Damage) -> bytes:
    chunks = _png_chunks(content)
    if not chunks:
        return inner(rng, content[:-1])
    number = rng.randrange(len(chunks))
    kind, data = chunks[number]
    match rng.randrange(8):
        case 0:
            del chunks[number]
        case 1:
            chunks.insert(number, chunks[number])
        case 2:
            return _png_bomb(rng.choice((0, 2, 6)))
        case 3:
            chunks.insert(1, _unpacking_chunk(rng))
        case 4 | 5:
            place = rng.choice((0, 4))
            value = rng.choice(INTERESTING) & 0xFFFFFFFF
            chunks[0] = (b"IHDR", chunks[0][1][:place] + struct.pack(">I", value) + chunks[0][1][place + 4 :])
        case 6:
            size = rng.choice((1, 2, 7, 8, 9, 300))
            extra = rng.choice(
                (b"tRNS", b"PLTE", b"gAMA", b"eXIf", b"iTXt", b"fcTL", b"sBIT", b"cHRM", b"acTL", b"iCCP")
            )
            chunks.insert(rng.randrange(1, len(chunks) + 1), (extra, rng.randbytes(size)))
        case _:
            chunks[number] = (kind, inner(rng, data) if data else rng.randbytes(8))
    return _PNG + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_bomb(color: int) -> bytes:
    """A picture of 13000x13000 black pixels in half a megabyte."""
    header = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 8, color, 0, 0, 0)
    pixels = zip_archive.packed_zeros({0: 170, 2: 500, 6: 680}[color], b"\0", zlib.MAX_WBITS)
    return _PNG + b"".join(_png_chunk(*chunk) for chunk in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")))


def _unpacking_chunk(rng: random.Random) -> tuple[bytes, bytes]:
    """Text or a profile of 200 MB in a few hundred kilobytes."""
    packed = zip_archive.packed_zeros(200, b"\0", zlib.MAX_WBITS)
    return rng.choice(((b"zTXt", b"a\0\0" + packed), (b"iCCP", b"a\0\0" + packed), (b"iTXt", b"a\0\1\0\0\0" + packed)))


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], len(_PNG)
    while at + 12 <= len(content):
        size = struct.unpack_from(">I", content, at)[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
