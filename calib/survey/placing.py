"""How a head stands, found by looking at it.

Axes that the user does not state are guessed: the head is looked at from every side, upright and not, and the view in
which a frontal, upright face with a face's relief is found wins; see `placements`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import FaceFinder, FaceLookedFor, Finder, NoFaceError, PatientFinder
from calib.survey.face_fit import FaceFound, find_face
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
    scaled_about,
    usual_axes,
)
from calib.survey.views import View, front_camera
from core.camera import Intrinsics
from core.face_regions import FACE_OVAL

SEARCH_PIXELS = 320
PLACE_PIXELS = 512
_DOUBT_RAD = np.radians(350)  # per misfit: the pose of a face of unusual proportions cannot be told so well
_CLEARLY_A_FACE = 0.65  # score from which no other view is looked at; scans and modelled heads reach 0.7 to 0.9
_TRIES = 4
_FLAT = 1e-6  # of the greatest extent
_TURNED = ((0.0, 0.0), (0.3, 0.0), (0.0, 0.25))  # yaw, pitch of views in radians
_SHOWN = 4  # pictures of a head in which no face was found
_COMMON = (("y", "z"), ("z", "-y"), ("y", "-z"), ("z", "y"), ("y", "x"), ("y", "-x"), ("z", "x"), ("z", "-x"))

Look = Callable[[NDArray[np.float64], NDArray[np.float64], Intrinsics], View]
"""Renders the head: (T_world_file, T_camera_world, intrinsics) → View."""


def place(
    name: str,
    points: NDArray[np.float64],
    look: Look,
    finder: FaceFinder,
    up: str | None = None,
    front: str | None = None,
) -> tuple[Placement, FaceFound]:
    """The most likely of `placements`. Raises NoFaceError where there is none."""
    for placed in placements(name, points, look, finder, up, front):
        return placed
    raise no_face(name, points, look, finder, up, front)


def placements(
    name: str,
    points: NDArray[np.float64],
    look: Look,
    finder: FaceFinder,
    up: str | None = None,
    front: str | None = None,
) -> Iterator[tuple[Placement, FaceFound]]:
    """Ways in which the head may stand, with its face put upright and frontal, in the middle before the published
    camera; the most likely first, none where no human face is found.

    A view that clearly shows a face comes first; then the way in which heads stand in files of this format, if that
    shows one at all, and only then the others: backs of heads have been taken for faces.

    Args:
        name: of the file; its ending says how heads usually stand in it.
        points: [V, 3] file coordinates of what is shown.
        look: renders it; finder: finds the face.
        up, front: axes the user stated; only the others are searched.
    """
    guessed = up is None or front is None
    to_unit = _to_unit(points)
    usual, settled_any = usual_axes(name, up, front), False
    at_once = _search(points, to_unit, look, finder, up, front)
    if usual is None or (at_once and at_once[0].score > _CLEARLY_A_FACE):
        rounds: list[tuple[bool, bool | None]] = [(False, None), (True, None)]
    else:
        rounds = [(False, True), (True, True), (False, False), (True, False)]
    for patient, as_usual in rounds:
        if patient and settled_any:
            continue
        chosen: Finder = finder
        candidates = at_once
        if patient:  # slowly, in pictures made for it and from more sides
            chosen = PatientFinder(finder)
            stated = usual if usual is not None and as_usual else (up, front)
            candidates = _search(points, to_unit, look, chosen, *stated, patient=True)
        fitting = [c for c in candidates if as_usual is None or (axis_names(c.axes) == usual) == as_usual]
        for candidate in fitting[:_TRIES]:
            oval = candidate.landmarks[list(FACE_OVAL)]  # which goes roughly where the published framing has a face
            framing = scaled_about(oval.mean(axis=0), FACE_HEIGHT / max(float(np.ptp(oval[:, 1])), 1e-12))
            T_world_file = framing @ homogeneous(candidate.axes) @ to_unit
            settled = _settle(T_world_file, look, chosen, straighten=guessed)
            if settled is not None:
                settled_any = True
                T_world_file, found = settled
                T_world_file, angle = _without_slight_turn(T_world_file, candidate.axes, found)
                chosen_up, chosen_front = axis_names(candidate.axes)
                yield Placement(T_world_file, chosen_up, chosen_front, guessed, float(np.degrees(angle))), found


def no_face(
    name: str,
    points: NDArray[np.float64],
    look: Look,
    finder: FaceFinder,
    up: str | None = None,
    front: str | None = None,
) -> NoFaceError:
    """Why a head is refused on which no face was found, with pictures of it in the ways that files usually stand."""
    return NoFaceError(
        f"{name}: expected a head with a human face, found no face {_looked_from(up, front)}, give its --texture, or "
        "place landmarks by hand: vfa prepare --place-landmarks FILE.json, then --landmarks FILE.json",
        _as_it_stands(points, _to_unit(points), look, finder, up, front),
    )


def _looked_from(up: str | None, front: str | None) -> str:
    """Where a face was looked for, and how to have it looked for elsewhere."""
    if up is None and front is None:
        return "from any side; state how it stands with --up and --front"
    if up is None:
        return f"seen from {front}, as --front says; leave --front out"
    if front is None:
        return f"with {up} upwards, as --up says; leave --up out"
    return f"seen from {front} with {up} upwards, as --front and --up say; leave both out"


def _as_it_stands(
    points: NDArray[np.float64],
    to_unit: NDArray[np.float64],
    look: Look,
    finder: Finder,
    up: str | None,
    front: str | None,
) -> tuple[FaceLookedFor, ...]:
    """The whole in the ways that files usually stand, for a person to see which way it looks, with what was taken for
    a face: the landmarker's points, though they make none."""
    unit = points @ to_unit[:3, :3].T + to_unit[:3, 3]
    seen: list[FaceLookedFor] = []
    for axes in _rotations(up, front, _COMMON[:_SHOWN]):
        window = _window(unit @ axes.T, 1.0)
        if window is not None and len(seen) < _SHOWN:
            rgb = look(homogeneous(axes) @ to_unit, *front_camera(*window, PLACE_PIXELS)).rgb
            found = finder.find(rgb)
            seen.append(FaceLookedFor(rgb, None if found is None else found[:, :2]))
    return tuple(seen)


