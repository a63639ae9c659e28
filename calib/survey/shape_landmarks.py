"""Landmarks of a head in which no landmarker finds a face, by what its own shapes move: lids, lips, nose, jaw.

The artist of an animal or a cartoon has said with the shapes where its eyes and its mouth are, and which way they open.
"left" and "right" in names of points are sides of the picture, in names of units the person's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.rig.own_shapes import units_among
from calib.survey.hand_landmarks import Points
from calib.survey.placement import AXES, axis_names, axis_rotation
from core.mesh import Mesh

_SIDES = (("right", "Left"), ("left", "Right"))  # of the picture, of the person
_CORNER = ("mouthSmile", "mouthFrown", "mouthStretch", "mouthDimple")
_LIPS = {"upper": ("mouthUpperUp", "mouthRollUpper", "mouthShrugUpper"), "lower": (
    "mouthLowerDown", "mouthRollLower", "mouthShrugLower")}  # fmt: skip
_BROW = ("browOuterUp", "browDown")
_PEAK = 0.85  # of what the most moved vertex does: vertices so much moved are where a shape acts
_LID = 0.4  # of the same: what moves less beside a lid is skin that is drawn along
_COMES_UP = 0.3  # of the upper lid's way: a lower lid that does so much is one
_HIGHEST, _WIDEST = 2.0, 4.0  # of the same: as far from the upper lid's edge lie the lower one, and corners
_JAW = 0.5  # of the jaw's most moved vertex
_GNATHION = np.array([0.0, -1.0, 0.5])  # the most anterior and inferior point of a chin; throats go down far behind it
_MIDDLE = 0.15  # of the distance between the eyes: so near the plane of symmetry
_USUAL_COUNTS = 0.5  # a trace of rotations runs to 3: how much the format's own axes count beside what shapes say


@dataclass(frozen=True, eq=False)
class _Moves:
    """Vertices [V, 3] at rest, and how far [V, 3] each unit that the file has moves them; upright, x to picture-right,
    z out of the face once it is known how that lies."""

    rest: NDArray[np.float64]
    units: dict[str, NDArray[np.float64]]

    def amount(self, names: Iterable[str]) -> NDArray[np.float64] | None:
        """[V] how much the units named move each vertex, each as a share of its own most; None without any."""
        found = [np.linalg.norm(self.units[name], axis=1) for name in names if name in self.units]
        found = [each / each.max() for each in found if each.max() > 0]
        return np.mean(found, axis=0) if found else None

    def peak(self, names: Iterable[str], where: NDArray[np.bool_] | None = None) -> NDArray[np.float64] | None:
        """[3] where the units named move the most, among the vertices `where` [V]; None without any."""
        amount = self.amount(names)
        if amount is None or (where is not None and not where.any()):
            return None
        amount = amount if where is None else np.where(where, amount, 0.0)
        top = amount >= _PEAK * amount.max()
        return np.asarray(np.average(self.rest[top], axis=0, weights=amount[top])) if amount.max() > 0 else None

    def turned(self, rotation: NDArray[np.float64]) -> "_Moves":
        return _Moves(self.rest @ rotation.T, {name: each @ rotation.T for name, each in self.units.items()})


@dataclass(frozen=True, eq=False)
class ShapeLandmarks:
    """What a head's shapes say: `points` [3] in file coordinates, by names of `calib.survey.hand_landmarks`, and which
    axes of the file point up and out of the face."""

    points: Points
    up: str
    front: str


def shape_landmarks(
    mesh: Mesh, usual: tuple[str, str] | None = None, up: str | None = None, front: str | None = None
) -> ShapeLandmarks | None:
    """Landmarks by the shapes of a mesh that `calib.rig.own_shapes.lack_of_units` finds nothing lacking in.

    Args:
        usual: axes that point up and to the front in files of its format, see `calib.survey.placement.usual_axes`.
        up, front: axes the user stated.

    None where the shapes do not tell: without those that move corners of the mouth and the lips, or where these
    contradict each other.
    """
    assert mesh.morphs is not None, "nothing to go by"
    displacement = mesh.morphs.displacement
    units = {unit: displacement[number].astype(np.float64) for unit, number in units_among(mesh).items()}
    moves = _Moves(mesh.vertices.astype(np.float64), units)
    rotation = _upright(moves, usual, up, front)
    points = None if rotation is None else _points(moves.turned(rotation))
    if rotation is None or points is None:
        return None
    return ShapeLandmarks({name: at @ rotation for name, at in points.items()}, *axis_names(rotation))


def _upright(
    moves: _Moves, usual: tuple[str, str] | None, up: str | None, front: str | None
) -> NDArray[np.float64] | None:
    """[3, 3] from file axes to those of the picture: the axes nearest to what shapes say of right and up."""
    eyes = {side: moves.peak([f"eyeBlink{side}"]) for _, side in _SIDES}
    mouth = moves.peak([f"{name}{side}" for name in _CORNER for _, side in _SIDES])
    left, right = eyes["Left"], eyes["Right"]
    if left is None or right is None or mouth is None:
        return None
    across = _unit(left - right)  # the person's left is picture-right
    ways = [(left + right) / 2 - mouth]
    for names, sign in ((("jawOpen", "eyeBlinkLeft", "eyeBlinkRight"), -1), (("browInnerUp", "browOuterUpLeft",
        "browOuterUpRight"), 1)):  # fmt: skip
        ways += [sign * moves.units[name].sum(axis=0) for name in names if name in moves.units]
    upright = np.sum([_unit(way) for way in ways], axis=0)
    upright = _unit(upright - (upright @ across) * across)
    own = np.stack([across, upright, np.cross(across, upright)])
    every = [(u, f) for u in AXES for f in AXES if u[-1] != f[-1] and up in (None, u) and front in (None, f)]
    fit = [float(np.trace(own @ axis_rotation(*axes).T)) + _USUAL_COUNTS * (axes == usual) for axes in every]
    return axis_rotation(*every[int(np.argmax(fit))])


def _points(moves: _Moves) -> dict[str, NDArray[np.float64]] | None:
    points: dict[str, NDArray[np.float64]] = {}
    for picture, person in _SIDES:
        eye = _eye(moves, picture, person)
        corner = moves.peak([f"{name}{person}" for name in _CORNER])
        if eye is None or corner is None:
            return None
        points |= eye
        points[f"{picture}_mouth_corner"] = corner
    left, right = points["left_eye_top"], points["right_eye_top"]
    apart = float(right[0] - left[0])
    off = np.abs(moves.rest[:, 0] - (left[0] + right[0]) / 2)
    middle = off < max(_MIDDLE * apart, float(np.sort(off)[: max(len(off) // 100, 1)].max()))
    for lip, names in _LIPS.items():
        at = moves.peak([f"{name}{side}" for name in names for side in ("", "Left", "Right")], middle)
        if at is None:
            return None
        points[f"{lip}_lip_edge"] = at
    lips = (points["upper_lip_edge"] + points["lower_lip_edge"]) / 2
    jaw = moves.amount(["jawOpen"])
    eyes = (left + right) / 2
    wide = float(points["right_mouth_corner"][0] - points["left_mouth_corner"][0])
    if jaw is None or not min(apart, wide, eyes[1] - lips[1]) > 0:
        return None
    below = middle & (jaw > _JAW) & (moves.rest[:, 1] < lips[1])
    between = middle & (moves.rest[:, 1] < eyes[1]) & (moves.rest[:, 1] > lips[1] + 0.1 * (eyes[1] - lips[1]))
    if not (below.any() and between.any()):
        return None
    points["chin"] = moves.rest[below][(moves.rest[below] @ _GNATHION).argmax()]
    points["nose_tip"] = moves.rest[between][moves.rest[between, 2].argmax()]
    for picture, person in _SIDES:
        brow = moves.peak([f"{name}{person}" for name in _BROW])
        if brow is not None:
            points[f"{picture}_brow_middle"] = brow
    return points


def _eye(moves: _Moves, picture: str, person: str) -> dict[str, NDArray[np.float64]] | None:
    """Its corners, and the middles of the edges of its lids: where the blink's most moved vertices lie, and where they
    go, or where a lower lid comes up from. None where no lid is seen to do so."""
    blink = moves.units[f"eyeBlink{person}"]
    far = np.linalg.norm(blink, axis=1)
    most = float(far.max())
    top = far >= _PEAK * most
    upper = np.average(moves.rest[top], axis=0, weights=far[top])
    lower = upper + np.average(blink[top], axis=0, weights=far[top])
    away = np.linalg.norm(moves.rest - upper, axis=1)
    below = (moves.rest[:, 1] < upper[1]) & (away < _HIGHEST * most)
    rising = np.where(below, blink[:, 1], 0.0)
    if rising.max() > _COMES_UP * most:
        lower = moves.rest[rising >= _PEAK * rising.max()].mean(axis=0)
    high = float(np.abs((upper - lower)[1]))
    lid = (far > _LID * most) & (away < _WIDEST * most) & (np.abs(moves.rest[:, 1] - (upper + lower)[1] / 2) < high)
    if not lid.any():
        return None
    along = moves.rest[lid]
    ends = [along[along[:, 0].argmin()], along[along[:, 0].argmax()]]
    for end in ends:
        end[1] = (upper + lower)[1] / 2
    outer, inner = ends[::-1] if picture == "right" else ends
    return {
        f"{picture}_eye_top": upper,
        f"{picture}_eye_bottom": lower,
        f"{picture}_eye_outer": outer,
        f"{picture}_eye_inner": inner,
    }


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-30))
