"""glTF: what stands in its scene, and what is said where it cannot be read."""

import base64
import itertools

import numpy as np
import pytest

from core.errors import InputError
from render.mesh.mesh_io import load_mesh, signed_volume
from tests.render.mesh_files import FACES, POINTS, gltf


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
