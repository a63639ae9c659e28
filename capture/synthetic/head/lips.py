"""Lips that are closed at rest and never pass through each other."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

CONTACT_RING = 1
FIRM_RINGS = 3  # move as one with the contact
REACH_RINGS = 8
# Subdivision rounds the lips' edges, which opens a gap; resting lips overlap by as much, in metres.
REST_OVERLAP = 0.0004

Points = NDArray[np.float64]


class LipContact:
    """The line where the lips meet, for one mesh topology."""

    def __init__(self, template: Points, rings: NDArray[np.int32]) -> None:
        """`template` [V, 3] is the base mesh, `rings` [9, 38] as in `HeadData.lip_rings`."""
        contact = rings[CONTACT_RING]
        along = template[contact, 0]
        left_corner = int(np.argmax(along))
        upper, lower = np.arange(1, left_corner), np.arange(left_corner + 1, len(contact))
        self._sign = np.zeros(len(contact))
        self._sign[upper], self._sign[lower] = 1.0, -1.0
        self._contact = contact
        whole_lower = np.concatenate([[0], lower[::-1], [left_corner]])
        whole_upper = np.arange(left_corner + 1)
        self._opposite = sp.vstack(
            [
                _interpolation([0], [0], along, along),
                _interpolation(upper, whole_lower, along, along),
                _interpolation([left_corner], [left_corner], along, along),
                _interpolation(lower, whole_upper, along, along),
            ]
        ).tocsr()
        ring = np.arange(len(rings))
        falloff = np.clip((REACH_RINGS - ring) / (REACH_RINGS - FIRM_RINGS), 0, 1)
        self._share = falloff * falloff * (3 - 2 * falloff)
        self._rings = rings

    def gaps(self, points: Points) -> Points:
        """[38] height of the opening at each vertex of the contact line, metres; negative where the lips overlap."""
        height = points[self._contact, 1]
        return np.asarray(self._sign * (height - self._opposite @ height))

    def seal(self, points: Points) -> None:
        """Close the mouth of a neutral head [V, 3], in place."""
        self._move(points, -(self.gaps(points) + REST_OVERLAP) / 2)

    def close(self, points: Points) -> None:
        """Close what is open in `points` [V, 3], in place."""
        self._move(points, np.minimum(-(self.gaps(points) + REST_OVERLAP), 0) / 2)

    def separate(self, points: Points) -> None:
        """Part lips that overlap more than at rest, in `points` [V, 3], in place."""
        self._move(points, self.parting(self.gaps(points)))

    def parting(self, gaps: Points) -> Points:
        """[38] by which lips that overlap more than at rest have to part on either side, for `gaps` [38] between them,
        metres."""
        return np.maximum(-gaps - REST_OVERLAP, 0) / 2

    def followers(self, count: int) -> sp.csr_matrix:
        """[`count` vertices, 38] how far each vertex of the base mesh rises for what `parting` says."""
        share = (self._share[:, None] * self._sign).ravel()
        column = np.tile(np.arange(len(self._contact)), len(self._rings))
        return sp.csr_matrix((share, (self._rings.ravel(), column)), shape=(count, len(self._contact)))

    def _move(self, points: Points, opening: Points) -> None:
        """Move upper lip up and lower lip down by `opening` [38]."""
        rise = (self._sign * opening)[None, :] * self._share[:, None]
        np.add.at(points[:, 1], self._rings.ravel(), rise.ravel())


def _interpolation(
    rows: NDArray[np.int64] | list[int], columns: NDArray[np.int64] | list[int], at: Points, along: Points
) -> sp.csr_matrix:
    """[rows, all] weights that read the polyline through `columns` (ascending `along`) at the rows' own positions."""
    rows, columns = np.asarray(rows), np.asarray(columns)
    known = np.maximum.accumulate(along[columns])
    position = np.interp(at[rows], known, np.arange(len(columns)))
    low = np.minimum(position.astype(int), max(len(columns) - 2, 0))
    high = np.minimum(low + 1, len(columns) - 1)
    fraction = position - low
    number = np.arange(len(rows))
    weights, where = np.concatenate([1 - fraction, fraction]), np.concatenate([columns[low], columns[high]])
    return sp.csr_matrix((weights, (np.concatenate([number, number]), where)), shape=(len(rows), len(along)))
