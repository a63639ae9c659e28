"""Morph targets of glTF files: read when asked, in the order and place of the vertices, sizes checked first."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from render.mesh.mesh_io import load_mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype="<f4")
FACES = np.array([0, 2, 1, 0, 1, 3, 1, 2, 3, 2, 0, 3], dtype="<u2")
OPEN = np.array([[0, 0, 0], [0, -1, 0], [0, 0, 0], [0, 0, 0.5]], dtype="<f4")


def write(folder: Path, names: list[str] | None = None, **changes: Any) -> Path:
    """A tetrahedron with a dense morph target "jawOpen" and a sparse one "eyeBlink_L" that moves vertex 2."""
    rows, values = np.array([2], dtype="<u2"), np.array([[0, 0, 3]], dtype="<f4")
    views, data = [], b""
    for array in (POINTS, FACES, OPEN, rows, values):
        raw = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(raw)})
        data += raw + b"\0" * (-len(raw) % 4)
    sparse = {
        "count": 1,
        "indices": {"bufferView": 3, "componentType": 5123},
        "values": {"bufferView": 4},
    }
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        {"bufferView": 2, "componentType": 5126, "count": 4, "type": "VEC3"},
        {"componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse},
    ]
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "targets": [{"POSITION": 2}, {"POSITION": 3}]}
    content: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "scale": [2, 2, 2], "translation": [5, 0, 0]}],
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": names or ["jawOpen", "eyeBlink_L"]}}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}],
    }
    content.update(changes)
    path = folder / "head.gltf"
    path.write_text(json.dumps(content))
    return path


def test_targets_move_with_their_node_and_sparse_ones_are_filled_in(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path), morphs=True)
    assert mesh.morphs is not None
    assert mesh.morphs.names == ("jawOpen", "eyeBlink_L")
    np.testing.assert_allclose(mesh.morphs.displacement[0], 2 * OPEN)
    np.testing.assert_allclose(mesh.morphs.displacement[1], [[0, 0, 0], [0, 0, 0], [0, 0, 6], [0, 0, 0]])
    np.testing.assert_allclose(mesh.vertices[0], [5, 0, 0])


def test_targets_of_several_nodes_lie_in_the_order_of_the_vertices(tmp_path: Path) -> None:
    nodes = [{"mesh": 0}, {"mesh": 0, "scale": [3, 3, 3]}]
    mesh = load_mesh(write(tmp_path, nodes=nodes, scenes=[{"nodes": [0, 1]}]), morphs=True)
    assert mesh.morphs is not None
    assert mesh.morphs.displacement.shape == (2, len(mesh.vertices), 3)
    np.testing.assert_allclose(mesh.morphs.displacement[0], np.concatenate([OPEN, 3 * OPEN]))


def test_they_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    assert load_mesh(write(tmp_path)).morphs is None


def test_too_many_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    huge = {"componentType": 5126, "count": 2_000_000_000, "type": "VEC3"}
    path = write(tmp_path)
    content = json.loads(path.read_text())
    content["accessors"][0] = content["accessors"][2] = content["accessors"][3] = huge
    path.write_text(json.dumps(content))
    from render.mesh.gltf_morphs import load_gltf_morphs

    with pytest.raises(InputError, match="at most"):
        load_gltf_morphs(path)


def test_a_target_of_another_length_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    content = json.loads(path.read_text())
    content["accessors"][2]["count"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="3 VEC3 for 4 vertices"):
        load_mesh(path, morphs=True)


def test_other_formats_hold_none(tmp_path: Path) -> None:
    (tmp_path / "m.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match="--morphs"):
        load_mesh(tmp_path / "m.obj", morphs=True)


def shapes_of(folder: Path, names: list[str], shapes: list[Any]) -> Path:
    """The same file with these shapes [4, 3] instead, dense."""
    path = write(folder, names)
    content = json.loads(path.read_text())
    raw = b"".join(np.asarray(shape, dtype="<f4").tobytes() for shape in shapes)
    content["buffers"].append(
        {"byteLength": len(raw), "uri": "data:;base64," + base64.b64encode(raw).decode()},
    )
    targets = []
    for number in range(len(shapes)):
        content["bufferViews"].append({"buffer": 1, "byteOffset": 48 * number, "byteLength": 48})
        view = len(content["bufferViews"]) - 1
        content["accessors"].append({"bufferView": view, "componentType": 5126, "count": 4, "type": "VEC3"})
        targets.append({"POSITION": len(content["accessors"]) - 1})
    content["meshes"][0]["primitives"][0]["targets"] = targets
    path.write_text(json.dumps(content))
    return path


def test_a_shape_with_numbers_that_are_none_is_left_out_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = OPEN.copy()
    broken[2, 1] = np.nan
    mesh = load_mesh(shapes_of(tmp_path, ["jawOpen", "mouthPucker", "eyeWide_L"], [OPEN, broken, -OPEN]), morphs=True)
    assert mesh.morphs is not None
    assert mesh.morphs.names == ("jawOpen", "eyeWide_L")
    np.testing.assert_allclose(mesh.morphs.displacement, [2 * OPEN, -2 * OPEN])
    assert "left out, as they hold numbers that are none: morph targets 'mouthPucker'" in caplog.text


@pytest.mark.parametrize("other", [np.zeros_like(OPEN), np.full_like(OPEN, np.nan)], ids=["empty", "no numbers"])
@pytest.mark.parametrize("first", [True, False])
def test_of_two_shapes_of_one_name_that_which_moves_counts(first: bool, other: Any, tmp_path: Path) -> None:
    shapes = [OPEN, other] if first else [other, OPEN]
    mesh = load_mesh(shapes_of(tmp_path, ["jawOpen", "jawOpen"], shapes), morphs=True)
    assert mesh.morphs is not None
    assert mesh.morphs.names == ("jawOpen",)
    np.testing.assert_allclose(mesh.morphs.displacement[0], 2 * OPEN)


@pytest.mark.parametrize("stated", ["jawOpen", 5, {"jawOpen": 0}])
def test_names_that_are_no_list_are_one_line(stated: Any, tmp_path: Path) -> None:
    path = write(tmp_path)
    content = json.loads(path.read_text())
    content["meshes"][0]["extras"] = {"targetNames": stated}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"expected a list of the morph targets' names in extras\.targetNames, found"):
        load_mesh(path, morphs=True)


def test_names_that_are_null_are_none(tmp_path: Path) -> None:
    path = write(tmp_path)
    content = json.loads(path.read_text())
    content["meshes"][0]["extras"] = {"targetNames": None}
    path.write_text(json.dumps(content))
    mesh = load_mesh(path, morphs=True)
    assert mesh.morphs is not None
    assert mesh.morphs.names == ("target0", "target1")
