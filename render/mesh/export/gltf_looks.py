"""Materials of a mesh as glTF has them; the inverse of `render.mesh.gltf_materials`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.mesh import Material
from render.mesh.export.gltf_document import GltfDocument

_SKIN_ROUGHNESS, _WET_ROUGHNESS = 0.75, 0.35
_WET = ("eye", "teeth", "tongue")


def srgb_to_linear(color: NDArray[Any]) -> NDArray[Any]:
    """IEC 61966-2-1, for values in 0..1."""
    return np.where(color <= 0.04045, color / 12.92, ((np.maximum(color, 0.04045) + 0.055) / 1.055) ** 2.4)


def add_material(document: GltfDocument, material: Material) -> int:
    """A material with its texture, embedded; its number."""
    wet = material.name.startswith(_WET)
    colour = [*srgb_to_linear(np.array(material.base_color[:3])).clip(0, 1).tolist(), float(material.base_color[3])]
    surface: dict[str, Any] = {
        "baseColorFactor": colour,
        "metallicFactor": 0.0,
        "roughnessFactor": _WET_ROUGHNESS if wet else _SKIN_ROUGHNESS,
    }
    if material.texture is not None:
        surface["baseColorTexture"] = {"index": document.add_picture(material.texture, material.name)}
    entry: dict[str, Any] = {"name": material.name, "pbrMetallicRoughness": surface}
    if material.alpha_mode != "OPAQUE":
        entry["alphaMode"] = material.alpha_mode
    if material.alpha_mode == "MASK":
        entry["alphaCutoff"] = material.alpha_cutoff
    if material.double_sided:
        entry["doubleSided"] = True
    return document.add("materials", entry)
