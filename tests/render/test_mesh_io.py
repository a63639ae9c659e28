"""Meshes from files: every format gives the same head back, and every broken file one clear line."""

import base64
import itertools
import json
import logging
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import InputError
from core.mesh import Material, Mesh, MeshPart
from render.mesh.mesh_io import load_mesh, save_obj, save_ply, signed_volume
from render.mesh.texture_seams import is_upside_down

TETRAHEDRON = """
v 0 0 0
v 1 0 0
v 0 1 0
v 0 0 1
f 1 3 2
f 1 2 4
f 1 4 3
f 2 3 4
"""
TEXTURED_TRIANGLE = "vt 0 0\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/1 2/1 3/1\n"


def write(path, text):
    path.write_text(text)
    return path


def picture(path, rgb=(200, 30, 30), size=(8, 8)):
    Image.new("RGB", size, rgb).save(path)
    return path


def gltf(tmp_path, points, index, *, name="m.gltf", **changes):
    """A minimal .gltf with its buffer embedded; `changes` override top-level entries."""
    points, index = np.asarray(points, "<f4"), np.asarray(index, "<u2")
    data = points.tobytes() + index.tobytes()
    content = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"name": "head", "primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": index.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": points.nbytes},
            {"buffer": 0, "byteOffset": points.nbytes, "byteLength": index.nbytes},
        ],
        "buffers": [
            {"byteLength": len(data), "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode()}
        ],
    }
    content.update(changes)
    return write(tmp_path / name, json.dumps(content))


POINTS = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
FACES = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


@pytest.fixture
def head(sphere) -> Mesh:
    mesh = sphere(6, 8)
    parts = (MeshPart("skin", 0, 40, 0), MeshPart("eye_left", 40, len(mesh.faces) - 40, 1))
    colors = np.random.default_rng(0).uniform(size=mesh.vertices.shape).astype(np.float32)
    white = (1.0, 1.0, 1.0, 1.0)
    return replace(mesh, parts=parts, materials=(Material("skin", white), Material("eye", white)), vertex_colors=colors)


@pytest.mark.parametrize(("save", "suffix"), [(save_obj, "obj"), (save_ply, "ply")])
def test_what_is_saved_is_loaded_again(tmp_path, head, save, suffix):
    path = tmp_path / f"head.{suffix}"
    save(head, path)
    again = load_mesh(path)
    np.testing.assert_array_equal(again.vertices, head.vertices)
    np.testing.assert_array_equal(again.faces, head.faces)
    np.testing.assert_allclose(again.vertex_colors, head.vertex_colors, atol=0.5 / 255 if suffix == "ply" else 1e-6)
    np.testing.assert_allclose(again.uvs[again.faces_uv], head.uvs[head.faces_uv], atol=1e-7)
    assert [(p.name, p.first_face, p.face_count) for p in again.parts] == [("skin", 0, 40), ("eye_left", 40, 40)]


def test_obj_textures_survive_saving(tmp_path, head):
    gradient = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    textured = replace(head, vertex_colors=None, materials=(Material("a", (1, 1, 1, 1), gradient), head.materials[1]))
    save_obj(textured, tmp_path / "head.obj")
    again = load_mesh(tmp_path / "head.obj")
    np.testing.assert_array_equal(again.materials[0].texture, gradient)
    assert again.materials[1].texture is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(3, 7), min_size=1, max_size=6))
def test_polygons_become_fans_that_cover_them(tmp_path_factory, sizes):
    lines, count = [], 0
    for sides in sizes:
        angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
        lines += [f"v {np.cos(a) + 3 * count} {np.sin(a)} 0" for a in angles]
    lines += ["v 0 0 -1"]
    for sides in sizes:
        lines.append("f " + " ".join(str(count + i + 1) for i in range(sides)))
        count += sides
    mesh = load_mesh(write(tmp_path_factory.mktemp("p") / "p.obj", "\n".join(lines)))
    assert len(mesh.faces) == sum(sizes) - 2 * len(sizes)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(sum(n / 2 * np.sin(2 * np.pi / n) for n in sizes), rel=1e-4)


