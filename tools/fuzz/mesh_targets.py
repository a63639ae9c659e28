"""Meshes of every kind, with their materials, textures and morph targets."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from render.mesh.mesh_io import load_mesh
from render.mesh.mesh_layout import is_closed, make_layout, weld_smooth
from render.mesh.pictures import load_texture
from tools.fuzz.target import Target

_POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]], dtype=np.float32)
_FACES = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [0, 3, 2]], dtype=np.uint16)
_UVS = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], dtype=np.float32)
_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_BYTE = 5126, 5123, 5121

_OBJ = """mtllib head.mtl
o head
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0.5 0.5 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vn 0 0 1
usemtl skin
f 1/1/1 4/4/1 3/3/1 2/2/1
f 1/1/1 2/2/1 5/3/1
f 2/1/1 3/2/1 -1/3/1
g rest
usemtl hair
f 3/1/1 4/2/1 5/3/1
f 4/1/1 1/2/1 5/3/1
"""
_MTL = "newmtl skin\nKd 0.8 0.6 0.5\nmap_Kd head.png\n\nnewmtl hair\nKd 0.1 0.1 0.1\nd 0.9\n"
_COLORED_OBJ = "\n".join(
    [
        *(f"v {x:g} {y:g} {z:g} 0.5 0.25 {z:g}" for x, y, z in _POINTS),
        *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in _FACES),
    ]
)
_ASCII_PLY = """ply
format ascii 1.0
comment TextureFile head.png
comment part 0 skin
comment part 1 hair
element vertex 5
property float x
property float y
property float z
property float s
property float t
property uchar red
property uchar green
property uchar blue
element face 5
property list uchar int vertex_indices
property uchar part
end_header
0 0 0 0 0 255 0 0
1 0 0 1 0 0 255 0
1 1 0 1 1 0 0 255
0 1 0 0 1 9 9 9
0.5 0.5 1 0.5 0.5 50 60 70
4 0 3 2 1 0
3 0 1 4 0
3 1 2 4 1
3 2 3 4 1
3 3 0 4 1
"""
_PLY_HEADER = """ply
format binary_{order}_endian 1.0
element vertex 5
property float x
property float y
property float z
property float red
property float green
property float blue
element face 5
property list uchar {index} vertex_indices
property list uchar float texcoord
end_header
"""


def _picture(folder: Path) -> None:
    pixels = np.arange(8 * 16 * 3, dtype=np.uint8).reshape(8, 16, 3)
    Image.fromarray(pixels).save(folder / "head.png")


def _obj_seeds(folder: Path) -> list[Path]:
    with_picture, colored = folder / "textured" / "head.obj", folder / "colored.obj"
    with_picture.parent.mkdir()
    with_picture.write_text(_OBJ)
    with_picture.with_suffix(".mtl").write_text(_MTL)
    _picture(with_picture.parent)
    colored.write_text(_COLORED_OBJ)
    return [with_picture, colored]


def _ply_seeds(folder: Path) -> list[Path]:
    ascii_file = folder / "textured" / "head.ply"
    ascii_file.parent.mkdir()
    ascii_file.write_text(_ASCII_PLY)
    _picture(ascii_file.parent)
    little, big = folder / "little.ply", folder / "big.ply"
    little.write_bytes(_PLY_HEADER.format(order="little", index="uint").encode() + _binary_ply("<", quads=False))
    big.write_bytes(_PLY_HEADER.format(order="big", index="uint").encode() + _binary_ply(">", quads=True))
    return [ascii_file, little, big]


def _binary_ply(order: str, *, quads: bool) -> bytes:
    points = b"".join(struct.pack(f"{order}6f", *point, *color) for point, color in zip(_POINTS, _POINTS, strict=True))
    faces = [face.tolist() for face in _FACES]
    if quads:
        faces[-1] = [0, 3, 2, 1]
    rows = []
    for face in faces:
        uvs = _UVS[face].reshape(-1).tolist()
        rows.append(struct.pack(f"{order}B{len(face)}IB{len(uvs)}f", len(face), *face, len(uvs), *uvs))
    return points + b"".join(rows)


class _Buffer:
    """The binary half of a glTF file, with the views and accessors that describe it."""

    def __init__(self) -> None:
        self.data = b""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += data + b"\0" * (-len(data) % 4)
        return len(self.views) - 1

    def add(self, array: NDArray[Any], kind: str, component: int = _FLOAT, **more: Any) -> int:
        accessor = {"bufferView": self.view(array.tobytes()), "componentType": component, "count": len(array)}
        self.accessors.append({**accessor, "type": kind, **more})
        return len(self.accessors) - 1

    def add_sparse(self, count: int, rows: NDArray[np.uint16], values: NDArray[np.float32]) -> int:
        indices = {"bufferView": self.view(rows.tobytes()), "componentType": _UNSIGNED_SHORT}
        sparse = {"count": len(rows), "indices": indices, "values": {"bufferView": self.view(values.tobytes())}}
        self.accessors.append({"componentType": _FLOAT, "count": count, "type": "VEC3", "sparse": sparse})
        return len(self.accessors) - 1


def _gltf(buffer: _Buffer) -> dict[str, Any]:
    """A textured, skinned head with one morph target under a turned node."""
    joints = np.tile(np.array([[0, 1, 0, 0]], dtype=np.uint8), (len(_POINTS), 1))
    weights = np.tile(np.array([[0.75, 0.25, 0, 0]], dtype=np.float32), (len(_POINTS), 1))
    attributes = {
        "POSITION": buffer.add(_POINTS, "VEC3"),
        "TEXCOORD_0": buffer.add(_UVS, "VEC2"),
        "COLOR_0": buffer.add(np.full((5, 4), 200, np.uint8), "VEC4", _UNSIGNED_BYTE, normalized=True),
        "JOINTS_0": buffer.add(joints, "VEC4", _UNSIGNED_BYTE),
        "WEIGHTS_0": buffer.add(weights, "VEC4"),
    }
    morph = buffer.add_sparse(len(_POINTS), np.array([4], np.uint16), np.array([[0, 0.1, 0]], np.float32))
    primitive = {
        "attributes": attributes,
        "indices": buffer.add(_FACES.reshape(-1), "SCALAR", _UNSIGNED_SHORT),
        "material": 0,
        "targets": [{"POSITION": morph}],
    }
    bind = buffer.add(np.tile(np.eye(4, dtype=np.float32).reshape(1, 16), (2, 1)), "MAT4")
    base = {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 0.9, 0.8, 1]}
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"children": [1, 2], "rotation": [0, 0.6, 0, 0.8], "scale": [1, 2, 1]},
            {"mesh": 0, "skin": 0, "name": "head"},
            {"translation": [0, 1, 0]},
        ],
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": ["jawOpen"]}}],
        "skins": [{"joints": [1, 2], "inverseBindMatrices": bind}],
        "materials": [{"name": "skin", "pbrMetallicRoughness": base, "alphaMode": "MASK", "doubleSided": True}],
        "textures": [{"source": 0}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
    }


def _gltf_seeds(folder: Path) -> list[Path]:
    apart, whole = folder / "apart" / "head.gltf", folder / "whole.glb"
    apart.parent.mkdir()
    _picture(apart.parent)
    buffer = _Buffer()
    content = _gltf(buffer)
    (apart.parent / "head.bin").write_bytes(buffer.data)
    content |= {"images": [{"uri": "head.png"}], "buffers": [{"uri": "head.bin", "byteLength": len(buffer.data)}]}
    apart.write_text(json.dumps(content))
    view = buffer.view((apart.parent / "head.png").read_bytes())
    content |= {
        "images": [{"bufferView": view, "mimeType": "image/png"}],
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    whole.write_bytes(_glb(content, buffer.data))
    return [apart, whole]


def _glb(content: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def _load_mesh(path: Path) -> None:
    """Up to what is handed to the graphics card."""
    mesh = load_mesh(path, morphs=path.suffix in (".gltf", ".glb"))
    make_layout(mesh)
    weld_smooth(mesh.vertices, mesh.faces)
    is_closed(mesh.vertices, mesh.faces)


def _texture_seeds(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65535, (12, 16), dtype=np.uint16))
    pictures = {"color.png": color, "alpha.png": color.convert("RGBA"), "deep.png": deep, "color.jpg": color}
    pictures |= {f"color.{suffix}": color for suffix in ("webp", "tga", "bmp", "tif")}
    for name, picture in pictures.items():
        picture.save(folder / name)
    color.quantize(16).save(folder / "palette.png", transparency=3)
    pictures["palette.png"] = color
    return [folder / name for name in pictures]


def _load_texture(path: Path) -> None:
    load_texture(path, str(path))


TARGETS = [
    Target("mesh_obj", _obj_seeds, _load_mesh),
    Target("mesh_ply", _ply_seeds, _load_mesh),
    Target("mesh_gltf", _gltf_seeds, _load_mesh),
    Target("texture", _texture_seeds, _load_texture),
]
