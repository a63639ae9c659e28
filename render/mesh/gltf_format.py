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

from core.errors import InputError
from core.mesh import MAX_FACES, MAX_PARTS, MAX_UVS, MAX_VERTICES, Mesh, MeshPart
from render.mesh.gltf_buffers import GltfFile, damage_told, read_gltf_file
from render.mesh.gltf_compression import DRACO, KTX2, MESHOPT
from render.mesh.gltf_materials import linear_to_srgb, read_material, texture_info
from render.mesh.gltf_scene import rest_positions, skin_transforms, transform_each, visible_nodes, world_matrices
from render.mesh.pictures import Textures

_LOG = logging.getLogger(__name__)
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_UNDERSTOOD = {
    *MESHOPT,
    DRACO,
    KTX2,
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
    uvs: list[NDArray[np.float32]] = field(default_factory=list)
    faces: list[NDArray[np.int32]] = field(default_factory=list)
    faces_uv: list[NDArray[np.int32]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    materials: list[int | None] = field(default_factory=list)
    vertex_count: int = 0
    face_count: int = 0


@dataclass(frozen=True)
class _Placed:
    """Vertices that were gathered: the number of the first, how many, and whether their transform mirrors."""

    first: int
    count: int
    mirrored: bool


def load_gltf(path: Path) -> Mesh:
    """Read a .gltf, .glb or .vrm file. Raises InputError, among others where compressed geometry needs a package."""
    with damage_told(path, "its glTF structure is"):
        gltf = read_gltf_file(path)
        required = set(gltf.json.get("extensionsRequired", []))
        for name in sorted(required - _UNDERSTOOD):
            if not name.startswith("KHR_materials_") and not name.startswith("KHR_lights"):
                raise InputError(
                    f"{gltf.path}: it requires the glTF extension {name}, which is not supported; export without"
                )
        gathered = _Gathered()
        world = world_matrices(gltf)
        for node in visible_nodes(gltf):
            if "mesh" in gltf.entry("nodes", node):
                _gather_node(gltf, node, world, gathered)
        return _to_mesh(gltf, gathered)


def _gather_node(gltf: GltfFile, index: int, world: dict[int, NDArray[np.float64]], into: _Gathered) -> None:
    node = gltf.entry("nodes", index)
    mesh = gltf.entry("meshes", node["mesh"])
    placed: dict[int, _Placed] = {}  # primitives of one mesh often share their vertices: keep them shared
    uvs_from: dict[tuple[int, str], int] = {}
    for number, primitive in enumerate(mesh.get("primitives", [])):
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            _LOG.info("%s: points and lines of '%s' left out", gltf.path, mesh.get("name", node["mesh"]))
            continue
        accessor = primitive["attributes"]["POSITION"]
        _check_size(gltf, primitive, mode, accessor in placed, into)
        gltf.unpack(primitive)
        if accessor not in placed:
            placed[accessor] = _gather_vertices(gltf, node, world[index], primitive, world, into)
        _gather_faces(gltf, primitive, mode, placed[accessor], uvs_from, into)
        into.names.append(_part_name(gltf, node, mesh, primitive, number))


def _count(gltf: GltfFile, accessor: int) -> int:
    return int(gltf.entry("accessors", accessor)["count"])


def _check_size(gltf: GltfFile, primitive: dict[str, Any], mode: int, known: bool, into: _Gathered) -> None:
    """Before a primitive is read: what it adds, by what the file announces."""
    corners = _count(gltf, primitive["indices"] if "indices" in primitive else primitive["attributes"]["POSITION"])
    into.face_count += corners // 3 if mode == _TRIANGLES else max(0, corners - 2)
    vertices = max(0 if known else _count(gltf, primitive["attributes"]["POSITION"]), 0) + into.vertex_count
    if vertices > MAX_VERTICES or into.face_count > MAX_FACES or len(into.names) >= MAX_PARTS:
        raise InputError(
            f"{gltf.path}: at most {MAX_VERTICES} vertices, {MAX_FACES} faces and {MAX_PARTS} parts can be used; "
            "export only the head, or simplify it"
        )


def _gather_vertices(
    gltf: GltfFile,
    node: dict[str, Any],
    T_world_node: NDArray[np.float64],
    primitive: dict[str, Any],
    world: dict[int, NDArray[np.float64]],
    into: _Gathered,
) -> _Placed:
    points = rest_positions(gltf, node, primitive)
    transforms = skin_transforms(gltf, node, primitive, world, len(points))
    transform = T_world_node if transforms is None else transforms
    first = transform if transforms is None else transforms[0]
    placed = _Placed(into.vertex_count, len(points), bool(np.linalg.det(first[:3, :3]) < 0))
    into.vertices.append(transform_each(transform, points).astype(np.float32))
    into.colors.append(_vertex_colors(gltf, primitive, len(points)))
    into.vertex_count += len(points)
    return placed


def _gather_faces(
    gltf: GltfFile,
    primitive: dict[str, Any],
    mode: int,
    vertices: _Placed,
    uvs_from: dict[tuple[int, str], int],
    into: _Gathered,
) -> None:
    """`uvs_from`: where the texture coordinates of this mesh's other primitives begin, by accessor and transform."""
    corners = _triangles(gltf, primitive, vertices.count, mode)
    if vertices.mirrored:
        corners = corners[:, ::-1]
    into.faces.append(corners + np.int32(vertices.first))
    into.materials.append(primitive.get("material"))
    look = texture_info(_material(gltf, primitive)) or {}
    info = look.get("extensions", {}).get("KHR_texture_transform", {})
    accessor = primitive["attributes"].get(f"TEXCOORD_{info.get('texCoord', look.get('texCoord', 0))}")
    if accessor is None:
        into.faces_uv.append(np.full_like(corners, -1))
        return
    key = (accessor, str(info))
    if key not in uvs_from:
        uvs_from[key] = sum(map(len, into.uvs))
        if uvs_from[key] + _count(gltf, accessor) > MAX_UVS:
            raise InputError(f"{gltf.path}: at most {MAX_UVS} texture coordinates can be used; export only the head")
        into.uvs.append(_moved_coordinates(gltf, accessor, info))
    into.faces_uv.append(corners + np.int32(uvs_from[key]))


def _vertex_colors(gltf: GltfFile, primitive: dict[str, Any], count: int) -> NDArray[np.float32] | None:
    if "COLOR_0" not in primitive["attributes"]:
        return None
    linear = gltf.accessor(primitive["attributes"]["COLOR_0"])[:, :3]
    if len(linear) != count:
        raise InputError(f"{gltf.path}: {len(linear)} vertex colours for {count} vertices; export it again")
    return linear_to_srgb(linear.clip(0.0, 1.0)).astype(np.float32)


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


def _material(gltf: GltfFile, primitive: dict[str, Any]) -> dict[str, Any]:
    return gltf.entry("materials", primitive["material"]) if "material" in primitive else {}


def _moved_coordinates(gltf: GltfFile, accessor: int, transform: dict[str, Any]) -> NDArray[np.float32]:
    """[n, 2] with v upwards, the material's texture transform applied."""
    uvs = gltf.accessor(accessor).astype(np.float64)
    angle = float(transform.get("rotation", 0.0))
    cosine, sine = np.cos(angle), np.sin(angle)
    uvs = uvs * np.array(transform.get("scale", (1.0, 1.0))) @ np.array([[cosine, -sine], [sine, cosine]])
    uvs += np.array(transform.get("offset", (0.0, 0.0)))
    uvs[:, 1] = 1.0 - uvs[:, 1]
    return np.asarray(uvs, dtype=np.float32)


def _part_name(
    gltf: GltfFile, node: dict[str, Any], mesh: dict[str, Any], primitive: dict[str, Any], number: int
) -> str:
    own = str(node.get("name") or mesh.get("name") or "mesh")
    if len(mesh["primitives"]) == 1:
        return own
    return f"{own}.{_material(gltf, primitive).get('name') or number}"


def _to_mesh(gltf: GltfFile, gathered: _Gathered) -> Mesh:
    if not gathered.faces or not gathered.vertices:
        raise InputError(f"{gltf.path}: no triangles in its scene; export the head's mesh with it")
    used = {material: slot for slot, material in enumerate(dict.fromkeys(gathered.materials))}
    textures = Textures()
    materials = tuple(read_material(gltf, material, textures) for material in used)
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
    if not gathered.uvs:
        return None, None
    present = gathered.uvs
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
