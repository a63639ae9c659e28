"""Finding what goes along with the lids of an eye, and where exactly their rims are."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from calib.rig.lid_rig import RIM_COLUMNS, LidRig, no_lids
from calib.rigging.anchoring import faces_beside
from calib.rigging.skin import skin_faces
from calib.surgery.eye_pieces import EyeShape
from calib.surgery.remesh import WorkMesh
from calib.surgery.seams import sides_of
from calib.survey.closest import edge_distance
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind
from calib.survey.surface import directed_edges, undirected
from core.face_regions import BROWS, eye_corners

Points = NDArray[np.float64]

_HIGH, _MEET = (0.7, 1.2), (0.05, 0.42)  # apertures over an eye's width, and the share of them at which lids meet
_PLATEAU = 0.01  # in widths: skin so near to a rim goes along fully
_TO_CREASE = 0.9  # of the aperture: so far over its rim skin comes down with the upper lid, up to the crease
_LEAST_SPAN, _TO_BROW = 0.28, 0.8  # of the width; of the way from the rim to the brow: bounds of that
_LOWER_SPAN = 0.55  # in widths
_RIM_REACH, _RIM_TRUST = 0.25, 0.15  # in widths: how far from its traced line the rim of the mesh is looked for
_MOST_CORNER, _MEETING_CORNER = 0.3, 0.09  # in widths: how far a corner may lie beyond the rims; so near, it ends them
_GOING_OVER = 0.08  # in widths: over how much skin beside a corner goes over from lid to lid
_NEAR = 0.2  # in widths: skin that moves as the rim does
_CHEEK = 0.16  # in widths: how far below the lower rim its lashes look for skin that bulges
_LASH_ROOT, _LASH_LENGTH, _LASH_NARROW = 0.12, 1.0, 0.35  # in widths
_LEAST_SHEET = 20  # vertices: of less no lashes are made
_FILM_LENGTH = 0.7  # of the eye's width
_FILM, _FILM_RIM = 0.4, 0.15  # in widths: tears lie so near to both rims all along, and a quarter of them to each
_COLUMNS = np.linspace(0, 1, RIM_COLUMNS)


def make_lids(work: WorkMesh, survey: HeadSurvey, eye: int, shape: EyeShape) -> LidRig:
    """The lids of one eye on a refined and cut mesh, in vertices of `work`."""
    opening = survey.eyes[eye]
    points, faces = work.points(), work.point_faces
    skin = skin_faces(work, survey)
    seen = np.flatnonzero(skin & survey.visible[work.origin])
    sides = [seen[beside] for beside in faces_beside(opening, points, faces[seen])]
    if not all(len(side) for side in sides):
        return no_lids()
    near = np.linalg.norm(points - opening.centre, axis=1) < 2.0 * opening.width
    above, below = (edge_distance(points, faces[skin], np.unique(faces[side])) for side in sides)
    between_rims = opening.flat(points)[:, 1] - np.mean(opening.rims_at(opening.flat(points)[:, 0]), axis=0)[:, 1]
    lies_above = np.where(above == below, between_rims > 0, above < below)  # at a corner faces of both lids meet
    reached = near & np.isfinite(np.minimum(above, below))
    upper, lower, near_rim = np.zeros((3, len(points)))
    aperture = max(float(opening.gap().max()), 0.3 * opening.width)
    spans = _upper_span(survey, eye, aperture), _LOWER_SPAN * opening.width
    reach = _NEAR * opening.width + (aperture if shape.shut else 0.0)  # a lid that is shut in the file is all rim
    corners, turned = _corners(survey, eye), _Turned(opening, shape.ball.centre)
    pairs = zip(sides, (True, False), strict=True)
    rims = [_rim(points, faces[side], opening, turned, is_upper, corners) for side, is_upper in pairs]
    for share, own, traced, (ends, between), span in zip(
        (upper, lower), (lies_above, ~lies_above), (opening.upper, opening.lower), rims, spans, strict=True
    ):
        chosen = np.flatnonzero(reached & own)
        found = points[ends[:, 0]] + between[:, None] * (points[ends[:, 1]] - points[ends[:, 0]])
        distance = np.minimum(_line_distance(points[chosen], traced), _line_distance(points[chosen], found))
        distance[np.isin(chosen, ends)] = 0.0
        share[chosen] = _falloff(distance, _PLATEAU * opening.width, span)
        near_rim[chosen] = _falloff(distance, _PLATEAU * opening.width, reach)
    hidden = np.ones(len(points), dtype=bool)
    hidden[faces[seen]] = False
    beyond, above_corner = _beside_corners(opening, points, hidden, corners)
    upper *= 1 - beyond * (1 - above_corner)
    lower *= 1 - beyond * above_corner
    meet = 0.0 if shape.shut else float(np.interp(aperture / opening.width, _HIGH, _MEET))
    if opening.painted_high:
        _squash(upper, lower, points, opening, turned, meet)
    vertex = np.zeros(work.point_count, dtype=np.int64)
    vertex[work.point[::-1]] = np.arange(len(work.point))[::-1]
    rims.append(_line(points, faces[seen], opening, turned, opening.lower - _CHEEK * opening.width * opening.frame[1]))
    moving = np.flatnonzero(((upper > 0) | (lower > 0))[work.point])
    of = work.point[moving]
    lashes = _lashes(survey, opening)
    along = opening.flat(points[of])[:, 0]
    edges, between = np.stack([edge for edge, _ in rims]), np.stack([share for _, share in rims])
    return LidRig(moving, along, upper[of], lower[of], near_rim[of], vertex[edges], between, meet, corners, *lashes)


class _Turned:
    """Angles about the axis along an eye through the middle of its ball."""

    def __init__(self, opening: Opening, centre: Points) -> None:
        self._frame, self._centre = opening.frame, centre

    def angle(self, points: Points) -> NDArray[np.float64]:
        """[...] radians upwards from straight ahead for points [..., 3]."""
        local = (points - self._centre) @ self._frame.T
        return np.asarray(np.arctan2(local[..., 1], local[..., 2]))

    def radius(self, points: Points) -> NDArray[np.float64]:
        """[...] distance from the axis."""
        local = (points - self._centre) @ self._frame.T
        return np.asarray(np.hypot(local[..., 1], local[..., 2]))


def _beside_corners(
    opening: Opening, points: Points, hidden: NDArray[np.bool_], corners: Points
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[N] how far points [N, 3] lie beyond a corner of the eye (those `hidden` [N] in the socket: near it), and how far
    above it, each from 0 to 1: there the skin of both lids is one, and goes over from the one to the other."""
    along, across, _ = opening.flat(points).T
    upper, lower = opening.rims_at(along)
    over = across - (upper + lower)[:, 1] / 2
    left, right = np.where(
        corners > _MEETING_CORNER, 0.6 * _GOING_OVER, 0.0
    )  # flesh that lids close over is in between
    outwards = np.maximum(left - along, along - 1 + right) + np.where(hidden, _GOING_OVER, 0)
    beyond = np.clip(outwards / _GOING_OVER, 0, 1)
    return beyond, np.clip(0.5 + over / (2 * _GOING_OVER), 0, 1)