def test_obj_reads_negative_mixed_and_wrapped_faces(tmp_path):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nvn 0 0 1\nf -3/-3/-1 -2/-2/-1 \\\n -1/-1/-1\n"
    text += "v 0 0 1\nf 1/1 2/2/1 4/3\n"
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 1, 3]])
    np.testing.assert_array_equal(mesh.faces_uv, [[0, 1, 2], [0, 1, 2]])


def test_obj_faces_without_texture_coordinates_leave_those_of_the_others(tmp_path, caplog):
    text = TETRAHEDRON.replace("f 1 3 2", "vt 0.25 0.5\nvt 1 0\nvt 0 1\nf 1/1 3/3 2/2").replace(
        "f 1 2 4", "f 1//1 2//1 4//1"
    )
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    np.testing.assert_array_equal(mesh.uvs[mesh.faces_uv[0]], [[0.25, 0.5], [0, 1], [1, 0]])
    np.testing.assert_array_equal(mesh.uvs[mesh.faces_uv[1:]], 0)
    assert "3 of 4 faces" in caplog.text


def test_obj_corners_of_several_kinds_that_add_up_alike_are_told_apart(tmp_path):
    """As many slashes and numbers as if every corner were like the first."""
    text = TETRAHEDRON.split("f", maxsplit=1)[0] + "vt 0 0\nvt 1 0\nvt 0 1\nvn 0 0 1\n"
    text += "f 1/1 3/3 2/2\nf 1/1 2/2/1 4\nf 1 4/3/1 3/2\nf 2/1 3/2 4/3\n"
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    np.testing.assert_array_equal(mesh.faces, [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    np.testing.assert_array_equal(mesh.faces_uv, [[0, 2, 1], [0, 1, 3], [3, 2, 1], [0, 1, 2]])


def test_obj_is_the_same_however_its_lines_are_cut_into_blocks(tmp_path, head, monkeypatch):
    save_obj(head, tmp_path / "head.obj")
    whole = load_mesh(tmp_path / "head.obj")
    monkeypatch.setattr("render.mesh.obj_lines._BLOCK_BYTES", 100)
    pieces = load_mesh(tmp_path / "head.obj")
    for name in ("vertices", "faces", "uvs", "faces_uv", "vertex_colors"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name), err_msg=name)
    assert pieces.parts == whole.parts


def test_obj_that_names_no_material_takes_the_only_one(tmp_path, caplog):
    write(tmp_path / "m.mtl", "newmtl skin\nKd 0.1 0.2 0.3\n")
    mesh = load_mesh(write(tmp_path / "m.obj", "mtllib m.mtl\n" + TETRAHEDRON))
    assert mesh.materials[0].base_color[:3] == (0.1, 0.2, 0.3)
    assert "skin" in caplog.text
    write(tmp_path / "m.mtl", "newmtl skin\nKd 0.1 0.2 0.3\nnewmtl hair\nKd 0 0 0\n")
    assert load_mesh(tmp_path / "m.obj").materials[0].name == "default", "which of two is not guessed"


def test_obj_that_names_a_material_there_is_none_of_says_so(tmp_path, caplog):
    write(tmp_path / "m.mtl", "newmtl skin\nKd 0.1 0.2 0.3\n")
    load_mesh(write(tmp_path / "m.obj", "mtllib m.mtl\nusemtl Skin.001\n" + TETRAHEDRON))
    assert "Skin.001" in caplog.text


def test_obj_bears_comments_behind_numbers_and_blank_tabs(tmp_path):
    text = TETRAHEDRON.replace("v 0 0 1", "v\t0 0 1 # the tip").replace("f 1 3 2", "f\t1 3 2 # base")
    np.testing.assert_array_equal(load_mesh(write(tmp_path / "m.obj", text)).vertices[3], [0, 0, 1])


def test_obj_keeps_file_order_of_vertices_even_of_unused_ones(tmp_path):
    mesh = load_mesh(write(tmp_path / "m.obj", "v 9 9 9\n" + TETRAHEDRON.replace("f ", "f ")))
    np.testing.assert_array_equal(mesh.vertices[0], [9, 9, 9])
    assert len(mesh.vertices) == 5


def test_obj_groups_faces_of_one_part_together(tmp_path):
    text = "\n".join(line for line in TETRAHEDRON.splitlines() if line.startswith("v"))
    text += "\ng a\nf 1 3 2\ng b\nf 1 2 4\ng a\nf 1 4 3\nf 2 3 4\n"
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    assert [(p.name, p.face_count) for p in mesh.parts] == [("a", 3), ("b", 1)]
    np.testing.assert_array_equal(mesh.faces[[0, 3]], [[0, 2, 1], [0, 1, 3]])


def test_mtl_colors_and_textures_with_odd_paths(tmp_path):
    picture(tmp_path / "my skin.png")
    write(tmp_path / "m.mtl", "newmtl a\nKd 0.1 0.2 0.3\nd 0.5\nnewmtl b\nmap_Kd -s 1 1 1 C:\\work\\my skin.png\n")
    text = "mtllib m.mtl\nvt 0 0\n" + TETRAHEDRON.replace("f 1 3 2", "usemtl a\nf 1 3 2").replace(
        "f 2 3 4", "usemtl b\nf 2/1 3/1 4/1"
    )
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    first, second = mesh.materials
    assert first.base_color == pytest.approx((0.1, 0.2, 0.3, 0.5))
    assert first.alpha_mode == "BLEND"
    assert second.texture.shape == (8, 8, 3)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_of_every_kind_with_mixed_polygons(tmp_path, order):
    mark = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[order]
    vertices = [
        (0, 0, 0, 255, 0, 0),
        (1, 0, 0, 0, 255, 0),
        (1, 1, 0, 0, 0, 255),
        (0, 1, 0, 9, 9, 9),
        (2, 1, 0, 8, 8, 8),
    ]
    polygons = [(0, 1, 2, 3), (1, 4, 2)]
    header = f"ply\nformat {order} 1.0\nelement vertex 5\n" + "".join(f"property float {a}\n" for a in "xyz")
    header += "".join(f"property uchar {c}\n" for c in ("red", "green", "blue"))
    header += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    if not mark:
        body = "\n".join(" ".join(map(str, v)) for v in vertices).encode()
        body += b"\n4 0 1 2 3\n3 1 4 2\n"
    else:
        body = b"".join(struct.pack(f"{mark}fffBBB", *v) for v in vertices)
        body += b"".join(struct.pack(f"{mark}B{len(p)}i", len(p), *p) for p in polygons)
    (tmp_path / "m.ply").write_bytes(header.encode() + body)
    mesh = load_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [1, 4, 2]])
    np.testing.assert_allclose(mesh.vertex_colors[0], [1, 0, 0])


