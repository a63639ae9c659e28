"""A parametric head: identity sliders and 52 expression units make vertices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.eyelids import Eyeball, EyeballClearance, LidContact, blink_scale, fit_eyeball
from capture.synthetic.eyes import EyeShape, gaze_vectors, make_eye, placed
from capture.synthetic.head_data import HeadData, load_head_data
from capture.synthetic.identity import Identity, target_weights
from capture.synthetic.lashes import make_lashes
from capture.synthetic.lips import LipContact
from capture.synthetic.subdivision import Subdivision, catmull_clark, triangulated
from capture.synthetic.teeth import Teeth, make_teeth

SIDES = ("left", "right")
PARTS = ("skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "lashes")
# The artists' mouth leaves the upper teeth behind the lip in every expression and fills the cavity with the tongue.
TEETH_OFFSETS_M = {"teeth_upper": (0.0, -0.0015, -0.001), "teeth_lower": (0.0, -0.0025, -0.002)}
TONGUE_TOP_M, TONGUE_LOWERED_M, TONGUE_FLATTENED, TONGUE_BACK_M = -0.0566, 0.012, 0.6, 0.004
TONGUE_ROOT_DROP = 0.2  # of the distance behind the tip
OPENING_UNITS = ("mouthFunnel", "mouthUpperUp", "mouthLowerDown")

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeadTopology:
    """What all heads share: which base vertices make which finished vertices, part by part.

    Attributes:
        matrix: [n, V] CSR; finished vertices of all parts but the eyes, from the base mesh.
        ranges: part → first and last + 1 of its finished vertices.
        faces: part → [f, 3] int32 triangles, numbered over the whole head.
        skin: the subdivision of the kept skin.
        teeth: "upper" and "lower".
    """

    matrix: sp.csr_matrix
    ranges: Mapping[str, tuple[int, int]]
    faces: Mapping[str, NDArray[np.int32]]
    skin: Subdivision
    eye: EyeShape
    teeth: Mapping[str, Teeth]
    vertex_count: int


def make_topology(
    data: HeadData, keep_quads: NDArray[np.bool_] | None = None, lash_length: float = 1.0
) -> HeadTopology:
    """Subdivide skin and tongue once and add teeth, lashes and eyeballs; `keep_quads` [F] restricts the skin."""
    count = len(data.vertices)
    quads = data.parts["skin"] if keep_quads is None else data.parts["skin"][keep_quads]
    skin, tongue = catmull_clark(quads, count), catmull_clark(data.parts["tongue"], count)
    eye = make_eye()
    teeth = {jaw: make_teeth(data, jaw) for jaw in ("upper", "lower")}
    lashes, lash_faces = make_lashes(data, lash_length)
    skin_matrix, skin_quads = _compact(skin)
    tongue_matrix, tongue_quads = _compact(tongue)
    blocks = {
        "skin": (skin_matrix, triangulated(skin_quads)),
        "eye_left": (sp.csr_matrix((len(eye.vertices), count)), eye.faces),
        "eye_right": (sp.csr_matrix((len(eye.vertices), count)), eye.faces),
        "teeth_upper": (teeth["upper"].matrix, teeth["upper"].faces),
        "teeth_lower": (teeth["lower"].matrix, teeth["lower"].faces),
        "tongue": (tongue_matrix, triangulated(tongue_quads)),
        "lashes": (lashes, lash_faces),
    }
    ranges, faces, first = {}, {}, 0
    for name, (matrix, triangles) in blocks.items():
        ranges[name] = (first, first + matrix.shape[0])
        faces[name] = triangles + np.int32(first)
        first += matrix.shape[0]
    joined = sp.vstack([matrix for matrix, _ in blocks.values()]).tocsr()
    return HeadTopology(joined, ranges, faces, skin, eye, teeth, first)


def _compact(subdivision: Subdivision) -> tuple[sp.csr_matrix, NDArray[np.int32]]:
    """Drop the vertices that no face uses."""
    used, quads = np.unique(subdivision.quads, return_inverse=True)
    return subdivision.matrix[used], quads.reshape(-1, 4).astype(np.int32)


class HeadModel:
    """One person. Metres, origin midway between the eyes, y up, z out of the face; left is the person's own (+x).

    Not thread-safe. `vertices` takes about 3 ms.
    """

    def __init__(
        self, identity: Identity | None = None, data: HeadData | None = None, topology: HeadTopology | None = None
    ) -> None:
        self.identity = identity or Identity()
        self.data = data or load_head_data()
        self.topology = topology or make_topology(self.data)
        self.unit_names = self.data.names("unit")
        self._lips = LipContact(self.data.vertices.astype(np.float64), self.data.lip_rings)
        self._base = self._shaped()
        self.eyeballs = {side: fit_eyeball(self._base[self.data.part_vertices(f"eye_{side}")]) for side in SIDES}
        self._units = self._scaled_units()
        self._gaze = {side: self._gaze_matrix(side) for side in SIDES}
        self._contacts = [self._lid_contact(side) for side in SIDES]
        self._clearances: list[EyeballClearance] = []
        self._clearances = [self._clearance(eyeball) for eyeball in self.eyeballs.values()]

    def vertices(self, weights: NDArray[np.floating] | Mapping[str, float] | None = None) -> Points:
        """[n, 3] finished vertices for 52 unit weights (0 … 1), in the order of `unit_names` or by name."""
        values = self.weight_vector(weights)
        base = self._base + np.tensordot(values, self._units, axes=1)
        for contact in self._contacts:
            contact.separate(base)
        self._lips.separate(base)
        points = self.topology.matrix @ base
        for side in SIDES:
            start, end = self.topology.ranges[f"eye_{side}"]
            points[start:end] = placed(self.topology.eye, self.eyeballs[side], values @ self._gaze[side])
        for clearance in self._clearances:
            clearance.push_out(points)
        return np.asarray(points)

    def weight_vector(self, weights: NDArray[np.floating] | Mapping[str, float] | None) -> Points:
        """[52] float64; raises ValueError for an unknown name or a wrong length."""
        if weights is None:
            return np.zeros(len(self.unit_names))
        if isinstance(weights, Mapping):
            unknown = set(weights) - set(self.unit_names)
            if unknown:
                raise ValueError(f"no such expression unit: {', '.join(sorted(unknown))}")
            return np.array([weights.get(name, 0.0) for name in self.unit_names])
        values = np.asarray(weights, dtype=np.float64)
        if values.shape != (len(self.unit_names),):
            raise ValueError(f"expected {len(self.unit_names)} unit weights, got an array of shape {values.shape}")
        return values

    def faces(self, part: str) -> NDArray[np.int32]:
        """[f, 3] triangles of one part, counter-clockwise from outside, numbered over the whole head."""
        return self.topology.faces[part]

    def part(self, name: str) -> slice:
        """The finished vertices of one part."""
        return slice(*self.topology.ranges[name])

    def _shaped(self) -> Points:
        base = self.data.vertices.astype(np.float64)
        for name, weight in target_weights(self.identity, self.data).items():
            indices, displacement = self.data.targets[name]
            base[indices] += weight * displacement
        self._lips.seal(base)
        self._settle_mouth(base)
        eyes = [fit_eyeball(base[self.data.part_vertices(f"eye_{side}")]).centre for side in SIDES]
        return np.asarray(base - np.mean(eyes, axis=0))

    def _settle_mouth(self, base: Points) -> None:
        """Lower the teeth to where they show in a smile, and lay the tongue on the floor of the mouth, in place."""
        for part, offset in TEETH_OFFSETS_M.items():
            base[self.data.part_vertices(part)] += offset
        tongue = self.data.part_vertices("tongue")
        below_top = TONGUE_TOP_M - self.data.vertices[tongue, 1].astype(np.float64)
        base[tongue, 1] += below_top * (1 - TONGUE_FLATTENED) - TONGUE_LOWERED_M
        depth = self.data.vertices[tongue, 2].astype(np.float64)
        base[tongue, 1] -= TONGUE_ROOT_DROP * (depth.max() - depth)
        base[tongue, 2] -= TONGUE_BACK_M

    def _scaled_units(self) -> Points:
        """[52, V, 3] unit targets, as large as this face is, with blinks that just close these eyes."""
        size = _face_size(self._base, self.data) / _face_size(self.data.vertices.astype(np.float64), self.data)
        units = np.stack([self.data.dense(f"unit/{name}") for name in self.unit_names]).astype(np.float64) * size
        for side in SIDES:
            row = self.unit_names.index(f"eyeBlink{side.capitalize()}")
            factors = blink_scale(self._base, self.data.lid_rings[side], self.eyeballs[side], units[row])
            units[row] *= factors[:, None]
        self._keep_lips_closed(units)
        return units

    def _keep_lips_closed(self, units: Points) -> None:
        """Units that leave the mouth shut must do so on this head too, and `mouthClose` must shut the open jaw, in place."""
        jaw_open = units[self.unit_names.index("jawOpen")]
        for row, name in enumerate(self.unit_names):
            if name.startswith("mouth") and not name.startswith(OPENING_UNITS):
                rest = self._base + jaw_open if name == "mouthClose" else self._base
                moved = rest + units[row]
                self._lips.close(moved)
                units[row] = moved - rest

    def _gaze_matrix(self, side: str) -> Points:
        matrix = np.zeros((len(self.unit_names), 3))
        for name, vector in gaze_vectors(self.data, side).items():
            matrix[self.unit_names.index(name)] = vector
        return matrix

    def _lid_contact(self, side: str) -> LidContact:
        lashes = self.data.part_vertices(f"lash_upper_{side}")
        return LidContact(self._base, self.data.lid_rings[side], self.eyeballs[side], lashes)

    def _clearance(self, eyeball: Eyeball) -> EyeballClearance:
        start, end = self.topology.ranges["skin"]
        return EyeballClearance(self.topology.matrix @ self._base, np.arange(start, end), eyeball)


def _face_size(base: Points, data: HeadData) -> float:
    """Mean of the distance between the eyes and of that from the eyes to the mouth, metres."""
    centres = [base[data.part_vertices(f"eye_{side}")].mean(axis=0) for side in SIDES]
    mouth = base[data.part_vertices("teeth_upper")].mean(axis=0)
    return float(np.linalg.norm(centres[0] - centres[1]) + np.linalg.norm(mouth - np.mean(centres, axis=0)) / 2)
