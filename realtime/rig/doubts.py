"""What is doubtful about a head's shapes, found by measuring them: for an artist to know where to look first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.rig.controllers import Role
from calib.rig.face_rig import FaceRig
from calib.rig.lid_rig import LidRig
from calib.rigging.expression_transfer import lip_faces
from calib.survey.closest import closest_on_faces
from realtime.rig.front_view import seen_from_front
from realtime.rig.head_shapes import HeadShapes
from realtime.rig.naming import Target

_FACE_M = 0.19  # what is told in millimetres is told of a face as large as people's: forehead to chin
_TINY = 0.004  # of the face's height: shapes that move less, nobody sees
_TINY_LOOK = 0.002  # the same for shapes of the gaze on heads whose eyes are part of their skin
_DRAWN_OUT = 4.0  # times its length at rest
_SHORT = 0.004  # of the face's height: shorter edges may be drawn out
_FLIPPED = -0.3  # cosine between a triangle's normals before and after
_FEW, _FEW_SHARE = 10, 5e-4  # drawn out or turned triangles that are no trouble: inside lips, in folds of lids
_BEFORE = 0.003  # of the face's height: what lies so far before a triangle hides it
_CROSSING = 0.0005 / _FACE_M  # of the face's height
_AJAR = 0.001 / _FACE_M  # of the face's height: what mouthClose may leave
_GAPING = 0.12  # of the open distance of the lids: what a blink may leave
_PLACES = np.linspace(0.1, 0.9, 17)  # along a rim
_BLINKS = ("eyeBlinkRight", "eyeBlinkLeft")  # by eye

Vertices = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """One shape.

    Attributes:
        name: of the shape.
        moves_mm: how far its farthest vertex goes on a face as large as people's.
        vertices: how many move.
        doubts: what an artist should look at; empty where nothing is wrong.
    """

    name: str
    moves_mm: float
    vertices: int
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class RigReport:
    """Attributes: shapes: all of them, in order; head: what holds for the head as a whole."""

    shapes: tuple[Measured, ...]
    head: tuple[str, ...]

    @property
    def doubtful(self) -> tuple[Measured, ...]:
        return tuple(shape for shape in self.shapes if shape.doubts)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        shapes = {
            s.name: {"moves_mm": round(s.moves_mm, 2), "vertices": s.vertices, "doubts": list(s.doubts)}
            for s in self.shapes
        }
        return {"head": list(self.head), "shapes": shapes}


def measured(shapes: HeadShapes) -> RigReport:
    """Measure all shapes of a head."""
    height = float(np.ptp(shapes.avatar.landmarks[:, 1]))
    ruler = _Ruler(shapes, height)
    found = []
    for target, posed, shape in zip(shapes.targets, shapes.posed, shapes.rigged.shapes, strict=True):
        moved = np.linalg.norm(posed - shapes.neutral, axis=1)
        far = float(moved.max(initial=0.0))
        under = shapes.neutral + shapes.under(target)
        doubts = ruler.doubts(target, under, under + shapes.whole(target), far)
        found.append(Measured(target.name, 1000 * _FACE_M * far / height, len(shape.rows), tuple(doubts)))
    return RigReport(tuple(found), tuple(_of_head(shapes)))


class _Ruler:
    """What measuring every shape of one head needs."""

    def __init__(self, shapes: HeadShapes, height: float) -> None:
        rig, mesh = shapes.avatar.rig, shapes.avatar.display_mesh
        self._rig, self._height, self._rest = rig, height, shapes.neutral
        self._faces = mesh.faces.astype(np.int64)
        used = np.flatnonzero(rig.neck.share[self._faces[:, 0]] >= 1)
        self._faces = self._faces[used]
        self._lengths, self._normals = self._edges(self._rest), self._sides(self._rest)
        self._pieces, self._own_eyes = not len(rig.eyes[0].ball), shapes.own_eyes
        self._lips = _LipRims(rig, self._faces)
        self._apertures = [_aperture(rig.lids[eye], rig, eye, self._rest) for eye in range(2)]

    def doubts(self, target: Target, under: Vertices, posed: Vertices, far: float) -> list[str]:
        """Of a shape that moves vertices so `far`: `under` is the head without it, `posed` in it."""
        height, units, found = self._height, target.units, []
        look = all(unit.startswith("eyeLook") for unit in units)
        tiny = 0.0 if look and self._own_eyes else _TINY_LOOK if self._pieces and look else _TINY
        if set(units) == {"tongueOut"} and not len(self._rig.jaw.tongue):
            found.append("it has no tongue that is a piece of its own")
        elif far < tiny * height:
            share = f"{1000 * _FACE_M * far / height:.1f} mm on a face as large as people's"
            found.append("does not move at all" if far < 1e-4 * height else f"hardly moves ({share})")
        if set(units) == {"tongueOut"} and len(self._rig.jaw.tongue):
            behind = self._lips.hiding(posed, self._rig.jaw.tongue)
            if behind > 0:
                found.append(f"the tongue's tip stays {1000 * _FACE_M * behind / height:.1f} mm behind the lower lip")
        if torn := self._told(self._seen(posed, self._torn(posed) & ~self._torn(under))):
            found.append(f"{torn} triangles are drawn out to more than {_DRAWN_OUT:g} times their length")
        if flipped := self._told(self._seen(posed, self._flipped(posed) & ~self._flipped(under))):
            found.append(f"{flipped} triangles turn over")
        if (over := self._lips.crossing(self._rest, posed)) > _CROSSING * height:
            found.append(f"the lips pass through each other by {1000 * _FACE_M * over / height:.1f} mm")
        if set(units) == {"mouthClose"}:
            ajar = self._lips.ajar(self._rest, posed)
            if ajar > _AJAR * height:
                found.append(f"leaves the lips of an open jaw {1000 * _FACE_M * ajar / height:.1f} mm apart")
        left = 0.0
        for eye, unit in enumerate(_BLINKS):
            before = self._apertures[eye]
            if units.get(unit, 0.0) >= 1 and before > 0:  # less is meant to leave the eye partly open
                left = max(left, _aperture(self._rig.lids[eye], self._rig, eye, posed) / before)
        if left > _GAPING:
            found.append(f"leaves {100 * left:.0f} % of the eye open")
        return found

    def _edges(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        corners = points[self._faces]
        return np.asarray(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2))

    def _torn(self, posed: Vertices) -> NDArray[np.bool_]:
        longer = self._edges(posed)
        torn = (longer > _DRAWN_OUT * self._lengths) & (longer > _SHORT * self._height)
        return np.asarray(torn.any(axis=1))

    def _sides(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        a, b, c = (points[self._faces[:, k]] for k in range(3))
        return np.asarray(np.cross(b - a, c - a))

    def _flipped(self, posed: Vertices) -> NDArray[np.bool_]:
        now = self._sides(posed)
        size = np.linalg.norm(now, axis=1) * np.linalg.norm(self._normals, axis=1)
        large = np.linalg.norm(now, axis=1) > (_SHORT * self._height) ** 2
        turned = np.einsum("nd,nd->n", now, self._normals) < _FLIPPED * size
        return np.asarray(turned & large)

    def _seen(self, posed: Vertices, wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those that show: insides of lips and cheeks may fold as they like."""
        if not self._told(wrong):
            return wrong
        rows = np.flatnonzero(wrong)
        shown = np.zeros_like(wrong)
        shown[rows[seen_from_front(posed, self._faces, rows, _BEFORE * self._height)]] = True
        return shown

    def _told(self, wrong: NDArray[np.bool_]) -> int:
        count = int(wrong.sum())
        return count if count > max(_FEW, _FEW_SHARE * len(self._faces)) else 0


