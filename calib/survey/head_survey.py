"""Everything that looking at a head tells: how it stands, its landmarks, its openings, what is skin, what is seen."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from calib.survey.face_finder import FaceFinder, NoFaceError
from calib.survey.hand_landmarks import Points, completed
from calib.survey.hand_placement import on_surface, place_by_hand
from calib.survey.landmarks import DETECT_PIXELS, LookWorld, find_landmarks, landmark_components, topology_landmarks
from calib.survey.openings import Opening, trace_opening
from calib.survey.parts import THINGS, Kind, Parts, recognise_parts, skin_pieces
from calib.survey.piece_names import named_pieces
from calib.survey.placement import FACE_HEIGHT, Placement, moved, usual_axes
from calib.survey.placing import no_face, placements
from calib.survey.surface import Surface, directed_edges, make_surface
from calib.survey.views import Studio, front_camera
from core.face_regions import (
    FACE_LANDMARKS,
    LOWER_LIDS,
    LOWER_MOUTH_LINE,
    MOUTH_CORNERS,
    UPPER_LIDS,
    UPPER_MOUTH_LINE,
)
from core.mesh import Mesh

_CLOSE_UP_PIXELS = 640
_CLOSE_UP_MARGIN = 0.8  # half the picture's width, in widths of the opening
_CLOSE_UP_ROOM = 1.3  # and at least so many times the height of an opening that is higher than wide
_RIGHT_BEHIND, _HIDES = 0.6, 0.7  # avatar units; share of a piece's landmarks with skin right behind it
_MOUTH_CLOSED, _EYES_CLOSED = 0.09, 0.08  # landmarks of a surface in one piece that gape less, in widths, touch
_LEAST_TOLD = 30  # vertices of a piece that is worth a word: scraps of a scan are no accessories
_SHOWN_PARTS = (
    ("eyeballs", (Kind.EYE_LEFT, Kind.EYE_RIGHT)),
    ("teeth or tongue", (Kind.UPPER_MOUTH, Kind.LOWER_MOUTH)),
    ("lashes, brows or hair", (Kind.FOLLOWER, Kind.STILL)),
    ("accessories", (Kind.RIGID,)),
)
_PEEP_DEPTH, _PEEP_ACROSS = 0.06, 0.25  # in widths: behind the rims of an opening, and beside them
_BRIDGE = (168, 6, 197, 195, 5, 4, 1)  # landmarks down the middle of the nose
_LEAST_SIDE = 1 / 3  # of the wider side's width: whole faces, drawn ones too, come out at .7 and more
_LEAST_PATCH = 0.005  # of all visible faces
_SIDE_VIEWS = ((0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, -0.4), (0.0, 0.3))
_STEEP_VIEWS = ((1.1, 0.0), (-1.1, 0.0), (0.0, -0.8), (0.0, -1.2), (0.7, -0.8), (-0.7, -0.8), (0.0, 1.0))
"""For snouts: their under sides are no inside of a mouth."""


@dataclass(frozen=True, eq=False)
class HeadSurvey:
    """What was found out about a head.

    Attributes:
        mesh: as it comes from the file.
        vertices: [V, 3] float64 avatar units.
        surface: of `mesh`, in avatar units.
        landmarks: [478, 3] float64 avatar units.
        mouth, eyes: their rims; picture-left eye first.
        parts: what its pieces are.
        visible: [F] whether a face is seen from somewhere in front, lashes and hair aside.
        by_hand: a person placed its landmarks.
        by_shapes: its own shapes say where its landmarks are, and will move it, see `calib.survey.shape_survey`.
    """

    mesh: Mesh
    placement: Placement
    vertices: NDArray[np.float64]
    surface: Surface
    landmarks: NDArray[np.float64]
    mouth: Opening
    eyes: tuple[Opening, Opening]
    parts: Parts
    visible: NDArray[np.bool_]
    by_hand: bool = False
    by_shapes: bool = False

    def describe(self) -> str:
        """What was found, in words."""
        if self.by_shapes:
            return "mouth and eyes found, and moved, by its own shapes alone"
        mouth = "lips apart" if not self.mouth.closed else "lips meet" if self.mouth.parted else "lips in one piece"
        eyes = "eyes shut" if self.eyes[0].closed else "eyes open" if self.eyes[0].parted else "eyes in one piece"
        found = [name for name, kinds in _SHOWN_PARTS if self.parts.has(*kinds, least=_LEAST_TOLD)]
        half = "half of the face missing, " if not self.by_hand and missing_half(self.landmarks) else ""
        return f"{half}{mouth}, {eyes}" + (f", with {', '.join(found)}" if found else "")


def missing_half(landmarks: NDArray[np.float64]) -> Literal["left", "right"] | None:
    """The side of the picture at which a face with landmarks [478, 3] has next to nothing beside its nose, as half a
    mesh has: landmarks beyond its edge are put there. None where it has both sides."""
    across = landmarks[:FACE_LANDMARKS, 0]
    nose = float(np.median(landmarks[list(_BRIDGE), 0]))
    left, right = nose - float(across.min()), float(across.max()) - nose
    if min(left, right) > _LEAST_SIDE * max(left, right):
        return None
    return "left" if left < right else "right"


def survey_head(
    name: str, mesh: Mesh, studio: Studio, finder: FaceFinder, up: str | None = None, front: str | None = None
) -> HeadSurvey:
    """Look at a head. Raises InputError where no human face is found."""
    used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
    usual, refusal = usual_axes(name, up, front), None
    for placement, _ in placements(name, used, studio.look, finder, up, front):
        try:
            return survey_placed(name, mesh, studio, finder, placement)
        except NoFaceError as error:
            if usual in (None, (placement.up, placement.front)):
                refusal = refusal or error
    raise refusal or no_face(name, used, studio.look, finder, up, front)


def survey_placed(name: str, mesh: Mesh, studio: Studio, finder: FaceFinder, placement: Placement) -> HeadSurvey:
    """The same for a head whose placement is known."""
    T = placement.T_world_file
    landmarks = topology_landmarks(mesh, moved(mesh.vertices.astype(np.float64), T), finder)
    if landmarks is None:
        landmarks = find_landmarks(name, partial(studio.look, T), finder, axes_stated=not placement.guessed)
    return survey_landmarked(mesh, studio, placement, landmarks)


def survey_by_hand(
    name: str,
    mesh: Mesh,
    studio: Studio,
    points: Points,
    canonical: NDArray[np.float64],
    up: str | None = None,
    front: str | None = None,
) -> HeadSurvey:
    """Look at a head on which a person placed `points`; see `calib.survey.hand_landmarks`. `canonical` [478, 3] is the
    average face. Raises InputError where points are missing or do not belong to the mesh."""
    every = completed(name, points, mesh, canonical)
    placement, landmarks = place_by_hand(every, canonical, up, front)
    T = placement.T_world_file
    placed = {point: moved(at, T) for point, at in every.items()}
    vertices = moved(mesh.vertices.astype(np.float64), T)
    landmarks = on_surface(landmarks, placed, partial(studio.look, T), vertices, mesh.faces.astype(np.int64))
    survey = survey_landmarked(mesh, studio, placement, landmarks, (*_SIDE_VIEWS, *_STEEP_VIEWS))
    return replace(survey, by_hand=True)


def survey_landmarked(
    mesh: Mesh,
    studio: Studio,
    placement: Placement,
    landmarks: NDArray[np.float64],
    views: tuple[tuple[float, float], ...] = _SIDE_VIEWS,
) -> HeadSurvey:
    """The rest of looking at a head, once it is known where it stands and where its landmarks [478, 3] are.

    `views`: yaw and pitch in radians of the pictures that tell what is outside and what is a cavity.
    """
    T = placement.T_world_file
    look = partial(studio.look, T)
    vertices = moved(mesh.vertices.astype(np.float64), T)
    surface = make_surface(vertices, mesh.faces)
    component = surface.components()[surface.point_of_vertex]
    parts = _parts(mesh, look, vertices, component, landmarks, T)
    kind = parts.kind[mesh.faces[:, 0]]
    visible = np.zeros(len(mesh.faces), dtype=bool)
    with Studio(_without(mesh, np.isin(kind, THINGS))) as bare_studio:
        look_bare = partial(bare_studio.look, T)
        mouth, eyes = _openings(look_bare, landmarks, surface, kind == Kind.SKIN)
        for yaw, pitch in views:
            view = look_bare(*front_camera(np.zeros(3), FACE_HEIGHT, DETECT_PIXELS, yaw, pitch))
            visible[np.unique(view.face_id[view.face_id >= 0])] = True
    middle = vertices[mesh.faces].mean(axis=1)
    for opening in (mouth, *eyes):
        visible &= ~_peeped_at(opening, middle)
    visible &= _in_large_patch(surface.point_of_vertex[mesh.faces], visible)
    return HeadSurvey(mesh, placement, vertices, surface, landmarks, mouth, eyes, parts, visible)


def _parts(
    mesh: Mesh,
    look: LookWorld,
    vertices: NDArray[np.float64],
    component: NDArray[np.int64],
    landmarks: NDArray[np.float64],
    T_world_file: NDArray[np.float64],
) -> Parts:
    """What the pieces are. What landmarks fall on is skin, unless its name or skin right behind it says otherwise."""
    owner = component[mesh.faces[:, 0]]
    seen, shown = landmark_components(look, landmarks, owner)
    names = named_pieces(mesh, component)
    skin, said = skin_pieces(names, seen)
    if len(skin) > 1:
        most = skin[seen[skin].argmax()]
        with Studio(_without(mesh, owner != most)) as alone:
            _, bare = landmark_components(partial(alone.look, T_world_file), landmarks, owner)
        behind = bare.depth - shown.depth
        hides = (bare.component == most) & (behind > 0) & (behind < _RIGHT_BEHIND)
        covered = np.zeros(len(seen), dtype=bool)
        for number in skin[skin != most]:
            covered[number] = hides[shown.component == number].mean() > _HIDES
        skin, said = skin_pieces(names, seen, covered)
    return recognise_parts(mesh, vertices, component, skin, said, landmarks)


def _without(mesh: Mesh, hidden: NDArray[np.bool_]) -> Mesh:
    """The mesh with some faces [F] shrunk to nothing, so that the others keep their numbers."""
    faces = mesh.faces.copy()
    faces[hidden] = faces[hidden][:, :1]
    return replace(mesh, faces=faces)


def _in_large_patch(faces: NDArray[np.int64], visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[F] visible faces that hang together with many others: single ones are glimpses into mouth, nose or sockets."""
    edges = directed_edges(faces[visible])
    count = int(faces.max()) + 1
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    patch = connected_components(graph, directed=False)[1][faces[:, 0]]
    size = np.bincount(patch[visible], minlength=int(patch.max()) + 1)
    return np.asarray(size[patch] >= _LEAST_PATCH * visible.sum())


