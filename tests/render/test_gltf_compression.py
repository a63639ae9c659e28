"""Compressed glTF comes out as it went in; without the package that unpacks it, one line says how to go on."""

import base64
import json
import sys
import zlib

import numpy as np
import pytest

from core.errors import InputError, MissingExtraError
from render.mesh.mesh_io import load_mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.uint16)
UVS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
KTX2 = zlib.decompress(  # 8x8 UASTC, green above red; basisu made it
    base64.b64decode(
        "eNpb7R0SoWBksJuXS4qLAQgYgZgDimGAEYpBIAOIdYB4CpRGBwegtAMaDVPLxKDBsIyRiYGZmYFBAK6rHs76DwTyQBrorPKizJLUIganxOLM"
        "YoXQvMyy1KLixBwFIz1DAwYGFpAuoLbpTFOe7zcohzkPgy9+8/Dj+zGKDLj4AJmMJY0="
    )
)


def uri(data: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(data).decode()


def accessor(view: int | None, kind: int, count: int, shape: str) -> dict[str, object]:
    stated = {"componentType": kind, "count": count, "type": shape}
    return stated if view is None else stated | {"bufferView": view}


def saved(tmp_path, content, name="m.gltf"):
    head = {"asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "name": "head"}]}
    (tmp_path / name).write_text(json.dumps(head | content))
    return tmp_path / name


def meshopt_head(tmp_path, name, damage=False):
    meshopt = pytest.importorskip("meshopt")
    packed = [
        (meshopt.encode_gltf_buffer(POINTS, "ATTRIBUTES"), POINTS, 12, "ATTRIBUTES", 4),
        (meshopt.encode_gltf_buffer(FACES.reshape(-1), "TRIANGLES"), FACES, 2, "TRIANGLES", 12),
    ]
    views, data = [], b""
    for coded, plain, stride, mode, count in packed:
        stated = {"buffer": 1, "byteOffset": len(data), "byteLength": len(coded), "byteStride": stride}
        extensions = {name: stated | {"count": count, "mode": mode}}
        views.append({"buffer": 0, "byteOffset": 0, "byteLength": plain.nbytes, "extensions": extensions})
        data += coded[:-4] + bytes([255] * 4) if damage else coded
    return saved(
        tmp_path,
        {
            "extensionsRequired": [name],
            "buffers": [{"byteLength": 96}, {"byteLength": len(data), "uri": uri(data)}],
            "bufferViews": views,
            "accessors": [accessor(0, 5126, 4, "VEC3"), accessor(1, 5123, 12, "SCALAR")],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        },
    )


def draco_head(tmp_path, announced=4):
    library = pytest.importorskip("DracoPy")
    data = library.encode(POINTS, FACES.astype(np.uint32), tex_coord=UVS.astype(np.float64), quantization_bits=16)
    by_kind = {each["attribute_type"]: each["unique_id"] for each in library.decode(data).attributes}
    draco = {"bufferView": 0, "attributes": {"POSITION": by_kind[0], "TEXCOORD_0": by_kind[3]}}
    primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2}
    count = len(library.decode(data).points) - 4 + announced
    kinds = (accessor(None, 5126, count, "VEC3"), accessor(None, 5126, count, "VEC2"))
    return saved(
        tmp_path,
        {
            "extensionsRequired": ["KHR_draco_mesh_compression"],
            "buffers": [{"byteLength": len(data), "uri": uri(data)}],
            "bufferViews": [{"buffer": 0, "byteLength": len(data)}],
            "accessors": [*kinds, accessor(None, 5123, 12, "SCALAR")],
            "meshes": [{"primitives": [primitive | {"extensions": {"KHR_draco_mesh_compression": draco}}]}],
        },
    )


def ktx2_head(tmp_path, picture=KTX2):
    data = POINTS.tobytes() + FACES.tobytes() + UVS.tobytes()
    starts = ((0, 48), (48, 24), (72, 32))
    return saved(
        tmp_path,
        {
            "extensionsRequired": ["KHR_texture_basisu"],
            "buffers": [{"byteLength": len(data), "uri": uri(data)}],
            "bufferViews": [{"buffer": 0, "byteOffset": start, "byteLength": size} for start, size in starts],
            "accessors": [
                accessor(0, 5126, 4, "VEC3"),
                accessor(1, 5123, 12, "SCALAR"),
                accessor(2, 5126, 4, "VEC2"),
            ],
            "images": [{"uri": uri(picture), "mimeType": "image/ktx2"}],
            "textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}],
            "materials": [{"name": "skin", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}]}],
        },
    )


def same_tetrahedron(mesh) -> bool:
    """Whether the same corners meet in the same faces, however they are numbered."""
    own = {frozenset(map(tuple, np.rint(mesh.vertices[face]).astype(int).tolist())) for face in mesh.faces}
    return own == {frozenset(map(tuple, POINTS[face].astype(int).tolist())) for face in FACES}


@pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
def test_meshopt_is_unpacked(tmp_path, name):
    assert same_tetrahedron(load_mesh(meshopt_head(tmp_path, name)))


def test_draco_is_unpacked_with_its_texture_coordinates(tmp_path):
    mesh = load_mesh(draco_head(tmp_path))
    assert same_tetrahedron(mesh)
    corner = mesh.vertices[mesh.faces].reshape(-1, 3)
    uv = mesh.uvs[mesh.faces_uv].reshape(-1, 2)
    expected = np.stack([corner[:, 0] + corner[:, 2], 1 - corner[:, 1] - corner[:, 2]], axis=1)  # v runs upwards
    np.testing.assert_allclose(uv, expected, atol=1e-3)


def test_ktx2_pictures_are_unpacked(tmp_path):
    pytest.importorskip("opengl_basisu")
    texture = load_mesh(ktx2_head(tmp_path)).materials[0].texture
    np.testing.assert_allclose(texture[[1, 6], 3], [[20, 160, 60], [200, 30, 30]], atol=4)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: meshopt_head(folder, "EXT_meshopt_compression", damage=True),
        lambda folder: draco_head(folder, announced=9),
        lambda folder: ktx2_head(folder, KTX2[:100]),
    ],
    ids=["meshopt", "draco", "ktx2"],
)
def test_damage_within_is_one_line(tmp_path, make):
    pytest.importorskip("opengl_basisu")
    with pytest.raises(InputError, match=r"m\.gltf"):
        load_mesh(make(tmp_path))


@pytest.mark.parametrize(
    ("module", "make", "command"),
    [
        ("meshopt", lambda folder: meshopt_head(folder, "EXT_meshopt_compression"), "gltf-transform/cli copy"),
        ("DracoPy", draco_head, "gltf-transform/cli copy"),
        ("opengl_basisu", ktx2_head, "gltf-transform/cli ktxdecompress"),
    ],
)
def test_without_the_package_the_line_says_how_to_go_on(tmp_path, monkeypatch, module, make, command):
    path = make(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        load_mesh(path)
    assert str(path) in str(caught.value)
    assert command in str(caught.value)
    assert "[compressed]" in str(caught.value)
