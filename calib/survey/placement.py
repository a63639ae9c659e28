"""Where a head stands in its file, and the similarity that puts it before the published camera.

Axes that the user does not state are guessed: the head is looked at from every side, upright and not, and the view in
which a frontal, upright face with a face's relief is found wins.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import FaceFinder, FaceLookedFor, Finder, NoFaceError, PatientFinder
from calib.survey.face_fit import FaceFound, find_face
from calib.survey.views import View, front_camera
from core.camera import Intrinsics
from core.errors import InputError
from core.face_regions import FACE_LANDMARKS, FACE_OVAL

FACE_HEIGHT = 1.27  # avatar units from brow line of the hair to chin: 62 % of the published picture
SEARCH_PIXELS = 320
PLACE_PIXELS = 512
STRAIGHTEN_RAD = np.radians(6.0)  # a head that stands more crooked is straightened, unless its axes are stated
_DOUBT_RAD = np.radians(350)  # per misfit: the pose of a face of unusual proportions cannot be told so well
_CLEARLY_A_FACE = 0.65  # score from which no other view is looked at; scans and modelled heads reach 0.7 to 0.9
_TRIES = 4
_FLAT = 1e-6  # of the greatest extent
_TURNED = ((0.0, 0.0), (0.3, 0.0), (0.0, 0.25))  # yaw, pitch of views in radians
AXES = {"x": (0, 1), "-x": (0, -1), "y": (1, 1), "-y": (1, -1), "z": (2, 1), "-z": (2, -1)}
_SHOWN = 4  # pictures of a head in which no face was found
_COMMON = (("y", "z"), ("z", "-y"), ("y", "-z"), ("z", "y"), ("y", "x"), ("y", "-x"), ("z", "x"), ("z", "-x"))

Look = Callable[[NDArray[np.float64], NDArray[np.float64], Intrinsics], View]
"""Renders the head: (T_world_file, T_camera_world, intrinsics) → View."""


@dataclass(frozen=True, eq=False)
class Placement:
    """How a file's head is put before the camera.

    Attributes:
        T_world_file: [4, 4] similarity from file coordinates to avatar units.
        up, front: axes of the file, such as "y" and "-z".
        guessed: whether they were guessed.
        straightened_deg: extra rotation that made the face upright and frontal.
    """

    T_world_file: NDArray[np.float64]
    up: str
    front: str
    guessed: bool
    straightened_deg: float

    def describe(self) -> str:
        how = "guessed" if self.guessed else "as stated"
        scale = float(np.cbrt(np.linalg.det(self.T_world_file[:3, :3])))
        straight = f", straightened by {self.straightened_deg:.0f}°" if self.straightened_deg else ""
        return f"up {self.up}, facing {self.front} ({how}){straight}, scale {scale:.4g}"


def axis_rotation(up: str, front: str) -> NDArray[np.float64]:
    """[3, 3] rotation from file to world axes; `up` and `front` such as "z" and "-y"."""
    rows = np.zeros((3, 3))
    for row, name in ((1, up), (2, front)):
        axis, sign = AXES[name]
        rows[row, axis] = sign
    rows[0] = np.cross(rows[1], rows[2])
    return rows


def check_axes(up: str | None, front: str | None) -> None:
    """Raises InputError for an axis there is none of, or two on one line."""
    for option, name in (("--up", up), ("--front", front)):
        if name is not None and name not in AXES:
            raise InputError(f"{option} {name}: expected one of {', '.join(AXES)}")
    if up is not None and front is not None and up[-1] == front[-1]:
        raise InputError(f"--up {up} --front {front}: expected two different axes; the face cannot look along up")


def place(
    name: str,
    points: NDArray[np.float64],
    look: Look,
    finder: FaceFinder,
    up: str | None = None,
    front: str | None = None,
) -> tuple[Placement, FaceFound]:
    """Find how the head stands and put its face, upright and frontal, in the middle before the published camera.

    Args:
        points: [V, 3] file coordinates of what is shown.
        look: renders it; finder: finds the face.
        up, front: axes the user stated; only the others are searched.

    Raises NoFaceError where no human face is found.
    """
    guessed = up is None or front is None
    low, high = points.min(axis=0), points.max(axis=0)
    to_unit = _scaled_about((low + high) / 2, 2.0 / max(float((high - low).max()), 1e-30))
    for patient in (False, True):  # the second time slowly, in pictures made for it and from more sides
        chosen: Finder = PatientFinder(finder) if patient else finder
        for candidate in _search(points, to_unit, look, chosen, up, front, patient):
            oval = candidate.landmarks[list(FACE_OVAL)]  # which goes roughly where the published framing has a face
            framing = _scaled_about(oval.mean(axis=0), FACE_HEIGHT / max(float(np.ptp(oval[:, 1])), 1e-12))
            T_world_file = framing @ homogeneous(candidate.axes) @ to_unit
            settled = _settle(T_world_file, look, chosen, straighten=guessed)
            if settled is not None:
                T_world_file, found = settled
                T_world_file, angle = _without_slight_turn(T_world_file, candidate.axes, found)
                chosen_up, chosen_front = axis_names(candidate.axes)
                return Placement(T_world_file, chosen_up, chosen_front, guessed, float(np.degrees(angle))), found
    raise NoFaceError(
        f"{name}: expected a head with a human face, found no face from any side; "
        "state how it stands with --up and --front, give its --texture, or place landmarks by hand: "
        "vfa prepare --place-landmarks FILE.json, then --landmarks FILE.json",
        _as_it_stands(points, to_unit, look, finder, up, front),
    )


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
    return sorted(found, key=lambda each: -each.score)[:_TRIES]


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


def _scaled_about(middle: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """[4, 4] that puts `middle` at the origin and makes everything so much larger."""
    T = np.eye(4)
    T[:3, :3] *= scale
    T[:3, 3] = -scale * middle
    return T


def moved(points: NDArray[np.float64], T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [N, 3] under a similarity [4, 4]."""
    return np.asarray(points @ T[:3, :3].T + T[:3, 3])


def centring(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] scale and shift that give the face its height and put the middle of its oval at the origin."""
    oval = landmarks[list(FACE_OVAL)]
    middle = (oval.min(axis=0) + oval.max(axis=0)) / 2
    middle[2] = landmarks[:FACE_LANDMARKS, 2].mean()
    return _scaled_about(middle, FACE_HEIGHT / max(float(np.ptp(oval[:, 1])), 1e-12))


def homogeneous(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] of a rotation [3, 3]."""
    T = np.eye(4)
    T[:3, :3] = rotation
    return T


def axis_names(rotation: NDArray[np.float64]) -> tuple[str, str]:
    """The file's axes that point up and to the front, or nearly so, under a rotation [3, 3] from file to world."""

    def name(row: NDArray[np.float64]) -> str:
        axis = int(np.abs(row).argmax())
        return ("-" if row[axis] < 0 else "") + "xyz"[axis]

    return name(rotation[1]), name(rotation[2])
