"""How the lids of one eye slide over the eyeball, and what rides on their rims."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.array_checks import expect

RIM_COLUMNS = 33  # places along the eye, its corners included
RIM_ROWS = 3  # of lines across it: the upper rim, the lower rim, and the skin below that

_TYPES: dict[str, tuple[Any, ...]] = {
    "vertices": (np.int64, None),
    "along": (np.float64, None),
    "upper": (np.float64, None),
    "lower": (np.float64, None),
    "near": (np.float64, None),
    "rims": (np.int64, RIM_ROWS, RIM_COLUMNS, 2),
    "rim_share": (np.float64, RIM_ROWS, RIM_COLUMNS),
    "meet": (np.float64,),
    "corners": (np.float64, 2),
    "lashes": (np.int64, None),
    "lash_along": (np.float64, None),
    "lash_upper": (np.bool_, None),
}


@dataclass(frozen=True, eq=False)
class LidRig:
    """The lids of one eye: they turn about the axis along the eye through the middle of its ball.

    Attributes:
        vertices: [N] skin that goes along with a lid.
        along: [N] its place along the eye, 0 at the picture-left corner to 1 at the other; some lies beyond them.
        upper, lower: [N] how far it goes along with the rim of the upper and of the lower lid, 0 to 1.
        near: [N] how surely it belongs to the rim itself: 1 on it, 0 from a fifth of the eye's width on.
        rims: [3, 33, 2] upper rim, lower rim and the skin a little below that: the two vertices of the edge on which
            the line lies in each column; rim_share: [3, 33] how far from the first to the second of them.
        corners: [2] how far beyond the picture-left and the other end of the rims the eye has its corner, in widths:
            where flesh shows between the lids instead of the ball.
        meet: where the lids meet, as a share of the opening over the lower rim.
        lashes: [M] vertices that ride on a rim as they stand on it.
        lash_along: [M] the place along the eye where each has its root; lash_upper: [M] whether on the upper rim.
    """

    vertices: NDArray[np.int64]
    along: NDArray[np.float64]
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    near: NDArray[np.float64]
    rims: NDArray[np.int64]
    rim_share: NDArray[np.float64]
    meet: float
    corners: NDArray[np.float64]
    lashes: NDArray[np.int64]
    lash_along: NDArray[np.float64]
    lash_upper: NDArray[np.bool_]

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Plain arrays, for `numpy.savez`; `from_arrays` is the inverse."""
        return {f"{prefix}_{name}": np.asarray(getattr(self, name), kind) for name, (kind, *_) in _TYPES.items()}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], prefix: str, vertices: int) -> "LidRig":
        """For so many `vertices` of the rig. Raises KeyError or ValueError where the arrays are not such."""
        found: dict[str, Any] = {}
        for name, (kind, *shape) in _TYPES.items():
            below = vertices if kind is np.int64 else None
            array = expect(arrays, f"{prefix}_{name}", kind, *shape, below=below)
            found[name] = array if shape else array.item()
        for group in (("vertices", "along", "upper", "lower", "near"), ("lashes", "lash_along", "lash_upper")):
            if len({len(found[name]) for name in group}) > 1:
                raise ValueError(f"expected {', '.join(group)} of {prefix} to be equally many")
        return LidRig(**found)


def no_lids() -> LidRig:
    """Of an eye that no lids were found around: nothing moves."""
    nothing, nowhere = np.zeros(0, dtype=np.int64), np.zeros(0)
    rims = np.zeros((RIM_ROWS, RIM_COLUMNS, 2), dtype=np.int64)
    share = np.zeros((RIM_ROWS, RIM_COLUMNS))
    return LidRig(
        nothing,
        nowhere,
        nowhere,
        nowhere,
        nowhere,
        rims,
        share,
        0.0,
        np.zeros(2),
        nothing,
        nowhere,
        np.zeros(0, dtype=bool),
    )
