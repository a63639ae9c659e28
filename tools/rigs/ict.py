"""ICT-FaceKit: one face with endless identities; its looks are painted here."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Material, Mesh, MeshPart
from tools.rigs.rig import (
    EYES,
    LASHES,
    MOUTH,
    SKIN,
    TEARS,
    ArtistRig,
    Points,
    placed_between_eyes,
    side_of,
    summed,
    triangles_of,
)

_PIECE_OF_ICT = {
    "M_Face": SKIN, "M_BackHead": SKIN, "M_GumsTongue": MOUTH, "M_Teeth": MOUTH, "M_ScleraLeft": EYES,
    "M_IrisLeft": EYES, "M_ScleraRight": EYES, "M_IrisRight": EYES, "M_LacrimalFluid": TEARS, "M_EyeBlend": TEARS,
    "M_EyeOcclusion": TEARS, "M_EyeLashes": LASHES,
}  # fmt: skip


def _look_of_ict(material: str) -> Material:
    if _PIECE_OF_ICT[material] == TEARS:  # clear films over the eye
        return Material(material, (1.0, 1.0, 1.0, 0.1), alpha_mode="BLEND")
    return Material(material, (1.0, 1.0, 1.0, 1.0))


@functools.lru_cache(maxsize=1)
def _ict_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    if not path.is_file():
        raise InputError(f"{path}: no ICT-FaceKit there; name the folder that holds ict_facekit.npz with VFA_RIGS")
    with np.load(path) as packed:
        return {key: packed[key] for key in packed}


def ict_rig(name: str, seed: str, path: Path) -> ArtistRig:
    """The mean head, or with a seed one of random identity. Raises InputError where the kit is not there."""
    data = _ict_arrays(path)
    rest = data["neutral"].astype(np.float64)
    if seed:
        weights = np.random.default_rng([1, int(seed)]).normal(size=len(data["id_deltas_f16"])).astype(np.float32)
        rest = rest + np.tensordot(weights, data["id_deltas_f16"].astype(np.float32), axes=1)
    shapes = dict(zip((str(each) for each in data["expr_names"]), data["expr_deltas_f16"], strict=True))
    units = {}
    for unit in UNIT_NAMES:
        stem, side = side_of(unit)
        shown = [unit] if unit in shapes else [f"{stem}_{side}"] if side else [f"{unit}_L", f"{unit}_R"]
        if all(part in shapes for part in shown):
            units[unit] = summed(shapes[part].astype(np.float32) * np.float32(0.01) for part in shown)
    materials = [str(each) for each in data["material_names"]]
    quads, quads_uv, of = (data[key].astype(np.int64) for key in ("faces", "faces_uv", "face_material"))
    order = np.argsort(of, kind="stable")
    faces, faces_uv, owner = triangles_of(quads[order], quads_uv[order])
    of = of[order][owner]
    piece = np.full(len(rest), SKIN, dtype=np.int8)
    for number, material in enumerate(materials):
        piece[faces[of == number]] = _PIECE_OF_ICT[material]
    parts = tuple(
        MeshPart(material, int(np.searchsorted(of, number)), int((of == number).sum()), number)
        for number, material in enumerate(materials)
    )
    looks = tuple(_look_of_ict(material) for material in materials)
    left, right = (np.unique(faces[of == materials.index(f"M_Sclera{side}")]) for side in ("Left", "Right"))
    placed, eyes = placed_between_eyes(rest * 0.01, left, right)
    colors = _ict_colors(placed, faces, of, materials, units, eyes)
    mesh = Mesh(
        placed.astype(np.float32), faces, data["uv"].astype(np.float32), faces_uv, colors, parts=parts, materials=looks
    )
    return ArtistRig(name, "ict", mesh, units, piece)


_ICT_LOOKS = {
    "M_Face": (0.80, 0.62, 0.52), "M_BackHead": (0.80, 0.62, 0.52), "M_GumsTongue": (0.62, 0.30, 0.29),
    "M_Teeth": (0.90, 0.87, 0.80), "M_EyeLashes": (0.12, 0.09, 0.08), "M_LacrimalFluid": (0.92, 0.84, 0.82),
    "M_EyeBlend": (0.85, 0.68, 0.62), "M_EyeOcclusion": (0.85, 0.68, 0.62),
}  # fmt: skip


WHITE, _IRIS, _PUPIL = (0.93, 0.91, 0.89), (0.33, 0.23, 0.15), (0.04, 0.04, 0.04)


_LIPS, _BROWS = (0.66, 0.38, 0.36), (0.2, 0.14, 0.1)


def _ict_colors(
    rest: Points,
    faces: NDArray[np.int32],
    of: NDArray[np.int64],
    materials: list[str],
    units: Mapping[str, NDArray[np.float32]],
    eyes: tuple[Points, Points],
) -> NDArray[np.float32]:
    """[V, 3] what the kit leaves to its users: skin, iris and pupil on the sclera's front, lips, brows.

    Lips are where they roll most, brows a stroke above the eye; both are looks only, nothing is judged by them.
    """
    colors = np.full((len(rest), 3), WHITE)
    for number, material in enumerate(materials):
        if material in _ICT_LOOKS:
            colors[faces[of == number]] = _ICT_LOOKS[material]
    for centre, side in zip(eyes, ("Left", "Right"), strict=True):
        ball = np.unique(faces[of == materials.index(f"M_Sclera{side}")])
        away = rest[ball] - centre
        aside = np.linalg.norm(away[:, :2], axis=1)
        front = away[:, 2] > 0
        colors[ball[front & (aside < 0.0058)]] = _IRIS
        colors[ball[front & (aside < 0.0024)]] = _PUPIL
    skin = np.unique(faces[of == materials.index("M_Face")])
    rolled = [np.linalg.norm(units[f"mouthRoll{which}"], axis=1)[skin] for which in ("Upper", "Lower")]
    lips = np.clip((np.max([each / each.max() for each in rolled], axis=0) - 0.55) / 0.15, 0, 1)[:, None]
    colors[skin] = (1 - lips) * colors[skin] + lips * _LIPS
    for centre in eyes:
        away = (rest[skin] - centre) * [np.sign(centre[0]), 1, 1]
        middle = 0.0215 + 0.004 * np.sin(np.clip((away[:, 0] + 0.018) / 0.042, 0, 1) * np.pi * 0.8)
        brow = np.exp(-(((away[:, 1] - middle) / 0.0035) ** 2)) * (away[:, 0] > -0.020) * (away[:, 0] < 0.025)
        brow = (brow * (away[:, 2] > 0))[:, None]
        colors[skin] = (1 - brow) * colors[skin] + brow * _BROWS
    return colors.astype(np.float32)
