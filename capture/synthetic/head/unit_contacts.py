"""Lids and lips kept apart when expression units are added up elsewhere: all in `HeadModel` that is not linear in the
weights, at the few vertices that it needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head.eyelids import LidContact
from capture.synthetic.head.lips import LipContact

Points = NDArray[np.float64]


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

    def parted_lids(self, weights: NDArray[np.float64]) -> Points | None:
        """[n, 3] displacement in metres of `lid_vertices` for unit weights [52]; None where no margins cross."""
        moved = (weights.astype(np.float32) @ self._lid_units).reshape(self._lid_base.shape)
        points = self._lid_base + moved
        crossing = [lid for lid in self._lids if lid.crossing(points)]
        if not crossing:
            return None
        before = points.copy()
        for lid in crossing:
            lid.separate(points)
        return np.asarray(points - before)