def test_gltf_transforms_shared_vertices_parts_and_names(tmp_path):
    mesh_entry = {
        "name": "bust",
        "primitives": [
            {"attributes": {"POSITION": 0}, "indices": 1, "material": 0},
            {"attributes": {"POSITION": 0}, "indices": 1, "material": 1},
        ],
    }
    half = np.sqrt(0.5)
    path = gltf(
        tmp_path,
        POINTS,
        FACES,
        meshes=[mesh_entry],
        nodes=[
            {"children": [1], "translation": [0, 0, 5]},
            {"mesh": 0, "scale": [2, 2, 2], "rotation": [0, 0, half, half]},
        ],
        materials=[
            {"name": "skin", "pbrMetallicRoughness": {"baseColorFactor": [0.2158605, 1, 0, 1]}},
            {"name": "hair", "alphaMode": "MASK", "alphaCutoff": 0.3, "doubleSided": True},
        ],
    )
    mesh = load_mesh(path)
    assert len(mesh.vertices) == 4, "two parts of the same vertices share them"
    np.testing.assert_allclose(mesh.vertices[1], [0, 2, 5], atol=1e-6)
    assert [p.name for p in mesh.parts] == ["bust.skin", "bust.hair"]
    assert mesh.materials[0].base_color == pytest.approx((0.5019, 1, 0, 1), abs=1e-3), "linear in the file, sRGB here"
    assert (mesh.materials[1].alpha_mode, mesh.materials[1].alpha_cutoff) == ("MASK", 0.3)


