"""Shapes put into a glTF file: in the space its vertices are stored in, with all else as it was."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.mesh import Mesh, MeshPart
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.gltf_in_place import rig_gltf
from render.mesh.export.gltf_new import new_gltf
from render.mesh.export.rigged_mesh import RiggedMesh, Shape, turned
from render.mesh.gltf_buffers import read_gltf_file
from render.mesh.mesh_io import load_mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype="<f4")
FACES = np.array([[0, 1, 2], [0, 2, 3]])
OWN = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype="<f4")
TURN = [0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4)]  # a quarter about z

VALIDATE = """
const fs = require('fs'); const validator = require('gltf-validator');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then(found =>
  console.log(JSON.stringify(found.issues.messages.filter(each => each.severity === 0))));
"""


def khronos_errors(path: Path) -> list[dict[str, Any]]:
    """What the Khronos validator calls errors; skips where it is not installed (npm install -g gltf-validator)."""
    if shutil.which("node") is None:
        pytest.skip("needs node, which is not installed")
    roots = (
        subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False)
        if shutil.which("npm")
        else None
    )
    paths = [os.environ.get("NODE_PATH", ""), roots.stdout.strip() if roots else ""]
    environment = os.environ | {"NODE_PATH": os.pathsep.join(filter(None, paths))}
    command = ["node", "-e", VALIDATE, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "Cannot find module" in done.stderr:
        pytest.skip("needs the npm package gltf-validator, which is not installed")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def write(folder: Path, *, skinned: bool = True, twice: bool = False) -> Path:
    """A square with normals and a shape of its own, turned, moved and scaled by its joint or node."""
    document = GltfDocument("a test")
    attributes = {
        "POSITION": document.add_array(POINTS, bounds=True),
        "NORMAL": document.add_array(np.tile(np.array([[0, 0, 1]], dtype="<f4"), (4, 1))),
        "TEXCOORD_0": document.add_array(POINTS[:, :2].copy()),
    }
    if skinned:
        attributes["JOINTS_0"] = document.add_array(np.array([[0, 1, 0, 0]] * 4, dtype="<u2"))
        attributes["WEIGHTS_0"] = document.add_array(np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0]] * 2, dtype="<f4"))
    own = document.add_target(4, np.array([1]), OWN[[1]], None)
    primitive = {"attributes": attributes, "indices": document.add_indices(FACES), "targets": [own]}
    placed = {"translation": [5.0, 0.0, 0.0], "rotation": TURN, "scale": [2.0, 2.0, 2.0]}
    mesh = {"primitives": [primitive], "extras": {"targetNames": ["smirk"], "author": "me"}, "weights": [0.0]}
    document.add("meshes", mesh)
    if skinned:
        document.json["skins"] = [{"joints": [1, 2]}]
        nodes = [{"mesh": 0, "skin": 0}, {**placed, "children": [2]}, {"translation": [0.0, 1.0, 0.0]}]
        roots = [0, 1]
    else:
        nodes, roots = [{"mesh": 0, **placed}], [0]
    if twice:
        nodes.append({"mesh": 0, "translation": [-9.0, 0.0, 0.0]})
        roots.append(len(nodes) - 1)
    document.json |= {"nodes": nodes, "scenes": [{"nodes": roots}], "scene": 0}
    times, values = np.array([0, 1], dtype="<f4"), np.array([0, 1], dtype="<f4")
    sampler = {"input": document.add_array(times, None, bounds=True), "output": document.add_array(values, None)}
    channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
    document.json["animations"] = [{"samplers": [sampler], "channels": [channel]}]
    path = folder / "square.glb"
    path.write_bytes(document.to_glb())
    return path


def rigged(mesh: Mesh, *shapes: Shape) -> RiggedMesh:
    firsts = tuple(part.first_face for part in mesh.parts)
    return RiggedMesh(mesh, mesh.vertices, mesh.faces, firsts, shapes, frozenset(), 1e-6, np.eye(4))


def lifted(mesh: Mesh, name: str = "jawOpen") -> Shape:
    """Vertex 2 goes up by 3."""
    return Shape(name, np.array([2]), np.array([[0, 3, 0]], dtype=np.float32))


@pytest.mark.parametrize("skinned", [True, False])
def test_shapes_come_back_as_they_were_given_whatever_moves_the_mesh(tmp_path: Path, skinned: bool) -> None:
    path = write(tmp_path, skinned=skinned)
    mesh = load_mesh(path)
    out = tmp_path / "rigged.glb"
    out.write_bytes(rig_gltf(path, rigged(mesh, lifted(mesh))).to_glb())
    again = load_mesh(out, morphs=True)
    np.testing.assert_array_equal(again.vertices, mesh.vertices)
    assert again.morphs is not None
    assert again.morphs.names == ("smirk", "jawOpen")
    np.testing.assert_allclose(again.morphs.displacement[1], lifted(mesh).dense(4), atol=1e-5)
    assert is_sound(out)


def is_sound(path: Path) -> bool:
    """Structure that every reader relies on: as many targets everywhere as names and weights, sparse rows rising."""
    gltf = read_gltf_file(path)
    for mesh in gltf.json["meshes"]:
        names = mesh["extras"]["targetNames"]
        assert len(mesh["weights"]) == len(names) == len(set(names))
        for primitive in mesh["primitives"]:
            assert len(primitive["targets"]) == len(names)
            count = gltf.json["accessors"][primitive["attributes"]["POSITION"]]["count"]
            for target in primitive["targets"]:
                assert next(iter(target)) == "POSITION"
                for number in target.values():
                    assert gltf.json["accessors"][number]["count"] == count
                    assert np.isfinite(gltf.accessor(number)).all()
                accessor = gltf.json["accessors"][target["POSITION"]]
                values = gltf.accessor(target["POSITION"])
                np.testing.assert_allclose(accessor["min"], values.min(axis=0), atol=1e-6)
                np.testing.assert_allclose(accessor["max"], values.max(axis=0), atol=1e-6)
    return True


def test_all_else_in_the_file_stays(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = read_gltf_file(path)
    mesh = load_mesh(path)
    out = tmp_path / "rigged.glb"
    out.write_bytes(rig_gltf(path, rigged(mesh, lifted(mesh))).to_glb())
    after = read_gltf_file(out)
    assert before.binary is not None
    assert after.binary is not None
    length = before.json["buffers"][0]["byteLength"]
    assert after.binary[:length] == before.binary[:length]
    for kind in ("nodes", "skins", "scenes", "scene", "asset"):
        assert after.json[kind] == before.json[kind]
    count = len(before.json["accessors"])
    assert after.json["accessors"][:count] == before.json["accessors"]
    assert after.json["meshes"][0]["extras"]["author"] == "me"
    output = after.json["animations"][0]["samplers"][after.json["animations"][0]["channels"][0]["sampler"]]["output"]
    np.testing.assert_array_equal(after.accessor(output)[:, 0], [0, 0, 1, 0])


def test_normals_turn_with_the_surface_and_stay_unit_vectors(tmp_path: Path) -> None:
    path = write(tmp_path)
    mesh = load_mesh(path)
    shape = Shape("jawOpen", np.array([2]), np.array([[0, 0, 2]], dtype=np.float32))
    document = rig_gltf(path, rigged(mesh, shape))
    out = tmp_path / "rigged.glb"
    out.write_bytes(document.to_glb())
    gltf = read_gltf_file(out)
    primitive = gltf.json["meshes"][0]["primitives"][0]
    base, change = (gltf.accessor(n) for n in (primitive["attributes"]["NORMAL"], primitive["targets"][1]["NORMAL"]))
    np.testing.assert_allclose(np.linalg.norm(base + change, axis=1), 1, atol=1e-5)
    assert np.abs(change[2]).max() > 0.1


@pytest.mark.parametrize(("extension", "grows"), [("VRM", False), ("EXT_mesh_gpu_instancing", True)])
def test_a_rigged_file_that_is_rigged_again_does_not_grow(tmp_path: Path, extension: str, grows: bool) -> None:
    path, once, twice = write(tmp_path), tmp_path / "once.glb", tmp_path / "twice.glb"
    mesh = load_mesh(path)
    once.write_bytes(rig_gltf(path, rigged(mesh, lifted(mesh), lifted(mesh, "smirk"))).to_glb())
    document = GltfDocument.of(read_gltf_file(once))
    document.add_picture(np.full((2, 2, 3), 7, dtype=np.uint8), "after the shapes")
    document.json["extensionsUsed"] = [extension]
    once.write_bytes(document.to_glb())
    half = replace(lifted(mesh), moved=lifted(mesh).moved / 2)
    twice.write_bytes(rig_gltf(once, rigged(mesh, half)).to_glb())
    assert (twice.stat().st_size > once.stat().st_size) == grows
    before, after = read_gltf_file(once), read_gltf_file(twice)
    old, new = (each.json["meshes"][0]["primitives"][0] for each in (before, after))
    for name, number in old["attributes"].items():
        np.testing.assert_array_equal(after.accessor(new["attributes"][name]), before.accessor(number))
    np.testing.assert_array_equal(after.accessor(new["indices"]), before.accessor(old["indices"]))
    assert bytes(after.image_bytes(after.json["images"][0])) == bytes(before.image_bytes(before.json["images"][0]))
    morphs = load_mesh(twice, morphs=True).morphs
    assert morphs is not None
    assert morphs.names == ("smirk", "jawOpen")
    np.testing.assert_allclose(morphs.displacement[0], lifted(mesh).dense(4), atol=1e-5)
    np.testing.assert_allclose(morphs.displacement[1], half.dense(4), atol=1e-5)
    sampler, first = after.json["animations"][0]["samplers"][-1], before.json["animations"][0]["samplers"][-1]
    np.testing.assert_array_equal(after.accessor(sampler["output"]), before.accessor(first["output"]))
    assert is_sound(twice)


def test_an_array_that_something_else_uses_stays(tmp_path: Path) -> None:
    path = write(tmp_path)
    mesh = load_mesh(path)
    document = GltfDocument.of(read_gltf_file(path))
    primitive = document.json["meshes"][0]["primitives"][0]
    primitive["targets"].append(dict(primitive["targets"][0]))
    document.json["meshes"][0] |= {"extras": {"targetNames": ["smirk", "grin"]}, "weights": [0.0, 0.0]}
    del document.json["animations"]
    path.write_bytes(document.to_glb())
    out = tmp_path / "rigged.glb"
    out.write_bytes(rig_gltf(path, rigged(mesh, lifted(mesh, "smirk"))).to_glb())
    before, after = (load_mesh(each, morphs=True).morphs for each in (path, out))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after.displacement[1], before.displacement[1])
    np.testing.assert_allclose(after.displacement[0], lifted(mesh).dense(4), atol=1e-5)


def test_a_shape_of_the_same_name_is_replaced_in_its_place(tmp_path: Path) -> None:
    path = write(tmp_path)
    mesh = load_mesh(path)
    out = tmp_path / "rigged.glb"
    out.write_bytes(rig_gltf(path, rigged(mesh, lifted(mesh, "smirk"), lifted(mesh))).to_glb())
    again = load_mesh(out, morphs=True).morphs
    assert again is not None
    assert again.names == ("smirk", "jawOpen")
    np.testing.assert_allclose(again.displacement[0], lifted(mesh).dense(4), atol=1e-5)


def test_nodes_that_share_a_mesh_get_a_shape_each(tmp_path: Path) -> None:
    path = write(tmp_path, skinned=False, twice=True)
    mesh = load_mesh(path)
    shape = Shape("jawOpen", np.array([2, 6]), np.array([[0, 3, 0], [1, 0, 0]], dtype=np.float32))
    out = tmp_path / "rigged.glb"
    out.write_bytes(rig_gltf(path, rigged(mesh, shape)).to_glb())
    again = load_mesh(out, morphs=True).morphs
    assert again is not None
    np.testing.assert_allclose(again.displacement[again.names.index("jawOpen")], shape.dense(8), atol=1e-5)


def _cut(mesh: Mesh) -> RiggedMesh:
    """The first triangle in two, by a new vertex in the middle of its long side, which moves; and a piece added."""
    middle = (mesh.vertices[0] + mesh.vertices[2]) / 2
    piece = mesh.vertices[:3] - [0, 0, 1]
    vertices = np.concatenate([mesh.vertices, [middle], piece]).astype(np.float32)
    faces = np.array([[0, 1, 4], [4, 1, 2], [0, 4, 3], [4, 2, 3], [5, 6, 7]], dtype=np.int32)
    uvs = np.concatenate([POINTS[:, :2], [[0.5, 0.5]], POINTS[:3, :2]]).astype(np.float32)
    parts = (replace(mesh.parts[0], face_count=4), MeshPart("tongue", 4, 1, len(mesh.materials)))
    materials = (*mesh.materials, replace(mesh.materials[0], name="tongue", double_sided=True))
    whole = Mesh(vertices, faces, uvs, faces.copy(), None, parts, materials)
    shape = Shape("jawOpen", np.array([4, 5]), np.array([[0, 0, 1], [0, 1, 0]], dtype=np.float32))
    return replace(rigged(mesh, shape), mesh=whole, altered=frozenset({0}))


@pytest.mark.parametrize("skinned", [True, False])
def test_a_part_that_was_cut_keeps_its_vertices_and_gets_new_ones(tmp_path: Path, skinned: bool) -> None:
    path = write(tmp_path, skinned=skinned)
    mesh = load_mesh(path)
    out = tmp_path / "rigged.glb"
    expected = _cut(mesh)
    out.write_bytes(rig_gltf(path, expected).to_glb())
    again = load_mesh(out, morphs=True)
    np.testing.assert_allclose(again.vertices, expected.mesh.vertices, atol=1e-5)
    np.testing.assert_array_equal(again.faces, expected.mesh.faces)
    assert again.morphs is not None
    moved = again.morphs.displacement[again.morphs.names.index("jawOpen")]
    np.testing.assert_allclose(moved, expected.shapes[0].dense(8), atol=1e-5)
    own = again.morphs.displacement[again.morphs.names.index("smirk")]
    assert np.abs(own[1]).max() > 0
    assert not own[4].any(), "the new vertex lies on an edge that it does not move"
    assert is_sound(out)
    if skinned:
        gltf = read_gltf_file(out)
        for primitive in gltf.json["meshes"][0]["primitives"]:
            weights = gltf.accessor(primitive["attributes"]["WEIGHTS_0"])
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_the_khronos_validator_finds_no_error(tmp_path: Path) -> None:
    path = write(tmp_path)
    mesh = load_mesh(path)
    for name, document in (
        ("kept", rig_gltf(path, rigged(mesh, lifted(mesh)))),
        ("cut", rig_gltf(path, _cut(mesh))),
        ("new", new_gltf(_cut(mesh), "head", "a test")),
    ):
        out = tmp_path / f"{name}.glb"
        out.write_bytes(document.to_glb())
        assert khronos_errors(out) == [], name


def test_a_new_file_holds_mesh_and_shapes(tmp_path: Path) -> None:
    mesh = load_mesh(write(tmp_path, skinned=False))
    expected = _cut(mesh)
    out = tmp_path / "new.glb"
    out.write_bytes(new_gltf(expected, "head", "a test").to_glb())
    again = load_mesh(out, morphs=True)
    assert again.morphs is not None
    corners = expected.mesh.vertices[expected.mesh.faces]
    np.testing.assert_allclose(again.vertices[again.faces], corners, atol=1e-5)
    moved = expected.shapes[0].dense(8)[expected.mesh.faces]
    np.testing.assert_allclose(again.morphs.displacement[0][again.faces], moved, atol=1e-5)
    assert is_sound(out)


def test_turning_one_normal_to_another_turns_what_goes_along() -> None:
    rng = np.random.default_rng(3)
    before, after = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 50, 3)))
    np.testing.assert_allclose(turned(before, before, after), after, atol=1e-9)
    other = rng.normal(size=(50, 3))
    np.testing.assert_allclose(
        np.linalg.norm(turned(other, before, after), axis=1), np.linalg.norm(other, axis=1), atol=1e-9
    )


def test_what_draco_has_rounded_is_written_with_its_own_bounds_and_weights_of_sum_one(tmp_path: Path) -> None:
    draco = pytest.importorskip("DracoPy")
    points = np.array([[0, 0, 0], [1.0003, 0, 0], [0, 0.7001, 0], [0, 0, 0.3001]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.uint32)
    weights = np.array([[0.6001, 0.4, 0, 0], [0.9998, 0, 0, 0], [0.5, 0.25, 0.2501, 0], [1, 0, 0, 0]], np.float32)
    data = draco.encode(points, faces, quantization_bits=5, generic_attributes={7: weights})
    position = next(each["unique_id"] for each in draco.decode(data).attributes if each["attribute_type"] == 0)
    named = {"POSITION": position, "WEIGHTS_0": 7}
    plain = {"componentType": 5126, "count": 4}
    content = {
        "asset": {"version": "2.0"},
        "extensionsUsed": ["KHR_draco_mesh_compression"],
        "extensionsRequired": ["KHR_draco_mesh_compression"],
        "buffers": [{"byteLength": len(data), "uri": "head.bin"}],
        "bufferViews": [{"buffer": 0, "byteLength": len(data)}],
        "accessors": [
            plain | {"type": "VEC3", "min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()},
            plain | {"type": "VEC4"},
            {"componentType": 5125, "count": 12, "type": "SCALAR"},
        ],
        "meshes": [
            {
                "primitives": [
                    {
                        "attributes": {"POSITION": 0, "WEIGHTS_0": 1},
                        "indices": 2,
                        "extensions": {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": named}},
                    }
                ]
            }
        ],
    }
    (tmp_path / "head.bin").write_bytes(data)
    (tmp_path / "head.gltf").write_text(json.dumps(content))

    document = GltfDocument.of(read_gltf_file(tmp_path / "head.gltf"))

    (tmp_path / "plain.glb").write_bytes(document.to_glb())
    written = read_gltf_file(tmp_path / "plain.glb")
    placed = written.accessor(0)
    assert not np.array_equal(placed.max(axis=0), points.max(axis=0))  # five bits are few
    assert written.json["accessors"][0]["max"] == placed.max(axis=0).tolist()
    assert written.json["accessors"][0]["min"] == placed.min(axis=0).tolist()
    np.testing.assert_allclose(written.accessor(1).sum(axis=1), 1.0, atol=1e-6)
