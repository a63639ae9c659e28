"""Looking at a head whose own shapes move it, and say where its face is: nothing of its mesh has to be understood."""

import logging
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import COLUMNS
from calib.rig.own_shapes import units_among
from calib.survey.hand_landmarks import completed
from calib.survey.hand_placement import on_surface, place_by_hand
from calib.survey.head_survey import HeadSurvey, rims_of
from calib.survey.openings import PARTED_CLOSED_GAP, Opening, opening_frame
from calib.survey.parts import Kind, Parts
from calib.survey.placement import FACE_HEIGHT, moved, usual_axes
from calib.survey.shape_landmarks import ShapeLandmarks, shape_landmarks
from calib.survey.surface import make_surface
from calib.survey.views import Studio
from core.errors import InputError
from core.face_regions import eye_corners
from core.mesh import Mesh

log = logging.getLogger(__name__)

_MOVES = 1e-4  # of the face's height: a piece that no shape moves farther is no part of the face
_ELSEWHERE = 0.25  # of the face's height: landmarks so far from where shapes open eyes and mouth are of no face


def survey_by_shapes(
    name: str,
    mesh: Mesh,
    studio: Studio,
    canonical: NDArray[np.float64],
    up: str | None = None,
    front: str | None = None,
) -> HeadSurvey | None:
    """Look at a head with shapes of its own, by these. `canonical` [478, 3] is the average face.

    None where they do not tell where its face is, or what they tell is no face's.
    """
    told = shape_landmarks(mesh, usual_axes(name, up, front), up, front)
    if told is None:
        return None
    try:
        every = completed(name, told.points, mesh, canonical)
    except InputError as reason:
        log.info("its own shapes do not tell where its face is: %s", reason)
        return None
    placement, landmarks = place_by_hand(every, canonical, told.up, told.front)
    T = placement.T_world_file
    vertices = moved(mesh.vertices.astype(np.float64), T)
    placed = {point: moved(at, T) for point, at in every.items()}
    landmarks = on_surface(landmarks, placed, partial(studio.look, T), vertices, mesh.faces.astype(np.int64))
    surface = make_surface(vertices, mesh.faces)
    mouth, *eyes = (_opening(*rims) for rims in rims_of(landmarks))
    return HeadSurvey(
        mesh,
        replace(placement, guessed=up is None or front is None),
        vertices,
        surface,
        landmarks,
        mouth,
        (eyes[0], eyes[1]),
        _parts(mesh, T, surface.components()[surface.point_of_vertex]),
        np.ones(len(mesh.faces), dtype=bool),
        by_shapes=True,
    )


def contradicted(name: str, survey: HeadSurvey) -> bool:
    """Whether the face that was found on a head is not where its own shapes open eyes and mouth: an ornament, or the
    markings on the back of its head. Shapes named by the sides of the picture say that the head looks the other way,
    but are where the face is all the same, and that counts."""
    told: ShapeLandmarks | None = shape_landmarks(survey.mesh, usual_axes(name))
    if told is None:
        return False
    T = survey.placement.T_world_file
    eyes = [survey.landmarks[list(eye_corners(eye))].mean(axis=0) for eye in range(2)]
    lips = (told.points["upper_lip_edge"] + told.points["lower_lip_edge"]) / 2
    off_lips = float(np.linalg.norm(moved(lips, T) - survey.landmarks[[13, 14]].mean(axis=0)))
    elsewhere = []
    for sides in (("left", "right"), ("right", "left")):
        middles = [(told.points[f"{side}_eye_outer"] + told.points[f"{side}_eye_inner"]) / 2 for side in sides]
        off = [float(np.linalg.norm(moved(at, T) - eye)) for at, eye in zip(middles, eyes, strict=True)]
        elsewhere.append(max(off_lips, *off) > _ELSEWHERE * FACE_HEIGHT)
    straight, mirrored = elsewhere
    if straight and not mirrored:
        log.info("%s: left and right of its shapes are the picture's, not the person's: it moves the other side", name)
    return straight and mirrored


def _opening(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> Opening:
    """An eye or a mouth with these rims [N, 3], which end at its corners."""
    frame, width = opening_frame(upper)
    rims = []
    for rim in (upper, lower):
        along = (rim - upper[0]) @ frame[0] / width
        order = np.argsort(along)
        columns = np.linspace(0.0, 1.0, COLUMNS)
        rims.append(np.stack([np.interp(columns, along[order], rim[order, axis]) for axis in range(3)], axis=1))
    gap = float(np.quantile((rims[0] - rims[1]) @ frame[1], 0.8))
    return Opening(rims[0], rims[1], True, gap < PARTED_CLOSED_GAP * width, width, frame, 1.0)


def _parts(mesh: Mesh, T_world_file: NDArray[np.float64], component: NDArray[np.int64]) -> Parts:
    """Skin is the piece of which shapes move the most; what they move besides (eyes, teeth, brows) goes with it, and
    what they never move stays with the skull."""
    assert mesh.morphs is not None, "they told where the face is"
    numbers = list(units_among(mesh).values())
    size = float(np.cbrt(np.linalg.det(T_world_file[:3, :3])))
    farthest = size * np.linalg.norm(mesh.morphs.displacement[numbers], axis=2).max(axis=0)
    moving = np.bincount(component, farthest > _MOVES * FACE_HEIGHT)
    kind = np.full(len(component), Kind.STILL, dtype=np.int64)
    kind[moving[component] > 0] = Kind.FOLLOWER
    kind[component == moving.argmax()] = Kind.SKIN
    return Parts(kind, component, (None, None), component)