def _corners(survey: HeadSurvey, eye: int) -> NDArray[np.float64]:
    """[2] how far the corners of the eye, by its landmarks, lie beyond the ends of its rims, in widths."""
    left, right = survey.eyes[eye].flat(survey.landmarks[list(eye_corners(eye))])[:, 0]
    return np.asarray(np.clip([-left, right - 1], 0, _MOST_CORNER))


def _upper_span(survey: HeadSurvey, eye: int, aperture: float) -> float:
    """How far up the skin goes along with the upper lid: to the crease, and where eyes are tall as far as they are."""
    opening = survey.eyes[eye]
    brow = opening.flat(survey.landmarks[list(BROWS[eye])])
    over = np.sort(brow[:, 1] - opening.rims_at(brow[:, 0])[0][:, 1])[: len(brow) // 2]
    to_brow = _TO_BROW * float(np.median(over)) * opening.width
    return max(min(_TO_CREASE * aperture, to_brow), _LEAST_SPAN * opening.width)


def _falloff(distance: NDArray[np.float64], plateau: float, span: float) -> NDArray[np.float64]:
    """1 up to the plateau, smoothly 0 from the span on."""
    share = np.clip((distance - plateau) / max(span - plateau, 1e-9), 0, 1)
    return np.asarray(1 - share * share * (3 - 2 * share))


def _line_distance(points: Points, line: Points) -> NDArray[np.float64]:
    """[N] distance of points [N, 3] from a polyline [L, 3]."""
    start, along = line[:-1], np.diff(line, axis=0)
    share = np.einsum("nld,ld->nl", points[:, None] - start, along) / np.maximum((along**2).sum(axis=1), 1e-18)
    place = start + np.clip(share, 0, 1)[..., None] * along
    return np.asarray(np.sqrt(((points[:, None] - place) ** 2).sum(axis=2).min(axis=1)))


def _squash(
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    points: Points,
    opening: Opening,
    turned: _Turned,
    meet: float,
) -> None:
    """Let what an eye painted on the skin shows be squashed between its rims, evenly, in place."""
    sides = sides_of(opening, points)
    inside = np.flatnonzero(sides.near & (sides.level < 0))
    along = np.clip(opening.flat(points[inside])[:, 0], 0, 1)
    top, bottom = (
        np.interp(along, _COLUMNS, _on_columns(opening, turned, rim)) for rim in (opening.upper, opening.lower)
    )
    line, angle = bottom + meet * (top - bottom), turned.angle(points[inside])
    upper[inside] = np.clip((angle - line) / np.maximum(top - line, 1e-6), 0, 1)
    lower[inside] = np.clip((line - angle) / np.maximum(line - bottom, 1e-6), 0, 1)


def _on_columns(opening: Opening, turned: _Turned, rim: Points) -> NDArray[np.float64]:
    """[33] angle of a traced rim in each column."""
    return np.asarray(np.interp(_COLUMNS, opening.flat(rim)[:, 0], turned.angle(rim)))


def _rim(
    points: Points, faces: NDArray[np.int64], opening: Opening, turned: _Turned, is_upper: bool, corners: Points
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The edge of the lid's `faces` [F, 3] on which its rim lies in each column: points [33, 2] and the share [33]
    between them. The traced line tells roughly where; the mesh itself where exactly."""
    traced = opening.upper if is_upper else opening.lower
    edges, share, angle, off = _crossings(points, faces, opening, turned, traced)
    trust = np.full((RIM_COLUMNS, 1), _RIM_TRUST * opening.width / float(np.median(turned.radius(traced))))
    trust *= np.clip(6 * np.minimum(_COLUMNS, 1 - _COLUMNS), 0.2, 1)[:, None]  # in the corners flesh hides behind flesh
    outermost = np.where(off < trust, angle if is_upper else -angle, np.inf)
    by_line = ~np.isfinite(outermost.min(axis=1)) | opening.painted_high
    by_line[[0, -1]] |= corners < _MEETING_CORNER  # elsewhere lids go on beyond what was traced
    chosen = np.where(by_line, off.argmin(axis=1), outermost.argmin(axis=1))
    return edges[chosen], np.clip(share[np.arange(RIM_COLUMNS), chosen], 0, 1)


def _line(
    points: Points, faces: NDArray[np.int64], opening: Opening, turned: _Turned, line: Points
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The edge of `faces` nearest to a line [33, 3] along an eye, in each column; as `_rim`."""
    edges, share, _, off = _crossings(points, faces, opening, turned, line)
    chosen = off.argmin(axis=1)
    return edges[chosen], np.clip(share[np.arange(RIM_COLUMNS), chosen], 0, 1)


def _crossings(
    points: Points, faces: NDArray[np.int64], opening: Opening, turned: _Turned, line: Points
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Edges [E, 2] near a line along an eye; for each column where it crosses each of them, as a share of the edge
    [33, E], at which angle [33, E] and how far from the line, in radians [33, E]: inf where it does not cross."""
    edges = undirected(directed_edges(faces))[0]
    used = np.unique(edges)
    close = np.zeros(len(points), dtype=bool)
    close[used] = _line_distance(points[used], line) < _RIM_REACH * opening.width
    edges = edges[close[edges].any(axis=1)]
    along = opening.flat(points)[:, 0]
    one, other = edges.T
    span = along[other] - along[one]
    share = (_COLUMNS[:, None] - along[one]) / np.where(np.abs(span) < 1e-9, np.inf, span)
    crosses = (share >= 0) & (share <= 1) & (np.abs(span) > 1e-9)
    angle = turned.angle(points[one] + share[..., None] * (points[other] - points[one]))
    off = np.where(crosses, np.abs(angle - _on_columns(opening, turned, line)[:, None]), np.inf)
    return edges, share, angle, off


def _lashes(survey: HeadSurvey, opening: Opening) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Vertices that ride on the rims, the places of their roots along the eye, and whether on the upper rim."""
    parts = survey.parts
    loose = np.isin(parts.kind, (Kind.FOLLOWER, Kind.RIGID))
    loose &= np.linalg.norm(survey.vertices - opening.centre, axis=1) < 3 * opening.width
    found: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]] = []
    for own in _sheets(survey, loose):
        to_rims = np.stack([_line_distance(survey.vertices[own], rim) for rim in (opening.upper, opening.lower)])
        distance = to_rims.min(axis=0)
        if distance.min() > _LASH_ROOT * opening.width or distance.max() > _LASH_LENGTH * opening.width:
            continue
        along = opening.flat(survey.vertices[own])[:, 0]
        root = distance < distance.min() + 0.02 * opening.width
        goes_round = np.ptp(along) > _FILM_LENGTH  # lashes in a corner are near both rims, too
        if np.ptp(along) < _LASH_NARROW:
            along = np.full(len(own), along[root].mean())
        near = distance.max() < _FILM * opening.width
        if goes_round and near and min((to_rims < _FILM_RIM * opening.width).mean(axis=1)) > 0.25:
            is_upper = to_rims[0] < to_rims[1]  # a film of tears goes round the eye
        else:
            is_upper = np.full(len(own), to_rims[0, root].mean() < to_rims[1, root].mean())
        found.append((own, np.clip(along, 0, 1), is_upper))
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=bool)
    lashes, along, upper = (np.concatenate(each) for each in zip(*found, strict=True))
    return lashes, along, upper


def _sheets(survey: HeadSurvey, loose: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Vertices of each piece of which some are `loose` [V]; sheet by sheet where it is several that only touch: lashes
    of the upper and of the lower lid meet in the corners, and a surface is zipped where edges lie on each other."""
    parts, faces = survey.parts, survey.mesh.faces
    inside = faces[loose[faces].any(axis=1)]
    count = len(survey.vertices)
    edges = directed_edges(inside.astype(np.int64))
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    sheet = connected_components(graph, directed=False)[1]
    for number in np.unique(parts.component[loose]):
        own = np.flatnonzero(parts.component == number)
        sizes = np.unique(sheet[own], return_counts=True)[1]
        if sizes.min() < _LEAST_SHEET:  # triangles on their own, and vertices twice along a seam
            yield own
        else:
            yield from (own[sheet[own] == each] for each in np.unique(sheet[own]))
