"""Where controllers sit on the skin: landmarks, rims of lids, the eye between them, and the floor of the mouth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.rig.controllers import Role
from calib.rigging.smooth_weights import Anchors
from calib.surgery.seams import sides_of
from calib.survey.closest import closest_on_faces, edge_distance
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from core.face_regions import (
    FACE_LANDMARKS,
    FACE_OVAL,
    IRISES,
    LOWER_LIDS,
    LOWER_LIP,
    SIDES,
    UPPER_LIDS,
    UPPER_LIP,
    mask,
)

JAW_CONTROLLERS = 6
LID_COLUMNS = np.linspace(0, 1, 19)[1:-1]  # places along an eye with a controller on each rim
LIP_COLUMNS = np.linspace(0, 1, 25)[1:-1]  # the same along the mouth
_SCALE, _LIP_SCALE, _RIM_SCALE, _LID_SCALE = 0.02, 0.008, 0.004, 0.005
_SIDE_SCALE = 0.08
_IRIS_MARGIN = 0.04  # in widths: iris controllers keep so far from the rims
_RIM_OFFSET = 0.008  # in widths: how far beside a rim its controllers sit, on the right side of it


@dataclass(frozen=True, eq=False)
class ExtraAnchors:
    """Anchors of controllers beside the landmarks, all of one role; see `calib.rig.controllers.Controllers`."""

    role: Role
    anchors: Anchors
    eye: int = -1
    along: NDArray[np.float64] | None = None


def attach_rims(
    points: NDArray[np.float64], faces: NDArray[np.int64], seen: NDArray[np.int64], survey: HeadSurvey
) -> list[ExtraAnchors]:
    """Closely set controllers on the rims of lips and lids, so that what is shut meets along its whole length."""
    extra = []
    rims = [(survey.mouth, -1, (Role.UPPER_LIP, Role.LOWER_LIP), LIP_COLUMNS, _RIM_SCALE)]
    rims += [
        (opening, eye, (Role.UPPER_LID, Role.LOWER_LID), LID_COLUMNS, _LID_SCALE)
        for eye, opening in enumerate(survey.eyes)
    ]
    for opening, eye, roles, columns, scale in rims:
        sides = faces_beside(opening, points, faces[seen])
        for role, sign, side in zip(roles, (1.0, -1.0), sides, strict=True):
            if side.any():
                target = _rim_points(opening, columns, sign, _RIM_OFFSET)
                extra.append(ExtraAnchors(role, _anchored(target, points, faces, seen[side], scale), eye, columns))
    return extra


def attach_eyes(
    points: NDArray[np.float64], faces: NDArray[np.int64], among: NDArray[np.int64], survey: HeadSurvey
) -> list[ExtraAnchors]:
    """Controllers of what surfaces in one piece show between their lids; none where eyes are made otherwise."""
    extra: list[ExtraAnchors] = []
    for eye, opening in enumerate(survey.eyes):
        sides = sides_of(opening, points)
        patch = among[(sides.near & (sides.level <= 1e-9))[faces[among]].all(axis=1)]
        if opening.parted or opening.closed or opening.painted_high or not len(patch):
            continue
        for role, sign in ((Role.UPPER_EYE, 1.0), (Role.LOWER_EYE, -1.0)):
            rim = _rim_points(opening, LID_COLUMNS, sign, -_RIM_OFFSET)
            extra.append(ExtraAnchors(role, _anchored(rim, points, faces, patch, _LID_SCALE), eye, LID_COLUMNS))
        corners = _anchored(opening.upper[[0, -1]], points, faces, patch, _LID_SCALE)
        extra.append(ExtraAnchors(Role.EYE_CORNER, corners, eye, np.array([0.0, 1.0])))
        iris = survey.landmarks[list(IRISES[eye])]
        inside = sides_of(opening, iris).level < -_IRIS_MARGIN
        inside[0] = True
        extra.append(ExtraAnchors(Role.IRIS, _anchored(iris[inside], points, faces, patch, _SCALE), eye))
    return extra


def attach_jaw(
    points: NDArray[np.float64], faces: NDArray[np.int64], in_mouth: NDArray[np.bool_], mouth: Opening
) -> list[ExtraAnchors]:
    """Points spread over the lower half of a modelled mouth cavity, away from the lips; none where there is none."""
    flat = mouth.flat(points)
    rim = mouth.flat((mouth.upper + mouth.lower) / 2)
    below = np.interp(flat[:, 0], rim[:, 0], rim[:, 1]) - flat[:, 1]
    deep = np.interp(flat[:, 0], rim[:, 0], rim[:, 2]) - flat[:, 2]
    floor = np.flatnonzero(in_mouth & (below > 0.12) & (deep > 0.12))
    if len(floor) < JAW_CONTROLLERS:
        return []
    chosen = _spread_out(points[floor], JAW_CONTROLLERS)
    face_of_point = np.full(len(points), -1)
    for corner in range(3):
        face_of_point[faces[:, corner]] = np.arange(len(faces))
    face = face_of_point[floor[chosen]]
    bary = (faces[face] == floor[chosen][:, None]).astype(np.float64)
    scale = np.full(len(face), 0.1 * mouth.width)
    return [ExtraAnchors(Role.JAW, Anchors(face, bary, np.zeros(len(face)), scale))]


def attach_landmarks(
    points: NDArray[np.float64], faces: NDArray[np.int64], seen: NDArray[np.int64], survey: HeadSurvey
) -> Anchors:
    """Every landmark at the nearest place of the visible skin, lips and lids on their own side of the opening."""
    target = survey.landmarks[:FACE_LANDMARKS].copy()
    allowed: list[tuple[NDArray[np.bool_], NDArray[np.int64]]] = []
    lips: list[tuple[Any, Any]] = [(UPPER_LIP, LOWER_LIP)]
    lids = [((UPPER_LIDS[eye],), (LOWER_LIDS[eye],)) for eye in range(2)]
    for opening, (upper, lower) in zip((survey.mouth, *survey.eyes), lips + lids, strict=True):
        above, below = faces_beside(opening, points, faces[seen])
        for chains, sign, side in ((upper, 1.0, above), (lower, -1.0, below)):
            own = mask(*(chain[1:-1] for chain in chains))
            rim = list(chains[-1][1:-1])
            target[rim] = _rim_points(opening, np.clip(opening.flat(target[rim])[:, 0], 0.02, 0.98), sign, _RIM_OFFSET)
            target[own] = _beside_rim(opening, target[own], sign)
            allowed.append((own, seen[side]))
        for corner in (0, -1):
            target[upper[-1][corner]] = opening.upper[corner]
    face, bary, distance = closest_on_faces(target, points, faces, seen)
    for own, among in allowed:
        if len(among):
            face[own], bary[own], distance[own] = closest_on_faces(target[own], points, faces, among)
    return Anchors(face, bary, distance, _scales(survey.by_hand))


def faces_beside(
    opening: Opening, points: NDArray[np.float64], faces: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which faces [M, 3] near an opening hang together with the skin above it, and which with that below.

    Lips that touch cannot be told by place; the way along the surface tells them.
    """
    flat = opening.flat(points)
    upper, lower = opening.flat(opening.upper), opening.flat(opening.lower)
    over = flat[:, 1] - np.interp(flat[:, 0], upper[:, 0], upper[:, 1])
    under = np.interp(flat[:, 0], lower[:, 0], lower[:, 1]) - flat[:, 1]
    sides = sides_of(opening, points)
    used = np.zeros(len(points), dtype=bool)
    used[faces] = True
    seeds = [np.flatnonzero(used & sides.near & (away > 0.05) & (away < 0.3)) for away in (over, under)]
    if not all(len(seed) for seed in seeds):
        nothing = np.zeros(len(faces), dtype=bool)
        return nothing, nothing
    above, below = (edge_distance(points, faces, seed)[faces].mean(axis=1) for seed in seeds)
    outside = sides.near[faces].all(axis=1)
    if not opening.closed:
        outside &= sides.level[faces].mean(axis=1) > 0
    return outside & (above < below), outside & (below < above)


