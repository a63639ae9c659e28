"""Controllers of an avatar: the 468 face landmarks on its skin, a few points in the mouth that go with the jaw, and the
surface between the lids of eyes that are one piece with them."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.face_regions import (
    CHIN,
    FACE_LANDMARKS,
    FACE_OVAL,
    IRISES,
    LOWER_LIDS,
    LOWER_LIP,
    TEMPLES_AND_EARS,
    UPPER_LIDS,
    UPPER_LIP,
    mask,
)
from calib.openings import Opening
from calib.parts import Kind
from calib.remesh import WorkMesh
from calib.seams import sides_of
from calib.smooth_weights import Anchors, closest_on_faces, edge_distance, solve_weights
from calib.survey import HeadSurvey

JAW_CONTROLLERS = 6
REACH = 0.45  # avatar units along the skin beyond the outermost controller; there all motion has died away
_INSIDE_REACH = 0.12  # the same into an eye socket
_SCALE, _LIP_SCALE, _RIM_SCALE, _LID_SCALE = 0.02, 0.008, 0.004, 0.005
_TENSION, _INSIDE_TENSION = 0.35, 0.06
_IRIS_MARGIN = 0.04  # in widths: iris controllers keep so far from the rims
_RIM_OFFSET = 0.008  # in widths: how far beside a rim its controllers sit, on the right side of it


class Role(IntEnum):
    """What moves a controller."""

    LANDMARK = 0  # the driver's landmark of that number
    JAW = 1  # the jaw, as one piece
    EYE_RIM = 2  # the lid beside it, but only where that uncovers more of the eye
    IRIS = 3  # the gaze


@dataclass(frozen=True, eq=False)
class Controllers:
    """K points of an avatar that are moved; everything else follows by weights.

    Attributes:
        rest: [K, 3] float64 avatar units; the first 468 are the face landmarks in their usual order.
        gain: [K] how far a controller repeats what its landmark does: 1 in the face, 0 where it merges with the skull.
        role: [K] what moves it.
        landmark: [K] the landmark it belongs to; -1 for the jaw.
    """

    rest: NDArray[np.float64]
    gain: NDArray[np.float64]
    role: NDArray[np.int64]
    landmark: NDArray[np.int64]

    def of(self, role: Role) -> NDArray[np.int64]:
        """Numbers of the controllers with that role."""
        return np.flatnonzero(self.role == role)

    def joined(self, rest: NDArray[np.float64], role: Role, landmark: NDArray[np.int64] | None = None) -> "Controllers":
        """With more of one role at the end."""
        count = len(rest)
        return Controllers(
            np.concatenate([self.rest, rest]),
            np.concatenate([self.gain, np.ones(count)]),
            np.concatenate([self.role, np.full(count, role)]),
            np.concatenate([self.landmark, np.full(count, -1) if landmark is None else landmark]),
        )


def landmark_gain() -> NDArray[np.float64]:
    """[468] 1 in the face; less along the hairline and before the ears, where landmarks are noise more than motion."""
    gain = np.ones(FACE_LANDMARKS)
    rim = np.array(FACE_OVAL)
    gain[rim] = 0.15
    gain[list(TEMPLES_AND_EARS)] = 0.0
    jawline = (361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132)
    gain[list(jawline)] = np.sin(np.linspace(0, np.pi, len(jawline))).clip(0.2, 0.75) / 0.75
    gain[list(CHIN)] = 1.0
    return gain


def build_controllers(work: WorkMesh, survey: HeadSurvey) -> tuple[Controllers, sparse.csr_matrix]:
    """Controllers and their [N, K] weights over the surface points of a refined and cut mesh."""
    skin = skin_faces(work, survey)
    points, faces = work.points(), work.point_faces
    seen = skin & survey.visible[work.origin]
    anchors = _attach_landmarks(points, faces, np.flatnonzero(seen), survey)
    hidden = _hidden_points(work, seen, skin)
    in_mouth = hidden & _behind(survey.mouth, points, across=0.9, depth=1.5)
    in_socket = hidden & np.any([_behind(eye, points, across=0.8, depth=1.0) for eye in survey.eyes], axis=0)
    jaw = _attach_jaw(points, faces, in_mouth, survey.mouth)
    extra = [_Extra(Role.JAW, np.full(JAW_CONTROLLERS, -1), jaw)] if jaw is not None else []
    extra += [part for eye in range(2) for part in _attach_eye(points, faces, np.flatnonzero(skin), survey, eye)]
    every = anchors
    for part in extra:
        every = _joined(every, part.anchors)
    free, tension = _freedom(points, faces, skin, every, in_mouth, in_socket, survey)
    weights = solve_weights(points, faces[skin], _renumbered(every, skin), free, tension)
    controllers = Controllers(
        anchors.positions(points, faces),
        landmark_gain(),
        np.full(FACE_LANDMARKS, Role.LANDMARK),
        np.arange(FACE_LANDMARKS),
    )
    for part in extra:
        controllers = controllers.joined(part.anchors.positions(points, faces), part.role, part.landmark)
    return controllers, weights


@dataclass(frozen=True, eq=False)
class _Extra:
    """Controllers beside the landmarks."""

    role: Role
    landmark: NDArray[np.int64]
    anchors: Anchors


def _attach_eye(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    among: NDArray[np.int64],
    survey: HeadSurvey,
    eye: int,
) -> list[_Extra]:
    """Controllers of what a surface in one piece shows between its lids; none where eyes are made otherwise."""
    opening = survey.eyes[eye]
    sides = sides_of(opening, points)
    patch = among[(sides.near & (sides.level <= 1e-9))[faces[among]].all(axis=1)]
    if opening.parted or opening.closed or not len(patch):
        return []
    upper = _on_rim(opening, survey.landmarks[list(UPPER_LIDS[eye][1:-1])], 1.0, offset=-_RIM_OFFSET)
    lower = _on_rim(opening, survey.landmarks[list(LOWER_LIDS[eye][1:-1])], -1.0, offset=-_RIM_OFFSET)
    rim = np.concatenate([opening.upper[:1], upper, opening.upper[-1:], lower])
    lids = np.array([*UPPER_LIDS[eye], *LOWER_LIDS[eye][1:-1]])
    iris = np.array(IRISES[eye])
    middle = survey.landmarks[iris]
    seen = sides_of(opening, middle).level < -_IRIS_MARGIN
    seen[0] = True
    return [
        _Extra(Role.EYE_RIM, lids, _anchored(rim, points, faces, patch, _LID_SCALE)),
        _Extra(Role.IRIS, iris[seen], _anchored(middle[seen], points, faces, patch, _SCALE)),
    ]


def _anchored(
    target: NDArray[np.float64],
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    among: NDArray[np.int64],
    scale: float,
) -> Anchors:
    return Anchors(*closest_on_faces(target, points, faces, among), np.full(len(target), scale))


def skin_faces(work: WorkMesh, survey: HeadSurvey) -> NDArray[np.bool_]:
    """[F] faces of the skin."""
    return np.asarray((survey.parts.kind[survey.mesh.faces[:, 0]] == Kind.SKIN)[work.origin])


def _attach_landmarks(
    points: NDArray[np.float64], faces: NDArray[np.int64], seen: NDArray[np.int64], survey: HeadSurvey
) -> Anchors:
    """Every landmark at the nearest place of the visible skin, lips and lids on their own side of the opening."""
    target = survey.landmarks[:FACE_LANDMARKS].copy()
    allowed: list[tuple[NDArray[np.bool_], NDArray[np.int64]]] = []
    lips = [(UPPER_LIP, LOWER_LIP)]
    lids = [((UPPER_LIDS[eye],), (LOWER_LIDS[eye],)) for eye in range(2)]
    for opening, (upper, lower) in zip((survey.mouth, *survey.eyes), lips + lids, strict=True):
        above, below = faces_beside(opening, points, faces[seen])
        for chains, sign, side in ((upper, 1.0, above), (lower, -1.0, below)):
            own = mask(*(chain[1:-1] for chain in chains))
            target[list(chains[-1][1:-1])] = _on_rim(opening, target[list(chains[-1][1:-1])], sign)
            target[own] = _beside_rim(opening, target[own], sign)
            allowed.append((own, seen[side]))
        for corner in (0, -1):
            target[upper[-1][corner]] = opening.upper[corner]
    face, bary, distance = closest_on_faces(target, points, faces, seen)
    for own, among in allowed:
        if len(among):
            face[own], bary[own], distance[own] = closest_on_faces(target[own], points, faces, among)
    return Anchors(face, bary, distance, _scales())


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


def _on_rim(
    opening: Opening, chain: NDArray[np.float64], sign: float, offset: float = _RIM_OFFSET
) -> NDArray[np.float64]:
    """A landmark chain [N, 3] without its corners, slid to `offset` (in widths) beside the rim, outwards."""
    rim = opening.upper if sign > 0 else opening.lower
    along = np.clip(opening.flat(chain)[:, 0], 0.02, 0.98)
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


def _scales() -> NDArray[np.float64]:
    scale = np.full(FACE_LANDMARKS, _SCALE)
    scale[mask(*UPPER_LIP, *LOWER_LIP)] = _LIP_SCALE
    scale[mask(UPPER_LIP[-1], LOWER_LIP[-1])] = _RIM_SCALE
    scale[mask(*UPPER_LIDS, *LOWER_LIDS)] = _LID_SCALE
    return scale


def depth_in_mouth(work: WorkMesh, survey: HeadSurvey) -> NDArray[np.float64]:
    """[N] how far along the skin each point of a modelled mouth's inside lies behind the lips, in mouth widths; −1 for
    points that are elsewhere."""
    skin = skin_faces(work, survey)
    seen = skin & survey.visible[work.origin]
    points, faces = work.points(), work.point_faces
    in_mouth = _hidden_points(work, seen, skin) & _behind(survey.mouth, points, across=0.9, depth=1.5)
    distance = edge_distance(points, faces[skin], np.unique(faces[seen])) / survey.mouth.width
    return np.where(in_mouth, distance, -1.0)


def _hidden_points(work: WorkMesh, seen: NDArray[np.bool_], skin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[N] skin points no visible face touches."""
    hidden = np.zeros(work.point_count, dtype=bool)
    hidden[work.point_faces[skin]] = True
    hidden[work.point_faces[seen]] = False
    return hidden