def test_gltf_mirrored_node_still_faces_outwards(tmp_path):
    mesh = load_mesh(gltf(tmp_path, POINTS, FACES, nodes=[{"mesh": 0, "scale": [-1, 1, 1]}]))
    assert signed_volume(mesh.vertices, mesh.faces) > 0


def test_gltf_strip_is_the_same_surface(tmp_path):
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "mode": 5}
    mesh = load_mesh(gltf(tmp_path, POINTS, [1, 0, 2, 3, 1, 0], meshes=[{"primitives": [primitive]}]))
    listed = load_mesh(gltf(tmp_path, POINTS, FACES, name="l.gltf"))
    assert {frozenset(f) for f in mesh.faces.tolist()} == {frozenset(f) for f in listed.faces.tolist()}
    assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(signed_volume(listed.vertices, listed.faces))


def test_gltf_skinned_mesh_stands_in_its_rest_pose(tmp_path):
    points, index = np.asarray(POINTS, "<f4"), np.asarray(FACES, "<u2")
    joints, weights = np.zeros((4, 4), "u1"), np.tile(np.float32([1, 0, 0, 0]), (4, 1))
    data = points.tobytes() + index.tobytes() + joints.tobytes() + weights.tobytes()
    at = np.cumsum([0, points.nbytes, index.nbytes, joints.nbytes, weights.nbytes])
    primitive = {"attributes": {"POSITION": 0, "JOINTS_0": 2, "WEIGHTS_0": 3}, "indices": 1}
    path = gltf(
        tmp_path,
        POINTS,
        FACES,
        nodes=[{"mesh": 0, "skin": 0, "translation": [9, 9, 9]}, {"translation": [0, 3, 0]}],
        scenes=[{"nodes": [0, 1]}],
        skins=[{"joints": [1]}],
        meshes=[{"primitives": [primitive]}],
        accessors=[
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
            {"bufferView": 2, "componentType": 5121, "count": 4, "type": "VEC4"},
            {"bufferView": 3, "componentType": 5126, "count": 4, "type": "VEC4"},
        ],
        bufferViews=[{"buffer": 0, "byteOffset": int(a), "byteLength": int(b - a)} for a, b in itertools.pairwise(at)],
        buffers=[
            {"byteLength": len(data), "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode()}
        ],
    )
    np.testing.assert_allclose(load_mesh(path).vertices, np.add(POINTS, [0, 3, 0]))


def test_clockwise_mesh_is_turned_with_its_texture_coordinates(tmp_path):
    text = "vt 0 0\nvt 1 0\nvt 0 1\n" + TETRAHEDRON
    for line in ("1 3 2", "1 2 4", "1 4 3", "2 3 4"):
        a, b, c = line.split()
        text = text.replace(f"f {line}", f"f {a}/1 {c}/3 {b}/2")
    mesh = load_mesh(write(tmp_path / "m.obj", text))
    assert signed_volume(mesh.vertices, mesh.faces) > 0
    np.testing.assert_array_equal(mesh.faces_uv, [[1, 2, 0]] * 4)


@pytest.mark.parametrize(
    ("mesh_name", "picture_name"),
    [
        ("anna.obj", "anna.jpg"),
        ("anna.obj", "anna_Color.png"),
        ("anna_decoded.obj", "anna_color.jpg"),
        ("anna-low.obj", "anna_basecolor.png"),
        ("anna.obj", "anna_diffuse.jpeg"),
    ],
)
def test_texture_that_carries_the_meshs_name_is_taken(tmp_path, caplog, mesh_name, picture_name):
    picture(tmp_path / picture_name)
    picture(tmp_path / "bella.png")
    picture(tmp_path / "anna_normal.png")
    with caplog.at_level(logging.INFO):
        mesh = load_mesh(write(tmp_path / mesh_name, TEXTURED_TRIANGLE))
    assert mesh.materials[0].texture is not None
    assert picture_name in caplog.text


def test_texture_coordinates_without_picture_give_a_hint(tmp_path, caplog):
    load_mesh(write(tmp_path / "anna.obj", TEXTURED_TRIANGLE))
    assert "anna.jpg" in caplog.text


def test_stated_texture_wins_and_needs_coordinates(tmp_path):
    blue = picture(tmp_path / "other.png", (0, 0, 255))
    picture(tmp_path / "anna.png")
    textured = write(tmp_path / "anna.obj", TEXTURED_TRIANGLE)
    assert load_mesh(textured, blue).materials[0].texture[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(InputError, match="no texture coordinates"):
        load_mesh(write(tmp_path / "bare.obj", TETRAHEDRON), blue)
    with pytest.raises(InputError, match="no such file"):
        load_mesh(textured, tmp_path / "gone.png")
    with pytest.raises(InputError, match="expected a picture"):
        load_mesh(textured, textured)


def test_picture_upside_down_is_told_from_the_seams():
    """A strip whose two halves lie at different heights of the picture, painted alike where they meet."""
    count = 60
    x = np.linspace(0, 1, count)
    rows = [np.stack([x, np.full(count, y), np.zeros(count)], 1) for y in (0.0, 1.0, 1.0, 2.0)]
    vertices = np.concatenate(rows).astype(np.float32)
    heights = (0.30, 0.48, 0.72, 0.90)  # of the rows of vertices in the picture; the middle two meet
    uvs = np.concatenate([np.stack([x, np.full(count, v)], 1) for v in heights]).astype(np.float32)
    low = np.arange(count - 1)
    strips = [np.stack([low, low + 1, low + count + 1], 1) + k * count for k in (0, 2)]
    faces = np.concatenate(strips).astype(np.int32)
    mesh = Mesh(vertices, faces, uvs, faces.copy())
    image = np.zeros((256, 256, 3), np.uint8)
    bands = np.linspace(0, 6, 256)
    image[:] = (127 + 100 * np.sin(bands * 5))[None, :, None]
    image[:108] = (127 + 100 * np.sin(bands * 5))[None, :, None]  # v above 0.58: the second strip
    image[108:140] = 0
    image[140:] = np.roll(image[0], 128, axis=0)  # further down another pattern, met only when upside down
    image[108:140] = image[0]
    assert not is_upside_down(mesh, image)
    assert is_upside_down(mesh, np.ascontiguousarray(image[::-1]))


def broken(tmp_path, kind):
    ply = b"ply\nformat binary_little_endian 1.0\nelement vertex 4\n"
    ply += b"property float x\nproperty float y\nproperty float z\n"
    face = b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    texts = {
        "faceless.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\n",
        "empty.obj": "",
        "nan.obj": TETRAHEDRON.replace("v 0 0 1", "v nan 0 1"),
        "range.obj": TETRAHEDRON + "f 1 2 9\n",
        "zero.obj": TETRAHEDRON + "f 0 1 2\n",
        "words.obj": TETRAHEDRON.replace("v 0 0 1", "v a b c"),
        "short.obj": TETRAHEDRON.replace("v 0 0 1", "v 0 1"),
        "corner.obj": TETRAHEDRON + "f 1 x 2\n",
        "two.obj": TETRAHEDRON + "f 1 2\n",
        "point.obj": "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
        "noise.ply": "hello",
        "header.ply": "ply\nformat binary 1.0\nend_header\n",
        "huge.ply": "ply\nformat ascii 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n",
        "cut.ply": ply + face + b"\0" * 20,
        "cutface.ply": ply + face + b"\0" * 48 + b"\x03\0\0",
        "json.gltf": "{",
        "version.gltf": '{"asset": {"version": "1.0"}}',
        "bare.gltf": '{"asset": {"version": "2.0"}}',
        "cut.glb": struct.pack("<4sII", b"glTF", 2, 4000) + b"\0" * 20,
        "picture.stl": "solid",
    }
    path = tmp_path / kind
    content = texts[kind]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("faceless.obj", "without faces"),
        ("empty.obj", "no vertex lines"),
        ("nan.obj", "positions must be finite numbers, none above 1e+09, but number 3"),
        ("range.obj", "refers to vertex 9"),
        ("zero.obj", "refers to vertex 0"),
        ("words.obj", "'v' line 4"),
        ("short.obj", "'v' line 4"),
        ("corner.obj", "face corner 'x'"),
        ("two.obj", "at least three corners"),
        ("point.obj", "in one point"),
        ("noise.ply", "not a PLY file"),
        ("header.ply", "format binary 1.0"),
        ("huge.ply", "at most"),
        ("cut.ply", "cut short"),
        ("cutface.ply", "cut short"),
        ("json.gltf", "expected JSON"),
        ("version.gltf", "glTF version 2"),
        ("bare.gltf", "no triangles"),
        ("cut.glb", "4000 bytes announced"),
        ("picture.stl", "expected a mesh file"),
    ],
)
def test_broken_file_is_one_line_that_names_it(tmp_path, kind, says):
    path = broken(tmp_path, kind)
    with pytest.raises(InputError) as caught:
        load_mesh(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extensionsRequired": ["ACME_shape"]}, "ACME_shape"),
        ({"buffers": [{"byteLength": 72, "uri": "../../secret.bin"}]}, "outside its own folder"),
        ({"buffers": [{"byteLength": 72, "uri": "gone.bin"}]}, "gone.bin"),
        ({"buffers": [{"byteLength": 72, "uri": "data:,AAAA"}]}, "cut short"),
        ({"nodes": [{"mesh": 7}]}, "number 7 of its 1 meshes"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "own ancestor"),
        ({"meshes": [{"primitives": [{"attributes": {}}]}]}, "structure is damaged"),
        (
            {"accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**9, "type": "VEC3"}] * 2},
            "at most 5000000 vertices",
        ),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 40, "type": "VEC3"}] * 2}, "cut short"),
    ],
)
def test_broken_gltf_is_one_line_that_names_it(tmp_path, changes, says):
    path = gltf(tmp_path, POINTS, FACES, **changes)
    with pytest.raises(InputError) as caught:
        load_mesh(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("owner", ["nodes", "meshes"])
def test_gltf_morphs_that_are_on_at_rest_are_seen(tmp_path, owner):
    """The node's weights come before its mesh's."""
    moved = np.zeros((4, 3), "<f4")
    moved[3, 2] = 0.5
    data = np.asarray(POINTS, "<f4").tobytes() + np.asarray(FACES, "<u2").tobytes() + moved.tobytes()
    encoded = base64.b64encode(data).decode()
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        {"bufferView": 2, "componentType": 5126, "count": 4, "type": "VEC3"},
    ]
    path = gltf(
        tmp_path,
        POINTS,
        FACES,
        buffers=[{"byteLength": len(data), "uri": f"data:;base64,{encoded}"}],
        bufferViews=[
            {"buffer": 0, "byteOffset": start, "byteLength": size} for start, size in ((0, 48), (48, 24), (72, 48))
        ],
        accessors=accessors,
        nodes=[{"mesh": 0} | ({"weights": [0.8]} if owner == "nodes" else {})],
        meshes=[
            {
                "weights": [0.2],
                "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "targets": [{"POSITION": 2}]}],
            }
        ],
    )
    mesh = load_mesh(path, morphs=True)
    expected = np.array(POINTS, float)
    expected[3, 2] += 0.4 if owner == "nodes" else 0.1
    np.testing.assert_allclose(mesh.vertices, expected, atol=1e-6)
    np.testing.assert_allclose(mesh.morphs.displacement[0], moved, atol=1e-6)


