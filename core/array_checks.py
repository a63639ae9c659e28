"""Arrays that were read from a file, held against what they have to be before anything relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def expect(
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    dtype: DTypeLike,
    *shape: int | None,
    below: int | None = None,
    least: int = 0,
) -> NDArray[Any]:
    """The array of that name.

    Args:
        dtype: exactly; shape: None where any length will do.
        below: of indices: the first number that is too large; least: the first that is not too small.

    Raises KeyError where there is none; ValueError where type or shape differ, an index is out of range or a number is
    not finite.
    """
    array = arrays[name]
    wanted = np.dtype(dtype)
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != wanted or not fits:
        sides = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"expected {name} [{sides}] {wanted}, got {list(array.shape)} {array.dtype}")
    if wanted.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are not finite")
    if below is not None and array.size and not (least <= array.min() and array.max() < below):
        raise ValueError(f"expected {name} from {least} to {below - 1}, got {array.min()} to {array.max()}")
    return array
