"""Fewer faces between the same vertices: what a processor that draws a dense mesh thirty times a second needs.

Half-edge collapses ranked by quadric error (Garland and Heckbert, "Surface simplification using quadric error
metrics", SIGGRAPH 1997), many at a time: each round collapses a set of vertices no two of which are neighbours.
Borders, texture seams and the lines between parts keep all their vertices.

No new vertices, so that poses go on as they are: `calib.survey.coarse_mesh` makes some, of millions. For the asset that
`tools.assets.decimate` makes, whose collapses come one after the other, this would be another result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.mesh import Mesh
from render.mesh.mesh_layout import RenderLayout, weld_positions

Simplifier = Callable[..., tuple[NDArray[np.int32], NDArray[np.int64]]]
"""As `simplify`."""

MOST_FACES = 20_000  # about what two processor cores draw in 10 ms
_MOST_ROUNDS = 40
_LEAST_GAIN = 0.005  # of the faces in a round; below, going on is not worth the time
_TRIES = 3
_STEEPEST_TURN = 0.85  # cosine between a face's normal before and after
_LONGEST_EDGE = 24.0  # in details: what lies between bends with the face
_LARGEST_ERROR = 0.5
_LARGEST_PAINT = 0.03  # difference of colour
_SHARP_PAINT = 0.06


def simplified(
    layout: RenderLayout, mesh: Mesh, target: int, detail: float, way: Simplifier | None = None
) -> RenderLayout:
    """The layout of a mesh with fewer faces, and only the render vertices these use. See `simplify`; `way` stands in
    for it, as where results are kept."""
    place = weld_positions(mesh.vertices)
    points = np.zeros((int(place.max()) + 1, 3))
    points[place] = mesh.vertices
    colors = None
    if mesh.vertex_colors is not None:
        colors = np.zeros_like(points)
        colors[place] = mesh.vertex_colors
    kind = np.repeat(np.arange(len(layout.groups)), [group.count for group in layout.groups])
    simplifier = way or simplify
    corners, face = simplifier(points, place[layout.vertex_of], layout.corners, kind, target, detail, colors)
    used, renumbered = np.unique(corners, return_inverse=True)
    counts = np.bincount(kind[face], minlength=len(layout.groups)).tolist()
    firsts = np.cumsum([0, *counts]).tolist()
    rows = zip(layout.groups, firsts, counts, strict=False)
    groups = tuple(replace(group, first=first, count=count) for group, first, count in rows if count)
    new_corners = renumbered.reshape(corners.shape).astype(np.int32)
    return RenderLayout(layout.vertex_of[used], layout.uvs[used], new_corners, layout.order[face], groups)


@dataclass
class _State:
    corners: NDArray[np.int64]  # [F, 3] ids of corners (a place and a texture coordinate)
    face: NDArray[np.int64]  # [F] the face each comes from
    locked: NDArray[np.bool_]  # [P] places that must stay
    quadrics: NDArray[np.float64]  # [P, 10]
    weight: NDArray[np.float64]  # [P] area behind each quadric
    tries: NDArray[np.int64]  # [P]
    colors: NDArray[np.float64]  # [P, 3]


def simplify(
    points: NDArray[np.float64],
    place_of: NDArray[np.int64],
    corners: NDArray[np.int32],
    kind: NDArray[np.int64],
    target: int,
    detail: float,
    colors: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Faces that look the same at a scale at which `detail` is about a pixel, `target` of them if that can be.

    Args:
        points: [P, 3] places on the surface.
        place_of: [R] the place of each corner id.
        corners: [F, 3] corner ids of the faces.
        kind: [F] faces of different kinds keep the line between them.
        target: how many faces to come down to.
        detail: smallest length that matters.
        colors: [P, 3] what is painted on the places; it stays sharp.

    Returns corners [f, 3] of the remaining faces, and the face [f] each of them was.
    """
    quadrics, weight = _quadrics(points, place_of[corners])
    locked = _locked(len(points), place_of, corners.astype(np.int64), kind)
    if colors is not None:
        locked |= _colorful(colors, place_of[corners])
    tries = np.zeros(len(points), dtype=np.int64)
    painted = np.zeros((len(points), 3)) if colors is None else colors
    state = _State(corners.astype(np.int64), np.arange(len(corners)), locked, quadrics, weight, tries, painted)
    for _ in range(_MOST_ROUNDS):
        before = len(state.corners)
        if before <= target:
            break
        _round(state, points, place_of, (before - target + 1) // 2, detail)
        if before - len(state.corners) < _LEAST_GAIN * before:
            break
    return state.corners.astype(np.int32), state.face


def _quadrics(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[P, 10] sums over the faces around each place of area × (plane plane^T), upper half, and [P] of the areas."""
    a, b, c = points[faces].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    plane = np.empty((len(faces), 4))
    plane[:, :3] = normal / np.maximum(length, 1e-300)[:, None]
    plane[:, 3] = -np.einsum("ij,ij->i", plane[:, :3], a)
    upper = np.triu_indices(4)
    products = plane[:, upper[0]] * plane[:, upper[1]] * (length / 2)[:, None]
    owner = faces.reshape(-1)
    count = len(points)
    sums = [np.bincount(owner, np.repeat(column, 3), count) for column in products.T]
    return np.stack(sums, axis=1), np.asarray(np.bincount(owner, np.repeat(length / 2, 3), count), dtype=np.float64)


def _locked(
    count: int, place_of: NDArray[np.int64], corners: NDArray[np.int64], kind: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """[P] places on borders, on seams, between kinds, or where more than two faces share an edge."""
    faces = place_of[corners]
    low, high = np.minimum(faces, np.roll(faces, -1, axis=1)), np.maximum(faces, np.roll(faces, -1, axis=1))
    _, inverse, shared = np.unique(low * count + high, return_inverse=True, return_counts=True)
    locked = np.zeros(count, dtype=bool)
    rough = (shared[inverse.reshape(-1)] != 2).reshape(faces.shape)
    locked[low[rough]] = locked[high[rough]] = True
    first_corner, first_kind = np.full(count, -1), np.full(count, -1)
    first_corner[faces.reshape(-1)] = corners.reshape(-1)
    first_kind[faces.reshape(-1)] = np.repeat(kind, 3)
    locked[faces[first_corner[faces] != corners]] = True
    locked[faces[first_kind[faces] != kind[:, None]]] = True
    return locked


def _colorful(colors: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[P] places where the colour changes noticeably to a neighbour."""
    change = np.abs(colors[faces] - colors[np.roll(faces, -1, axis=1)]).max(axis=2) > _SHARP_PAINT
    colorful = np.zeros(len(colors), dtype=bool)
    colorful[faces[change]] = colorful[np.roll(faces, -1, axis=1)[change]] = True
    return colorful


def _round(state: _State, points: NDArray[np.float64], place_of: NDArray[np.int64], most: int, detail: float) -> None:
    """Collapse up to `most` vertices, cheapest first."""
    gone, onto, onto_corner = _candidates(state, points, place_of, most, detail)
    if len(gone) == 0:
        return
    target_of = np.full(len(points), -1)
    target_of[gone] = np.arange(len(gone))
    faces = place_of[state.corners]
    choice = target_of[faces].max(axis=1)  # at most one corner of a face goes
    touched = np.flatnonzero(choice >= 0)
    moving = target_of[faces[touched]] >= 0
    choice = choice[touched]
    meets = (faces[touched] == onto[choice][:, None]) & ~moving
    doomed = meets.any(axis=1)
    allowed = _allowed(state, points, place_of, touched, moving, choice, (onto, onto_corner), doomed, detail)
    state.tries[gone[~allowed]] += 1
    keep = np.ones(len(state.corners), dtype=bool)
    keep[touched[doomed & allowed[choice]]] = False
    changing = ~doomed & allowed[choice]
    rows = touched[changing]
    state.corners[rows] = np.where(moving[changing], onto_corner[choice[changing]][:, None], state.corners[rows])
    np.add.at(state.quadrics, onto[allowed], state.quadrics[gone[allowed]])
    np.add.at(state.weight, onto[allowed], state.weight[gone[allowed]])
    state.corners, state.face = state.corners[keep], state.face[keep]


def _candidates(
    state: _State, points: NDArray[np.float64], place_of: NDArray[np.int64], most: int, detail: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Vertices to collapse, no two of them neighbours; the place each goes to; that place's corner id."""
    faces = place_of[state.corners]
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    end_corner = np.roll(state.corners, -1, axis=1).reshape(-1)
    free = ~state.locked & (state.tries < _TRIES)
    usable = np.flatnonzero(free[start])
    error = _error(state, points, start[usable], end[usable])
    length = np.linalg.norm(points[start[usable]] - points[end[usable]], axis=1)
    paint = np.abs(state.colors[start[usable]] - state.colors[end[usable]]).max(axis=1)
    cost = (
        error
        + (paint / _LARGEST_PAINT * 0.5 * _LARGEST_ERROR * detail) ** 2
        + 1e-3 * (length / detail) ** 2 * (0.1 * detail) ** 2
    )
    near = (error < (_LARGEST_ERROR * detail) ** 2) & (length < _LONGEST_EDGE * detail) & (paint < _LARGEST_PAINT)
    usable = usable[near]
    if len(usable) == 0:
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    every = np.full(len(start), np.inf)
    every[np.flatnonzero(free[start])] = cost
    order = usable[np.lexsort((every[usable], start[usable]))]
    first = np.flatnonzero(np.diff(start[order], prepend=-1))
    ways = np.diff(np.r_[first, len(order)])
    best = order[first + np.minimum(state.tries[start[order[first]]], ways - 1)]  # what failed is tried elsewhere
    rank = np.full(len(points), len(points))
    magnitude = np.floor(np.log2(np.maximum(every[best], 1e-30)) / 2)  # alike costs in random order: were they in
    shuffled = np.random.default_rng(len(start)).random(len(best))  # strict order, few would be lower than all around
    by_cost = best[np.lexsort((shuffled, magnitude))]
    rank[start[by_cost]] = np.arange(len(by_cost))
    lowest = rank.copy()
    np.minimum.at(lowest, start, rank[end])
    np.minimum.at(lowest, end, rank[start])
    chosen = by_cost[lowest[start[by_cost]] == rank[start[by_cost]]][:most]
    return start[chosen], end[chosen], end_corner[chosen]


def _error(
    state: _State, points: NDArray[np.float64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean square distance of `end` from the planes that have gone into `start`."""
    xx, xy, xz, xd, yy, yz, yd, zz, zd, dd = state.quadrics[start].T
    x, y, z = points[end].T
    form = x * (xx * x + 2 * (xy * y + xz * z + xd)) + y * (yy * y + 2 * (yz * z + yd)) + z * (zz * z + 2 * zd) + dd
    return np.asarray(np.maximum(form, 0.0) / np.maximum(state.weight[start], 1e-300))


def _allowed(
    state: _State,
    points: NDArray[np.float64],
    place_of: NDArray[np.int64],
    touched: NDArray[np.int64],
    moving: NDArray[np.bool_],
    choice: NDArray[np.int64],
    target: tuple[NDArray[np.int64], NDArray[np.int64]],
    doomed: NDArray[np.bool_],
    detail: float,
) -> NDArray[np.bool_]:
    """[n] which collapses turn no face over, keep edges short, seams whole, and take away exactly two faces."""
    onto, onto_corner = target
    old = place_of[state.corners[touched]]
    new = np.where(moving, onto[choice][:, None], old)
    before, after = _normal(points[old]), _normal(points[new])
    sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    bad = np.einsum("ij,ij->i", before, after) < _STEEPEST_TURN * sizes
    bad |= np.linalg.norm(after, axis=1) < 1e-4 * detail**2
    sides = points[new] - points[np.roll(new, 1, axis=1)]
    bad |= np.linalg.norm(sides, axis=2).max(axis=1) > _LONGEST_EDGE * detail
    bad &= ~doomed
    other_seam = doomed & ~(state.corners[touched] == onto_corner[choice][:, None]).any(axis=1)
    wrong = np.bincount(choice, bad | other_seam, len(onto)) > 0
    pairs = np.bincount(choice, doomed, len(onto)) == 2
    return np.asarray(pairs & ~wrong)


def _normal(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
