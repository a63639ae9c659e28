"""What the separate pieces of a head are: eyeballs, teeth, tongue, things that go along with the skin, and things that
stay as they are.

Names in the file decide where they say something (`calib.survey.piece_names`); otherwise place and shape do.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from calib.survey.closest import closest_on_faces, edge_distance
from calib.survey.eyeballs import find_eyeballs, is_shell
from core.face_regions import LIP_MIDDLES, eye_corners
from core.mesh import Mesh
from core.sphere import Sphere


class Kind(IntEnum):
    """What a vertex belongs to."""

    SKIN = 0
    EYE_LEFT = 1  # picture-left
    EYE_RIGHT = 2
    UPPER_MOUTH = 3  # stays with the skull
    LOWER_MOUTH = 4  # goes with the jaw
    FOLLOWER = 5  # lashes, brows, beards: goes with the skin next to it
    RIGID = 6  # glasses, jewellery: goes with the skin that it rests on, as one piece
    STILL = 7  # hair, hats: stays with the skull


THINGS = (Kind.FOLLOWER, Kind.RIGID, Kind.STILL)
"""What is no part of the face, and may hide it."""

_LEAST_TEETH = 30  # vertices
_LEAST_LANDMARKS = 8  # a piece that so many landmarks see may be skin
_WELL_SEEN = 0.5  # of the landmarks that the most seen piece has
_LIES_ON = 0.09  # avatar units: what is nowhere farther from the skin lies on it, as a beard or brow does
_LARGEST_THING = 3.0  # avatar units, of which a face is 1.3 high
_SAMPLES = 400
_TOUCHING = 0.02  # avatar units
_MOST_ASKED = 10_000  # vertices: whether pieces touch
_ROW_DEPTH, _ROW_HEIGHT = 0.25, 0.13  # in mouth widths: front of a row of teeth, and what lies beyond the lips' line
_IN_THE_MIDDLE = 0.5  # of an eyeball's radius: pieces of it lie around its axis


@dataclass(frozen=True, eq=False)
class Parts:
    """What the pieces of a head are.

    Attributes:
        kind: [V] Kind of each mesh vertex.
        component: [V] connected component of each mesh vertex.
        eyeballs: spheres of those found as pieces of their own, picture-left first; None where there is none.
        whole: [V] number of the thing each vertex belongs to; one number moves as one.
    """

    kind: NDArray[np.int64]
    component: NDArray[np.int64]
    eyeballs: tuple[Sphere | None, Sphere | None]
    whole: NDArray[np.int64]

    def has(self, *kinds: Kind, least: int = 1) -> bool:
        """Whether there is a piece of these kinds, of so many vertices at `least`."""
        sizes = np.bincount(self.component[np.isin(self.kind, kinds)], minlength=1)
        return int(sizes.max()) >= least


def skin_pieces(
    names: dict[int, tuple[str, str]], seen: NDArray[np.int64], covered: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Numbers of the components that are skin, and what names say of the others.

    Args:
        names: what they say of each component, and the part that says so, see `named_pieces`.
        seen: [C] how many landmarks see each component.
        covered: [C] components that lie before skin, as far as that is known.
    """
    said = {number: found for number, (found, _) in names.items()}
    unnamed = np.array([number not in said for number in range(len(seen))])
    first = int(seen.argmax())
    if first in said and not (seen[unnamed] >= _WELL_SEEN * seen[first]).any():
        nonsense = names[first][1]  # "head with glasses" as the name of everything
        said = {number: found for number, (found, name) in names.items() if name != nonsense and number != first}
        unnamed = np.array([number not in said for number in range(len(seen))])
    skin = unnamed & (seen >= min(_LEAST_LANDMARKS, seen[unnamed].max()))
    if covered is not None:
        skin &= ~covered
    return np.flatnonzero(skin), said