def test_gltf_without_its_picture_is_shown_plain_with_a_warning(tmp_path, caplog):
    material = {"name": "skin", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    meshes = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}]
    listed = {"images": [{"uri": "gone.png"}], "textures": [{"source": 0}], "materials": [material]}
    mesh = load_mesh(gltf(tmp_path, POINTS, FACES, meshes=meshes, **listed))
    assert mesh.materials[0].texture is None
    assert "gone.png" in caplog.text
    assert "skin" in caplog.text


def test_a_vrm_file_is_a_glb(tmp_path):
    (tmp_path / "avatar.vrm").write_bytes(_whole_file(tmp_path, "glb"))
    np.testing.assert_array_equal(load_mesh(tmp_path / "avatar.vrm").vertices, POINTS)


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb", "gltf"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_bytes_never_end_in_anything_but_a_clear_message(tmp_path_factory, suffix, data):
    folder = tmp_path_factory.mktemp("damaged")
    damaged = bytearray(_whole_file(folder, suffix))
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = folder / f"damaged.{suffix}"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))]))
    message = ""
    try:
        mesh = load_mesh(path)
        assert np.isfinite(mesh.vertices).all()
        assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


def _whole_file(folder, suffix):
    obj = load_mesh(write(folder / "m.obj", TETRAHEDRON))
    if suffix == "ply":
        save_ply(obj, folder / "m.ply")
    elif suffix in ("gltf", "glb"):
        text = gltf(folder, POINTS, FACES).read_bytes()
        text += b" " * (-len(text) % 4)
        header = struct.pack("<4sII", b"glTF", 2, 20 + len(text)) + struct.pack("<II", len(text), 0x4E4F534A)
        (folder / "m.glb").write_bytes(header + text)
    return (folder / f"m.{suffix}").read_bytes()


