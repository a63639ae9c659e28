"""From some twenty points placed by hand to all 478 landmarks, and to how the head stands before the camera."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from calib.survey.closest import closest_on_faces
from calib.survey.hand_landmarks import LANDMARK_OF, Points, symmetry_plane
from calib.survey.landmarks import DETECT_PIXELS, LookWorld
from calib.survey.placement import (
    AXES,
    FACE_HEIGHT,
    STRAIGHTEN_RAD,
    Placement,
    axis_names,
    axis_rotation,
    centring,
    homogeneous,
    moved,
)
from calib.survey.views import front_camera
from core.face_regions import (
    IRISES,
    LOWER_LIDS,
    LOWER_LIP,
    MOUTH_CORNERS,
    UPPER_LIDS,
    UPPER_LIP,
)
from core.rigid_motion import fit_similarity

_LIPS_BETWEEN = (1 / 3, 2 / 3)  # where the two chains between a lip's border and its edge lie
_LIP_HEIGHT = 0.12  # of the mouth's width: a lip whose border nobody placed
_ROUND = 0.45  # an eye half as high over its corners, in widths, is drawn as an ellipse and no longer as an almond
_OFF_AXES = np.radians(35)  # a head that stands more crooked than this in its file keeps the points' own directions


def place_by_hand(
    points: Points, canonical: NDArray[np.float64], up: str | None = None, front: str | None = None
) -> tuple[Placement, NDArray[np.float64]]:
    """How a head stands whose completed points are given, and its 478 landmarks [478, 3] in avatar units.

    Its own symmetry tells left from right; what the points say of up and front is taken to the nearest axes of the
    file, since the proportions of a head that is no human's say little of how it is tilted.
    """
    positions, numbers = _arrays(points)
    _, fitted, _ = fit_similarity(canonical[numbers], positions)
    turn, straightened = _rotation(fitted, symmetry_plane(points, canonical).normal, up, front)
    flat = {name: turn @ at for name, at in points.items()}
    landmarks = warped_landmarks(flat, canonical)
    T_centring = centring(landmarks)
    guessed = up is None or front is None
    placement = Placement(T_centring @ homogeneous(turn), *axis_names(turn), guessed, float(np.degrees(straightened)))
    return placement, moved(landmarks, T_centring)


def on_surface(
    landmarks: NDArray[np.float64],
    points: Points,
    look: LookWorld,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Landmarks [478, 3] of a placed head, moved onto its surface; those placed by hand (`points`, in avatar units) go
    exactly there.

    Rims of lips and lids go straight back or forth, so that they keep their shape seen from the front; the others to
    the nearest place, so that they do not crowd at the outline where the surface turns away.
    """
    face, bary, _ = closest_on_faces(landmarks, vertices, faces, np.arange(len(faces)))
    moved_there = (vertices[faces[face]] * bary[..., None]).sum(axis=1)
    view = look(*front_camera(np.zeros(3), FACE_HEIGHT * 0.95, DETECT_PIXELS))
    rims = list(dict.fromkeys(sum((*UPPER_LIP, *LOWER_LIP, *UPPER_LIDS, *LOWER_LIDS, *IRISES), ())))
    moved_there[rims], _ = view.lift(view.project(landmarks[rims]))
    for name, at in points.items():
        moved_there[LANDMARK_OF[name]] = at
    return np.asarray(moved_there)


def warped_landmarks(points: Points, canonical: NDArray[np.float64]) -> NDArray[np.float64]:
    """[478, 3] the average face bent so that it goes through completed points, in their upright frontal coordinates.

    The bending is the smoothest there is in space (thin-plate splines, whose kernel in three dimensions is the
    distance itself; Bookstein 1989). Rims of lids and lips are laid through their points one by one: how far an eye or
    a mouth stands open says nothing about the face around it.
    """
    positions, numbers = _arrays(points)
    scale, rotation, shift = fit_similarity(canonical[numbers], positions)
    average = scale * canonical @ rotation.T + shift
    held = {number: at for number, at in zip(numbers, positions, strict=True) if number not in (13, 14)}
    line = (points["upper_lip_edge"] + points["lower_lip_edge"]) / 2
    size = max(float(np.ptp(positions, axis=0).max()), 1e-30)
    sources = np.array([*(average[number] for number in held), average[[13, 14]].mean(axis=0)])
    targets = np.array([*held.values(), line])
    bend = RBFInterpolator(sources / size, (targets - sources) / size, kernel="linear", degree=1)
    landmarks = average + size * bend(average / size)
    for eye, (upper, lower) in enumerate(zip(UPPER_LIDS, LOWER_LIDS, strict=True)):
        _lay_lids(landmarks, average, upper, lower, IRISES[eye], points, ("left", "right")[eye])
    _lay_lips(landmarks, average, points)
    return np.asarray(landmarks)


def _arrays(points: Points) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return np.array(list(points.values())), np.array([LANDMARK_OF[name] for name in points])


