"""Opening a surface that is one piece where a mouth or an eye should open."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.surgery.cutting import cut_along
from calib.surgery.remesh import EdgeTable, WorkMesh, edge_table, split_edges
from calib.survey.openings import Opening

_SNAP = 0.15  # of an edge: a vertex this near to the line lies on it
_DEPTH_REACH = 0.35  # in widths: what lies deeper behind the line or before it is not cut
_ACROSS_REACH = 0.30
_PART_GAP = 1e-4  # avatar units between the two sides of a cut, so that no renderer welds them again


@dataclass(frozen=True, eq=False)
class Sides:
    """On which side of an opening's rims surface points and faces lie.

    Attributes:
        level: [N] signed distance of each point in widths: positive outside (above a closed line), 0 on the rim.
        near: [N] whether the point is near enough for `level` to mean anything.
    """

    level: NDArray[np.float64]
    near: NDArray[np.bool_]


def sides_of(opening: Opening, points: NDArray[np.float64]) -> Sides:
    """Where points [N, 3] lie: above (+) or below (−) a closed line, or outside (+) or inside (−) an open contour."""
    flat = opening.flat(points)
    along, across, out = flat.T
    upper, lower = opening.rims_at(along)
    top, bottom, depth = upper[:, 1], lower[:, 1], opening.depth_at(flat)
    if opening.closed:
        level = across - (top + bottom) / 2
    else:
        beyond = np.maximum(-along, along - 1)
        level = np.where(beyond > 0, np.hypot(beyond, across), np.maximum(across - top, bottom - across))
    near = (along > -0.25) & (along < 1.25) & (np.abs(out - depth) < _DEPTH_REACH)
    near &= (across < top + _ACROSS_REACH) & (across > bottom - _ACROSS_REACH)
    return Sides(level, near)


def cut_opening(work: WorkMesh, opening: Opening) -> WorkMesh:
    """Cut the surface along the line of a closed opening, or around an open one.

    New vertices lie exactly on the line; the part below a closed line (inside an open contour) gets the copies.
    """
    points = work.points()
    sides = sides_of(opening, points)
    table = edge_table(work)
    level = _snapped(points, sides, table, opening.width)
    one, other = table.ends.T
    crossing = sides.near[one] & sides.near[other] & (level[one] * level[other] < 0)
    step = np.where(crossing, level[one] - level[other], 1.0)
    where = np.where(crossing, level[one] / step, np.nan)
    if opening.closed:
        middle = points[one] + (points[other] - points[one]) * np.nan_to_num(where)[:, None]
        along = opening.flat(middle)[:, 0]
        where[(along <= 0) | (along >= 1)] = np.nan
    split, vertex_of_edge = split_edges(work, table, where)
    on_rim = np.zeros(split.point_count, dtype=bool)
    on_rim[: len(level)] = (level == 0) & sides.near
    on_rim[split.point[vertex_of_edge[vertex_of_edge >= 0]]] = True
    level = np.concatenate([level, np.zeros(split.point_count - len(level))])
    if opening.closed:
        along = opening.flat(split.points())[:, 0]
        on_rim &= (along > -0.02) & (along < 1.02)
    below = _below(split, level, on_rim, opening)
    parted = cut_along(split, _rim_edges(split, below, on_rim), edge_table(split), copies_for=below)
    vertices = parted.vertices.copy()
    vertices[len(split.vertices) :] -= _PART_GAP * opening.frame[1]
    return replace(parted, vertices=vertices)


def _snapped(points: NDArray[np.float64], sides: Sides, table: EdgeTable, width: float) -> NDArray[np.float64]:
    """Levels in which points that nearly lie on the rim do lie on it, so that no slivers arise."""
    one, other = table.ends.T
    length = np.linalg.norm(points[one] - points[other], axis=1) / width
    shortest = np.full(len(points), np.inf)
    np.minimum.at(shortest, one, length)
    np.minimum.at(shortest, other, length)
    return np.where(sides.near & (np.abs(sides.level) < _SNAP * shortest), 0.0, sides.level)


def _below(
    work: WorkMesh, level: NDArray[np.float64], on_rim: NDArray[np.bool_], opening: Opening
) -> NDArray[np.bool_]:
    """[F] faces on the negative side, as their points off the rim say; where all are on it, as their middle says."""
    faces = work.point_faces
    free = np.where(on_rim[faces], 0.0, level[faces]).sum(axis=1)
    middle = sides_of(opening, work.vertices[work.faces].mean(axis=1)).level
    return np.where(on_rim[faces].all(axis=1), middle, free) < 0


def _rim_edges(work: WorkMesh, below: NDArray[np.bool_], on_rim: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[E] edges between rim points with one face on either side."""
    table = edge_table(work)
    some_below, some_above = np.zeros(len(table.ends), dtype=bool), np.zeros(len(table.ends), dtype=bool)
    for k in range(3):
        some_below[table.of_face[below, k]] = True
        some_above[table.of_face[~below, k]] = True
    return np.asarray(on_rim[table.ends].all(axis=1) & some_below & some_above)
