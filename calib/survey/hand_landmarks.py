"""Landmarks that a person placed: some twenty named points on a head of any kind, human or not, and their file.

"left" and "right" mean the sides of the picture of a head that looks into the camera (no mirroring), as in
`core.face_regions`. One side is enough: the other is its mirror image.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calib.survey.closest import closest_on_faces
from core.errors import InputError
from core.mesh import Mesh
from core.rigid_motion import fit_similarity
from core.untrusted import read_json
from core.whole_file import whole_file

FORMAT_VERSION: Final = 1
_FARTHEST = 1e30  # in the file's coordinates: no mesh reaches further
_MAX_BYTES = 65536  # of a file; thirty-two points take two thousand
_TOO_FAR = 0.25  # of the placed face's extent: a point so far from the surface belongs to another file
_GUESS_SHARE = 1e-3  # how much the average face counts beside the points of the middle: where these leave it open
_SAME_PLACE = 1e-3  # of the face's extent
_SMALLEST = 1e-5  # of the mesh's extent: a face that could be worked on


@dataclass(frozen=True)
class GuidePoint:
    """One point of the guide.

    Attributes:
        name: in files, without its side.
        landmarks: its number among the 478, one for a point of the middle, picture-left and picture-right else.
        hint: where to put it.
        required: whether an avatar can be made without it.
    """

    name: str
    landmarks: tuple[int, ...]
    hint: str
    required: bool

    @property
    def sided(self) -> bool:
        return len(self.landmarks) == 2

    def names(self) -> tuple[str, ...]:
        """As in files, in the order of `landmarks`."""
        return (f"left_{self.name}", f"right_{self.name}") if self.sided else (self.name,)


GUIDE: Final = (
    GuidePoint("eye_outer", (33, 263), "outer corner of the eye", True),
    GuidePoint("eye_inner", (133, 362), "inner corner of the eye, beside the nose", True),
    GuidePoint("eye_top", (159, 386), "middle of its upper lid's edge", True),
    GuidePoint("eye_bottom", (145, 374), "middle of its lower lid's edge", True),
    GuidePoint("mouth_corner", (61, 291), "corner of the mouth", True),
    GuidePoint("upper_lip_edge", (13,), "middle of the upper lip, where it meets the lower one", True),
    GuidePoint("lower_lip_edge", (14,), "middle of the lower lip, where it meets the upper one", True),
    GuidePoint("nose_tip", (4,), "tip of the nose", True),
    GuidePoint("chin", (152,), "lowest point of the chin", True),
    GuidePoint("upper_lip_top", (0,), "middle of the upper lip's upper border", False),
    GuidePoint("lower_lip_bottom", (17,), "middle of the lower lip's lower border", False),
    GuidePoint("nose_base", (2,), "where the nose meets the upper lip", False),
    GuidePoint("nose_bridge", (168,), "root of the nose, between the eyes", False),
    GuidePoint("forehead", (10,), "top of the forehead, in the middle", False),
    GuidePoint("nose_wing", (129, 358), "outer side of the nostril", False),
    GuidePoint("brow_inner", (107, 336), "inner end of the brow", False),
    GuidePoint("brow_middle", (105, 334), "middle of the brow", False),
    GuidePoint("brow_outer", (70, 300), "outer end of the brow", False),
    GuidePoint("cheek", (50, 280), "middle of the cheek, below the eye", False),
    GuidePoint("jaw", (172, 397), "edge of the jaw, at the mouth's height", False),
    GuidePoint("ear", (234, 454), "side of the face, just before the ear", False),
)
LANDMARK_OF: Final = {
    name: number for point in GUIDE for name, number in zip(point.names(), point.landmarks, strict=True)
}
"""Number among the 478 of every point by its name in files."""

Points = Mapping[str, NDArray[np.float64]]
"""[3] position in file coordinates by name."""


def load_hand_landmarks(path: Path, mesh: Mesh) -> dict[str, NDArray[np.float64]]:
    """The points of a file {"version": 1, "points": {name: [x, y, z] or vertex number}}, in file coordinates.

    Raises InputError where it is no such file or its vertex numbers are not those of the mesh. Whether enough points
    are there, `completed` says.
    """
    content = _read(path)
    points: dict[str, NDArray[np.float64]] = {}
    for name, value in content.items():
        if name not in LANDMARK_OF:
            close = difflib.get_close_matches(name, LANDMARK_OF, 1)
            hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(LANDMARK_OF)}"
            raise InputError(f"{path}: there is no point called {name!r}; {hint}")
        points[name] = _position(path, name, value, mesh)
    return points


def save_hand_landmarks(path: Path, points: Points) -> None:
    """Write the points, whole or not at all. Raises InputError where that cannot be."""
    content = {"version": FORMAT_VERSION, "points": {name: [float(v) for v in at] for name, at in points.items()}}
    try:
        with whole_file(path) as partial:
            partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); give a .json file in a folder that exists") from None


def _read(path: Path) -> dict[str, Any]:
    expected = 'expected {"version": 1, "points": {"nose_tip": [x, y, z], …}}'
    try:
        content = read_json(path, _MAX_BYTES)
    except InputError as error:
        raise InputError(f"{error}; place landmarks with: vfa prepare --place-landmarks") from None
    points = content.get("points") if isinstance(content, dict) else None
    if not isinstance(points, dict) or content.get("version") != FORMAT_VERSION:
        raise InputError(f"{path}: not a file of landmarks of version {FORMAT_VERSION}; {expected}")
    return points


def _position(path: Path, name: str, value: object, mesh: Mesh) -> NDArray[np.float64]:
    count = len(mesh.vertices)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < count:
            raise InputError(
                f"{path}: {name} is vertex {value}, but the mesh has {count}; count from 0, or give x, y, z"
            )
        return np.asarray(mesh.vertices[value], dtype=np.float64)
    numbers = isinstance(value, list) and all(type(v) in (int, float) and abs(v) < _FARTHEST for v in value)
    if not isinstance(value, list) or not numbers or len(value) != 3:
        raise InputError(f"{path}: {name}: expected three numbers or one vertex number, got {json.dumps(value)[:60]}")
    return np.array(value, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class SymmetryPlane:
    """The plane between both sides of a face: points with `normal` · point = `offset`; `normal` to picture-right."""

    normal: NDArray[np.float64]
    offset: float

    def mirror(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """[..., 3] the mirror image."""
        return np.asarray(point - 2 * (point @ self.normal - self.offset)[..., None] * self.normal)


def symmetry_plane(points: Points, canonical: NDArray[np.float64]) -> SymmetryPlane:
    """The plane that the points of the middle lie in, across to the lines between points given on both sides.

    Args:
        points: at least three.
        canonical: [478, 3] the average face, whose sides decide where the points leave it open (all on one line).
    """
    positions = np.array(list(points.values()))
    _, guess, _ = fit_similarity(canonical[[LANDMARK_OF[name] for name in points]], positions)
    middle = [points[name] for guide in GUIDE if not guide.sided for name in guide.names() if name in points]
    pairs = [
        (points[left], points[right])
        for left, right in (guide.names() for guide in GUIDE if guide.sided)
        if left in points and right in points
    ]
    middle += [(left + right) / 2 for left, right in pairs]
    centre = np.mean(middle, axis=0) if middle else positions.mean(axis=0)
    off = np.array(middle).reshape(-1, 3) - centre
    size = max(float(((positions - positions.mean(axis=0)) ** 2).sum(axis=1).mean()), 1e-30)
    flatness = off.T @ off / (max(len(off), 1) * size) - _GUESS_SHARE * np.outer(guess[:, 0], guess[:, 0])
    for left, right in pairs:
        across = (right - left) / max(float(np.linalg.norm(right - left)), 1e-12)
        flatness -= np.outer(across, across) / len(pairs)
    normal = np.linalg.eigh(flatness)[1][:, 0]
    normal = normal * (1.0 if normal @ guess[:, 0] >= 0 else -1.0)
    return SymmetryPlane(normal, float(normal @ centre))


def missing_points(points: Points) -> list[str]:
    """Names of required points that are there on neither side."""
    return [g.name for g in GUIDE if g.required and not any(name in points for name in g.names())]


def completed(name: str, points: Points, mesh: Mesh, canonical: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The points with their mirror images where one side is missing, all on the mesh's surface.

    Raises InputError where required points are missing, coincide, or do not belong to this mesh; `name` is the file's.
    """
    if missing := missing_points(points):
        raise InputError(
            f"{name}: {len(missing)} required landmarks are missing: {', '.join(missing)}; "
            "add them, or place them with: vfa prepare --place-landmarks"
        )
    plane = symmetry_plane(points, canonical)
    every = dict(points)
    for guide in (g for g in GUIDE if g.sided):
        left, right = guide.names()
        for own, other in ((left, right), (right, left)):
            if own in points and other not in points:
                every[other] = plane.mirror(points[own])
    return _on_surface(name, every, points, mesh)


