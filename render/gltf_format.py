"""glTF 2.0 (.gltf, .glb): every mesh of the default scene in one, with node transforms, rest pose and materials.

Vertices follow the scene's order: nodes depth first, primitives as listed, vertices as stored. Colours become sRGB.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.errors import InputError
from render.gltf_buffers import GltfFile, damage_told, read_gltf_file
from render.gltf_scene import skin_transforms, transform_each, visible_nodes, world_matrices
from render.mesh import Material, Mesh, MeshPart
from render.pictures import load_texture

_LOG = logging.getLogger(__name__)
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_COMPRESSIONS = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}
_UNDERSTOOD = {
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "KHR_materials_unlit",
    "KHR_materials_pbrSpecularGlossiness",
    "EXT_texture_webp",
}


@dataclass
class _Gathered:
    """Arrays of the primitives visited so far, and where each material of the file went."""

    vertices: list[NDArray[np.float32]] = field(default_factory=list)
    colors: list[NDArray[np.float32] | None] = field(default_factory=list)
    uvs: list[NDArray[np.float32] | None] = field(default_factory=list)
    faces: list[NDArray[np.int32]] = field(default_factory=list)
    faces_uv: list[NDArray[np.int32]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    materials: list[int | None] = field(default_factory=list)
    vertex_count: int = 0
    uv_count: int = 0


def load_gltf(path: Path) -> Mesh:
    """Read a .gltf or .glb file. Raises InputError, among others for compressed geometry."""
    with damage_told(path, "its glTF structure is"):
        gltf = read_gltf_file(path)
        _check_extensions(gltf)
        gathered = _Gathered()
        world = world_matrices(gltf)
        for node in visible_nodes(gltf):
            if "mesh" in gltf.entry("nodes", node):
                _gather_node(gltf, node, world, gathered)
        return _to_mesh(gltf, gathered)


def _check_extensions(gltf: GltfFile) -> None:
    required = set(gltf.json.get("extensionsRequired", []))
    for name in sorted(required - _UNDERSTOOD):
        how = _COMPRESSIONS.get(name)
        if how:
            raise InputError(f"{gltf.path}: its geometry is {how}-compressed ({name}); export it without compression")
        if not name.startswith("KHR_materials_") and not name.startswith("KHR_lights"):
            raise InputError(
                f"{gltf.path}: it requires the glTF extension {name}, which is not supported; export without"
            )


def _gather_node(gltf: GltfFile, index: int, world: dict[int, NDArray[np.float64]], into: _Gathered) -> None:
    node = gltf.entry("nodes", index)
    mesh = gltf.entry("meshes", node["mesh"])
    base_of: dict[int, int] = {}  # primitives of one mesh often share their vertices: keep them shared
    for number, primitive in enumerate(mesh.get("primitives", [])):
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            _LOG.info("%s: points and lines of '%s' left out", gltf.path, mesh.get("name", node["mesh"]))
            continue
        for name, how in _COMPRESSIONS.items():
            if name in primitive.get("extensions", {}) and "POSITION" not in primitive.get("attributes", {}):
                raise InputError(
                    f"{gltf.path}: its geometry is {how}-compressed ({name}); export it without compression"
                )
        accessor = primitive["attributes"]["POSITION"]
        points = gltf.accessor(accessor).astype(np.float64)
        transforms = skin_transforms(gltf, node, primitive, world, len(points))
        transform = world[index] if transforms is None else transforms[0]
        if accessor not in base_of:
            base_of[accessor] = into.vertex_count
            moved = transform_each(world[index] if transforms is None else transforms, points)
            into.vertices.append(moved.astype(np.float32))
            into.colors.append(_vertex_colors(gltf, primitive, len(points)))
            into.vertex_count += len(points)
        corners = _triangles(gltf, primitive, len(points), mode)
        if np.linalg.det(transform[:3, :3]) < 0:
            corners = corners[:, ::-1]
        _gather_faces(gltf, primitive, corners, base_of[accessor], into)
        into.names.append(_part_name(gltf, node, mesh, primitive, number))


def _gather_faces(
    gltf: GltfFile, primitive: dict[str, Any], corners: NDArray[np.int32], base: int, into: _Gathered
) -> None:
    uvs = _texture_coordinates(gltf, primitive)
    into.faces.append(corners + np.int32(base))
    into.faces_uv.append(corners + np.int32(into.uv_count) if uvs is not None else np.full_like(corners, -1))
    into.uvs.append(uvs)
    into.uv_count += 0 if uvs is None else len(uvs)
    into.materials.append(primitive.get("material"))


def _vertex_colors(gltf: GltfFile, primitive: dict[str, Any], count: int) -> NDArray[np.float32] | None:
    if "COLOR_0" not in primitive["attributes"]:
        return None
    linear = gltf.accessor(primitive["attributes"]["COLOR_0"])[:, :3]
    if len(linear) != count:
        raise InputError(f"{gltf.path}: {len(linear)} vertex colours for {count} vertices; export it again")
    return linear_to_srgb(linear.clip(0.0, 1.0)).astype(np.float32)


def linear_to_srgb(linear: NDArray[Any]) -> NDArray[Any]:
    """IEC 61966-2-1 transfer curve, for values in 0..1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(np.maximum(linear, 1e-9), 1 / 2.4) - 0.055)


