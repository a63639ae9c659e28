"""Meshes and textures made to take memory or time, to start programs, or to slip numbers in that are none."""

import base64
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from render.mesh.mesh_io import load_mesh
from render.mesh.pictures import Textures, load_texture

PLY_VERTICES = "element vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
PLY_POINTS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"


def refused(path, says):
    with pytest.raises(InputError, match=says) as caught:
        load_mesh(path)
    assert str(caught.value).isprintable()


def write_gltf(path, accessors, primitive, **more):
    content = {
        "asset": {"version": "2.0"},
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        **more,
    }
    path.write_text(json.dumps(content))
    return path


def write_ply(path, body, header="", index="list uchar int vertex_indices"):
    path.write_text(
        f"ply\nformat ascii 1.0\n{PLY_VERTICES}{header}element face 2\nproperty {index}\nend_header\n{PLY_POINTS}{body}"
    )
    return path


def test_a_picture_that_is_a_program_is_not_run(tmp_path):
    path = tmp_path / "t.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n{} loop\n")
    with pytest.raises(InputError, match="expected a picture"):
        load_texture(path, "t.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_size_of_a_picture_is_checked_before_it_is_unpacked(tmp_path):
    header = struct.pack(">IIBBBBB", 13000, 13000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    with pytest.raises(InputError, match="13000x13000"):
        load_texture(data, "it")


def test_pictures_of_a_mesh_are_decoded_once_and_share_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("render.mesh.pictures._MOST_BYTES", 3 * 64 * 64 + 12 * 1000)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    textures = Textures()
    with pytest.raises(InputError, match="64x64"):
        Textures().load("b", tmp_path / "a.png", "b")
    monkeypatch.setattr("render.mesh.pictures._MOST_BYTES", 12 * 64 * 64)
    first = textures.load("a", tmp_path / "a.png", "a")
    assert textures.load("a", tmp_path / "a.png", "a") is first
    with pytest.raises(InputError, match="64x64"):
        textures.load("b", tmp_path / "a.png", "b")


def test_arrays_without_data_stay_small(tmp_path):
    position = {"componentType": 5126, "count": 19_000_000, "type": "VEC3"}
    refused(write_gltf(tmp_path / "a.gltf", [position], {"attributes": {"POSITION": 0}}), "at most 5000000 vertices")
    position["count"] = 3
    colors = {"componentType": 5126, "count": 14_000_000, "type": "VEC4"}
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}}
    refused(write_gltf(tmp_path / "b.gltf", [position, colors], primitive), "too large")


def test_one_array_used_many_times_counts_every_time(tmp_path):
    position = {"componentType": 5126, "count": 60_000, "type": "VEC3"}
    nodes = [{"mesh": 0}] * 100
    path = write_gltf(tmp_path / "a.gltf", [position], {"attributes": {"POSITION": 0}}, nodes=nodes)
    refused(path, "at most 5000000 vertices")


def test_texture_coordinates_moved_again_for_every_part_count_every_time(tmp_path):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    uri = "data:;base64," + base64.b64encode(points).decode()
    count = 40
    attributes = {"POSITION": 0, "TEXCOORD_0": 1}
    transforms = [{"KHR_texture_transform": {"offset": [number, 0]}} for number in range(count)]
    path = write_gltf(
        tmp_path / "a.gltf",
        [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"componentType": 5126, "count": 300_000, "type": "VEC2"},
        ],
        {},
        meshes=[{"primitives": [{"attributes": attributes, "material": number} for number in range(count)]}],
        materials=[
            {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "extensions": transform}}}
            for transform in transforms
        ],
        bufferViews=[{"buffer": 0, "byteLength": 36}],
        buffers=[{"byteLength": 36, "uri": uri}],
    )
    refused(path, "at most 10000000 texture coordinates")


def test_deep_and_endless_json_is_refused(tmp_path):
    path = tmp_path / "deep.gltf"
    path.write_text("[" * 100_000)
    refused(path, "nested too deep")
    path.write_text('{"asset": {"version": "2.0"}, "nodes": ' + json.dumps([{}] * 200_000) + "}")
    refused(path, "more than 100000 nodes")


