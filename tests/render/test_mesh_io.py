"""Meshes from files: every format gives the same head back, and every broken file one clear line."""

import logging
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.mesh import Mesh
from render.mesh.mesh_io import load_mesh, save_obj, save_ply, signed_volume
from render.mesh.texture_seams import is_upside_down
from tests.render.mesh_files import FACES, POINTS, TETRAHEDRON, TEXTURED_TRIANGLE, gltf, picture, write


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
