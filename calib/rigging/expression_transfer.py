"""The expression units carried onto an avatar: its skin goes along with the places of the template it lies on.

The built-in head, bent onto the avatar (`calib.rigging.template_fit`), moves; displacements are carried over place by
place: see Noh and Neumann, "Expression cloning" (SIGGRAPH 2001).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from calib.rig.controllers import Controllers, Role
from calib.rig.expression_basis import ExpressionBasis, template_topology
from calib.rigging.skin import skin_faces
from calib.rigging.template_fit import TemplateFit
from calib.rigging.template_head import TemplateHead
from calib.surgery.remesh import WorkMesh
from calib.surgery.seams import sides_of
from calib.survey.closest import closest_bary, closest_on_faces, edge_distance
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.surface import face_normals, point_normals
from core.face_regions import FACE_LANDMARKS

Points = NDArray[np.float64]

_TURN_M = 0.004  # a normal turned by a right angle weighs as much as 1.4 times this distance
_CANDIDATES = 48
_NEAR_M, _FADE_M = 0.004, 0.004  # skin within the first of the template goes along fully, beyond it fades
_LED = 0.3  # a vertex that follows a controller so far stands for it
_SURE = 0.5
_OTHER_SIDE_M = 0.05  # the upper lip never goes along with the lower one, however near
_SEEDS, _SIDE_REACH = (
    (0.05, 0.30),
    0.5,
)  # in an opening's widths: what surely lies beside its rims, and how far they rule
_EVEN_EYE, _EVEN_MOUTH = (0.08, 0.85, 0.3), (0.06, 1.6, 0.4)
"""In the opening's widths: over how much, how far from its middle, and over how much of that it fades."""
_LEAST_SHARE = 0.016
_OWN_WAY = (Role.JAW, Role.UPPER_EYE, Role.LOWER_EYE, Role.EYE_CORNER, Role.IRIS)
"""Controllers the retargeter moves itself: what follows them does not follow the units."""


def carry_units(
    template: TemplateHead,
    fit: TemplateFit,
    survey: HeadSurvey,
    work: WorkMesh,
    controllers: Controllers,
    weights: sparse.csr_matrix,
) -> ExpressionBasis:
    """The basis of an assembled avatar.

    Args:
        template: the built-in head.
        fit: the template on it.
        work: refined and cut; its V' vertices come first among the R of the display mesh.
        controllers, weights: all K of them and [R, K] weights of the finished rig.
    """
    skin = np.unique(work.faces[skin_faces(work, survey)])
    places, trust = _places(fit, survey, work, skin)
    places = _evened(places, survey, work, skin)
    count = weights.shape[0]
    rows = sparse.csr_matrix((np.ones(len(skin)), (skin, np.arange(len(skin)))), shape=(count, len(skin)))
    carried = (rows @ places).tocsr()
    share = np.zeros(count)
    share[skin] = trust
    shown_eyes = np.isin(controllers.role, _OWN_WAY[1:])
    share *= 1 - np.clip(np.asarray(weights[:, shown_eyes].sum(axis=1)).ravel(), 0, 1)
    at_controllers = _at_controllers(template, carried, weights, controllers, share)
    vertices = sparse.diags(share) @ carried + sparse.diags(1 - share) @ (weights @ at_controllers)
    own_way = sparse.diags(np.isin(controllers.role, _OWN_WAY).astype(float))
    used = np.unique(np.concatenate([vertices.tocsr().indices, at_controllers.indices])).astype(np.int64)
    return ExpressionBasis(
        fit.base,
        fit.rotation.T / fit.scale,
        used,
        _clean(vertices.tocsr()[:, used]),
        _clean(at_controllers[:, used]),
        _clean(weights - sparse.diags(share) @ weights @ own_way),
    )


def rims_as_skin(
    basis: ExpressionBasis,
    controllers: Controllers,
    weights: sparse.csr_matrix,
    points: Points,
    faces: NDArray[np.int64],
) -> ExpressionBasis:
    """The same basis, in which controllers on the rims of lips go along with units as the skin does that they lie on:
    engines see by them whether lips meet. The vertex that follows one most may lie a millimetre beside it.

    Args:
        weights: [R, K] of the finished rig; points: [R, 3] at rest; faces: [F, 3] of the skin around the mouth.
    """
    at = basis.controllers.tolil()
    for role, own in zip((Role.UPPER_LIP, Role.LOWER_LIP), lip_faces(controllers, weights, faces), strict=True):
        rows = controllers.of(role)
        if not len(rows) or not len(own):
            continue
        face, bary, _ = closest_on_faces(controllers.rest[rows], points, own, np.arange(len(own)))
        entries = (bary.ravel(), (np.repeat(np.arange(len(rows)), 3), own[face].ravel()))
        at[rows] = sparse.csr_matrix(entries, shape=(len(rows), len(points))) @ basis.vertices
    return replace(basis, controllers=_clean(at))