def _on_surface(name: str, every: Points, given: Points, mesh: Mesh) -> dict[str, NDArray[np.float64]]:
    positions = np.array(list(every.values()))
    middle, extent = positions.mean(axis=0), float(np.ptp(positions, axis=0).max())
    size = float(np.ptp(mesh.vertices.astype(np.float64), axis=0).max())
    if not extent > _SMALLEST * size:
        raise InputError(
            f"{name}: the face is {extent:.3g} large on a mesh of {size:.3g}; give points in its own coordinates"
        )
    corners = {at: every[at] for at in ("left_eye_outer", "left_eye_inner", "right_eye_outer", "right_eye_inner")}
    spans = [np.linalg.norm(corners[f"{s}_eye_outer"] - corners[f"{s}_eye_inner"]) for s in ("left", "right")]
    spans.append(np.linalg.norm(every["left_mouth_corner"] - every["right_mouth_corner"]))
    spans.append(np.linalg.norm(every["nose_tip"] - every["chin"]))
    if min(spans) < _SAME_PLACE * extent:
        raise InputError(
            f"{name}: corners of an eye or of the mouth, or nose and chin, are at one place; set them apart"
        )
    vertices, faces = (mesh.vertices - middle) / extent, mesh.faces.astype(np.int64)
    face, bary, distance = closest_on_faces((positions - middle) / extent, vertices, faces, np.arange(len(faces)))
    for point, off in zip(every, distance, strict=True):
        if point in given and off > _TOO_FAR:
            raise InputError(
                f"{name}: {point} is {off * extent:.3g} away from the mesh, and the face {extent:.3g} large; "
                "give points in this file's own coordinates"
            )
    on = (vertices[faces[face]] * bary[..., None]).sum(axis=1)
    return dict(zip(every, on * extent + middle, strict=True))