def _behind(opening: Opening, points: NDArray[np.float64], across: float, depth: float) -> NDArray[np.bool_]:
    """[N] points in the space behind an opening: up to `across` above and below its middle, `depth` deep (widths)."""
    flat = opening.flat(points)
    rim = opening.flat((opening.upper + opening.lower) / 2)
    middle = np.interp(flat[:, 0], rim[:, 0], rim[:, 1])
    deep = np.interp(flat[:, 0], rim[:, 0], rim[:, 2]) - flat[:, 2]
    inside = (flat[:, 0] > -0.2) & (flat[:, 0] < 1.2) & (np.abs(flat[:, 1] - middle) < across)
    return np.asarray(inside & (deep > -0.02) & (deep < depth))


def _attach_jaw(
    points: NDArray[np.float64], faces: NDArray[np.int64], in_mouth: NDArray[np.bool_], mouth: Opening
) -> Anchors | None:
    """Points spread over the lower half of a modelled mouth cavity, away from the lips; None where there is none."""
    flat = mouth.flat(points)
    rim = mouth.flat((mouth.upper + mouth.lower) / 2)
    below = np.interp(flat[:, 0], rim[:, 0], rim[:, 1]) - flat[:, 1]
    deep = np.interp(flat[:, 0], rim[:, 0], rim[:, 2]) - flat[:, 2]
    floor = np.flatnonzero(in_mouth & (below > 0.12) & (deep > 0.12))
    if len(floor) < JAW_CONTROLLERS:
        return None
    chosen = _spread_out(points[floor], JAW_CONTROLLERS)
    face_of_point = np.full(len(points), -1)
    for corner in range(3):
        face_of_point[faces[:, corner]] = np.arange(len(faces))
    face = face_of_point[floor[chosen]]
    bary = (faces[face] == floor[chosen][:, None]).astype(np.float64)
    scale = np.full(len(face), 0.1 * mouth.width)
    return Anchors(face, bary, np.zeros(len(face)), scale)


