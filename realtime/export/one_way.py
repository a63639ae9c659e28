"""Weights that every program plays: Blender, Unity and most viewers take those below 0 for 0 and above 1 for 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BELOW, ABOVE = "Negative", "Over"
_NONE = 0.01  # of a unit: less moves nothing by more than a few tenths of a millimetre


@dataclass(frozen=True, eq=False)
class OneWay:
    """Shapes and their weights in 0..1.

    Attributes:
        weights: [T, K] float32: of the M shapes that were given, then of those that were added.
        added: [K - M] (name, number of the shape it is of, how far it goes of it): `jawOpenNegative` goes the other way
            for weights below 0, `jawOpenOver` goes on for weights above 1.
    """

    weights: Array
    added: tuple[tuple[str, int, float], ...]


def one_way(names: tuple[str, ...], weights: Array) -> OneWay:
    """The same sum for weights [T, M] of any sign and size. A shape is added only where a weight needs it."""
    columns = [np.clip(weights, 0.0, 1.0)]
    added: list[tuple[str, int, float]] = []
    for number, name in enumerate(names):
        for suffix, sign, beyond in ((BELOW, -1.0, -weights[:, number]), (ABOVE, 1.0, weights[:, number] - 1)):
            most = float(beyond.max(initial=0.0))
            if most > _NONE:
                reach = max(most, 1.0)
                columns.append((np.clip(beyond, 0.0, None) / reach).astype(np.float32)[:, None])
                added.append((name + suffix, number, sign * reach))
    return OneWay(np.concatenate(columns, axis=1), tuple(added))