class _LipRims:
    """The rims of the lips, as places on the mesh."""

    def __init__(self, rig: FaceRig, faces: NDArray[np.int64]) -> None:
        self._rims = []
        mouth = rig.mouth
        self._up, self._out = mouth.frame[1:]
        rest = rig.rest.astype(np.float64)
        controllers = rig.controllers
        own_faces = lip_faces(controllers, rig.weights, faces)
        for role, own in zip((Role.UPPER_LIP, Role.LOWER_LIP), own_faces, strict=True):
            rows = controllers.of(role)
            rows = rows[np.argsort(controllers.along[rows])]
            if not len(rows) or not len(own):
                return
            face, bary, _ = closest_on_faces(controllers.rest[rows], rest, own, np.arange(len(own)))
            self._rims.append((own[face], bary, controllers.along[rows]))

    def crossing(self, rest: NDArray[np.float32], posed: NDArray[np.float32]) -> float:
        """How far the rims pass each other beyond what they do at rest, avatar units."""
        if len(self._rims) < 2:
            return 0.0
        gap = self._gap(posed)
        return float((np.minimum(self._gap(rest), 0.0) - gap).max(initial=0.0))

    def ajar(self, rest: NDArray[np.float32], posed: NDArray[np.float32]) -> float:
        """How far the rims stand apart beyond what they do at rest, where most, avatar units."""
        if len(self._rims) < 2:
            return 0.0
        return float((self._gap(posed) - np.maximum(self._gap(rest), 0.0)).max(initial=0.0))

    def hiding(self, posed: NDArray[np.float32], tongue: NDArray[np.int64]) -> float:
        """How far the middle of the lower rim lies before the foremost of the tongue's vertices [T], avatar units;
        below 0 where the tongue is out."""
        if len(self._rims) < 2:
            return 0.0
        corners, bary, along = self._rims[1]
        rim = np.einsum("nk,nkd->nd", bary, posed[corners].astype(np.float64)) @ self._out
        return float(np.interp(0.5, along, rim) - (posed[tongue] @ self._out).max())

    def _gap(self, vertices: NDArray[np.float32]) -> NDArray[np.float64]:
        heights = []
        for corners, bary, along in self._rims:
            at = np.einsum("nk,nkd->nd", bary, vertices[corners].astype(np.float64))
            heights.append(np.interp(_PLACES, along, at @ self._up))
        return np.asarray(heights[0] - heights[1])