def lip_faces(
    controllers: Controllers, weights: sparse.csr_matrix, faces: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those of `faces` [F, 3] that go with the upper and with the lower lip: where they touch, both lie there."""
    lips = (Role.UPPER_LIP, Role.LOWER_LIP)
    upper, lower = (np.asarray(weights[:, controllers.of(role)].sum(axis=1)).ravel() for role in lips)
    leads = (upper - lower)[faces].sum(axis=1)
    return faces[leads > 0], faces[leads < 0]


def opening_sides(survey: HeadSurvey, points: Points, faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N, 3] for the mouth and both eyes: 1 for points of a surface that hang together with the skin above the opening,
    −1 for those below it, 0 far away. `points` [N, 3] avatar units."""
    return np.stack([_side(opening, points, faces) for opening in (survey.mouth, *survey.eyes)], axis=1)


def _side(opening: Opening, points: Points, faces: NDArray[np.int64]) -> NDArray[np.float64]:
    flat = opening.flat(points)
    upper, lower = opening.rims_at(flat[:, 0])
    near = sides_of(opening, points).near
    least, most = _SEEDS
    used = np.zeros(len(points), dtype=bool)
    used[faces] = True
    seeds = [
        np.flatnonzero(used & near & (away > least) & (away < most))
        for away in (flat[:, 1] - upper[:, 1], lower[:, 1] - flat[:, 1])
    ]
    if not all(len(seed) for seed in seeds):
        return np.zeros(len(points))
    above, below = (edge_distance(points, faces, seed) for seed in seeds)
    ruled = near & (np.minimum(above, below) < _SIDE_REACH * opening.width)
    return np.where(ruled & (above != below), np.where(above < below, 1.0, -1.0), 0.0)


def _places(
    fit: TemplateFit, survey: HeadSurvey, work: WorkMesh, skin: NDArray[np.int64]
) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """[S, F] barycentric weights of the template's finished skin at the avatar's skin vertices [S], and trust [S]."""
    topology = template_topology()
    faces = topology.faces["skin"].astype(np.int64)
    reach = topology.ranges["skin"][1]
    template = topology.matrix[:reach] @ fit.base
    target = fit.to_template(work.vertices[skin])
    own_side = opening_sides(survey, work.points(), work.point_faces[skin_faces(work, survey)])[work.point[skin]]
    side = np.rint(opening_sides(survey, fit.to_avatar(template), faces)[faces].mean(axis=1))
    normal = (point_normals(work.points(), work.point_faces)[work.point] @ fit.rotation.T)[skin]
    outward = face_normals(template, faces)
    features = np.concatenate([template[faces].mean(axis=1), _TURN_M * outward], axis=1)
    _, near = cKDTree(features).query(np.concatenate([target, _TURN_M * normal], axis=1), k=_CANDIDATES)
    bary, squared = closest_bary(target, template[faces[near]])
    turned = ((outward[near] - normal[:, None]) ** 2).sum(axis=2)
    other_side = (side[near] * own_side[:, None] < 0).any(axis=2)
    best = (squared + _TURN_M**2 * turned + _OTHER_SIDE_M**2 * other_side).argmin(axis=1)
    row = np.arange(len(skin))
    beyond = np.maximum(np.sqrt(squared[row, best]) - _NEAR_M, 0) / _FADE_M
    columns = faces[near[row, best]]
    matrix = sparse.csr_matrix(
        (bary[row, best].ravel(), (np.repeat(row, 3), columns.ravel())), shape=(len(skin), reach)
    )
    return matrix, np.exp(-(beyond**2))


def _evened(
    places: sparse.csr_matrix, survey: HeadSurvey, work: WorkMesh, skin: NDArray[np.int64]
) -> sparse.csr_matrix:
    """The places [S, F], around eyes and mouth averaged over neighbours on the same side of the opening: lids and lips
    of two heads never lie alike, and where neighbours go along with quite different places, skin folds over or tears.
    """
    points = work.vertices[skin]
    side = opening_sides(survey, work.points(), work.point_faces[skin_faces(work, survey)])[work.point[skin]]
    for number, opening in enumerate((survey.mouth, *survey.eyes)):
        sigma, reach, fade = _EVEN_EYE if number else _EVEN_MOUTH
        distance = np.linalg.norm(points - opening.centre, axis=1) / opening.width
        near = np.flatnonzero(distance < reach)
        kernel = _kernel(points[near], side[near, number], sigma * opening.width)
        share = np.clip((reach - distance[near]) / fade, 0, 1)
        even = (sparse.diags(share) @ kernel + sparse.diags(1 - share)) @ places[near]
        put = sparse.csr_matrix((np.ones(len(near)), (near, np.arange(len(near)))), shape=(len(skin), len(near)))
        kept = np.ones(len(skin))
        kept[near] = 0.0
        places = (sparse.diags(kept) @ places + put @ _without_small(even)).tocsr()
    return places


def _kernel(points: Points, side: NDArray[np.float64], sigma: float) -> sparse.csr_matrix:
    """[N, N] that averages over points [N, 3] nearer than 2 sigma that do not lie on the other side [N]."""
    pairs = cKDTree(points).query_pairs(2 * sigma, output_type="ndarray")
    pairs = pairs[side[pairs[:, 0]] * side[pairs[:, 1]] >= 0]
    one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    weight = np.exp(-0.5 * (np.linalg.norm(points[one] - points[other], axis=1) / sigma) ** 2)
    kernel = sparse.csr_matrix((weight, (one, other)), shape=(len(points),) * 2) + sparse.identity(len(points))
    return (sparse.diags(1 / np.asarray(kernel.sum(axis=1)).ravel()) @ kernel).tocsr()


def _without_small(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows without their smallest entries, which cost time every frame, the others scaled so that sums stay."""
    kept = matrix.tocsr().copy()
    kept.data[kept.data < _LEAST_SHARE] = 0.0
    kept.eliminate_zeros()
    sums = [np.asarray(each.sum(axis=1)).ravel() for each in (matrix, kept)]
    return (sparse.diags(sums[0] / np.maximum(sums[1], 1e-9)) @ kept).tocsr()


def _at_controllers(
    template: TemplateHead,
    carried: sparse.csr_matrix,
    weights: sparse.csr_matrix,
    controllers: Controllers,
    share: NDArray[np.float64],
) -> sparse.csr_matrix:
    """[K, F] the template's places at the controllers: those of the vertex that follows each one most.

    Landmarks that no vertex stands for lie where they do on the template.
    """
    trusted = (sparse.diags((share > _SURE).astype(float)) @ weights).tocsc()
    leader = np.asarray(trusted.argmax(axis=0)).ravel()
    led = np.asarray(trusted.max(axis=0).toarray()).ravel() > _LED
    led &= ~np.isin(controllers.role, _OWN_WAY)
    alone = sparse.diags((~led[:FACE_LANDMARKS]).astype(float)) @ _landmark_places(template)
    rest = sparse.csr_matrix((len(led) - FACE_LANDMARKS, alone.shape[1]))
    return (sparse.diags(led.astype(float)) @ carried[leader] + sparse.vstack([alone, rest])).tocsr()


def _landmark_places(template: TemplateHead) -> sparse.csr_matrix:
    """[468, F] the face landmarks on the template's finished skin."""
    topology = template_topology()
    reach = topology.ranges["skin"][1]
    points, faces = topology.matrix[:reach] @ template.mean, topology.faces["skin"].astype(np.int64)
    landmarks = template.landmarks[:FACE_LANDMARKS] @ template.mean
    face, bary, _ = closest_on_faces(landmarks, points, faces, np.arange(len(faces)))
    rows = np.repeat(np.arange(FACE_LANDMARKS), 3)
    return sparse.csr_matrix((bary.ravel(), (rows, faces[face].ravel())), shape=(FACE_LANDMARKS, reach))


def _clean(matrix: sparse.spmatrix) -> sparse.csr_matrix:
    result = matrix.tocsr().astype(np.float32)
    result.data[np.abs(result.data) < 1e-4] = 0
    result.eliminate_zeros()
    return result
