"""What the separate pieces of a head are: eyeballs, teeth, tongue, and things that go along with the skin.

Names in the file decide where they say something; otherwise place and shape do.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from core.face_regions import LIP_MIDDLES, eye_corners
from core.mesh import Mesh
from core.sphere import Sphere, fit_sphere


class Kind(IntEnum):
    """What a vertex belongs to."""

    SKIN = 0
    EYE_LEFT = 1  # picture-left
    EYE_RIGHT = 2
    UPPER_MOUTH = 3  # stays with the skull
    LOWER_MOUTH = 4  # goes with the jaw
    FOLLOWER = 5  # lashes, brows, hair: goes with the skin next to it
    RIGID = 6  # glasses, jewellery: goes with the skin next to it as one piece


_NAMES: tuple[tuple[str, str], ...] = (
    (r"lash|cilia|brow|hair|beard|moustache|mustache|fur\b", "follower"),
    (r"gland|caruncle|lacrimal|tear.?(line|duct|film)|meniscus", "follower"),
    (r"glasses|spectacle|ear.?ring|jewel|piercing|hat\b|cap\b|helmet|headset", "rigid"),
    (r"tongue", "tongue"),
    (r"(upper|top).?(teeth|tooth|gum|dent)|(teeth|tooth|gums?|dentures?).?(upper|top)", "upper"),
    (r"(lower|bottom).?(teeth|tooth|gum|dent)|(teeth|tooth|gums?|dentures?).?(lower|bottom)", "lower"),
    (r"teeth|tooth|dent(al|ure)|gum(s|\b|_)", "teeth"),
    (r"eye(?!.?(lid|socket|shadow|wear))|cornea|iris|sclera|pupil", "eye"),
)


_LEAST_TEETH = 30  # vertices
_IN_THE_MIDDLE = 0.5  # of an eyeball's radius: pieces of it lie around its axis


@dataclass(frozen=True, eq=False)
class Parts:
    """What the pieces of a head are.

    Attributes:
        kind: [V] Kind of each mesh vertex.
        component: [V] connected component of each mesh vertex.
        eyeballs: spheres fitted to those found as pieces of their own, avatar units, picture-left first; None where
            there is none.
    """

    kind: NDArray[np.int64]
    component: NDArray[np.int64]
    eyeballs: tuple[Sphere | None, Sphere | None]

    def has(self, *kinds: Kind) -> bool:
        return bool(np.isin(self.kind, kinds).any())


def recognise_parts(
    mesh: Mesh,
    vertices: NDArray[np.float64],
    component_of_vertex: NDArray[np.int64],
    skin: NDArray[np.int64],
    landmarks: NDArray[np.float64],
) -> Parts:
    """Tell the pieces of a mesh.

    Args:
        vertices: [V, 3] avatar units.
        component_of_vertex: [V] connected components of the surface; skin: numbers of those that are skin.
        landmarks: [478, 3].
    """
    hints = _hints(mesh, component_of_vertex)
    kind = np.full(len(vertices), Kind.SKIN, dtype=np.int64)
    order = np.argsort(component_of_vertex, kind="stable")
    numbers, starts = np.unique(component_of_vertex[order], return_index=True)
    members = dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True))
    others = [number for number in members if number not in set(skin.tolist())]
    eyeballs: list[Sphere | None] = [None, None]
    for eye in range(2):
        found = [n for n in others if _is_eyeball(vertices[members[n]], landmarks, eye, hints.get(n))]
        if found:
            largest = max(found, key=lambda n: float(np.ptp(vertices[members[n]], axis=0).max()))
            eyeballs[eye] = fit_sphere(vertices[members[largest]])
    for number in others:
        kind[members[number]] = _kind_of(vertices[members[number]], landmarks, eyeballs, hints.get(number))
    in_mouth = np.isin(kind, (Kind.UPPER_MOUTH, Kind.LOWER_MOUTH))
    if in_mouth.any() and not _are_teeth(vertices[in_mouth], landmarks):
        kind[in_mouth] = Kind.RIGID
    return Parts(kind, component_of_vertex, (eyeballs[0], eyeballs[1]))


def _hints(mesh: Mesh, component_of_vertex: NDArray[np.int64]) -> dict[int, str]:
    """What names in the file say about each component."""
    hints: dict[int, str] = {}
    for part in mesh.parts:
        label = f"{part.name} {mesh.materials[part.material].name}".lower()
        said = next((meaning for pattern, meaning in _NAMES if re.search(pattern, label)), None)
        if said is not None:
            corners = mesh.faces[part.first_face : part.first_face + part.face_count]
            hints.update(dict.fromkeys(np.unique(component_of_vertex[corners]).tolist(), said))
    return hints


def _is_eyeball(points: NDArray[np.float64], landmarks: NDArray[np.float64], eye: int, hint: str | None) -> bool:
    """Whether a piece is the ball of this eye: near it, of its size, and round."""
    if hint not in (None, "eye") or len(points) < 8:
        return False
    left, right = landmarks[list(eye_corners(eye))]
    middle, width = (left + right) / 2, float(np.linalg.norm(right - left))
    centre, extent = (points.min(axis=0) + points.max(axis=0)) / 2, np.ptp(points, axis=0)
    near = np.abs(centre[:2] - middle[:2]).max() < 0.6 * width and centre[2] < middle[2] + 0.2 * width
    sized = 0.4 * width < extent[:2].max() < 3.0 * width
    if not (near and sized):
        return False
    ball = fit_sphere(points)
    off = np.abs(np.linalg.norm(points - ball.centre, axis=1) - ball.radius)
    return hint == "eye" or bool(0.25 * width < ball.radius < 1.5 * width and off.mean() < 0.12 * ball.radius)


def _kind_of(
    points: NDArray[np.float64],
    landmarks: NDArray[np.float64],
    eyeballs: list[Sphere | None],
    hint: str | None,
) -> NDArray[np.int64]:
    """[N] Kind of each vertex of one piece."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    if hint in (None, "eye"):
        for eye, ball in enumerate(eyeballs):
            if ball is not None and _turns_with(points, ball, 1.2 if hint is None else 1.6):
                return np.full(len(points), Kind.EYE_LEFT + eye)
    if hint in ("tongue", "lower"):
        return np.full(len(points), Kind.LOWER_MOUTH)
    if hint == "upper":
        return np.full(len(points), Kind.UPPER_MOUTH)
    if hint == "teeth" or (hint is None and _in_mouth(points, landmarks)):
        return _mouth_kinds(points, landmarks)
    if hint == "rigid" or (hint is None and _is_small(points, landmarks)):
        return np.full(len(points), Kind.RIGID)
    if hint == "eye" and centre[2] > landmarks[list(LIP_MIDDLES), 2].min() - 1.0:
        return np.full(len(points), Kind.RIGID)
    return np.full(len(points), Kind.FOLLOWER)


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


