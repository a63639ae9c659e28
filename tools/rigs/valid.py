"""VALID: textured people, each with the same 65 shapes of another artist, named and scaled in its own way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_NAMES
from render.mesh.mesh_io import load_mesh
from tools.rigs.rig import (
    EYES,
    HAIR,
    MOUTH,
    SKIN,
    TEARS,
    ArtistRig,
    faces_of,
    placed_between_eyes,
    side_of,
    summed,
)

_VALID_SIDED = {
    "browDown": ("{0}browDown", "{0}{0}browDown"), "browOuterUp": ("{0}{0}browUp",), "eyeBlink": ("{0}eyeClose",),
    "eyeSquint": ("{0}lowLid",), "eyeWide": ("{0}eyeOpen",), "jaw": ("{0}jaw",), "mouthDimple": ("{0}lipCorner",),
    "mouthFrown": ("{0}mouthSad",), "mouthLowerDown": ("{0}lipDown",), "mouthSmile": ("{0}smileClose",),
    "mouthUpperUp": ("{0}lipUp",), "noseSneer": ("{0}disgust",),
}  # fmt: skip


_VALID_WHOLE = {
    "browInnerUp": ("RbrowUp", "LbrowUp"), "cheekPuff": ("Rblow", "Lblow"), "jawForward": ("JawFront",),
    "jawOpen": ("MouthOpen",), "mouthFunnel": ("SH_CH",), "mouthPucker": ("Kiss",), "mouthRollLower": ("MPB_Down",),
    "mouthRollUpper": ("MPB_Up",),
}  # fmt: skip


_VALID_STRENGTH = {"jawOpen": 2.0, "jawLeft": 1.75, "jawRight": 1.75, "jawForward": 1.5}
"""VALID's shapes were not made for ARKit's scale. Most are as large as others' at weight 1 (0.7 to 1.6 times ICT's);
its jaw opens by 15 mm, for speech, where three ARKit artists open it by 26 to 35, and goes aside by 4, theirs by 7."""


_VALID_TEETH = {"MPB_Down": "MPB", "MPB_Up": ""}  # shapes whose teeth go under another name, or do not move


def valid_rig(name: str, path: Path) -> ArtistRig:
    """The person in a file. Raises InputError where it cannot be read."""
    mesh = load_mesh(path, morphs=True)
    assert mesh.morphs is not None
    given = mesh.morphs.displacement
    stems = [each.rpartition(".")[2].removesuffix("_h") for each in mesh.morphs.names]
    row = {stem: number for number, stem in reversed(list(enumerate(stems)))}
    by_part = {part.name: np.unique(faces_of(mesh, part)) for part in mesh.parts}

    def shape(stem: str) -> NDArray[np.float32]:
        """With the teeth and tongue that go along."""
        moved = given[row[stem]]
        teeth = row.get(f"t_{_VALID_TEETH.get(stem, stem)}")
        return np.asarray(moved if teeth is None else moved + given[teeth])

    units = {}
    for unit in UNIT_NAMES:
        stem, side = side_of(unit)
        shapes = tuple(each.format(side) for each in _VALID_SIDED.get(stem, ())) or _VALID_WHOLE.get(unit, ())
        if shapes:
            units[unit] = summed(shape(each) for each in shapes) * np.float32(_VALID_STRENGTH.get(unit, 1.0))
    piece = np.full(len(mesh.vertices), SKIN, dtype=np.int8)
    for part, which in by_part.items():
        piece[which] = _piece_of_valid(part)
    placed, _ = placed_between_eyes(mesh.vertices.astype(np.float64), by_part["h_L_eye"], by_part["h_R_eye"])
    bare = replace(mesh, vertices=placed.astype(np.float32), morphs=None)
    return ArtistRig(name, "valid", bare, units, piece, path)


def _piece_of_valid(part: str) -> int:
    rest = part.removeprefix("h_").lower()
    for word, piece in (("eye", EYES), ("gland", TEARS), ("teeth", MOUTH), ("wig", HAIR), ("hair", HAIR)):
        if word in rest:
            return piece
    return SKIN