def _spread_out(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of `count` points far from each other (farthest point sampling from the middle)."""
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)


def _freedom(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    skin: NDArray[np.bool_],
    anchors: Anchors,
    in_mouth: NDArray[np.bool_],
    in_socket: NDArray[np.bool_],
    survey: HeadSurvey,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """[N] which points may move at all, and [N] how stiffly a motion carries on through them."""
    distance = edge_distance(points, faces[skin], np.unique(faces[anchors.face]))
    free = distance < REACH
    free &= ~in_socket | (distance < _INSIDE_REACH)
    flat = survey.mouth.flat(points)
    rim = survey.mouth.flat((survey.mouth.upper + survey.mouth.lower) / 2)
    above = flat[:, 1] - np.interp(flat[:, 0], rim[:, 0], rim[:, 1])
    deep = np.interp(flat[:, 0], rim[:, 0], rim[:, 2]) - flat[:, 2]
    free &= ~(in_mouth & (above > 0.1) & (deep > 0.25))  # the palate stays with the skull
    tension = np.where(in_mouth | in_socket, _INSIDE_TENSION, _TENSION)
    return free, tension


def _joined(one: Anchors, other: Anchors) -> Anchors:
    return Anchors(
        np.concatenate([one.face, other.face]),
        np.concatenate([one.bary, other.bary]),
        np.concatenate([one.distance, other.distance]),
        np.concatenate([one.scale, other.scale]),
    )


def _renumbered(anchors: Anchors, kept: NDArray[np.bool_]) -> Anchors:
    """The same places in the numbering of the kept faces."""
    number = np.cumsum(kept) - 1
    return Anchors(number[anchors.face], anchors.bary, anchors.distance, anchors.scale)
