"""OBJ: what programs write into it, and what becomes of its materials."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.mesh import Material
from render.mesh.mesh_io import load_mesh, save_obj
from tests.render.mesh_files import TETRAHEDRON, picture, write


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


@pytest.mark.parametrize("code", [0, 0x0B, 0x1E])
def test_obj_control_characters_part_corners_like_blanks(tmp_path, code):
    vertices = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    path = tmp_path / "head.obj"
    path.write_bytes(vertices + b"f 1/1/1 2/2/2 3/3/3%c(L67\nvt 0 0\nvt 1 0\nvt 0 1\n" % code)
    with pytest.raises(InputError, match=r"face corner '\(L67'"):
        load_mesh(path)
    path.write_bytes(vertices + b"f 1%c2 3\n" % code)
    assert load_mesh(path).faces.tolist() == [[0, 1, 2]]