def test_a_name_with_line_breaks_does_not_break_the_message(tmp_path):
    image = {"name": "a\nb\x1b[2J", "uri": "data:image/png;base64," + base64.b64encode(b"no").decode()}
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    uri = "data:;base64," + base64.b64encode(points).decode()
    path = write_gltf(
        tmp_path / "a.gltf",
        [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        {"attributes": {"POSITION": 0}, "material": 0},
        materials=[{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        textures=[{"source": 0}],
        images=[image],
        bufferViews=[{"buffer": 0, "byteLength": 36}],
        buffers=[{"byteLength": 36, "uri": uri}],
    )
    refused(path, "expected a picture")


def test_a_header_that_announces_elements_without_end(tmp_path):
    elements = "".join(f"element e{number} 20000000\n" for number in range(60))
    refused(write_ply(tmp_path / "a.ply", "3 0 1 2\n3 0 1 3\n", elements), "not understood")
    few = "".join(f"element e{number} 20000000\n" for number in range(20))
    assert len(load_mesh(write_ply(tmp_path / "b.ply", "3 0 1 2\n3 0 1 3\n", "")).faces) == 2
    path = tmp_path / "c.ply"  # behind the faces they take nothing and cost nothing
    path.write_text((tmp_path / "b.ply").read_text().replace("end_header", few + "end_header"))
    assert len(load_mesh(path).faces) == 2
    path.write_text((tmp_path / "b.ply").read_text().replace("vertex 4", "vertex 20000000"))
    refused(path, "at most 5000000")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("3 0 1 4294967298\n3 0 1 3\n", "refers to vertex 4294967298"),
        ("3 0 1 1e300\n3 0 1 3\n", "refers to vertex"),
        ("3 0 1 nan\n3 0 1 3\n", "refers to vertex"),
        ("3 0 1 1.5\n3 0 1 3\n", "refers to vertex 1.5"),
        ("2 0 1\n3 0 1 3\n", "at least three corners"),
        ("-1 0 1\n3 0 1 3\n", "cut short"),
        ("nan 0 1\n3 0 1 3\n", "cut short"),
        ("3 0 1 2\n9 0 1 3\n", "cut short"),
        ("3 0 1 2\n3 0 1 three\n", "nothing but numbers"),
    ],
)
def test_faces_that_point_nowhere(tmp_path, body, says):
    refused(write_ply(tmp_path / "a.ply", body), says)


@pytest.mark.parametrize(
    ("index", "header"),
    [("list float int vertex_indices", ""), ("list uchar int vertex_indices", "property float x\n")],
)
def test_headers_that_make_no_sense(tmp_path, index, header):
    refused(write_ply(tmp_path / "a.ply", "3 0 1 2\n3 0 1 3\n", header, index), "not understood")


@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_rows_of_varying_length(tmp_path, order):
    """Triangles and quads mixed, with a number before and after each list."""
    name = {"<": "little", ">": "big"}[order]
    properties = "property short before\nproperty list ushort int vertex_indices\nproperty double after\n"
    header = f"ply\nformat binary_{name}_endian 1.0\n{PLY_VERTICES}element face 3\n{properties}end_header\n"
    points = struct.pack(f"{order}12f", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1)
    rows = [[0, 2, 1], [0, 1, 2, 3], [1, 3, 2]]
    body = b"".join(struct.pack(f"{order}hH{len(row)}id", -1, len(row), *row, 0.5) for row in rows)
    path = tmp_path / "a.ply"
    path.write_bytes(header.encode() + points + body)
    faces = {tuple(sorted(face)) for face in load_mesh(path).faces.tolist()}
    assert faces == {(0, 1, 2), (0, 2, 3), (1, 2, 3)}
    path.write_bytes(header.encode() + points + body[:-1])
    refused(path, "cut short")


TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("v 1 0 0", "v 1e20 0 0", "positions must be finite numbers, none above"),
        ("v 1 0 0", "v 1e39 0 0", "positions must be finite numbers, none above"),
        ("vt 1 0", "vt 1e30 0", "texture coordinates must be finite numbers, none above"),
        ("3/3", "9" * 400, "face corner '9{40}'"),
        ("f", "mtllib it.mtl\nusemtl bad\nf", "colour of material 'bad'"),
    ],
)
def test_numbers_that_are_none_or_too_large(tmp_path, was, becomes, says):
    (tmp_path / "it.mtl").write_text("newmtl bad\nKd nan 0 0\n")
    path = tmp_path / "a.obj"
    path.write_text(TRIANGLE.replace(was, becomes))
    refused(path, says)


def test_an_mtl_file_without_end_is_refused(tmp_path):
    (tmp_path / "it.mtl").write_bytes(b"\n" * (5 << 20))
    path = tmp_path / "a.obj"
    path.write_text("mtllib it.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    refused(path, "it.mtl: has 5242880 bytes")


def test_as_many_groups_as_faces_are_refused(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "".join(f"g {number}\nf 1 2 3\n" for number in range(10_050)))
    refused(path, "10000 groups")


@pytest.mark.parametrize("name", ["a" * 5000 + ".obj", "a\0b.obj"])
def test_names_that_no_file_has(tmp_path, name):
    refused(tmp_path / name, "mesh file")