def _peeped_at(opening: Opening, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N] points that can only be seen through a parted opening: right behind its rims."""
    if not opening.parted:
        return np.zeros(len(points), dtype=bool)
    flat, rim = opening.flat(points), opening.flat((opening.upper + opening.lower) / 2)
    line, front = (np.interp(flat[:, 0], rim[:, 0], rim[:, axis]) for axis in (1, 2))
    half = np.interp(flat[:, 0], rim[:, 0], opening.gap() / 2 / opening.width)
    between = (flat[:, 0] > -0.05) & (flat[:, 0] < 1.05) & (np.abs(flat[:, 1] - line) < half + _PEEP_ACROSS)
    return np.asarray(between & (front - flat[:, 2] > _PEEP_DEPTH))


def _openings(
    look: LookWorld, landmarks: NDArray[np.float64], surface: Surface, skin: NDArray[np.bool_]
) -> tuple[Opening, tuple[Opening, Opening]]:
    lips, *lids = rims_of(landmarks)
    mouth = _trace(look, surface, skin, *lips, _gape(*lips) < _MOUTH_CLOSED)
    closed = float(np.mean([_gape(*pair) for pair in lids])) < _EYES_CLOSED
    left, right = (_trace(look, surface, skin, upper, lower, closed) for upper, lower in lids)
    return mouth, (left, right)


def rims_of(landmarks: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Upper and lower rim [N, 3] of the mouth and of both eyes by landmarks [478, 3], from picture-left to
    picture-right."""
    upper, lower = landmarks[list(UPPER_MOUTH_LINE)], landmarks[list(LOWER_MOUTH_LINE)]
    for end, corner in ((0, MOUTH_CORNERS[0]), (-1, MOUTH_CORNERS[1])):
        upper[end] = lower[end] = landmarks[[corner[0], corner[-1]]].mean(axis=0)
    lids = [(landmarks[list(UPPER_LIDS[eye])], landmarks[list(LOWER_LIDS[eye])]) for eye in range(2)]
    return [(upper, lower), *lids]


def _gape(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """Mean distance between two landmark chains over the middle half of an opening, in its widths."""
    width = float(np.linalg.norm(upper[-1] - upper[0]))
    quarter = len(upper) // 4
    return float((upper - lower)[quarter : len(upper) - quarter, 1].mean()) / max(width, 1e-12)


def _trace(
    look: LookWorld,
    surface: Surface,
    skin: NDArray[np.bool_],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    closed: bool,
) -> Opening:
    width = float(np.linalg.norm(upper[-1] - upper[0]))
    middle = (upper[0] + upper[-1]) / 2
    high = float(np.abs(np.concatenate([upper, lower])[:, 1] - middle[1]).max())
    camera = front_camera(middle, max(_CLOSE_UP_MARGIN * width, _CLOSE_UP_ROOM * high), _CLOSE_UP_PIXELS)
    return trace_opening(look(*camera), surface, skin, upper, lower, closed)