def _aperture(lids: LidRig, rig: FaceRig, eye: int, vertices: NDArray[np.float32]) -> float:
    """Mean open distance of the lids, avatar units; 0 where the head has none."""
    if not len(lids.vertices):
        return 0.0
    ends = vertices[lids.rims[:2]].astype(np.float64)
    rims = ends[:, :, 0] + lids.rim_share[:2, :, None] * (ends[:, :, 1] - ends[:, :, 0])
    return float(np.maximum((rims[0] - rims[1]) @ rig.eyes[eye].frame[1], 0.0).mean())


def _of_head(shapes: HeadShapes) -> list[str]:
    avatar, rigged = shapes.avatar, shapes.rigged
    rig, said = avatar.rig, []
    pieces = [rigged.mesh.parts[number].name for number in rigged.added]
    if pieces:
        said.append(f"it had none of these, which were added: {', '.join(pieces)}")
    if rigged.altered:
        names = ", ".join(repr(rigged.mesh.parts[number].name) for number in sorted(rigged.altered))
        said.append(
            f"{names}: lips or lids were cut open, or eyes opened; its vertices come first, new ones after them"
        )
    if avatar.binding is not None and rigged.altered:
        said.append("it has too many triangles to be cut open: a coarser mesh stands in the rigged file")
    for eye, side in ((0, "right"), (1, "left")):
        if not len(rig.eyes[eye].ball):
            said.append(f"its {side} eye is one piece with the skin: shapes of the gaze move what is painted there")
    if not len(rig.jaw.vertices) and not any("teeth" in name for name in pieces):
        said.append("it has no lower teeth or tongue that could follow the jaw")
    if avatar.by_hand:
        said.append("its landmarks were placed by hand: the shapes are those of human faces, look at all of them")
    return said