def _mouth_kinds(points: NDArray[np.float64], landmarks: NDArray[np.float64]) -> NDArray[np.int64]:
    """Upper or lower, as one if the piece lies on one side of the lips' line, else vertex by vertex."""
    line = float(landmarks[[13, 14], 1].mean())
    low, high = points[:, 1].min(), points[:, 1].max()
    share = (high - line) / max(high - low, 1e-12)
    size = (high - low) / max(abs(float(landmarks[291, 0] - landmarks[61, 0])), 1e-12)
    if size > 0.45 and 0.3 < share < 0.7:
        return np.where(points[:, 1] > line, Kind.UPPER_MOUTH, Kind.LOWER_MOUTH)
    return np.full(len(points), Kind.UPPER_MOUTH if share > 0.5 else Kind.LOWER_MOUTH)


def _are_teeth(points: NDArray[np.float64], landmarks: NDArray[np.float64]) -> bool:
    """Whether what lies behind the lips is enough to be teeth or a tongue, and no scrap of a scan."""
    width = abs(float(landmarks[291, 0] - landmarks[61, 0]))
    return len(points) >= _LEAST_TEETH and bool(np.ptp(points[:, 0]) > 0.25 * width)


def _is_small(points: NDArray[np.float64], landmarks: NDArray[np.float64]) -> bool:
    """Whether a piece is so small that moving as one cannot be told from bending."""
    eye = float(np.linalg.norm(landmarks[133] - landmarks[33]))
    return float(np.ptp(points, axis=0).max()) < 0.25 * eye
