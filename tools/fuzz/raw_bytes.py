"""Damage that knows nothing of the file's kind, or only that there are words and numbers in it."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63)
NUMBERS = (
    "0", "-1", "1", "2", "17", "255", "65536", "60000000", "2147483647", "2147483648", "4294967296", "-2147483649",
    "9223372036854775808", "1e20", "-1e20", "1e38", "1e39", "1e308", "1e-320", "1e999", "NaN", "-nan",
    "Infinity", "-Infinity", "inf", "0.5", "1e-9", "-0", "0x10", "1_0", "٣", "1" + "0" * 400,
)  # fmt: skip
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[^\s,;:{}\[\]\"]+")
_MOST_REPEATS = 2000


def damaged(rng: random.Random, content: bytes) -> bytes:
    """One fault. An empty file gets a few bytes."""
    if not content:
        return rng.randbytes(rng.randrange(64))
    return rng.choice(_FAULTS)(rng, content)


def spliced(rng: random.Random, first: bytes, second: bytes) -> bytes:
    """The beginning of one and the end of the other."""
    return first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second) + 1) :]


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _place(rng: random.Random, content: bytes) -> int:
    """Half of the faults hit the beginning, where most files say what they hold."""
    return rng.randrange(min(len(content), 512) if rng.random() < 0.5 else len(content))


def _block(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = _place(rng, content)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, 100, 1000)))


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice((rng.randrange(len(content)), max(0, len(content) - rng.randrange(1, 40))))]


def _delete(rng: random.Random, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:start] + content[end:]


def _duplicate(rng: random.Random, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:end] + content[start:end] * rng.choice((1, 1, 2, 50)) + content[end:]


def _insert(rng: random.Random, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:start] + rng.randbytes(end - start) + content[start:]


def _fill(rng: random.Random, content: bytes) -> bytes:
    start, end = _block(rng, content)
    return content[:start] + rng.choice((b"\0", b"\xff")) * (end - start) + content[end:]


def _integer(rng: random.Random, content: bytes) -> bytes:
    """An interesting whole number over 1, 2, 4 or 8 bytes, of either byte order."""
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(INTERESTING) + rng.choice((0, 0, -1, 1))
    written = (value % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))
    return _written(content, _place(rng, content), written)


def _float(rng: random.Random, content: bytes) -> bytes:
    value = rng.choice((float("nan"), float("inf"), -1e30, 1e30, 1e-42, 0.0, -1.0))
    written = struct.pack(rng.choice("<>") + rng.choice("fd"), value)
    return _written(content, _place(rng, content) & ~3, written)


def _written(content: bytes, at: int, written: bytes) -> bytes:
    return (content[:at] + written + content[at + len(written) :])[: len(content)]


def _number(rng: random.Random, content: bytes) -> bytes:
    return _at_match(rng, _NUMBER, content, lambda _: rng.choice(NUMBERS).encode())


def _word(rng: random.Random, content: bytes) -> bytes:
    def change(word: bytes) -> bytes:
        many = rng.choice((2, 3, 50, _MOST_REPEATS))
        return rng.choice((b"", word + b" " + word, (word + b" ") * many, word[::-1], b"\xc3\x28", b"-" + word))

    return _at_match(rng, _WORD, content, change)


def _at_match(
    rng: random.Random, pattern: re.Pattern[bytes], content: bytes, change: Callable[[bytes], bytes]
) -> bytes:
    """One match after a random place gets changed; a bit flips where there is none."""
    match = pattern.search(content, _place(rng, content)) or pattern.search(content)
    if match is None:
        return _flip(rng, content)
    return content[: match.start()] + change(match[0]) + content[match.end() :]


def _line(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    number = rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            del lines[number]
        case 1:
            lines[number:number] = [lines[number]] * rng.choice((1, 2, 200))
        case _:
            other = rng.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
    return b"\n".join(lines)


_FAULTS: Sequence[Callable[[random.Random, bytes], bytes]] = (
    _flip, _flip, _cut, _delete, _duplicate, _insert, _fill, _integer, _integer, _float, _number, _number, _word, _line,
)  # fmt: skip
