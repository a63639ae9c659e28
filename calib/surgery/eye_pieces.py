"""Eyes of a head: the sphere its lids slide on, and eyeballs for heads that come with shut lids or empty sockets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calib.rig.face_rig import PROFILE_BINS
from calib.surgery.piece_textures import EYEBALL_EDGE
from calib.surgery.pieces import Piece, grid_faces
from calib.surgery.remesh import WorkMesh
from calib.surgery.seams import sides_of
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind
from core.sphere import Sphere

RADIUS = 0.47  # of the eye's width, where there is no eyeball to measure
_MOST_SKIN_BACK = 0.35  # in widths: how far an added eyeball is moved back to clear the lids
_HIGH_RADIUS = 1.3  # of the height of an eye painted high: the sphere it lies on
_COVERED = 2.0  # widths around an eye: a ball as shallow as a drawn face is as large as the face
_RINGS, _SPOKES = 24, 48
_OPEN_APERTURE = 0.33  # of the width, in the middle: an open eye
_LOWER_SHARE = 0.12  # of an opened eye's aperture lies below the closed line


@dataclass(frozen=True, eq=False)
class EyeShape:
    """How one eye is made.

    Attributes:
        ball: the sphere the lids slide on.
        shut: the lids are closed in the file, and the avatar's neutral face opens them.
        added: the ball is not in the file and has to be added (shut lids, or nothing behind open ones).
    """

    ball: Sphere
    shut: bool
    added: bool


def eye_shape(survey: HeadSurvey, eye: int) -> EyeShape:
    """What kind of eye this is. Eyes of a surface in one piece keep what the file shows between their lids."""
    opening, found = survey.eyes[eye], survey.parts.eyeballs[eye]
    if found is not None:
        return EyeShape(found, opening.closed, False)
    empty = opening.parted and not opening.closed
    if opening.closed or empty:
        return EyeShape(_ball_behind(survey, opening), opening.closed, True)
    return EyeShape(_ball_under(survey, opening), False, False)


def open_aperture(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between the lids of an open eye at 0..1 along it, in widths: an almond, fuller towards the nose."""
    return _OPEN_APERTURE * np.clip(4 * along * (1 - along), 0, None)


