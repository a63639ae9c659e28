"""A parametric head: identity sliders and 52 expression units make vertices, a palette makes colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head import hair
from capture.synthetic.head.eyelids import EyeballClearance, LidContact, blink_scale
from capture.synthetic.head.eyes import gaze_vectors, placed
from capture.synthetic.head.geometry import vertex_normals
from capture.synthetic.head.head_data import HeadData, load_head_data
from capture.synthetic.head.head_topology import HAIR, HeadTopology, make_topology
from capture.synthetic.head.identity import Identity, target_weights
from capture.synthetic.head.lips import LipContact
from capture.synthetic.head.paint import SkinFields, shirt_thickness, skin_colors, skin_fields
from capture.synthetic.head.palette import Palette
from capture.synthetic.head.part_paint import LASH, eye_colors, teeth_colors, tongue_colors
from capture.synthetic.head.subdivision import triangulated
from capture.synthetic.head.unit_contacts import UnitContacts
from core.mesh import Material, Mesh, MeshPart
from core.sphere import Sphere, fit_sphere

SIDES = ("left", "right")
# The artists' mouth leaves the upper teeth behind the lip in every expression and fills the cavity with the tongue.
TEETH_OFFSETS_M = {
    "teeth_upper": (0.0, -0.0033, -0.001),
    "teeth_lower": (0.0, -0.0008, -0.0028),
}  # behind the upper ones
TONGUE_TOP_M, TONGUE_LOWERED_M, TONGUE_FLATTENED, TONGUE_BACK_M = -0.0566, 0.012, 0.6, 0.004
TONGUE_ROOT_DROP = 0.2  # of the distance behind the tip
TONGUE_NARROWED = 0.82
TONGUE_OUT_RISE, TONGUE_OUT_REACH = 0.75, 1.45  # so that it passes over the lower lip instead of through it
BUN_LIFT_M = np.array([0.0, 0.024, -0.012])
OPENING_UNITS = ("mouthFunnel", "mouthUpperUp", "mouthLowerDown")

Points = NDArray[np.float64]
Reshape = Callable[[Points, HeadData], Points]
Bend = Callable[[Points, Points], Points]


class HeadModel:
    """One person. Metres, origin midway between the eyes, y up, z out of the face; left is the person's own (+x).

    Args:
        identity: who it is; average when left out.
        palette: how it is painted, and what hair and shirt add to the shape.
        data: the shipped head when left out.
        topology: shared by heads of one cut; a closed bust when left out.
        base: [V, 3] base mesh of a head that is known already, instead of the identity's.
        reshape: [V, 3] base mesh and data → changed base mesh, for what no slider does (cartoon eyes).
        bend: [52, V, 3] units and [V, 3] base mesh → changed units, for faces that move in their own way. Afterwards
            blinks are made to close these eyes and lips to meet, as always.

    Not thread-safe. Making one takes about 0.15 s, `vertices` 1-2 ms.
    """

    def __init__(
        self,
        identity: Identity | None = None,
        palette: Palette | None = None,
        *,
        data: HeadData | None = None,
        topology: HeadTopology | None = None,
        base: Points | None = None,
        reshape: Reshape | None = None,
        bend: Bend | None = None,
    ) -> None:
        self.identity, self.palette = identity or Identity(), palette or Palette()
        self.data = data or load_head_data()
        self.topology = topology or make_topology(self.data)
        self.unit_names = self.data.names("unit")
        self._lips = LipContact(self.data.vertices.astype(np.float64), self.data.lip_rings)
        self._base = self._finished(self._shaped(reshape) if base is None else base.copy())
        self.eyeballs = {side: fit_sphere(self._base[self.data.part_vertices(f"eye_{side}")]) for side in SIDES}
        self._units = self._fitted_units(bend)
        self._flat_units = self._units.reshape(len(self._units), -1).astype(np.float32)  # half the memory to go through
        self._gaze = {side: self._gaze_matrix(side) for side in SIDES}
        self._contacts = [self._lid_contact(side) for side in SIDES]

    # Only who looks at the finished head needs these: engines move the base mesh, and start sooner without.

    @cached_property
    def skin_fields(self) -> SkinFields:
        """What paint, hair and shirt go by."""
        return skin_fields(self.data, self.topology.matrix[self.part("skin")])

    @cached_property
    def _relief(self) -> Points:
        return self._worn(self.skin_fields)

    @cached_property
    def _clearances(self) -> list[EyeballClearance]:
        return [self._clearance(eyeball) for eyeball in self.eyeballs.values()]

    @property
    def base(self) -> Points:
        """[V, 3] this person's base mesh at rest, before subdivision."""
        return self._base

    @property
    def units(self) -> NDArray[np.float32]:
        """[52, V, 3] how the base mesh moves by each unit alone, before lids and lips are kept apart."""
        return self._flat_units.reshape(self._units.shape)

    def unit_contacts(self) -> UnitContacts:
        """What keeps lids and lips apart, for who adds up the units himself."""
        return UnitContacts(self._base, self.units, self._lips, self._contacts)

    def vertices(self, weights: NDArray[np.floating] | Mapping[str, float] | None = None) -> Points:
        """[n, 3] finished vertices for 52 unit weights (0 … 1), in the order of `unit_names` or by name."""
        values = self.weight_vector(weights)
        points = np.asarray(self.topology.matrix @ self.moved_base(values))
        for side in SIDES:
            gaze = values @ self._gaze[side]
            points[self.part(f"eye_{side}")] = placed(self.topology.eye, self.eyeballs[side], gaze)
        for clearance in self._clearances:
            clearance.push_out(points)
        return points + self._relief

    def moved_base(self, weights: NDArray[np.floating]) -> Points:
        """[V, 3] base mesh for 52 unit weights, lids and lips kept from passing through each other."""
        moved = weights.astype(np.float32) @ self._flat_units
        base = self._base + moved.reshape(self._base.shape)
        for contact in self._contacts:
            contact.separate(base)
        self._lips.separate(base)
        return np.asarray(base)

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

    def colors(self) -> Points:
        """[n, 3] sRGB vertex colours."""
        eye = eye_colors(self.topology.eye, self.palette)
        tongue = self.topology.matrix[self.part("tongue")] @ self.data.vertices.astype(np.float64)
        by_part = {
            "skin": skin_colors(self.skin_fields, self.palette),
            "eye_left": eye,
            "eye_right": eye,
            "teeth_upper": teeth_colors(self.topology.teeth["upper"], self.palette),
            "teeth_lower": teeth_colors(self.topology.teeth["lower"], self.palette),
            "tongue": tongue_colors(tongue),
        }
        colors = np.tile(np.array(LASH), (self.topology.vertex_count, 1))
        for name, color in by_part.items():
            colors[self.part(name)] = color
        if HAIR in self.topology.ranges:
            shade = hair.bun_shade(len(colors[self.part(HAIR)]))
            colors[self.part(HAIR)] = np.clip(np.array(self.palette.hair) * shade[:, None], 0, 1)
        return colors

    def mesh(self, weights: NDArray[np.floating] | Mapping[str, float] | None = None) -> Mesh:
        """The head with these weights, painted, its parts named as in `head_topology.PARTS` (and HAIR)."""
        faces, parts, first = [], [], 0
        for name in self.topology.faces:
            triangles = self.topology.faces[name]
            faces.append(triangles)
            parts.append(MeshPart(name, first, len(triangles), 0))
            first += len(triangles)
        white = Material("painted", (1.0, 1.0, 1.0, 1.0))
        vertices, colors = self.vertices(weights).astype(np.float32), self.colors().astype(np.float32)
        return Mesh(vertices, np.concatenate(faces), vertex_colors=colors, parts=tuple(parts), materials=(white,))

    def part(self, name: str) -> slice:
        """The finished vertices of one part."""
        return slice(*self.topology.ranges[name])

    def _shaped(self, reshape: Reshape | None) -> Points:
        base = self.data.vertices.astype(np.float64) + self.topology.base_offset
        for name, weight in target_weights(self.identity, self.data).items():
            indices, displacement = self.data.targets[name]
            base[indices] += weight * displacement
        if reshape is not None:
            base = reshape(base, self.data)
        return base

    def _finished(self, base: Points) -> Points:
        """The base mesh, changed in place, with lips that meet and teeth and tongue where they belong; between its eyes
        lies the origin."""
        self._lips.seal(base)
        # Teeth come down to where they show in a smile, and the tongue lies on the floor of the mouth.
        for part, offset in TEETH_OFFSETS_M.items():
            base[self.data.part_vertices(part)] += offset
        tongue = self.data.part_vertices("tongue")
        template = self.data.vertices[tongue].astype(np.float64)
        base[tongue, 1] += (TONGUE_TOP_M - template[:, 1]) * (1 - TONGUE_FLATTENED) - TONGUE_LOWERED_M
        base[tongue, 1] -= TONGUE_ROOT_DROP * (template[:, 2].max() - template[:, 2])
        base[tongue, 2] -= TONGUE_BACK_M
        base[tongue, 0] *= TONGUE_NARROWED
        eyes = [fit_sphere(base[self.data.part_vertices(f"eye_{side}")]).centre for side in SIDES]
        return np.asarray(base - np.mean(eyes, axis=0))

    def _fitted_units(self, bend: Bend | None) -> Points:
        """[52, V, 3] unit targets, as large as this face is, whose blinks just close these eyes and whose lips meet."""
        size = face_size(self._base, self.data) / face_size(self.data.vertices.astype(np.float64), self.data)
        units = np.stack([self.data.dense(f"unit/{name}") for name in self.unit_names]).astype(np.float64) * size
        if bend is not None:
            units = bend(units, self._base)
        for side in SIDES:
            row = self.unit_names.index(f"eyeBlink{side.capitalize()}")
            factors = blink_scale(self._base, self.data.lid_rings[side], self.eyeballs[side], units[row])
            units[row] *= factors[:, None]
        out = units[self.unit_names.index("tongueOut")]
        out[:, 1] += TONGUE_OUT_RISE * out[:, 2]
        out[:, 2] *= TONGUE_OUT_REACH
        # Units that leave the mouth shut must do so on this head, too, and `mouthClose` must shut an open jaw.
        jaw_open = units[self.unit_names.index("jawOpen")]
        for row, name in enumerate(self.unit_names):
            if name.startswith("mouth") and not name.startswith(OPENING_UNITS):
                rest = self._base + jaw_open if name == "mouthClose" else self._base
                moved = rest + units[row]
                self._lips.close(moved)
                units[row] = moved - rest
        return units

    def _gaze_matrix(self, side: str) -> Points:
        matrix = np.zeros((len(self.unit_names), 3))
        for name, vector in gaze_vectors(self.data, side).items():
            matrix[self.unit_names.index(name)] = vector
        return matrix

    def _lid_contact(self, side: str) -> LidContact:
        lashes = self.data.part_vertices(f"lash_upper_{side}")
        return LidContact(self._base, self.data.lid_rings[side], self.eyeballs[side], lashes)

    def _clearance(self, eyeball: Sphere) -> EyeballClearance:
        skin = self.part("skin")
        lining = self.topology.matrix[skin] @ self.data.masks["sockets"]
        candidates = skin.start + np.flatnonzero(lining < 0.3)
        return EyeballClearance(self.topology.matrix @ self._base, candidates, eyeball)

    def _worn(self, fields: SkinFields) -> Points:
        """[n, 3] what hair and shirt add: along the normals of the neutral head, and the bun on the crown."""
        height = np.zeros(len(fields.position))
        if self.palette.hair_style is not None:
            height += hair.thickness(fields.position, fields.ears, self.palette.hair_style)
        if self.palette.shirt is not None:
            height += shirt_thickness(fields.position)
        neutral = self.topology.matrix @ self._base
        normals = vertex_normals(neutral, triangulated(self.topology.skin_quads))[self.part("skin")]
        relief = normals * height[:, None]
        cap = self.topology.cap
        if cap is not None:
            relief[-cap.shape[0] :] = cap @ relief[: -cap.shape[0]]
        worn = np.zeros((self.topology.vertex_count, 3))
        worn[self.part("skin")] = relief
        if HAIR in self.topology.ranges:
            worn[self.part(HAIR)] = hair.bun_shape()[0] + BUN_LIFT_M
        return worn


def face_size(base: Points, data: HeadData) -> float:
    """Mean of the distance between the eyes and of that from the eyes to the mouth, metres."""
    centres = [base[data.part_vertices(f"eye_{side}")].mean(axis=0) for side in SIDES]
    mouth = base[data.part_vertices("teeth_upper")].mean(axis=0)
    return float(np.linalg.norm(centres[0] - centres[1]) + np.linalg.norm(mouth - np.mean(centres, axis=0)) / 2)