def recognise_parts(
    mesh: Mesh,
    vertices: NDArray[np.float64],
    component_of_vertex: NDArray[np.int64],
    skin: NDArray[np.int64],
    said: dict[int, str],
    landmarks: NDArray[np.float64],
) -> Parts:
    """Tell the pieces of a mesh.

    Args:
        vertices: [V, 3] avatar units.
        component_of_vertex: [V] connected components of the surface; skin: numbers of those that are skin.
        said: what names say of components.
        landmarks: [478, 3].
    """
    kind = np.full(len(vertices), Kind.SKIN, dtype=np.int64)
    members = _grouped(component_of_vertex, np.arange(len(vertices)))
    faces_of = _grouped(component_of_vertex[mesh.faces[:, 0]], np.arange(len(mesh.faces)))
    is_skin = set(skin.tolist())
    others = {number: own for number, own in members.items() if number not in is_skin}
    pieces = {}
    local = np.zeros(len(vertices), dtype=np.int64)
    for number, own in others.items():
        local[own] = np.arange(len(own))
        if number in faces_of:
            pieces[number] = vertices[own], local[mesh.faces[faces_of[number]]]
    eyes = find_eyeballs(pieces, said, landmarks)
    balls = [None if eye is None else eye[1] for eye in eyes]
    shells = {eye[0] for eye in eyes if eye is not None and is_shell(vertices[members[eye[0]]])}
    turning = [
        None if eye is None else _around(vertices[members[eye[0]]]) if eye[0] in shells else eye[1] for eye in eyes
    ]
    skin_faces = mesh.faces[np.isin(component_of_vertex[mesh.faces[:, 0]], skin)].astype(np.int64)
    for number, own in others.items():
        chosen = next((eye for eye, found in enumerate(eyes) if found is not None and found[0] == number), None)
        if chosen is not None:
            kind[own] = Kind.EYE_LEFT + chosen
            continue
        own_faces = pieces[number][1] if number in pieces else np.zeros((0, 3), dtype=np.int64)
        kind[own] = _kind_of(vertices[own], own_faces, landmarks, turning, said.get(number), (vertices, skin_faces))
    for eye, found in enumerate(eyes):
        if found is not None and found[0] in shells:
            own = members[found[0]]
            if (kind == Kind.EYE_LEFT + eye).sum() > len(own):  # an iris before it turns alone
                kind[own] = Kind.STILL
    in_mouth = np.isin(kind, (Kind.UPPER_MOUTH, Kind.LOWER_MOUTH))
    if in_mouth.any() and not _are_teeth(vertices[in_mouth], landmarks):
        kind[in_mouth] = Kind.RIGID
    whole = _wholes(mesh, vertices, component_of_vertex, kind, said, _tiny(landmarks))
    kind[np.isin(whole, whole[kind == Kind.RIGID]) & (kind == Kind.FOLLOWER)] = Kind.RIGID
    return Parts(kind, component_of_vertex, (balls[0], balls[1]), whole)


def _tiny(landmarks: NDArray[np.float64]) -> float:
    """Extent below which moving as one cannot be told from bending."""
    return 0.25 * float(np.linalg.norm(np.subtract(*landmarks[list(eye_corners(0))])))


