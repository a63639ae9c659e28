"""How the skin moves: controlling weights of every point of it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from calib.rig.controllers import Controllers, landmark_controllers
from calib.rigging.anchoring import attach_eyes, attach_jaw, attach_landmarks, attach_rims
from calib.rigging.smooth_weights import Anchors, solve_weights
from calib.surgery.remesh import WorkMesh
from calib.surgery.seams import sides_of
from calib.survey.closest import edge_distance
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind
from calib.survey.surface import directed_edges, point_normals

REACH = 0.45  # avatar units along the skin beyond the outermost controller; there all motion has died away
_INSIDE_REACH = 0.12  # the same into an eye socket
_TENSION, _INSIDE_TENSION = 0.35, 0.06
_SQUASHED_TENSION = 0.015  # of eyes that shut by being squashed: what they show must not fold over
_WALL_THICKNESS = 0.14  # avatar units
_WALL_FROM_LIPS = 0.12  # in mouth widths: nearer to the lips an inner side follows its own rim


def build_controllers(work: WorkMesh, survey: HeadSurvey) -> tuple[Controllers, sparse.csr_matrix]:
    """Controllers and their [N, K] weights over the surface points of a refined and cut mesh."""
    skin = skin_faces(work, survey)
    points, faces = work.points(), work.point_faces
    seen = skin & survey.visible[work.origin]
    visible = np.flatnonzero(seen)
    anchors = attach_landmarks(points, faces, visible, survey)
    hidden = _hidden_points(work, seen, skin)
    in_mouth = _cavity(survey.mouth, points, faces[skin], hidden)
    in_socket = np.any([_cavity(eye, points, faces[skin], hidden) for eye in survey.eyes], axis=0) & ~in_mouth
    extra = [
        *attach_rims(points, faces, visible, survey),
        *attach_eyes(points, faces, np.flatnonzero(skin), survey),
        *attach_jaw(points, faces, in_mouth, survey.mouth),
    ]
    controllers, every = landmark_controllers(anchors.positions(points, faces), survey.by_hand), anchors
    for more in extra:
        controllers = controllers.joined(more.anchors.positions(points, faces), more.role, more.eye, more.along)
        every = every.joined(more.anchors)
    walls = _walls(points, faces[skin], np.unique(faces[seen]), in_mouth, _WALL_FROM_LIPS * survey.mouth.width)
    free, tension = _freedom(points, faces, skin, every, in_mouth, in_socket, survey)
    free[walls] = True
    every = replace(every, face=(np.cumsum(skin) - 1)[every.face])  # in the numbering of the skin's faces
    return controllers, solve_weights(points, faces[skin], every, free, tension, walls)


def _walls(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    seen: NDArray[np.int64],
    in_mouth: NDArray[np.bool_],
    from_lips: float,
) -> NDArray[np.int64]:
    """[P, 2] points of a mouth's inside and those of the face right in front of them: cheeks and lips are thin."""
    inside = np.flatnonzero(in_mouth & (edge_distance(points, faces, seen) > from_lips))
    if not len(inside):
        return np.zeros((0, 2), dtype=np.int64)
    normal = point_normals(points, faces)
    distance, nearest = cKDTree(points[seen]).query(points[inside])
    outside = seen[nearest]
    behind = np.einsum("nd,nd->n", points[inside] - points[outside], normal[outside]) < -0.5 * distance
    opposite = np.einsum("nd,nd->n", normal[inside], normal[outside]) < -0.2
    thin = (distance < _WALL_THICKNESS) & behind & opposite
    return np.asarray(np.stack([inside, outside], axis=1)[thin], dtype=np.int64)


def skin_faces(work: WorkMesh, survey: HeadSurvey) -> NDArray[np.bool_]:
    """[F] faces of the skin."""
    return np.asarray((survey.parts.kind[survey.mesh.faces[:, 0]] == Kind.SKIN)[work.origin])


def depth_in_mouth(work: WorkMesh, survey: HeadSurvey) -> NDArray[np.float64]:
    """[N] how far along the skin each point of a modelled mouth's inside lies behind the lips, in mouth widths; −1 for
    points that are elsewhere."""
    skin = skin_faces(work, survey)
    seen = skin & survey.visible[work.origin]
    points, faces = work.points(), work.point_faces
    in_mouth = _cavity(survey.mouth, points, faces[skin], _hidden_points(work, seen, skin))
    distance = edge_distance(points, faces[skin], np.unique(faces[seen])) / survey.mouth.width
    return np.where(in_mouth, distance, -1.0)


def _hidden_points(work: WorkMesh, seen: NDArray[np.bool_], skin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[N] skin points no visible face touches."""
    hidden = np.zeros(work.point_count, dtype=bool)
    hidden[work.point_faces[skin]] = True
    hidden[work.point_faces[seen]] = False
    return hidden


def _cavity(
    opening: Opening, points: NDArray[np.float64], faces: NDArray[np.int64], hidden: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """[N] hidden points of the cavity behind an opening: what hangs together with those right behind its rims; none
    where the surface goes on across a closed opening, since then nothing lies inside."""
    if opening.closed and not opening.parted:
        return np.zeros(len(points), dtype=bool)
    flat, rim = opening.flat(points), opening.flat((opening.upper + opening.lower) / 2)
    middle, front = (np.interp(flat[:, 0], rim[:, 0], rim[:, axis]) for axis in (1, 2))
    deep, beside = front - flat[:, 2], np.abs(flat[:, 1] - middle)
    start = hidden & (np.abs(flat[:, 0] - 0.5) < 0.4) & (beside < 0.2) & (deep > 0.0) & (deep < 0.4)
    room = hidden & (np.abs(flat[:, 0] - 0.5) < 1.0) & (beside < 1.2) & (deep > -0.2) & (deep < 1.8)
    edges = directed_edges(faces[room[faces].all(axis=1)])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2)
    part = connected_components(graph, directed=False)[1]
    return np.asarray(room & np.isin(part, np.unique(part[start & room])))


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
    for eye in survey.eyes:
        if eye.painted_high:
            sides = sides_of(eye, points)
            tension[sides.near & (sides.level < 0)] = _SQUASHED_TENSION
    return free, tension
