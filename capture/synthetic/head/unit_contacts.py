"""Lids and lips kept apart when expression units are added up elsewhere: all in `HeadModel` that is not linear in the
weights, at the few vertices that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head.eyelids import COLUMNS, LidContact
from capture.synthetic.head.lips import LipContact

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LidPoints:
    """What `UnitContacts.parted_lids` does, for n points: each turns upwards about the middle of its eyeball.

    Attributes:
        base: [n, 3] at rest, metres; units: [52, n, 3] float32.
        column: [n] in which of the 28 columns of both eyes each lies; share: [n] of what margins overlap there.
        centre: [n, 3] middle of its eyeball; of points that stay, anything.
    """

    base: Points
    units: NDArray[np.float32]
    column: NDArray[np.int64]
    share: Points
    centre: Points


class UnitContacts:
    """What has to be added to a sum of units to get `HeadModel.moved_base`.

    Attributes:
        lips: [V, 38] how far each vertex of the base mesh rises for what `parted_lips` says.
        lid_vertices: [n] vertices of the base mesh that `parted_lids` moves.
    """

    def __init__(self, base: Points, units: NDArray[np.float32], lips: LipContact, lids: Sequence[LidContact]) -> None:
        """`base` [V, 3] at rest and `units` [52, V, 3], metres."""
        self.lips: sp.csr_matrix = lips.followers(len(base))
        self._contact = lips
        self._gaps = lips.gaps(base)
        self._gap_growth = np.stack([lips.gaps(unit) for unit in units.astype(np.float64)])
        self.lid_vertices = np.unique(np.concatenate([lid.vertices for lid in lids]))
        self._lids = [lid.renumbered(self.lid_vertices) for lid in lids]
        self._lid_base = base[self.lid_vertices]
        self._lid_units = units[:, self.lid_vertices].reshape(len(units), -1)

    def parted_lips(self, weights: NDArray[np.float64]) -> Points:
        """[38] metres that lips part on either side for unit weights [52]."""
        return self._contact.parting(self._gaps + weights @ self._gap_growth)

    def parted_lids(self, weights: NDArray[np.float64]) -> tuple[Points, Points] | None:
        """[n, 3] displacement in metres of `lid_vertices` for unit weights [52], and by how much the margins overlapped
        [2, 14], radians; None where no margins cross."""
        moved = (weights.astype(np.float32) @ self._lid_units).reshape(self._lid_base.shape)
        points = self._lid_base + moved
        crossing = [lid.crossing(points) for lid in self._lids]
        if not any(crossing):
            return None
        before = points.copy()
        none = np.zeros(COLUMNS)
        overlaps = [lid.separate(points) if own else none for lid, own in zip(self._lids, crossing, strict=True)]
        return np.asarray(points - before), np.stack(overlaps)

    def lid_points(self) -> LidPoints:
        """The same for who works it out elsewhere."""
        count = len(self.lid_vertices)
        column, share, centre = np.zeros(count, np.int64), np.zeros(count), np.zeros((count, 3))
        for number, lid in enumerate(self._lids):
            own_column, own_share, middle = lid.turned_by(count)
            own = own_share != 0
            column[own], share[own], centre[own] = own_column[own] + number * COLUMNS, own_share[own], middle
        return LidPoints(self._lid_base, self._lid_units.reshape(-1, count, 3), column, share, centre)
