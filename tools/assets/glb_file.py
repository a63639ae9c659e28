"""Writes a head as a binary glTF file: one node, mesh and primitive per part."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.mesh import Mesh, MeshPart

_FLOAT, _UINT32, _UINT16 = 5126, 5125, 5123
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


@dataclass
class _Document:
    json: dict[str, Any]
    blob: bytearray = field(default_factory=bytearray)

    def add_view(self, content: bytes, target: int | None = None) -> int:
        self.blob.extend(b"\0" * (-len(self.blob) % 4))
        view = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(content)}
        self.json["bufferViews"].append(view if target is None else view | {"target": target})
        self.blob.extend(content)
        return len(self.json["bufferViews"]) - 1

    def add_accessor(self, array: NDArray[Any], kind: str, component: int, target: int, **more: Any) -> int:
        entry = {"bufferView": self.add_view(array.tobytes(), target), "componentType": component, "count": len(array)}
        self.json["accessors"].append(entry | {"type": kind} | more)
        return len(self.json["accessors"]) - 1


def save_glb(mesh: Mesh, path: Path, *, jpeg_quality: int = 85, extras: dict[str, str] | None = None) -> None:
    """Write `mesh`. A part with texture coordinates and a textured material gets these, any other its vertex colours.
    Of a material's own colour only the opacity is kept.

    A part's vertices are written once per texture coordinate, in the order of the mesh.
    """
    document = _Document(
        {"asset": {"version": "2.0", "generator": "vfa-live", **({"extras": extras} if extras else {})}}
    )
    document.json |= {"scene": 0, "scenes": [{"nodes": list(range(len(mesh.parts)))}], "nodes": [], "meshes": []}
    document.json |= {"accessors": [], "bufferViews": [], "materials": []}
    _add_materials(mesh, document, jpeg_quality)
    for number, part in enumerate(mesh.parts):
        document.json["nodes"].append({"name": part.name, "mesh": number})
        document.json["meshes"].append({"name": part.name, "primitives": [_primitive(mesh, part, document)]})
    document.json["buffers"] = [{"byteLength": len(document.blob)}]
    path.write_bytes(_packed(document))


def _add_materials(mesh: Mesh, document: _Document, jpeg_quality: int) -> None:
    for material in mesh.materials:
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.75}
        if material.base_color[3] < 1:
            surface["baseColorFactor"] = [1.0, 1.0, 1.0, material.base_color[3]]
        if material.texture is not None:
            stream = io.BytesIO()
            Image.fromarray(material.texture).save(stream, "JPEG", quality=jpeg_quality, optimize=True)
            image = {
                "bufferView": document.add_view(stream.getvalue()),
                "mimeType": "image/jpeg",
                "name": material.name,
            }
            images, textures = document.json.setdefault("images", []), document.json.setdefault("textures", [])
            images.append(image)
            textures.append({"source": len(images) - 1})
            surface["baseColorTexture"] = {"index": len(textures) - 1}
        entry = {"name": material.name, "pbrMetallicRoughness": surface}
        clear = {} if material.alpha_mode == "OPAQUE" else {"alphaMode": material.alpha_mode}
        document.json["materials"].append(entry | clear | ({"doubleSided": True} if material.double_sided else {}))


def _primitive(mesh: Mesh, part: MeshPart, document: _Document) -> dict[str, Any]:
    rows = slice(part.first_face, part.first_face + part.face_count)
    textured = mesh.materials[part.material].texture is not None
    corners = mesh.faces[rows].astype(np.int64)
    pairs = corners * len(mesh.uvs) + mesh.faces_uv[rows] if textured else corners  # type: ignore[arg-type,index]
    unique, index = np.unique(pairs, return_inverse=True)
    vertex = unique // len(mesh.uvs) if textured else unique  # type: ignore[arg-type]
    points = mesh.vertices[vertex].astype("<f4")
    bounds = {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    attributes = {"POSITION": document.add_accessor(points, "VEC3", _FLOAT, _ARRAY_BUFFER, **bounds)}
    if textured:
        uv = mesh.uvs[unique % len(mesh.uvs)] * [1, -1] + [0, 1]  # type: ignore[index,arg-type]
        stored = np.rint(np.clip(uv, 0, 1) * 65535).astype("<u2")
        attributes["TEXCOORD_0"] = document.add_accessor(stored, "VEC2", _UINT16, _ARRAY_BUFFER, normalized=True)
    elif mesh.vertex_colors is not None:
        linear = np.ones((len(vertex), 4))
        linear[:, :3] = _srgb_to_linear(mesh.vertex_colors[vertex].astype(np.float64))
        stored = np.rint(linear * 65535).astype("<u2")
        attributes["COLOR_0"] = document.add_accessor(stored, "VEC4", _UINT16, _ARRAY_BUFFER, normalized=True)
    small = len(vertex) < 65535
    indices = index.reshape(-1).astype("<u2" if small else "<u4")
    component = _UINT16 if small else _UINT32
    faces = document.add_accessor(indices, "SCALAR", component, _ELEMENT_BUFFER)
    return {"attributes": attributes, "indices": faces, "material": part.material}


def _srgb_to_linear(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _packed(document: _Document) -> bytes:
    text = json.dumps(document.json, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    blob = bytes(document.blob) + b"\0" * (-len(document.blob) % 4)
    total = 12 + 8 + len(text) + 8 + len(blob)
    head = struct.pack("<III", 0x46546C67, 2, total) + struct.pack("<II", len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(blob), 0x004E4942) + blob