def _triangles(gltf: GltfFile, primitive: dict[str, Any], vertex_count: int, mode: int) -> NDArray[np.int32]:
    if "indices" in primitive:
        index = gltf.accessor(primitive["indices"]).reshape(-1).astype(np.int64)
    else:
        index = np.arange(vertex_count)
    if len(index) and (index.min() < 0 or index.max() >= vertex_count):
        raise InputError(
            f"{gltf.path}: a face refers to vertex {index.max()}, but its part has {vertex_count}; export it again"
        )
    if mode == _TRIANGLES:
        return index[: len(index) // 3 * 3].reshape(-1, 3).astype(np.int32)
    if mode == _FAN:
        return np.stack([np.full(max(len(index) - 2, 0), index[:1]), index[1:-1], index[2:]], axis=1).astype(np.int32)
    faces = np.stack([index[:-2], index[1:-1], index[2:]], axis=1)
    faces[1::2] = faces[1::2][:, [1, 0, 2]]
    return faces.astype(np.int32)


def _texture_info(material: dict[str, Any]) -> dict[str, Any] | None:
    """The glTF textureInfo of the colour texture, wherever the material keeps it."""
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
    info = material.get("pbrMetallicRoughness", {}).get("baseColorTexture") or glossy.get("diffuseTexture")
    return info if isinstance(info, dict) else None


def _texture_coordinates(gltf: GltfFile, primitive: dict[str, Any]) -> NDArray[np.float32] | None:
    """[n, 2] with v upwards, the material's texture transform applied."""
    material = gltf.entry("materials", primitive["material"]) if "material" in primitive else {}
    info = _texture_info(material) or {}
    moved = info.get("extensions", {}).get("KHR_texture_transform", {})
    name = f"TEXCOORD_{moved.get('texCoord', info.get('texCoord', 0))}"
    if name not in primitive["attributes"]:
        return None
    uvs = gltf.accessor(primitive["attributes"][name]).astype(np.float64)
    angle = float(moved.get("rotation", 0.0))
    cosine, sine = np.cos(angle), np.sin(angle)
    uvs = uvs * np.array(moved.get("scale", (1.0, 1.0))) @ np.array([[cosine, -sine], [sine, cosine]])
    uvs += np.array(moved.get("offset", (0.0, 0.0)))
    uvs[:, 1] = 1.0 - uvs[:, 1]
    return np.asarray(uvs, dtype=np.float32)


def _part_name(
    gltf: GltfFile, node: dict[str, Any], mesh: dict[str, Any], primitive: dict[str, Any], number: int
) -> str:
    own = str(node.get("name") or mesh.get("name") or "mesh")
    if len(mesh["primitives"]) == 1:
        return own
    material = gltf.entry("materials", primitive["material"]) if "material" in primitive else {}
    return f"{own}.{material.get('name') or number}"


def _to_mesh(gltf: GltfFile, gathered: _Gathered) -> Mesh:
    if not gathered.faces or not gathered.vertices:
        raise InputError(f"{gltf.path}: no triangles in its scene; export the head's mesh with it")
    used = {material: slot for slot, material in enumerate(dict.fromkeys(gathered.materials))}
    materials = tuple(_material(gltf, material) for material in used)
    parts, first = [], 0
    for name, faces, material in zip(gathered.names, gathered.faces, gathered.materials, strict=True):
        parts.append(MeshPart(name, first, len(faces), used[material]))
        first += len(faces)
    vertices = np.concatenate(gathered.vertices)
    uvs, faces_uv = _joined_uvs(gathered)
    return Mesh(
        vertices, np.concatenate(gathered.faces), uvs, faces_uv, _joined_colors(gathered), tuple(parts), materials
    )


def _joined_uvs(gathered: _Gathered) -> tuple[NDArray[np.float32] | None, NDArray[np.int32] | None]:
    present = [uvs for uvs in gathered.uvs if uvs is not None]
    if not present:
        return None, None
    faces_uv = np.concatenate(gathered.faces_uv)
    bare = faces_uv < 0  # parts without coordinates all point to one spare entry
    if bare.any():
        present = [*present, np.zeros((1, 2), dtype=np.float32)]
    uvs = np.concatenate(present)
    return uvs, np.where(bare, len(uvs) - 1, faces_uv).astype(np.int32)


def _joined_colors(gathered: _Gathered) -> NDArray[np.float32] | None:
    if all(colors is None for colors in gathered.colors):
        return None
    pairs = zip(gathered.colors, gathered.vertices, strict=True)
    present = [np.ones_like(points) if colors is None else colors for colors, points in pairs]
    return np.asarray(np.concatenate(present), dtype=np.float32)


def _material(gltf: GltfFile, index: int | None) -> Material:
    if index is None:
        return Material(base_color=(1.0, 1.0, 1.0, 1.0))
    material = gltf.entry("materials", index)
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
    factor = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", glossy.get("diffuseFactor", (1, 1, 1, 1)))
    red, green, blue = linear_to_srgb(np.array(factor[:3], dtype=np.float64).clip(0.0, 1.0)).tolist()
    return Material(
        name=str(material.get("name") or f"material{index}"),
        base_color=(red, green, blue, float(factor[3])),
        texture=_texture(gltf, material),
        alpha_mode=str(material.get("alphaMode", "OPAQUE")),
        alpha_cutoff=float(material.get("alphaCutoff", 0.5)),
        double_sided=bool(material.get("doubleSided", False)),
    )


def _texture(gltf: GltfFile, material: dict[str, Any]) -> NDArray[np.uint8] | None:
    info = _texture_info(material)
    if info is None:
        return None
    texture = gltf.entry("textures", info["index"])
    source = texture.get("extensions", {}).get("EXT_texture_webp", {}).get("source", texture.get("source"))
    if source is None:
        raise InputError(
            f"{gltf.path}: the texture of material '{material.get('name')}' is in a format that is not supported "
            f"({', '.join(texture.get('extensions', {})) or 'no source'}); export it with PNG or JPEG textures"
        )
    image = gltf.entry("images", source)
    label = f"{gltf.path}: texture '{image.get('name') or image.get('uri', source)}'"
    return load_texture(gltf.image_bytes(image), label[:200])
