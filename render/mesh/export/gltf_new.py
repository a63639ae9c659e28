"""A rigged mesh as a new glTF document, for heads that come as OBJ, PLY or coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.mesh import MeshPart
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.gltf_looks import add_material, srgb_to_linear
from render.mesh.export.rigged_mesh import RiggedMesh, TurningNormals, unrolled

TURNED = 4e-3  # normals that turn by less keep as they are


def new_gltf(rigged: RiggedMesh, name: str, generator: str) -> GltfDocument:
    """One node with one mesh, a primitive for each part, every one with all shapes.

    Vertices keep the file's coordinates; the node stands them upright in metres. They are in another order than the
    file's: one for each position and texture coordinate.
    """
    document = GltfDocument(generator)
    mesh = rigged.mesh
    materials = {number: add_material(document, mesh.materials[number]) for number in {p.material for p in mesh.parts}}
    parts = mesh.parts or (MeshPart(name, 0, len(mesh.faces), 0),)
    primitives = _primitives(document, rigged, parts, materials)
    shapes = list(rigged.names)
    head = {"name": name, "primitives": primitives, "weights": [0.0] * len(shapes), "extras": {"targetNames": shapes}}
    node: dict[str, Any] = {"name": name, "mesh": document.add("meshes", head)}
    linear = np.eye(4)
    linear[:3, :3] = rigged.T_metres_file[:3, :3]
    if not np.allclose(linear, np.eye(4)):
        node["matrix"] = linear.T.reshape(-1).tolist()
    document.json["scene"] = document.add("scenes", {"nodes": [document.add("nodes", node)]})
    return document


def _primitives(
    document: GltfDocument, rigged: RiggedMesh, parts: tuple[MeshPart, ...], materials: dict[int, int]
) -> list[dict[str, Any]]:
    mesh, normals = rigged.mesh, TurningNormals(rigged.mesh)
    layout: list[NDArray[np.int64]] = []
    primitives: list[dict[str, Any]] = []
    for part in parts:
        if not part.face_count:
            continue
        vertex, uvs, faces = unrolled(mesh, slice(part.first_face, part.first_face + part.face_count))
        attributes = {
            "POSITION": document.add_array(mesh.vertices[vertex].astype("<f4"), bounds=True),
            "NORMAL": document.add_array(whole(normals.rest[vertex]).astype("<f4")),
        }
        if uvs is not None:
            attributes["TEXCOORD_0"] = document.add_array((uvs * [1, -1] + [0, 1]).astype("<f4"))
        if mesh.vertex_colors is not None:
            attributes["COLOR_0"] = document.add_array(srgb_to_linear(mesh.vertex_colors[vertex]).astype("<f4"))
        indices = document.add_indices(faces)
        layout.append(vertex)
        primitives.append(
            {
                "attributes": attributes,
                "indices": indices,
                "material": materials[part.material],
                "targets": [],
            }
        )
    for shape in rigged.shapes:
        moved, change = shape.dense(len(mesh.vertices)), normals.of(shape) - normals.rest
        acts = moved.any(axis=1) | (np.abs(change).max(axis=1) > TURNED)
        for vertex, primitive in zip(layout, primitives, strict=True):
            rows = np.flatnonzero(acts[vertex])
            target = document.add_target(len(vertex), rows, moved[vertex[rows]], change[vertex[rows]])
            primitive["targets"].append(target)
    return primitives


def whole(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normals of unit length everywhere, as glTF demands; those of vertices in no triangle with an area point up."""
    return np.asarray(np.where(np.linalg.norm(normals, axis=1, keepdims=True) > 0.5, normals, [0.0, 1.0, 0.0]))
