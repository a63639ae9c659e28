"""Bundles of Open Sound Control whose words stay and whose numbers change: written once, then only filled in.

OSC 1.0 (https://opensoundcontrol.stanford.edu/spec-1_0.html) keeps every part on a boundary of four bytes, so that a
bundle is an array of 32-bit words. Filling 75 messages takes some ten microseconds that way; building them anew, as
libraries do, takes a hundred times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LARGEST_BUNDLE: Final = 1400  # bytes: one Ethernet frame, which no router has to cut
_IMMEDIATELY: Final = b"#bundle\0" + bytes(7) + b"\1"


@dataclass(frozen=True)
class Message:
    """One message: its address, its words, and how many numbers follow them: first whole ones, then floats."""

    address: str
    words: tuple[str, ...] = ()
    integers: int = 0
    floats: int = 0

    def written(self) -> bytes:
        """With all numbers 0."""
        tags = "," + "s" * len(self.words) + "i" * self.integers + "f" * self.floats
        text = b"".join(padded(word) for word in (self.address, tags, *self.words))
        return text + bytes(4 * (self.integers + self.floats))


class BundleTemplate:
    """Messages in as few bundles as their size allows, in their order.

    Args:
        largest: bytes of a bundle; a single message may be larger.
    """

    def __init__(self, messages: Sequence[Message], largest: int = LARGEST_BUNDLE) -> None:
        parts: list[bytes] = []
        self._ends: list[int] = []  # of each bundle, in words
        integers: list[int] = []
        floats: list[int] = []
        size = total = 0
        for message in messages:
            written = message.written()
            if not parts or size + 4 + len(written) > largest:
                if parts:
                    self._ends.append(total // 4)
                parts.append(_IMMEDIATELY)
                total, size = total + len(_IMMEDIATELY), len(_IMMEDIATELY)
            parts += [len(written).to_bytes(4, "big"), written]
            total, size = total + 4 + len(written), size + 4 + len(written)
            first = total // 4 - message.floats
            floats += range(first, first + message.floats)
            integers += range(first - message.integers, first)
        self._ends.append(total // 4)
        self._words = np.frombuffer(b"".join(parts), ">u4").copy()
        self._integers, self._floats = np.array(integers, int), np.array(floats, int)

    def filled(self, integers: Sequence[int], floats: NDArray[np.float64]) -> list[bytes]:
        """The bundles with these numbers, in the order of the messages. Raises ValueError for another count."""
        if len(integers) != len(self._integers) or len(floats) != len(self._floats):
            raise ValueError(
                f"expected {len(self._integers)} whole numbers and {len(self._floats)} floats, "
                f"got {len(integers)} and {len(floats)}"
            )
        self._words[self._integers] = integers
        self._words.view(">f4")[self._floats] = floats
        begins = [0, *self._ends[:-1]]
        return [self._words[begin:end].tobytes() for begin, end in zip(begins, self._ends, strict=True)]


def padded(word: str) -> bytes:
    """UTF-8, ended by one to four zeros."""
    text = word.encode()
    return text + bytes(4 - len(text) % 4)
