"""The materials of a glTF file: colours become sRGB, pictures are decoded once."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import Material
from render.mesh.gltf_buffers import GltfFile, NotBesideError
from render.mesh.gltf_compression import KTX2
from render.mesh.pictures import Textures

_LOG = logging.getLogger(__name__)


def linear_to_srgb(linear: NDArray[Any]) -> NDArray[Any]:
    """IEC 61966-2-1 transfer curve, for values in 0..1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(np.maximum(linear, 1e-9), 1 / 2.4) - 0.055)


def texture_info(material: dict[str, Any]) -> dict[str, Any] | None:
    """The glTF textureInfo of the colour texture, wherever the material keeps it."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
    info = material.get("pbrMetallicRoughness", {}).get("baseColorTexture") or glossy.get("diffuseTexture")
    return info if isinstance(info, dict) else None


def read_material(gltf: GltfFile, index: int | None, textures: Textures) -> Material:
    if index is None:
        return Material(base_color=(1.0, 1.0, 1.0, 1.0))
    material = gltf.entry("materials", index)
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
    factor = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", glossy.get("diffuseFactor", (1, 1, 1, 1)))
    red, green, blue = linear_to_srgb(np.array(factor[:3], dtype=np.float64).clip(0.0, 1.0)).tolist()
    return Material(
        name=str(material.get("name") or f"material{index}"),
        base_color=(red, green, blue, float(factor[3])),
        texture=_texture(gltf, material, textures),
        alpha_mode=str(material.get("alphaMode", "OPAQUE")),
        alpha_cutoff=float(material.get("alphaCutoff", 0.5)),
        double_sided=bool(material.get("doubleSided", False)),
    )


def _texture(gltf: GltfFile, material: dict[str, Any], textures: Textures) -> NDArray[np.uint8] | None:
    info = texture_info(material)
    if info is None:
        return None
    texture = gltf.entry("textures", info["index"])
    stated = texture.get("extensions", {})
    sources = (stated.get("EXT_texture_webp", {}), texture, stated.get(KTX2, {}))  # KTX2 last: it needs a package
    source = next((each["source"] for each in sources if "source" in each), None)
    if source is None:
        raise InputError(
            f"{gltf.path}: the texture of material '{material.get('name')}' is in a format that is not supported "
            f"({', '.join(stated) or 'no source'}); export it with PNG or JPEG textures"
        )
    image = gltf.entry("images", source)
    label = f"{gltf.path}: texture '{image.get('name') or image.get('uri', source)}'"
    try:
        return textures.load(source, gltf.image_bytes(image), label[:200])
    except NotBesideError as error:
        _LOG.warning("%s; until then '%s' is shown in plain colour", error, material.get("name"))
        return None