def _rim_points(opening: Opening, along: NDArray[np.float64], sign: float, offset: float) -> NDArray[np.float64]:
    """[N, 3] at 0..1 along the upper (sign 1) or lower (−1) rim, `offset` (in widths) beside it, outwards."""
    rim = opening.upper if sign > 0 else opening.lower
    place = opening.flat(rim)[:, 0]
    on_rim = np.stack([np.interp(along, place, rim[:, axis]) for axis in range(3)], axis=1)
    return np.asarray(on_rim + sign * offset * opening.width * opening.frame[1])


def _beside_rim(opening: Opening, chain: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
    """Points [N, 3] of a lip or lid, pushed to their own side of its rim where they lie beyond it."""
    rim = opening.flat(opening.upper if sign > 0 else opening.lower)
    flat = opening.flat(chain)
    short = np.interp(flat[:, 0], rim[:, 0], rim[:, 1]) + sign * _RIM_OFFSET - flat[:, 1]
    short = np.maximum(short, 0) if sign > 0 else np.minimum(short, 0)
    return np.asarray(chain + (short * opening.width)[:, None] * opening.frame[1])


def _anchored(
    target: NDArray[np.float64],
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    among: NDArray[np.int64],
    scale: float,
) -> Anchors:
    return Anchors(*closest_on_faces(target, points, faces, among), np.full(len(target), scale))


def _scales(by_hand: bool) -> NDArray[np.float64]:
    """[468] how finely each landmark bends the skin; warped `by_hand`, those of the sides may be near each other."""
    scale = np.full(FACE_LANDMARKS, _SCALE)
    if by_hand:
        scale[[*SIDES[0], *SIDES[1], *FACE_OVAL]] = _SIDE_SCALE
    scale[mask(*UPPER_LIP, *LOWER_LIP)] = _LIP_SCALE
    scale[mask(UPPER_LIP[-1], LOWER_LIP[-1])] = _RIM_SCALE
    scale[mask(*UPPER_LIDS, *LOWER_LIDS)] = _LID_SCALE
    return scale


def _spread_out(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of `count` points far from each other (farthest point sampling from the middle)."""
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)