def _grouped(number: NDArray[np.int64], values: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Values [N] by their numbers [N]."""
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(values[order], starts[1:]), strict=True))


def _kind_of(
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
    landmarks: NDArray[np.float64],
    eyeballs: list[Sphere | None],
    hint: str | None,
    skin: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> NDArray[np.int64]:
    """[N] Kind of each vertex of one piece with these faces; `skin`: vertices and faces of the skin."""
    kinds = {"follower": Kind.FOLLOWER, "rigid": Kind.RIGID, "still": Kind.STILL, "upper": Kind.UPPER_MOUTH}
    kinds |= {"tongue": Kind.LOWER_MOUTH, "lower": Kind.LOWER_MOUTH}
    if hint in kinds:
        return np.full(len(points), kinds[hint])
    if hint in (None, "eye"):
        for eye, ball in enumerate(eyeballs):
            if ball is not None and _turns_with(points, ball, 1.2 if hint is None else 1.6):
                return np.full(len(points), Kind.EYE_LEFT + eye)
    if hint == "teeth" or (hint is None and _in_mouth(points, landmarks)):
        return _mouth_kinds(points, faces, landmarks)
    if hint == "eye" and points[:, 2].mean() > landmarks[list(LIP_MIDDLES), 2].min() - 1.0:
        return np.full(len(points), Kind.RIGID)
    if float(np.ptp(points, axis=0).max()) < _tiny(landmarks):
        return np.full(len(points), Kind.RIGID)
    large = float(np.ptp(points, axis=0).max()) > _LARGEST_THING  # a body or its clothes: goes along where they meet
    return np.full(len(points), Kind.FOLLOWER if large or _lies_on_skin(points, *skin) else Kind.RIGID)


def _lies_on_skin(points: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> bool:
    if not len(faces):
        return True
    asked = points[:: max(1, len(points) // _SAMPLES)]
    _, _, distance = closest_on_faces(asked, vertices, faces, np.arange(len(faces)))
    return bool(np.quantile(distance, 0.95) < _LIES_ON)


def _wholes(
    mesh: Mesh,
    vertices: NDArray[np.float64],
    component: NDArray[np.int64],
    kind: NDArray[np.int64],
    said: dict[int, str],
    tiny: float,
) -> NDArray[np.int64]:
    """[V] number of the whole each vertex belongs to: frame and lenses of glasses must not move apart.

    One are pieces of a part whose name says that they are rigid, and pieces that touch a rigid one, unless their name
    says otherwise, or they are bodies, or `tiny`: lashes made of single hairs touch each other.
    """
    joins = [np.zeros((0, 2), dtype=np.int64)]
    named = np.array([number for number, meant in said.items() if meant == "rigid"], dtype=np.int64)
    for part in mesh.parts:
        own = np.unique(component[mesh.faces[part.first_face : part.first_face + part.face_count]])
        own = own[np.isin(own, named)]
        joins.append(np.stack([own[:-1], own[1:]], axis=1))
    count = int(component.max()) + 1
    order = np.argsort(component, kind="stable")
    starts = np.searchsorted(component[order], np.arange(count))
    extent = np.zeros(count)
    if len(order):
        high, low = (ufunc.reduceat(vertices[order], starts) for ufunc in (np.maximum, np.minimum))
        extent = (high - low).max(axis=1)
    free = np.array([said.get(number) in (None, "rigid") for number in range(count)])
    free &= (extent > tiny) & (extent < _LARGEST_THING)
    members = np.flatnonzero(np.isin(kind, (Kind.RIGID, Kind.FOLLOWER)) & free[component])
    members = members[:: max(1, len(members) // _MOST_ASKED)]
    if len(members) > 1:
        pairs = cKDTree(vertices[members]).query_pairs(_TOUCHING, output_type="ndarray")
        one, other = members[pairs[:, 0]], members[pairs[:, 1]]
        touching = (component[one] != component[other]) & ((kind[one] == Kind.RIGID) | (kind[other] == Kind.RIGID))
        joins.append(np.stack([component[one[touching]], component[other[touching]]], axis=1))
    every = np.concatenate(joins)
    graph = sparse.coo_matrix((np.ones(len(every)), (every[:, 0], every[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][component], dtype=np.int64)


def _around(points: NDArray[np.float64]) -> Sphere:
    """A ball as wide as a piece is high: where the iris before a flat white is looked for."""
    low, high = points.min(axis=0), points.max(axis=0)
    return Sphere((low + high) / 2, float((high - low)[:2].min()) / 2)


def _turns_with(points: NDArray[np.float64], ball: Sphere, share: float) -> bool:
    """Whether a piece is of an eyeball: within it, and in its middle as irises and corneas are, not at its side as the
    flesh in the corner of an eye."""
    within = (np.linalg.norm(points - ball.centre, axis=1) < share * ball.radius).mean() > 0.95
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return bool(within and np.linalg.norm((middle - ball.centre)[:2]) < _IN_THE_MIDDLE * ball.radius)


def _in_mouth(points: NDArray[np.float64], landmarks: NDArray[np.float64]) -> bool:
    """Whether a piece lies behind the lips, between nose and chin."""
    lips = landmarks[list(LIP_MIDDLES)]
    width = abs(float(landmarks[291, 0] - landmarks[61, 0]))
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    beside = abs(centre[0] - lips[:, 0].mean()) < 0.6 * width and np.ptp(points[:, 0]) < 2.0 * width
    between = landmarks[152, 1] < centre[1] < landmarks[2, 1]
    return bool(beside and between and points[:, 2].max() < lips[:, 2].max() and centre[2] < lips[:, 2].mean())


def _mouth_kinds(
    points: NDArray[np.float64], faces: NDArray[np.int64], landmarks: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Upper or lower, as one if what stands behind the lips is one row. Where both rows are of one piece each vertex
    belongs to the row that is nearer along the surface: a tongue may rise above the line of the lips, but grows out of
    the lower jaw. The assembly then cuts the rows apart. Only the front tells which rows there are: a palate or a
    throat behind a row may reach far to the other side."""
    line = float(landmarks[[13, 14], 1].mean())
    width = max(abs(float(landmarks[291, 0] - landmarks[61, 0])), 1e-12)
    front = points[:, 2] > points[:, 2].max() - _ROW_DEPTH * width
    above = (points[front, 1].max() - line) / width
    below = (line - points[front, 1].min()) / width
    if min(above, below) <= _ROW_HEIGHT:
        return np.full(len(points), Kind.UPPER_MOUTH if above > below else Kind.LOWER_MOUTH)
    side = np.where(points[:, 1] > line, Kind.UPPER_MOUTH, Kind.LOWER_MOUTH)
    if not len(faces):
        return side
    rows = [np.flatnonzero(front & (away > _ROW_HEIGHT * width)) for away in (points[:, 1] - line, line - points[:, 1])]
    up, down = (edge_distance(points, faces, row) for row in rows)
    return np.where(up == down, side, np.where(up < down, Kind.UPPER_MOUTH, Kind.LOWER_MOUTH))


def _are_teeth(points: NDArray[np.float64], landmarks: NDArray[np.float64]) -> bool:
    """Whether what lies behind the lips is enough to be teeth or a tongue, and no scrap of a scan."""
    width = abs(float(landmarks[291, 0] - landmarks[61, 0]))
    return len(points) >= _LEAST_TEETH and bool(np.ptp(points[:, 0]) > 0.25 * width)
