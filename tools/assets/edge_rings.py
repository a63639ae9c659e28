"""Finds the concentric edge loops around eyes and mouth in the base mesh (generator only)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

LID_COLUMNS, LID_RINGS = 28, 11
LIP_COLUMNS, LIP_RINGS = 38, 9

Loop = list[int]


class EdgeLoops:
    """The edges of a quad mesh, to walk along."""

    def __init__(self, quads: NDArray[np.int32]) -> None:
        self._corners = [set(quad) for quad in quads.tolist()]
        self.neighbours: dict[int, set[int]] = defaultdict(set)
        self._faces_at: dict[int, list[int]] = defaultdict(list)
        for face, quad in enumerate(quads.tolist()):
            for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
                self.neighbours[a].add(b)
                self.neighbours[b].add(a)
                self._faces_at[a].append(face)

    def closed(self, starts: NDArray[np.int64], length: int) -> list[Loop]:
        """Every closed edge loop of `length` vertices through the given ones."""
        seen: set[frozenset[int]] = set()
        loops = []
        for start in starts.tolist():
            for second in self.neighbours[start]:
                if frozenset((start, second)) not in seen:
                    loop, is_closed = self._walk(start, second, 2 * length)
                    seen.update(frozenset(edge) for edge in zip(loop, loop[1:] + loop[:1], strict=True))
                    if is_closed and len(loop) == length:
                        loops.append(loop)
        return loops

    def _walk(self, start: int, second: int, longest: int) -> tuple[Loop, bool]:
        """Go straight on at each vertex of four edges; whether that came back to the start."""
        loop = [start, second]
        while len(loop) < longest:
            here, before = loop[-1], loop[-2]
            beside = set().union(
                *(self._corners[face] for face in self._faces_at[here] if before in self._corners[face])
            )
            ahead = self.neighbours[here] - beside
            if len(self.neighbours[here]) != 4 or len(ahead) != 1:
                return loop, False
            following = ahead.pop()
            if following == start:
                return loop, True
            loop.append(following)
        return loop, False

    def chain(self, loops: list[Loop], first: Loop, length: int) -> list[Loop]:
        """`length` loops, each next to the one before, from `first` outwards. Raises ValueError if there are fewer."""
        chained = [first]
        while len(chained) < length:
            taken = {id(loop) for loop in chained}
            onward = [loop for loop in loops if id(loop) not in taken and self._adjacent(chained[-1], loop)]
            if not onward:
                raise ValueError(f"expected {length} loops around the opening, found {len(chained)}")
            chained.append(onward[0])
        return chained

    def columns(self, chained: list[Loop], start: int, second: int) -> NDArray[np.int32]:
        """[rings, columns]: the loops turned so that every column runs along edges; ring 0 begins start, second."""
        ring = np.roll(chained[0], -chained[0].index(start))
        if ring[1] != second:
            ring = np.roll(ring[::-1], 1)
        rings = [ring]
        for loop in chained[1:]:
            members = set(loop)
            rings.append(np.array([next(iter(self.neighbours[vertex] & members)) for vertex in rings[-1].tolist()]))
        return np.stack(rings).astype(np.int32)

    def _adjacent(self, loop: Loop, other: Loop) -> bool:
        members = set(other)
        return all(self.neighbours[vertex] & members for vertex in loop)


def lid_rings(vertices: NDArray[np.float64], edges: EdgeLoops, eye: NDArray[np.int32]) -> NDArray[np.int32]:
    """[LID_RINGS, 28] vertices around one eye; ring 0 is the margin's edge that touches the eyeball.

    Columns 0..13 run along the upper lid from the nose outwards, 14..27 back along the lower lid.
    `vertices` [V, 3] (x right, y up, z forward), `eye` [n] the eyeball's.
    """
    around = vertices - vertices[eye].mean(axis=0)
    radius = np.linalg.norm(around, axis=-1)
    azimuth = np.degrees(np.arctan2(around[:, 0], around[:, 2]))
    elevation = np.degrees(np.arcsin(around[:, 1] / np.maximum(radius, 1e-12)))
    near = (np.abs(azimuth) < 75) & (np.abs(elevation) < 50) & (radius < 1.6 * radius[eye].max())
    loops = edges.closed(np.flatnonzero(near & _used(edges, len(vertices))), LID_COLUMNS)
    loops = [loop for loop in loops if _encircles(azimuth[loop] - 3, elevation[loop])]
    # Only the lid's own loops start near the opening; those of the socket's lining reach far behind the lid.
    gaps = {id(loop): float(radius[loop].mean() - radius[eye].mean()) for loop in loops}
    outside = [loop for loop in loops if gaps[id(loop)] > 0]
    margin = min((loop for loop in outside if np.ptp(elevation[loop]) < 40), key=lambda loop: gaps[id(loop)])
    start, second = _corner(margin, np.abs(vertices[:, 0]), vertices[:, 1])
    return edges.columns(edges.chain(outside, margin, LID_RINGS), start, second)


def lip_rings(
    vertices: NDArray[np.float64], edges: EdgeLoops, lips: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """[LIP_RINGS, 38] vertices around the mouth; ring 0 is where red meets inside, ring 1 where the lips touch.

    Column 0 is the right corner (−x); the columns run along the upper lip to the left corner and back along the lower
    lip, which has fewer. `lips` and `inside` [V] tell both regions, which share ring 0.
    """
    near = lips | (np.abs(vertices - vertices[lips].mean(axis=0)) < [4 * vertices[lips].std(axis=0)]).all(axis=1)
    loops = edges.closed(np.flatnonzero(near & _used(edges, len(vertices))), LIP_COLUMNS)
    border = next(loop for loop in loops if lips[loop].all() and inside[loop].all())
    outside = [loop for loop in loops if loop is border or not inside[loop].any()]
    ring = np.roll(border, -int(np.argmin(vertices[border, 0])))
    if vertices[ring[1:6], 1].mean() < vertices[ring[-5:], 1].mean():
        ring = np.roll(ring[::-1], 1)
    start, second = int(ring[0]), int(ring[1])
    return edges.columns(edges.chain(outside, border, LIP_RINGS), start, second)


def _used(edges: EdgeLoops, count: int) -> NDArray[np.bool_]:
    used = np.zeros(count, dtype=bool)
    used[list(edges.neighbours)] = True
    return used


def _corner(loop: Loop, along: NDArray[np.float64], up: NDArray[np.float64]) -> tuple[int, int]:
    """First vertex of the upper half at the end where `along` is least, and the next one.

    The loops have an even number of vertices, as many above as below, so an edge, not a vertex, lies in each corner.
    """
    ring = np.roll(loop, -int(np.argmin(along[loop])))
    middle = len(ring) // 2
    if up[ring[1 : middle - 1]].mean() < up[ring[middle + 1 :]].mean():
        ring = np.roll(ring[::-1], 1)
    best = min(range(-3, 4), key=lambda shift: _mismatch(np.roll(ring, shift), along))
    ring = np.roll(ring, best)
    return int(ring[0]), int(ring[1])


def _mismatch(ring: NDArray[np.int64], along: NDArray[np.float64]) -> float:
    """How far the vertices of the first half lie from those of the second half they face."""
    middle = len(ring) // 2
    return float(np.abs(along[ring[:middle]] - along[ring[middle:]][::-1]).sum())


def _encircles(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    turn = np.unwrap(np.arctan2(y, x))
    return bool(abs(turn[-1] - turn[0]) > 5)