def _settle(
    T_world_file: NDArray[np.float64], look: Look, finder: Finder, straighten: bool
) -> tuple[NDArray[np.float64], FaceFound] | None:
    """Centre a roughly placed face, and turn it to the front if `straighten`; None if it turns out to be no face."""
    camera = front_camera(np.zeros(3), FACE_HEIGHT * 0.85, PLACE_PIXELS)
    for _ in range(3):
        found = find_face(look(T_world_file, *camera), finder)
        if found is None:
            return None
        if straighten and found.angle > np.radians(1.0):
            T_world_file = homogeneous(found.rotation.T) @ T_world_file
            found = replace(found, landmarks=found.landmarks @ found.rotation, rotation=np.eye(3))
        T_world_file = centring(found.landmarks) @ T_world_file
    found = find_face(look(T_world_file, *camera), finder)
    if found is None or not found.plausible:
        return None
    last = centring(found.landmarks)
    return last @ T_world_file, replace(found, landmarks=moved(found.landmarks, last))


def _without_slight_turn(
    T_world_file: NDArray[np.float64], axes: NDArray[np.float64], found: FaceFound
) -> tuple[NDArray[np.float64], float]:
    """Keep the file's own axes where straightening turned it by no more than the measurement can tell."""
    turn = T_world_file[:3, :3] / np.cbrt(np.linalg.det(T_world_file[:3, :3])) @ axes.T
    angle = float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    if angle >= max(STRAIGHTEN_RAD, _DOUBT_RAD * found.misfit):
        return T_world_file, angle
    back = homogeneous(turn.T)
    return centring(moved(found.landmarks, back)) @ back @ T_world_file, 0.0


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A view in which something like a face was found."""

    score: float
    axes: NDArray[np.float64]
    landmarks: NDArray[np.float64]


def _search(
    points: NDArray[np.float64],
    to_unit: NDArray[np.float64],
    look: Look,
    finder: Finder,
    up: str | None,
    front: str | None,
    patient: bool = False,
) -> list[_Candidate]:
    """Views with a face, the most face-like first; empty where there is none.

    `to_unit` makes the head about two units large, so that every file meets the same camera. The whole is looked at
    first, then ever smaller tops of it: the head of a figure. `patient`: in larger pictures, from slightly turned views
    too, but only in the ways that files usually stand.
    """
    unit = points @ to_unit[:3, :3].T + to_unit[:3, 3]
    found: list[_Candidate] = []
    for share in (1.0, 0.55) if patient else (1.0, 0.55, 0.3, 0.16):
        for axes in _rotations(up, front, _COMMON[:3] if patient else None):
            window = _window(unit @ axes.T, share)
            if window is None:
                continue
            for yaw, pitch in _TURNED if patient else _TURNED[:1]:
                camera = front_camera(*window, PLACE_PIXELS if patient else SEARCH_PIXELS, yaw, pitch)
                view = look(homogeneous(axes) @ to_unit, *camera)
                face = find_face(view, finder) if (view.depth > 0).any() else None
                if face is not None and face.plausible:
                    found.append(_Candidate(face.score, axes, face.landmarks))
                    if face.score > _CLEARLY_A_FACE:
                        return sorted(found, key=lambda each: -each.score)
    return sorted(found, key=lambda each: -each.score)


def _rotations(
    up: str | None, front: str | None, among: tuple[tuple[str, str], ...] | None = None
) -> Iterator[NDArray[np.float64]]:
    every = [(u, f) for u in AXES for f in AXES if u[-1] != f[-1]]
    if among is not None and up is None and front is None:
        every = list(among)
    for u, f in dict.fromkeys([*(each for each in _COMMON if each in every), *every]):
        if up in (None, u) and front in (None, f):
            yield axis_rotation(u, f)


def _window(turned: NDArray[np.float64], share: float) -> tuple[NDArray[np.float64], float] | None:
    """Centre and half width of the picture that shows the top `share` of a figure; None where that is a mere strip, or
    the figure has no height at all."""
    low, high = turned.min(axis=0), turned.max(axis=0)
    size = high - low
    height = size[1] * share
    if not height > _FLAT * size.max():
        return None
    if share < 1.0 and height < 0.2 * min(size[0], size[2]):
        return None
    half = 0.55 * (max(height, size[0]) if share == 1.0 else height)
    upper = turned[turned[:, 1] > high[1] - height]
    middle = (upper.min(axis=0) + upper.max(axis=0)) / 2
    return np.array([middle[0], high[1] - height / 2, middle[2]]), float(max(half, 1e-9))


def _to_unit(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] that makes points [V, 3] two units large about the origin."""
    low, high = points.min(axis=0), points.max(axis=0)
    return scaled_about((low + high) / 2, 2.0 / max(float((high - low).max()), 1e-30))