STRIP_HEADER = """ply
format {} 1.0
element vertex 4
property float x
property float y
property float z
element tristrips 1
property list int int vertex_indices
end_header
"""


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_triangle_strips_are_faces(tmp_path, kind):
    """Two strips, as Stanford's scans are stored; the triangles of each wind alike."""
    strip = [0, 2, 1, 3, -1, 0, 3, 2, -1, 1, 2, 3]
    header = STRIP_HEADER.format(kind).encode()
    if kind == "ascii":
        body = (
            "\n".join(" ".join(map(str, point)) for point in POINTS) + f"\n{len(strip)} {' '.join(map(str, strip))}\n"
        )
        (tmp_path / "m.ply").write_bytes(header + body.encode())
    else:
        order = "<" if kind.endswith("little_endian") else ">"
        body = np.array(POINTS, f"{order}f4").tobytes() + np.array([len(strip), *strip], f"{order}i4").tobytes()
        (tmp_path / "m.ply").write_bytes(header + body)
    mesh = load_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(mesh.faces, [[0, 2, 1], [1, 2, 3], [0, 3, 2], [1, 2, 3]])
    assert mesh.faces.dtype == np.int32


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such mesh file"):
        load_mesh(tmp_path / "gone.obj")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(InputError, match="folder"):
        load_mesh(tmp_path / "folder.obj")