def lower_drop(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far an opened eye's lower rim goes under the line on which the lids were shut, in widths."""
    return _LOWER_SHARE * open_aperture(along)


def cover_vertices(work: WorkMesh, survey: HeadSurvey, opening: Opening, ball: Sphere) -> NDArray[np.int64]:
    """Skin vertices near the eye, in front of its middle, that are seen, or that lie in a fold before the ball: those
    it must not come through; none where the eye is squashed shut."""
    if opening.painted_high:
        return np.zeros(0, dtype=np.int64)
    skin_face = (survey.parts.kind[survey.mesh.faces[:, 0]] == Kind.SKIN)[work.origin]
    skin, seen = np.zeros((2, len(work.vertices)), dtype=bool)
    skin[work.faces[skin_face]] = True
    seen[work.faces[skin_face & survey.visible[work.origin]]] = True
    inside = np.zeros(len(work.vertices), dtype=bool)
    if not opening.parted and not opening.closed:
        sides = sides_of(opening, work.points()[work.point])
        inside = sides.near & (sides.level < 1e-6)
    offset = work.vertices - ball.centre
    distance = np.linalg.norm(offset, axis=1)
    near = (
        (distance > np.where(seen, 0.97, 1.0) * ball.radius)
        & (distance < 1.5 * ball.radius)
        & (offset[:, 2] > 0.1 * ball.radius)
        & (np.linalg.norm(work.vertices - opening.centre, axis=1) < _COVERED * opening.width)
    )
    return np.flatnonzero(skin & near & ~inside)


def outer_profile(ball: Sphere, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[16] largest radius of an eyeball's vertices [N, 3] by angle from straight ahead (first) to straight back."""
    offset = points - ball.centre
    distance = np.linalg.norm(offset, axis=1)
    angle = np.arccos(np.clip(offset[:, 2] / np.maximum(distance, 1e-12), -1, 1))
    bins = np.minimum((angle / np.pi * PROFILE_BINS).astype(int), PROFILE_BINS - 1)
    profile = np.full(PROFILE_BINS, ball.radius)
    for index in range(PROFILE_BINS):
        own = distance[bins == index]
        profile[index] = np.clip(own.max(), 0.9 * ball.radius, 1.3 * ball.radius) if len(own) else ball.radius
    return profile


def eyeball_piece(name: str, ball: Sphere, controllers: int) -> Piece:
    """The front of an eyeball with iris and pupil, looking straight ahead."""
    polar = np.linspace(0, EYEBALL_EDGE, _RINGS)[:, None]
    around = np.linspace(0, 2 * np.pi, _SPOKES + 1)[None, :]
    x, y, z = np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) * np.ones_like(around)
    direction = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    radial = (polar / EYEBALL_EDGE * np.ones_like(around)).reshape(-1)
    spin = np.arctan2(direction[:, 1], direction[:, 0])
    uvs = 0.5 + 0.5 * radial[:, None] * np.stack([np.cos(spin), np.sin(spin)], axis=1)
    weights = sparse.csr_matrix((len(direction), controllers), dtype=np.float32)
    vertices = ball.centre + ball.radius * direction
    return Piece(name, vertices, grid_faces(_RINGS, _SPOKES + 1), uvs, weights)


def _ball_behind(survey: HeadSurvey, opening: Opening) -> Sphere:
    """An eyeball just behind the lids, moved back until their skin is clear of it."""
    width = opening.width
    radius = RADIUS * width
    rim = (opening.upper + opening.lower) / 2
    front = rim[len(rim) // 4 : -len(rim) // 4].mean(axis=0)
    rise = (0.5 - _LOWER_SHARE) * _OPEN_APERTURE * width if opening.closed else 0.0  # lids open upwards
    centre = np.array([opening.centre[0], front[1] + rise, front[2] - radius])
    skin = np.zeros(len(survey.vertices), dtype=bool)
    skin[survey.mesh.faces[survey.visible]] = True
    points = survey.vertices[skin & (survey.parts.kind == Kind.SKIN)]
    flat = opening.flat(points)
    lids = points[(np.abs(flat[:, 0] - 0.5) < 0.4) & (np.abs(flat[:, 1]) < 0.35)]
    for back in np.linspace(0, _MOST_SKIN_BACK * width, 36):
        distance = np.linalg.norm(lids - (centre - [0, 0, back]), axis=1)
        if not len(lids) or distance.min() > 1.03 * radius:
            break
    return Sphere(centre - [0, 0, back], radius)


def _ball_under(survey: HeadSurvey, opening: Opening) -> Sphere:
    """The sphere that holds what a surface in one piece shows between its lids."""
    width = opening.width
    points = survey.vertices
    sides = sides_of(opening, points)
    patch = points[sides.near & (sides.level < 0)]
    middle = (opening.upper + opening.lower)[len(opening.upper) // 2] / 2
    patch = patch if len(patch) else middle[None]
    if opening.painted_high:
        return _ball_under_high(opening, patch)
    radius = 1.2 * RADIUS * width
    centre = np.array([opening.centre[0], middle[1], float(np.median(patch[:, 2])) - radius])
    reach = float(np.quantile(np.linalg.norm(patch - centre, axis=1), 0.98))
    return Sphere(centre, max(reach, 0.5 * radius))


def _ball_under_high(opening: Opening, patch: NDArray[np.float64]) -> Sphere:
    """A large flat sphere under an eye higher than wide, straight behind the way it faces."""
    rims = np.concatenate([opening.upper, opening.lower])
    middle = rims.mean(axis=0)
    normal = np.linalg.svd(rims - middle)[2][2]
    normal = normal if normal[2] > 0 else -normal
    centre = middle - _HIGH_RADIUS * float(opening.gap().max()) * normal
    return Sphere(centre, float(np.quantile(np.linalg.norm(np.concatenate([patch, rims]) - centre, axis=1), 0.98)))
