"""How the skin moves: controlling weights of every point of it."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.anchoring import attach_eyes, attach_jaw, attach_landmarks, attach_lids
from calib.controllers import Controllers, landmark_controllers
from calib.openings import Opening
from calib.parts import Kind
from calib.remesh import WorkMesh
from calib.smooth_weights import Anchors, edge_distance, solve_weights
from calib.survey import HeadSurvey

REACH = 0.45  # avatar units along the skin beyond the outermost controller; there all motion has died away
_INSIDE_REACH = 0.12  # the same into an eye socket
_TENSION, _INSIDE_TENSION = 0.35, 0.06


def build_controllers(work: WorkMesh, survey: HeadSurvey) -> tuple[Controllers, sparse.csr_matrix]:
    """Controllers and their [N, K] weights over the surface points of a refined and cut mesh."""
    skin = skin_faces(work, survey)
    points, faces = work.points(), work.point_faces
    seen = skin & survey.visible[work.origin]
    visible = np.flatnonzero(seen)
    anchors = attach_landmarks(points, faces, visible, survey)
    hidden = _hidden_points(work, seen, skin)
    in_mouth = hidden & _behind(survey.mouth, points, across=0.9, depth=1.5)
    in_socket = hidden & np.any([_behind(eye, points, across=0.8, depth=1.0) for eye in survey.eyes], axis=0)
    extra = [
        *attach_lids(points, faces, visible, survey),
        *attach_eyes(points, faces, np.flatnonzero(skin), survey),
        *attach_jaw(points, faces, in_mouth, survey.mouth),
    ]
    controllers, every = landmark_controllers(anchors.positions(points, faces)), anchors
    for more in extra:
        controllers = controllers.joined(more.anchors.positions(points, faces), more.role, more.eye, more.along)
        every = _joined(every, more.anchors)
    free, tension = _freedom(points, faces, skin, every, in_mouth, in_socket, survey)
    return controllers, solve_weights(points, faces[skin], _renumbered(every, skin), free, tension)


def skin_faces(work: WorkMesh, survey: HeadSurvey) -> NDArray[np.bool_]:
    """[F] faces of the skin."""
    return np.asarray((survey.parts.kind[survey.mesh.faces[:, 0]] == Kind.SKIN)[work.origin])


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
