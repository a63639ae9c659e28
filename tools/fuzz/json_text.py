"""Damage to JSON that is JSON again (or nearly: Python also reads NaN): other types, other numbers, missing keys."""

from __future__ import annotations

import json
import random
from typing import Any

from tools.fuzz.raw_bytes import NUMBERS
from tools.fuzz.raw_bytes import damaged as damaged_bytes

_Place = tuple[Any, Any]  # a dictionary or list, and the key or number of one of its values
_MARK = '"\\u0001\\u0001"'  # stands for a number that Python would not write as is
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 1.5, 2**31, 2**63, 2**64, 10**400, -1e30, 1e300, 1e-320, "", "1", "nan", "a\nb",
    "é" * 300, "../../x", "\0", [], [0], [[]], [None], [1, 2, 3], {}, {"a": 1},
)  # fmt: skip


def damaged(rng: random.Random, content: bytes) -> bytes:
    """One fault; where `content` is no JSON (any more), one of its bytes."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return damaged_bytes(rng, content)
    places = _places(value)
    if not places or rng.random() < 0.03:
        return json.dumps(rng.choice(_VALUES)).encode()
    holder, key = rng.choice(places)
    number = _change(rng, holder, key)
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return damaged_bytes(rng, content)
    return text.replace(_MARK, number).encode()


def _change(rng: random.Random, holder: Any, key: Any) -> str:
    """Change one place; returns the digits that the mark stands for."""
    match rng.randrange(7):
        case 0:
            del holder[key]
        case 1 | 2:
            holder[key] = rng.choice(_VALUES)
        case 3 | 4:
            holder[key] = json.loads(_MARK)
        case 5:
            holder[key] = _nested(rng, holder[key])
        case _ if isinstance(holder, list):
            holder[key:key] = [holder[key]] * rng.choice((1, 2, 1000))
        case _:
            holder[rng.choice(("", "x", str(key) + "2"))] = holder.pop(key)
    return rng.choice(NUMBERS)


def _nested(rng: random.Random, value: Any) -> Any:
    """Deep enough to end recursion in some readers; Python itself writes a thousand at most, so more are text."""
    for _ in range(rng.choice((1, 2, 100, 900))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def _places(value: Any) -> list[_Place]:
    found: list[_Place] = []
    left = [value]
    while left:
        item = left.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            found.append((item, key))
            left.append(item[key])
    return found
