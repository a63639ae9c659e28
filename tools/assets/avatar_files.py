"""Turns the built-in characters into unrigged mesh files (generator only)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from capture.synthetic.head.head_model import HeadModel
from core.mesh import Material, Mesh
from tools.assets.atlas import bake, make_atlas
from tools.assets.characters import CHARACTERS
from tools.assets.glb_file import save_glb
from tools.assets.lowpoly import lowpoly_mesh

LICENCE = "CC0 1.0; derived from MakeHuman / MPFB2 (CC0)"


def write_avatar(name: str, path: Path) -> None:
    """Write one of `avatars.AVATAR_NAMES` as .glb, in metres, y up, facing +z, in its neutral pose."""
    character = CHARACTERS[name]
    mesh = lowpoly_mesh(character) if name == "lowpoly" else textured_mesh(character.model(), character.texture_size)
    save_glb(mesh, path, extras={"license": LICENCE})


def textured_mesh(model: HeadModel, size: int) -> Mesh:
    """The neutral head with its skin painted as a texture, everything else by vertex."""
    plain, atlas = model.mesh(), make_atlas(model)
    skin = Material("skin", (1.0, 1.0, 1.0, 1.0), bake(model, atlas, size))
    skin_faces = len(model.topology.faces["skin"])
    faces_uv = np.full(plain.faces.shape, len(atlas.uvs), dtype=np.int32)
    faces_uv[:skin_faces] = atlas.faces_uv
    uvs = np.concatenate([atlas.uvs, np.zeros((1, 2))]).astype(np.float32)
    assert plain.vertex_colors is not None
    colors = plain.vertex_colors.copy()
    colors[model.part("skin")] = 1.0
    parts = tuple(replace(part, material=int(part.name == "skin")) for part in plain.parts)
    return Mesh(plain.vertices, plain.faces, uvs, faces_uv, colors, parts, (*plain.materials, skin))