def _rotation(
    fitted: NDArray[np.float64], across: NDArray[np.float64], up: str | None, front: str | None
) -> tuple[NDArray[np.float64], float]:
    """[3, 3] from file to world axes, and by how many radians it differs from the file's own axes."""
    upright = fitted[:, 1] - (fitted[:, 1] @ across) * across
    upright = upright / np.linalg.norm(upright)
    own = np.stack([across, upright, np.cross(across, upright)])
    every = [
        axis_rotation(u, f) for u in AXES for f in AXES if u[-1] != f[-1] and up in (None, u) and front in (None, f)
    ]
    nearest = max(every, key=lambda axes: float(np.trace(own @ axes.T)))
    if up is not None and front is not None:
        return nearest, 0.0
    sideways = float(np.arccos(np.clip(across @ nearest[0], -1, 1)))
    off = float(np.arccos(np.clip((np.trace(own @ nearest.T) - 1) / 2, -1, 1)))
    if sideways < STRAIGHTEN_RAD and off < _OFF_AXES:
        return nearest, 0.0
    return own, off


def _lay_lids(
    landmarks: NDArray[np.float64],
    average: NDArray[np.float64],
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    iris: tuple[int, ...],
    points: Points,
    side: str,
) -> None:
    """Overwrite one eye's rims and iris: the average eye's shape through the placed points, rounder if it is high."""
    corners = landmarks[upper[0]], landmarks[upper[-1]]
    middles = points[f"{side}_eye_top"], points[f"{side}_eye_bottom"]
    for chain, middle in ((upper, middles[0]), (lower, middles[1])):
        along, profile = _shape(average[list(chain)])
        height = float(np.linalg.norm(middle - _between(*corners, 0.5)) / np.linalg.norm(corners[1] - corners[0]))
        share = np.clip((height - 0.2) / (_ROUND - 0.2), 0, 1)
        along = (1 - share) * along + share * (1 - np.cos(np.pi * along)) / 2
        profile = (1 - share) * profile + share * np.sqrt(np.clip(4 * along * (1 - along), 0, 1))
        landmarks[list(chain)] = _through(*corners, middle, along, profile)
    width, opened = (float(np.linalg.norm(one - other)) for one, other in (corners, middles))
    ring = average[list(iris)] - average[iris[0]]
    own = np.linalg.norm(ring[1:], axis=1).mean()
    radius = max(0.18 * width, min(0.5 * opened, 0.4 * width) if opened > width else 0.0)
    landmarks[list(iris)] = (sum(corners) + sum(middles)) / 4 + ring * radius / max(own, 1e-30)


def _lay_lips(landmarks: NDArray[np.float64], average: NDArray[np.float64], points: Points) -> None:
    """Overwrite both lips: their edges through the placed points, the rest evenly between edge and border."""
    corners = points["left_mouth_corner"], points["right_mouth_corner"]
    middle = _between(*corners, 0.5)
    for lip, edge, border, beyond in (
        (UPPER_LIP, "upper_lip_edge", "upper_lip_top", "nose_tip"),
        (LOWER_LIP, "lower_lip_edge", "lower_lip_bottom", "chin"),
    ):
        outer = points[border] if border in points else _lip_border(corners, points[edge], points[beyond])
        border_chain, edge_chain = (
            _through(*corners, through, *_shape(average[list(chain)]))
            for chain, through in ((lip[0], outer), (lip[-1], points[edge]))
        )
        for own, share in zip(lip, (0.0, *_LIPS_BETWEEN, 1.0), strict=True):
            landmarks[list(own)] = (1 - share) * border_chain + share * edge_chain
    for corner in MOUTH_CORNERS:  # its four landmarks lie one behind the other, a little inside it
        at = landmarks[corner[0]].copy()
        for number, index in enumerate(corner):
            landmarks[index] = at + 0.012 * number * (middle - at)


def _lip_border(
    corners: tuple[NDArray[np.float64], NDArray[np.float64]], edge: NDArray[np.float64], beyond: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[3] where a lip may end whose border nobody placed: a little way from its edge to nose or chin."""
    width, way = (float(np.linalg.norm(span)) for span in (corners[1] - corners[0], beyond - edge))
    return np.asarray(edge + min(_LIP_HEIGHT * width / max(way, 1e-12), 0.4) * (beyond - edge))


def _shape(chain: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places [N] of an upright frontal chain along the line between its ends, 0 to 1, and its height [N] over that
    line, 1 in the middle. Only what is seen from the front counts: depth comes from the head's own surface."""
    flat = chain[:, :2]
    axis = flat[-1] - flat[0]
    along = (flat - flat[0]) @ axis / (axis @ axis)
    height = (flat - flat[0]) @ np.array([-axis[1], axis[0]])
    return along, np.clip(height / height[len(chain) // 2], 0.0, 1.2)


def _through(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    middle: NDArray[np.float64],
    along: NDArray[np.float64],
    profile: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[N, 3] a curve from start to end with `middle` in its middle."""
    rise = middle - _between(start, end, float(along[len(along) // 2]))
    return np.asarray(_between(start, end, along) + profile[:, None] * rise)


def _between(
    start: NDArray[np.float64], end: NDArray[np.float64], share: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    return np.asarray(start + np.asarray(share)[..., None] * (end - start))
