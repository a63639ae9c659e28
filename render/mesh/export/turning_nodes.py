"""What turns by itself taken out of a rigged document's meshes, as a node of its own about its middle: eyeballs.

A program that turns such a node turns the eye, as it does by a bone. The node hangs where the eyeball hung: under the
node whose mesh it was part of, or under the joint that moved it most.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from render.mesh.export.gltf_document import GltfDocument
from render.mesh.gltf_buffers import GltfFile
from render.mesh.gltf_scene import rest_positions, skin_transforms, transform_each, visible_nodes, world_matrices

_SAME = 2e-5  # of the whole turning thing's distance from the origin or of its size: vertices so near are the same
_STRAIGHT = 1e-3  # by which a node's axes may differ from turned and evenly scaled ones
_TRIANGLES = 4


@dataclass(frozen=True, eq=False)
class Turning:
    """A thing that turns. All in coordinates of the document's scene.

    Attributes:
        name: its node's.
        points: [N, 3] its vertices at rest.
        centre: [3] what it turns about.
        axes: [3, 3] rotation whose columns are the node's axes: x to the person's left, y up, z out of the face.
        extras: what the node says of itself.
    """

    name: str
    points: NDArray[np.float64]
    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    extras: Mapping[str, Any]


def as_nodes(document: GltfDocument, things: Sequence[Turning]) -> list[str]:
    """Give every thing a node of its own; the names of those whose triangles were found."""
    made = []
    for thing in things:
        gltf = document.opened()
        world = world_matrices(gltf)
        shown = [node for node in visible_nodes(gltf) if "mesh" in gltf.entry("nodes", node)]
        tree = cKDTree(thing.points)
        size = float(np.ptp(thing.points, axis=0).max())
        near = _SAME * max(size, float(np.abs(thing.points).max()))
        taken = [found for node in shown if (found := _taken(document, gltf, node, world, tree, near)) is not None]
        if taken:
            _add_node(document, thing, taken, world)
            made.append(thing.name)
    return made


@dataclass(frozen=True, eq=False)
class _Taken:
    """Triangles of one node's mesh: primitives without positions and normals yet, and these in the scene's."""

    parent: int
    primitives: list[dict[str, Any]]
    positions: list[NDArray[np.float64]]
    normals: list[NDArray[np.float64] | None]


def _taken(
    document: GltfDocument,
    gltf: GltfFile,
    node: int,
    world: dict[int, NDArray[np.float64]],
    tree: cKDTree,
    near: float,
) -> _Taken | None:
    """Take the triangles whose corners are all of the thing's out of a node's mesh."""
    entry = gltf.entry("nodes", node)
    if "mesh" not in entry:
        return None
    found = _Taken(node, [], [], [])
    left: list[dict[str, Any]] = []
    joints: dict[int, float] = {}
    for primitive in gltf.entry("meshes", entry["mesh"])["primitives"]:
        if primitive.get("mode", _TRIANGLES) != _TRIANGLES:
            left.append(primitive)
            continue
        points = rest_positions(gltf, entry, primitive)
        skinned = skin_transforms(gltf, entry, primitive, world, len(points))
        T = world[node][:3] if skinned is None else skinned
        placed = transform_each(T, points)
        own = np.isfinite(tree.query(placed, distance_upper_bound=near)[0])
        stored = gltf.accessor(primitive["indices"]) if "indices" in primitive else np.arange(len(points))
        faces = stored.reshape(-1, 3).astype(np.int64)
        turns = own[faces].all(axis=1)
        if not turns.any():
            left.append(primitive)
            continue
        used, corners = np.unique(faces[turns], return_inverse=True)
        linear = np.broadcast_to(T[..., :3], (len(points), 3, 3))[used]
        normals = None
        if "NORMAL" in primitive["attributes"]:
            stored = gltf.accessor(primitive["attributes"]["NORMAL"])[used].astype(np.float64)
            normals = np.einsum("nji,nj->ni", np.linalg.inv(linear), stored)
        found.primitives.append(_part(document, gltf, primitive, used, corners.reshape(-1, 3)))
        found.positions.append(placed[used])
        found.normals.append(normals)
        if skinned is not None:
            _add_movers(joints, gltf, entry, primitive, used)
        if not turns.all():
            left.append({**primitive, "indices": document.add_indices(faces[~turns])})
    if not found.primitives:
        return None
    _leave(document, node, left)
    return replace(found, parent=max(joints, key=lambda joint: joints[joint])) if joints else found


def _part(
    document: GltfDocument,
    gltf: GltfFile,
    primitive: dict[str, Any],
    used: NDArray[np.int64],
    faces: NDArray[np.int64],
) -> dict[str, Any]:
    """A primitive of some vertices of another, without shapes, joints, positions, normals and what lies along these."""
    attributes = {}
    for name, number in primitive["attributes"].items():
        if name.startswith(("TEXCOORD_", "COLOR_")):
            attributes[name] = document.add_array(gltf.accessor(number)[used].astype("<f4"))
    part = {"attributes": attributes, "indices": document.add_indices(faces)}
    return part | ({"material": primitive["material"]} if "material" in primitive else {})


def _add_movers(
    shares: dict[int, float], gltf: GltfFile, node: dict[str, Any], primitive: dict[str, Any], used: NDArray[np.int64]
) -> None:
    """Add by how much each joint, as a node, moves some vertices."""
    skin = gltf.entry("skins", node["skin"])["joints"]
    for number in range(4):
        if f"JOINTS_{number}" in primitive["attributes"]:
            joints, weights = (
                gltf.accessor(primitive["attributes"][f"{kind}_{number}"])[used].reshape(-1)
                for kind in ("JOINTS", "WEIGHTS")
            )
            for joint in np.unique(joints[weights > 0]):
                mover = int(skin[int(joint)])
                shares[mover] = shares.get(mover, 0.0) + float(weights[joints == joint].sum())


def _leave(document: GltfDocument, node: int, left: list[dict[str, Any]]) -> None:
    """Let a node's mesh have only these primitives; no other node's."""
    entry = document.json["nodes"][node]
    mesh = document.json["meshes"][entry["mesh"]]
    if not left:
        for key in ("mesh", "skin", "weights"):
            entry.pop(key, None)
        return
    if sum(other.get("mesh") == entry["mesh"] for other in document.json["nodes"]) > 1:
        mesh = copy.deepcopy(mesh)
        entry["mesh"] = document.add("meshes", mesh)
    mesh["primitives"] = left


def _add_node(
    document: GltfDocument, thing: Turning, taken: list[_Taken], world: dict[int, NDArray[np.float64]]
) -> None:
    """The node, under what carried most of the thing; with its own axes where that one's are straight, else with
    those."""
    parent = max(taken, key=lambda each: sum(map(len, each.positions))).parent
    linear, inverse = world[parent][:3, :3], np.linalg.inv(world[parent])
    scale = float(np.cbrt(abs(np.linalg.det(linear))))
    straight = np.abs(linear.T @ linear / scale**2 - np.eye(3)).max() < _STRAIGHT and np.linalg.det(linear) > 0
    axes = thing.axes if straight else linear / scale
    to_own = np.linalg.inv(axes) / scale
    primitives = []
    for each in taken:
        for primitive, positions, normals in zip(each.primitives, each.positions, each.normals, strict=True):
            own = (positions - thing.centre) @ to_own.T
            primitive["attributes"]["POSITION"] = document.add_array(own.astype("<f4"), bounds=True)
            if normals is not None:
                turned = normals @ axes
                length = np.linalg.norm(turned, axis=1, keepdims=True)
                turned = np.where(length > 1e-12, turned / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
                primitive["attributes"]["NORMAL"] = document.add_array(turned.astype("<f4"))
            primitives.append(primitive)
    names = {node.get("name") for node in document.json["nodes"]}
    name = next(each for each in (thing.name, *(f"{thing.name}{k}" for k in range(2, 99))) if each not in names)
    node: dict[str, Any] = {"name": name, "mesh": document.add("meshes", {"name": name, "primitives": primitives})}
    node["translation"] = (inverse[:3, :3] @ thing.centre + inverse[:3, 3]).tolist()
    if straight:
        node["rotation"] = _quaternion(linear.T @ axes / scale)
    node["extras"] = dict(thing.extras)
    number = document.add("nodes", node)
    document.json["nodes"][parent].setdefault("children", []).append(number)


def _quaternion(rotation: NDArray[np.float64]) -> list[float]:
    """x, y, z, w."""
    return [float(value) for value in Rotation.from_matrix(rotation).as_quat()]
