"""Small mesh files, written by hand."""

import base64
import json

import numpy as np
from PIL import Image

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
