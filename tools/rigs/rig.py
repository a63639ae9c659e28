"""What all artists' heads come as: one mesh, and a displacement for every unit its artist made."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_NAMES
from core.mesh import Mesh, MeshPart
from core.sphere import fit_sphere

Points = NDArray[np.float64]


BASES = ("ict", "valid", "cc0", "mpfb2")


PIECES = ("skin", "eyes", "mouth", "lashes", "tears", "hair")


SKIN, EYES, MOUTH, LASHES, TEARS, HAIR = range(len(PIECES))
"""What a vertex belongs to. "mouth": teeth, gums and tongue; "tears": what lies in the corners and along the lids."""


_SIDES = (("Left", "L"), ("Right", "R"))


LOOSE = {
    "ict": frozenset[str](),
    "cc0": frozenset[str](),
    "valid": frozenset({"mouthRollLower", "mouthRollUpper", "noseSneerLeft", "noseSneerRight"}),
    "mpfb2": frozenset({"mouthLowerDownLeft", "mouthLowerDownRight", "mouthStretchLeft", "mouthStretchRight"}),
}
"""Units for which an artist's shape is a near relation only: VALID presses lips for M, P and B rather than rolls them,
and its disgust lifts the whole mouth; MPFB2's depressed lower lip takes the corners along, its retraction is level."""


@dataclass(frozen=True, eq=False)
class ArtistRig:
    """One head and the expressions its artist gave it. Metres; between the eyeballs' centres lies the origin, x points
    to the person's left (picture-right), y up, z forward.

    Attributes:
        name, basis: see `tools.artist_rigs`; "file" is anybody's. Two rigs of one basis share an artist, rigs of
            different bases do not.
        mesh: at rest, with parts and materials.
        units: ARKit unit → [V, 3] float32 displacement at weight 1.
        piece: [V] int8, one of PIECES each.
        loose: units whose shape is a near relation only, see LOOSE.
        file: the head as it came, where that is a file of its own.
    """

    name: str
    basis: str
    mesh: Mesh
    units: dict[str, NDArray[np.float32]]
    piece: NDArray[np.int8]
    file: Path | None = None

    @property
    def loose(self) -> frozenset[str]:
        return LOOSE.get(self.basis, frozenset())

    def vertices(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """[V, 3] for weights by unit name. Raises ValueError for a unit that the artist has not made."""
        missing = sorted(name for name in weights if name not in self.units)
        if missing:
            raise ValueError(f"{self.name} has no shape for {', '.join(missing)}")
        moved = sum((np.float32(weight) * self.units[name] for name, weight in weights.items()), np.float32(0))
        return np.asarray(self.mesh.vertices + moved, dtype=np.float32)

    def unit_array(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """[52, V, 3] displacements in the order of UNIT_NAMES, 0 where there is none, and [52] which there are."""
        has = np.array([name in self.units for name in UNIT_NAMES])
        none = np.zeros_like(self.mesh.vertices)
        return np.stack([self.units.get(name, none) for name in UNIT_NAMES]), has


def summed(shapes: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """[V, 3] all of them together."""
    return functools.reduce(np.add, shapes)


def side_of(unit: str) -> tuple[str, str]:
    """ "mouthSmileLeft" → "mouthSmile", "L"; "" for units of both sides. The jaw and the mouth to the left are whole
    units of their own, and here "jaw" and "mouth" to a side."""
    for word, letter in _SIDES:
        if unit.endswith(word):
            return unit.removesuffix(word), letter
    return unit, ""


def faces_of(mesh: Mesh, part: MeshPart) -> NDArray[np.int32]:
    """[F, 3] the part's triangles."""
    return mesh.faces[part.first_face : part.first_face + part.face_count]


def placed_between_eyes(
    rest: Points, left: NDArray[np.integer], right: NDArray[np.integer]
) -> tuple[Points, tuple[Points, Points]]:
    """`rest` [V, 3] about the middle of the eyeballs with these vertices, and the centres of both."""
    centres = [fit_sphere(rest[eye]).centre for eye in (left, right)]
    middle = np.mean(centres, axis=0)
    return rest - middle, (centres[0] - middle, centres[1] - middle)


def triangles_of(
    quads: NDArray[np.int64], quads_uv: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Triangles of [F, 4] polygons (−1: a triangle), of their texture coordinates, and the polygon of each."""
    second = quads[:, 3] >= 0
    owner = np.concatenate([np.arange(len(quads)), np.flatnonzero(second)])
    order = np.argsort(owner, kind="stable")

    def cut(corners: NDArray[np.int64]) -> NDArray[np.int32]:
        halves = np.concatenate([corners[:, [0, 1, 2]], corners[second][:, [0, 2, 3]]])
        return halves[order].astype(np.int32)

    return cut(quads), cut(quads_uv), owner[order]
