"""Which vertices and faces a synthetic head has: subdivided skin and tongue, teeth, lashes, eyes, the bust's cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from capture.synthetic.head.bust import border_loop, bust_quads, cap, smoothed_border
from capture.synthetic.head.eyes import EyeShape, make_eye
from capture.synthetic.head.hair import BUN_CENTRE_M, bun_shape
from capture.synthetic.head.head_data import HeadData
from capture.synthetic.head.lashes import make_lashes
from capture.synthetic.head.subdivision import Subdivision, catmull_clark, triangulated
from capture.synthetic.head.teeth import Teeth, make_teeth

PARTS = ("skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "lashes")
HAIR = "hair"  # a further part, for heads with a bun
CROWN_M = 0.03  # the bun rides on the skin this near to it


@dataclass(frozen=True, eq=False)
class HeadTopology:
    """What all heads of one cut share: which base vertices make which finished vertices, part by part.

    Attributes:
        matrix: [n, V] CSR; finished vertices of all parts but the eyes, from the base mesh.
        ranges: part → first and last + 1 of its finished vertices.
        faces: part → [f, 3] int32 triangles, numbered over the whole head, counter-clockwise from outside.
        skin_quads: [q, 4] int32 of the subdivided skin, before the cap of the bust; numbered over the whole head.
        kept_quads: [F] which base quads of the skin are kept; each makes four of `skin_quads`, in order.
        base_offset: [V, 3] metres, added to every base mesh; brings the border of a bust onto a smooth curve.
        cap: [c, s] the last c vertices of the skin, which close a bust, from the s before them; None where it is open.
        teeth: "upper" and "lower".
    """

    matrix: sp.csr_matrix
    ranges: Mapping[str, tuple[int, int]]
    faces: Mapping[str, NDArray[np.int32]]
    skin_quads: NDArray[np.int32]
    kept_quads: NDArray[np.bool_]
    base_offset: NDArray[np.float64]
    cap: sp.csr_matrix | None
    eye: EyeShape
    teeth: Mapping[str, Teeth]

    @property
    def vertex_count(self) -> int:
        return int(self.matrix.shape[0])


def make_topology(data: HeadData, *, bust: bool = True, lash_length: float = 1.0, bun: bool = False) -> HeadTopology:
    """Subdivide skin and tongue once and add teeth, lashes and eyeballs. A `bust` ends at the shoulders and is closed
    below; without, chest and upper arms are there, too, and open where they end."""
    count = len(data.vertices)
    kept = bust_quads(data) if bust else np.ones(len(data.parts["skin"]), dtype=bool)
    skin_matrix, skin_quads = _compact(catmull_clark(data.parts["skin"][kept], count))
    skin_faces, cap_matrix = triangulated(skin_quads), None
    if bust:
        cap_matrix, cap_faces = cap(border_loop(skin_quads), skin_matrix.shape[0])
        skin_matrix = sp.vstack([skin_matrix, cap_matrix @ skin_matrix]).tocsr()
        skin_faces = np.concatenate([skin_faces, cap_faces])
    tongue_matrix, tongue_quads = _compact(catmull_clark(data.parts["tongue"], count))
    lashes, lash_faces = make_lashes(data, lash_length)
    eye, teeth = make_eye(), {jaw: make_teeth(data, jaw) for jaw in ("upper", "lower")}
    no_base = sp.csr_matrix((len(eye.vertices), count))
    blocks = {
        "skin": (skin_matrix, skin_faces),
        "eye_left": (no_base, eye.faces),
        "eye_right": (no_base, eye.faces),
        "teeth_upper": (teeth["upper"].matrix, teeth["upper"].faces),
        "teeth_lower": (teeth["lower"].matrix, teeth["lower"].faces),
        "tongue": (tongue_matrix, triangulated(tongue_quads)),
        "lashes": (lashes, lash_faces),
    }
    if bun:
        blocks[HAIR] = _bun(data)
    ranges, faces, first = {}, {}, 0
    for name, (block, triangles) in blocks.items():
        ranges[name] = (first, first + block.shape[0])
        faces[name] = triangles + np.int32(first)
        first += block.shape[0]
    matrix = sp.vstack([block for block, _ in blocks.values()]).tocsr()
    offset = smoothed_border(data, kept) if bust else np.zeros((count, 3))
    return HeadTopology(matrix, ranges, faces, skin_quads, kept, offset, cap_matrix, eye, teeth)


def _bun(data: HeadData) -> tuple[sp.csr_matrix, NDArray[np.int32]]:
    """All its vertices in one point, the middle of the crown; `HeadModel` adds the shape."""
    vertices, faces = bun_shape()
    skin = data.part_vertices("skin")
    near = skin[np.linalg.norm(data.vertices[skin] - BUN_CENTRE_M, axis=1) < CROWN_M]
    middle = sp.csr_matrix((np.full(len(near), 1 / len(near)), (np.zeros(len(near)), near)), (1, len(data.vertices)))
    return sp.vstack([middle] * len(vertices)).tocsr(), faces


def _compact(subdivision: Subdivision) -> tuple[sp.csr_matrix, NDArray[np.int32]]:
    """Drop the vertices that no face uses."""
    used, quads = np.unique(subdivision.quads, return_inverse=True)
    return subdivision.matrix[used], quads.reshape(-1, 4).astype(np.int32)