@pytest.mark.parametrize("name", ["menpo_james.obj", "LeePerrySmith_decoded.glb", "spot/spot_triangulated.obj"])
def test_real_meshes_come_out_textured_and_facing_outwards(shared_data, name):
    mesh = load_mesh(shared_data / "heads" / name)
    assert mesh.materials[0].texture is not None
    assert signed_volume(mesh.vertices, mesh.faces) > 0
    assert len(mesh.faces) == sum(part.face_count for part in mesh.parts)


def test_texture_of_lee_perry_smith_is_the_right_way_up(shared_data):
    mesh = load_mesh(shared_data / "heads" / "LeePerrySmith_decoded.glb")
    image = mesh.materials[0].texture
    redness = {}
    for name, centre, reach in (("lips", (0.0, 0.75, 2.35), 0.25), ("forehead", (0.0, 3.0, 1.9), 0.4)):
        uvs = mesh.uvs[np.abs(mesh.vertices - centre).max(axis=1) < reach]
        colors = image[((1 - uvs[:, 1]) * image.shape[0]).astype(int), (uvs[:, 0] * image.shape[1]).astype(int)]
        redness[name] = (colors[:, 0] / colors[:, 1].astype(float)).mean()
    assert redness["lips"] > redness["forehead"] + 0.06
