"""Putting a prepared avatar together: the mesh to draw, and the rig that moves it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from calib.rig.controllers import Controllers, Role
from calib.rig.expression_basis import ExpressionBasis
from calib.rig.face_rig import EyeRig, FaceRig, JawRig, MouthRig
from calib.rigging.anchoring import faces_beside
from calib.rigging.expression_transfer import carry_units, rims_as_skin
from calib.rigging.jaw_hinge import jaw_hinge
from calib.rigging.lids import make_lids
from calib.rigging.neck import find_neck
from calib.rigging.skin import build_controllers, depth_in_mouth, skin_faces
from calib.rigging.strain import relaxing_rows
from calib.rigging.template_fit import fit_template
from calib.rigging.template_head import load_template
from calib.rigging.tongue import find_tongue, tongue_out
from calib.surgery.cutting import extend_rim
from calib.surgery.eye_pieces import (
    EyeShape,
    cover_vertices,
    eye_shape,
    eyeball_piece,
    lower_drop,
    open_aperture,
    outer_profile,
)
from calib.surgery.mouth_pieces import JawFrame, jaw_corners, lining_piece, room_below, teeth_pieces, tongue_piece
from calib.surgery.pieces import Piece, with_pieces
from calib.surgery.remesh import WorkMesh, display_mesh, edge_table, refine, split_edges, without_faces, work_mesh
from calib.surgery.seams import cut_opening, sides_of
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind
from calib.survey.surface import directed_edges, face_normals, point_normals, undirected
from core.face_regions import CHIN
from core.mesh import Mesh
from render.mesh.looks import look_of

STEPS = ("mouth and eyes", "controllers and their weights", "the built-in head", "expressions carried over")
_FINE = 1 / 24  # of the mouth's width: longest edges around mouth and eyes
_FINE_EYE = 1 / 14  # of an eye's width, where that is less
_ROUNDS = 5  # of halving edges
_AROUND_MOUTH, _AROUND_EYE = (0.2, 0.4), (0.25, 0.5)  # refined beyond corners and rims, in widths
_FACING = 0.3  # of a normal, out of the face
_BESIDE_HIGH = 0.3  # in widths: at least so far beyond the rims of eyes higher than any human's
_NEIGHBOURS = 8
_FOLLOW_FULL, _FOLLOW_END = 0.12, 0.5  # avatar units: followers so near the skin go along fully, so far not at all
_RESTS = 0.02  # avatar units: a thing rests on skin not much farther away than the nearest
_INNER_LIP = 0.08  # of the mouth's width: how much of a lip's inside is kept where the mouth gets a new inside
_DRAWN = 1.3  # mouth widths from its middle, in which no edge may be drawn out
_SHORTEST = 1e-4  # in mouth widths: the ends of shorter edges move as one
_EYES = ("eye_left", "eye_right")
_MOST_SAG = 0.06  # of an eyeball's radius
_APRON, _APRON_DEPTH = 0.06, 0.025  # of an eye's width: a strip behind the lids


def assemble(survey: HeadSurvey, tell: Callable[[str], None] = lambda _what: None) -> tuple[Mesh, FaceRig]:
    """The mesh to draw (avatar units; the file's vertices first) and its rig. `tell` hears of each of `STEPS`."""
    tell(STEPS[0])
    beside = ThreadPoolExecutor(1, "fit-template")  # it needs the survey alone, and takes as long as all before it
    fitting = beside.submit(lambda: fit_template(load_template(), survey))
    beside.shutdown(wait=False)
    work = replace(work_mesh(survey.mesh), vertices=survey.vertices.copy())
    work = _refined(work, survey)
    for opening in (survey.mouth, *survey.eyes):
        if not opening.parted and (opening is survey.mouth or not opening.painted_high):
            work = cut_opening(work, opening)
    work = _rows_apart(work, survey)
    new_mouth = _mouth_needs_inside(work, survey)
    if new_mouth:
        work = _without_cavity(_without_membrane(work, survey), survey)
    tell(STEPS[1])
    controllers, point_weights = build_controllers(work, survey)
    weights = _part_weights(work, survey, point_weights)
    shapes = (eye_shape(survey, 0), eye_shape(survey, 1))
    lids = make_lids(work, survey, 0, shapes[0]), make_lids(work, survey, 1, shapes[1])
    for opening in survey.eyes:
        work, weights = _with_apron(work, weights, opening)
    jaw = JawFrame(jaw_corners(survey.mouth), len(controllers.rest))
    controllers = controllers.joined(jaw.corners, Role.JAW)
    weights = sparse.hstack([weights, sparse.csr_matrix((weights.shape[0], 4), dtype=np.float32)]).tocsr()
    pieces = _mouth_pieces(work, survey, weights, jaw) if new_mouth else []
    pieces += [
        eyeball_piece(name, shape.ball, len(controllers.rest))
        for name, shape in zip(_EYES, shapes, strict=True)
        if shape.added
    ]
    full, parts, materials, numbers = with_pieces(work, survey.mesh.parts, survey.mesh.materials, pieces)
    weights = sparse.vstack([weights, *(piece.weights for piece in pieces)]).tocsr().astype(np.float32)
    mesh, _ = display_mesh(full, parts, materials)
    by_name = {piece.name: vertices for piece, vertices in zip(pieces, numbers, strict=True)}
    eyes = [_eye_rig(work, survey, shapes[eye], eye, by_name) for eye in range(2)]
    tell(STEPS[2])
    fit = fitting.result()
    tell(STEPS[3])
    mouth = survey.mouth
    basis = carry_units(load_template(), fit, survey, work, controllers, weights)
    basis, weights = _not_drawn_out(basis, weights, controllers, full, work, survey)
    rig = FaceRig(
        mesh.vertices,
        controllers,
        weights,
        MouthRig(mouth.frame, mouth.width, mouth.upper, mouth.lower, mouth.closed),
        (eyes[0], eyes[1]),
        _jaw_rig(survey, jaw_hinge(load_template(), fit), mesh, by_name),
        find_neck(survey, full.vertices, len(work.vertices)),
        basis,
        lids,
    )
    return mesh, rig


def _not_drawn_out(
    basis: ExpressionBasis,
    weights: sparse.csr_matrix,
    controllers: Controllers,
    full: WorkMesh,
    work: WorkMesh,
    survey: HeadSurvey,
) -> tuple[ExpressionBasis, sparse.csr_matrix]:
    """Basis and weights with which no triangle around the mouth is drawn out; see `calib.rigging.strain`."""
    mouth = survey.mouth
    faces = work.faces[skin_faces(work, survey)]
    near = np.linalg.norm(work.vertices - mouth.centre, axis=1) < _DRAWN * mouth.width
    faces = faces[near[faces].all(axis=1)]
    rows = relaxing_rows(basis, full.vertices, full.point, faces, _SHORTEST * mouth.width)
    relaxed = replace(
        basis,
        vertices=(rows @ basis.vertices).tocsr().astype(np.float32),
        corrections=(rows @ basis.corrections).tocsr().astype(np.float32),
    )
    weights = (rows @ weights).tocsr().astype(np.float32)
    return rims_as_skin(relaxed, controllers, weights, full.vertices, faces), weights


def _refined(work: WorkMesh, survey: HeadSurvey) -> WorkMesh:
    """Triangles around mouth and eyes small enough to bend."""
    fine = _FINE * survey.mouth.width
    if not survey.by_hand:
        return refine(work, _near_openings(work, survey), fine)
    facets = _shaded_flat(survey)
    for opening in (survey.mouth, *survey.eyes):  # models of all kinds: triangles may be larger than the whole eye
        longest = min(fine, _FINE_EYE * opening.width)
        for _ in range(_ROUNDS):
            count = len(work.vertices)
            work = refine(work, _touching(work, survey, opening), longest, rounds=1, rounded=not facets)
            if len(work.vertices) == count:
                break
    return work


def _touching(work: WorkMesh, survey: HeadSurvey, opening: Opening) -> NDArray[np.bool_]:
    """[N] surface points of triangles that reach into the surroundings of an opening with a corner, side or middle."""
    corners = work.points()[work.point_faces]
    probes = [corners[:, 0], corners[:, 1], corners[:, 2], corners.mean(axis=1)]
    probes += [(corners[:, k] + corners[:, k - 1]) / 2 for k in range(3)]
    touching = np.any([_around(opening, opening is survey.mouth, probe) for probe in probes], axis=0)
    touching &= skin_faces(work, survey)
    near = np.zeros(work.point_count, dtype=bool)
    near[work.point_faces[touching]] = True
    return near


def _near_openings(work: WorkMesh, survey: HeadSurvey) -> NDArray[np.bool_]:
    """[N] surface points around mouth and eyes, where the mesh is made fine enough to bend. Lids that are open in the
    file and shaded flat stay as they are: they turn as they are, and finer facets would show as crumples."""
    points = work.points()
    facets = _shaded_flat(survey)
    bending = [survey.mouth, *(eye for eye in survey.eyes if not (facets and eye.parted))]
    near = np.any([_around(each, each is survey.mouth, points) for each in bending], axis=0)
    skin = np.zeros(len(points), dtype=bool)
    skin[work.point[: len(survey.vertices)][survey.parts.kind == Kind.SKIN]] = True
    return np.asarray(near & skin)


def _shaded_flat(survey: HeadSurvey) -> bool:
    """Whether some of the head is meant to show its triangles."""
    return any(look_of(part, survey.mesh.materials[part.material]).faceted for part in survey.mesh.parts)


def _around(opening: Opening, mouth: bool, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N] whether points lie on or beside an opening, and not far behind or before it."""
    beyond, beside = _AROUND_MOUTH if mouth else _AROUND_EYE
    flat = opening.flat(points)
    upper, lower = opening.rims_at(flat[:, 0])
    line, half = (upper + lower)[:, 1] / 2, float(opening.gap().max()) / 2 / opening.width
    inside = (flat[:, 0] > -beyond) & (flat[:, 0] < 1 + beyond)
    inside &= np.abs(flat[:, 1] - line) < max(beside, half + _BESIDE_HIGH)
    return np.asarray(inside & (np.abs(flat[:, 2] - opening.depth_at(flat)) < 0.5))


def _rows_apart(work: WorkMesh, survey: HeadSurvey) -> WorkMesh:
    """Teeth of both jaws in one piece, cut where they meet: a face between them would be drawn out like a curtain."""
    kind = np.full(len(work.vertices), Kind.SKIN)
    kind[: len(survey.vertices)] = survey.parts.kind
    corners = kind[work.faces]
    between = (corners == Kind.UPPER_MOUTH).any(axis=1) & (corners == Kind.LOWER_MOUTH).any(axis=1)
    return without_faces(work, between) if between.any() else work


def _without_cavity(work: WorkMesh, survey: HeadSurvey) -> WorkMesh:
    """Take away the inside of a mouth that has no teeth, from a smooth line a little behind the lips."""
    depth = depth_in_mouth(work, survey)
    table = edge_table(work)
    one, other = depth[table.ends].T
    crossing = (one >= 0) & (other >= 0) & ((one - _INNER_LIP) * (other - _INNER_LIP) < 0)
    step = np.where(crossing, other - one, 1.0)
    split, _ = split_edges(work, table, np.where(crossing, (_INNER_LIP - one) / step, np.nan))
    depth = np.concatenate([depth, np.full(split.point_count - len(depth), _INNER_LIP)])
    inside = (depth[split.point_faces] >= _INNER_LIP - 1e-9).all(axis=1)
    skin = skin_faces(split, survey)
    return without_faces(split, np.asarray(inside) | _islands(split, skin & ~inside, skin & inside))


def _islands(work: WorkMesh, kept: NDArray[np.bool_], dropped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[F] of the `kept` faces [F]: those that hung on the rest by `dropped` ones only, scraps of a cavity."""
    faces, count = work.point_faces, work.point_count
    edges = directed_edges(faces[kept])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    part = connected_components(graph, directed=False)[1]
    touching = np.unique(part[faces[dropped]])
    sizes = np.bincount(part[faces[kept][:, 0]], minlength=int(part.max()) + 1)
    scraps = touching[sizes[touching] < sizes.max()]
    return np.asarray(kept & np.isin(part[faces[:, 0]], scraps))


def _with_apron(work: WorkMesh, weights: sparse.csr_matrix, opening: Opening) -> tuple[WorkMesh, sparse.csr_matrix]:
    """Let what an eye in one piece shows reach a little way under its lids, so that no gap opens between them."""
    if opening.parted or opening.closed or opening.painted_high:
        return work, weights
    sides = sides_of(opening, work.vertices)
    patch = (sides.near & (sides.level < 0.01))[work.faces].all(axis=1) & (sides.level[work.faces].min(axis=1) < -0.01)
    flat = opening.flat(work.vertices)
    outward = np.stack([flat[:, 0] - 0.5, 2.0 * flat[:, 1], np.zeros(len(flat))], axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    offset = _APRON * opening.width * outward @ opening.frame
    lids = np.setdiff1d(work.faces[sides.near[work.faces].all(axis=1) & ~patch], work.faces[patch])
    if not len(lids):
        return work, weights
    normal = point_normals(work.points(), work.point_faces)[work.point]
    _, nearest = cKDTree(work.vertices[lids]).query(work.vertices + offset)
    over = np.einsum("vd,vd->v", work.vertices + offset - work.vertices[lids[nearest]], normal[lids[nearest]])
    offset -= np.maximum(over + _APRON_DEPTH * opening.width, 0)[:, None] * normal[lids[nearest]]
    grown, source = extend_rim(work, patch, offset)
    return grown, sparse.vstack([weights, weights[source]]).tocsr()


def _part_weights(work: WorkMesh, survey: HeadSurvey, point_weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """[V', K] weights of the vertices: skin its own, followers those of the skin next to them, the rest none."""
    kind = np.full(len(work.vertices), Kind.SKIN)
    kind[: len(survey.vertices)] = survey.parts.kind
    skin_face = (survey.parts.kind[survey.mesh.faces[:, 0]] == Kind.SKIN)[work.origin]
    on_skin = np.unique(work.faces[skin_face & survey.visible[work.origin]])
    weights = point_weights[work.point].tolil()
    own = point_weights[work.point[on_skin]]
    tree = cKDTree(work.vertices[on_skin])
    followers = np.flatnonzero(kind == Kind.FOLLOWER)
    if len(followers):
        distance, nearest = tree.query(work.vertices[followers])
        near = np.clip((_FOLLOW_END - distance) / (_FOLLOW_END - _FOLLOW_FULL), 0, 1)
        weights[followers] = sparse.diags(near * near * (3 - 2 * near)) @ own[nearest]
    whole = survey.parts.whole
    for number in np.unique(whole[survey.parts.kind == Kind.RIGID]):
        members = np.flatnonzero((whole == number) & (survey.parts.kind == Kind.RIGID))
        distance, nearest = tree.query(work.vertices[members])
        rests = np.exp((distance.min() - distance) / _RESTS)  # it goes with what it rests on, as one
        near = float(np.clip((_FOLLOW_END - distance.min()) / (_FOLLOW_END - _FOLLOW_FULL), 0, 1))
        mean = sparse.csr_matrix(near * rests / rests.sum()) @ own[nearest]
        weights[members] = sparse.csr_matrix(np.ones((len(members), 1))) @ mean
    return weights.tocsr()


def _mouth_pieces(work: WorkMesh, survey: HeadSurvey, weights: sparse.csr_matrix, jaw: JawFrame) -> list[Piece]:
    """A mouth's inside: lining, teeth, tongue."""
    mouth, controllers = survey.mouth, weights.shape[1]
    seen = survey.visible & (survey.parts.kind[survey.mesh.faces[:, 0]] == Kind.SKIN)
    if survey.by_hand:  # seen from steeply below and beside, too: a throat is no face to stay behind
        seen &= face_normals(survey.vertices, survey.mesh.faces.astype(np.int64))[:, 2] > _FACING
    rims = _rim_weights(work, survey, weights)
    room = room_below(mouth, survey.landmarks[CHIN[0]])
    skin = survey.vertices[np.unique(survey.mesh.faces[seen])]
    fine = work.vertices[np.unique(work.faces[seen[work.origin]])]
    lining, teeth = lining_piece(mouth, rims, jaw, skin, room), teeth_pieces(mouth, jaw, controllers, fine, room)
    return [lining, *teeth, tongue_piece(mouth, jaw, controllers, room)]


def _mouth_needs_inside(work: WorkMesh, survey: HeadSurvey) -> bool:
    """No teeth or tongue, and lips that meet or are one piece: what cavity there is, is no mouth to look into. Or an
    open mouth with nothing behind it at all, as in masks."""
    mouth = survey.mouth
    if survey.parts.has(Kind.UPPER_MOUTH, Kind.LOWER_MOUTH):
        return False
    return mouth.closed or not mouth.parted or float(depth_in_mouth(work, survey).max()) < _INNER_LIP


def _without_membrane(work: WorkMesh, survey: HeadSurvey) -> WorkMesh:
    """Take away what a surface in one piece has between lips that are apart: it has been cut loose, and would hang
    before the teeth."""
    mouth = survey.mouth
    if mouth.parted or mouth.closed:
        return work
    skin, count = skin_faces(work, survey), work.point_count
    edges = directed_edges(work.point_faces[skin])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    part = connected_components(graph, directed=False)[1][work.point_faces[:, 0]]
    sides = sides_of(mouth, work.vertices[work.faces].mean(axis=1))
    between = skin & sides.near & (sides.level < 0)
    loose = np.bincount(part[between], minlength=count) > 0.5 * np.bincount(part[skin], minlength=count)
    return without_faces(work, skin & loose[part])


def _rim_weights(
    work: WorkMesh, survey: HeadSurvey, weights: sparse.csr_matrix
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """[33, K] weights of the points of the mouth's rims, each blended from the nearest vertices of its own lip."""
    mouth = survey.mouth
    seen = np.flatnonzero(skin_faces(work, survey) & survey.visible[work.origin])
    result = []
    for rim, side in zip(
        (mouth.upper, mouth.lower), faces_beside(mouth, work.points(), work.point_faces[seen]), strict=True
    ):
        own = np.unique(work.faces[seen[side]])
        distance, nearest = cKDTree(work.vertices[own]).query(rim, k=_NEIGHBOURS)
        share = 1.0 / (distance + 0.01 * mouth.width) ** 2
        share /= share.sum(axis=1, keepdims=True)
        rows = np.repeat(np.arange(len(rim)), _NEIGHBOURS)
        blend = sparse.csr_matrix((share.reshape(-1), (rows, nearest.reshape(-1))), shape=(len(rim), len(own)))
        result.append((blend @ weights[own]).tocsr())
    return result[0], result[1]


def _eye_rig(
    work: WorkMesh,
    survey: HeadSurvey,
    shape: EyeShape,
    eye: int,
    pieces: dict[str, NDArray[np.int64]],
) -> EyeRig:
    opening = survey.eyes[eye]
    place = opening.flat(opening.upper)[:, 0]
    aperture = open_aperture(place) * opening.width if shape.shut else opening.gap()
    lower_rest = -lower_drop(place) * opening.width if shape.shut else np.zeros(len(place))
    kind = Kind.EYE_LEFT if eye == 0 else Kind.EYE_RIGHT
    ball = pieces.get(_EYES[eye], np.flatnonzero(survey.parts.kind == kind))
    cover = cover_vertices(work, survey, opening, shape.ball)
    profile = outer_profile(shape.ball, survey.vertices[survey.parts.kind == kind])
    profile = profile * (1 + _sag(work, cover, shape.ball.radius))
    return EyeRig(
        frame=opening.frame,
        width=opening.width,
        upper=opening.upper,
        lower=opening.lower,
        aperture=aperture,
        lower_rest=lower_rest,
        centre=shape.ball.centre,
        profile=profile,
        ball=ball,
        cover=cover,
    )


def _sag(work: WorkMesh, cover: NDArray[np.int64], radius: float) -> float:
    """How far straight edges between lid vertices `cover` cut into a ball on which these lie, in radii."""
    on_cover = np.zeros(len(work.vertices), dtype=bool)
    on_cover[cover] = True
    edges = undirected(directed_edges(work.faces[on_cover[work.faces].all(axis=1)]))[0]
    if not len(edges):
        return 0.0
    length = np.linalg.norm(work.vertices[edges[:, 0]] - work.vertices[edges[:, 1]], axis=1)
    return min(float(np.quantile(length, 0.9) / radius) ** 2 / 8, _MOST_SAG)


def _jaw_rig(
    survey: HeadSurvey, hinge: NDArray[np.float64], mesh: Mesh, pieces: dict[str, NDArray[np.int64]]
) -> JawRig:
    upper = np.flatnonzero(survey.parts.kind == Kind.UPPER_MOUTH)
    tongue = pieces["tongue"] if "tongue" in pieces else find_tongue(survey)
    points = mesh.vertices.astype(np.float64)
    faces = mesh.faces[np.isin(mesh.faces, tongue).all(axis=1)].astype(np.int64)
    normals = point_normals(points, faces)[tongue]
    return JawRig(
        hinge=hinge,
        vertices=np.flatnonzero(survey.parts.kind == Kind.LOWER_MOUTH),
        upper=np.concatenate([upper, pieces.get("teeth_upper", upper[:0])]),
        tongue=tongue,
        tongue_out=tongue_out(survey.mouth, points[tongue], normals, np.searchsorted(tongue, faces)),
    )
