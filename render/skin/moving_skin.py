"""A head as a function of a few hundred numbers, so that a pose can go to the graphics card without its vertices.

For vertex i and the numbers n of a pose, in this order:

    p = rest[i] + Σ follows · n, for units, lips, jaw and teeth: linear blend shapes
    lids that units alone would make cross are parted, and p goes along with points of them
    lids are turned about the axis along the eye by Σ n, and moved away from it by a factor of 1 + Σ n
    eyeballs are turned by the gaze, skin over them is kept outside of their profile
    lashes are set onto the rims of lids as those are by now, and turned with them
    the neck is turned about its lower end by a share of the head's turn

All lengths are avatar units, all angles radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

NECK_TURN, NECK_CARRIED, NECK_START, GAZE = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 13)
"""What numbers begin with: of the neck, the head's turn as a rotation vector, how far its lower end is carried,
and where that starts from; yaw and pitch of the first eyeball, then of the second. The others are the skin's own."""
OWN_NUMBERS = 13
SKIN, COVER, BALL, LASH = range(4)
"""Kinds of vertices: skin, skin over an eyeball, an eyeball's own, a lash's own."""
RIM_ROWS, RIM_COLUMNS = 3, 33

Entries = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.floating]]
"""[n] which vertices, [n] which numbers, [n, D] how far the first go along with the second."""


@dataclass(frozen=True, eq=False)
class Follows:
    """A sparse matrix row by row: for vertex i entries `start[i]` to `start[i + 1]`.

    Attributes:
        start: [R + 1] int32.
        number: [n] int32 which of a pose's numbers.
        amount: [n, D] float32 what is added for each unit of it.
    """

    start: NDArray[np.int32]
    number: NDArray[np.int32]
    amount: NDArray[np.float32]

    @staticmethod
    def of(entries: Sequence[Entries], count: int) -> Follows:
        """From entries in any order, for `count` vertices; what adds nothing is left out."""
        rows, numbers, amounts = (np.concatenate(each) for each in zip(*entries, strict=True))
        kept = np.flatnonzero(amounts.any(axis=1))
        order = kept[np.argsort(rows[kept], kind="stable")]
        start = np.zeros(count + 1, dtype=np.int32)
        np.cumsum(np.bincount(rows[order], minlength=count), out=start[1:])
        return Follows(start, numbers[order].astype(np.int32), np.ascontiguousarray(amounts[order], dtype=np.float32))

    def matrix(self, rows: NDArray[np.integer], numbers: int) -> sparse.csr_matrix:
        """[n · D, numbers] that gives what is added to some vertices, flat."""
        wide = self.amount.shape[1]
        parts = [np.arange(self.start[row], self.start[row + 1]) for row in rows]
        own = np.concatenate([np.zeros(0, np.int64), *parts])
        row = np.repeat(np.arange(len(rows)), [len(part) for part in parts])
        there = (wide * row[:, None] + np.arange(wide)).ravel(), np.repeat(self.number[own], wide)
        return sparse.csr_matrix((self.amount[own].ravel(), there), shape=(wide * len(rows), numbers))


@dataclass(frozen=True, eq=False)
class MovingEye:
    """What moves about one eye.

    Attributes:
        frame: [3, 3] float32 rows along the eye, upwards across it, out of the face; centre: [3] float32.
        profile: [16] float32 how far skin stays from the centre, at angles to the gaze from straight back (first) to
            straight ahead (last); all 0 where there is no ball.
        rims: [3, 33, 2] vertices between which the upper rim, the lower rim and the skin below that lie in each column;
            rim_share: [3, 33] float32 how far from the first to the second.
        rest_angle: [3, 33] float32 of both rims the angle upwards from straight ahead at rest, then the slope of the
            skin below the lower one.
        lashes: [M] their vertices; lash_rim: [M] whether on the upper rim (0) or on the lower one (1).
        lash_column: [M] float32 where on it, in columns; lash_offset: [M, 3] float32 from there, in the eye's frame.
        lash_weights: [M, 33] float32 which columns' turns a lash takes part in; lash_turn: of a rim's own turn.
    """

    frame: NDArray[np.float32]
    centre: NDArray[np.float32]
    profile: NDArray[np.float32]
    rims: NDArray[np.int64]
    rim_share: NDArray[np.float32]
    rest_angle: NDArray[np.float32]
    lashes: NDArray[np.int64]
    lash_rim: NDArray[np.int64]
    lash_column: NDArray[np.float32]
    lash_offset: NDArray[np.float32]
    lash_weights: NDArray[np.float32]
    lash_turn: float


@dataclass(frozen=True, eq=False)
class LidMargins:
    """N points of lids that units move, and that turn upwards about the middle of an eyeball where margins would cross;
    other vertices go along with how far they are turned. Lengths are metres, on the head that the units were made for.

    Attributes:
        base: [N, 3] float32; follows: three amounts for each number.
        centre: [N, 3] float32 what they turn about.
        number: [N] int32 which number says how far; share: [N] float32 of it.
        to_skin: [3, 3] float32 what displacements are multiplied by from the right: metres there to avatar units here.
    """

    base: NDArray[np.float32]
    follows: Follows
    centre: NDArray[np.float32]
    number: NDArray[np.int32]
    share: NDArray[np.float32]
    to_skin: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MovingSkin:
    """A head of R vertices as a function of `count` numbers.

    Attributes:
        rest: [R, 3] float32.
        count: how many numbers a pose has.
        exact: so many of them, the first, are needed in single precision; for the others half precision will do (2^-11
            of a lid's turn of one radian are six thousandths of a millimetre on its rim).
        follows: three amounts for each number: along x, y and z.
        margins: points of lids that units may make cross; None: there are none. follows_margins: one amount for each of
            them, along all axes. overlaps: which numbers say that some cross.
        lids: two amounts: of the turn, and of the growth.
        kind: [R] int32 `SKIN`, `COVER`, `BALL` or `LASH`; eye: [R] int32 of which eye, 0 where of none.
        eyes: both.
        neck_base: [3] float32; neck_share: [R] float32 1 on the head, 0 on what stays.
    """

    rest: NDArray[np.float32]
    count: int
    exact: int
    follows: Follows
    margins: LidMargins | None
    follows_margins: Follows
    overlaps: slice
    lids: Follows
    kind: NDArray[np.int32]
    eye: NDArray[np.int32]
    eyes: tuple[MovingEye, MovingEye]
    neck_base: NDArray[np.float32]
    neck_share: NDArray[np.float32]

    @property
    def pose_bytes(self) -> int:
        """Bytes of one pose as it goes to the graphics card."""
        return 4 * self.exact + 2 * (self.count - self.exact)


@dataclass(frozen=True, eq=False)
class SkinPose:
    """A pose of a skin.

    Attributes:
        skin: what it is a pose of.
        numbers: [skin.count] float32.
    """

    skin: MovingSkin
    numbers: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.numbers.shape != (self.skin.count,) or self.numbers.dtype != np.float32:
            given = f"{self.numbers.dtype} {self.numbers.shape}"
            raise ValueError(f"expected {self.skin.count} numbers in float32 as the skin has them, got {given}")

    @property
    def crossing(self) -> bool:
        """Whether units alone would make margins of lids cross."""
        return bool(self.numbers[self.skin.overlaps].any())
