"""The scene side of glTF: which nodes are shown, where they stand, and where joints at rest put skinned vertices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from render.mesh.gltf_buffers import GltfFile

MOST_MORPH_NUMBERS = 100_000_000  # of all morph targets together: 400 MB
_SKINNED_AT_ONCE = 1 << 16  # vertices: four matrices of each are there at a time


def visible_nodes(gltf: GltfFile) -> list[int]:
    """Nodes of the default scene, depth first; of the whole file where the scene holds no mesh at all."""
    nodes = gltf.json.get("nodes", [])
    children = {child for node in nodes for child in node.get("children", [])}
    roots = [index for index in range(len(nodes)) if index not in children]
    scenes = gltf.json.get("scenes", [])
    if scenes:
        chosen = _walk(gltf, gltf.entry("scenes", gltf.json.get("scene", 0)).get("nodes", []))
        if any("mesh" in gltf.entry("nodes", node) for node in chosen):
            return chosen
    return _walk(gltf, roots)


def _walk(gltf: GltfFile, roots: list[int]) -> list[int]:
    order: list[int] = []
    seen: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if node in seen:
            raise InputError(f"{gltf.path}: node {node} of its scene is its own ancestor; export it again")
        seen.add(node)
        order.append(node)
        stack.extend(reversed(gltf.entry("nodes", node).get("children", [])))
    return order


def world_matrices(gltf: GltfFile) -> dict[int, NDArray[np.float64]]:
    nodes = gltf.json.get("nodes", [])
    parent = {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}
    world: dict[int, NDArray[np.float64]] = {}
    roots = [index for index in range(len(nodes)) if index not in parent]
    for node in _walk(gltf, roots):
        local = _local_matrix(gltf.entry("nodes", node))
        world[node] = world[parent[node]] @ local if node in parent else local
    return world


def _local_matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = (float(value) for value in node.get("rotation", (0.0, 0.0, 0.0, 1.0)))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix[:3, :3] = rotation * np.array(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def transform_each(transform: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """One [4, 4] for all points, or [V, 4, 4] one for each."""
    linear, offset = transform[..., :3, :3], transform[..., :3, 3]
    return np.asarray(np.einsum("...ij,...j->...i", linear, points) + offset)


def rest_positions(gltf: GltfFile, node: dict[str, Any], primitive: dict[str, Any]) -> NDArray[np.float64]:
    """[V, 3] a primitive's vertices with its morph targets as far in as the node, else its mesh, says they are at
    rest; not transformed yet."""
    points = gltf.accessor(primitive["attributes"]["POSITION"]).astype(np.float64)
    weights = node.get("weights") or gltf.entry("meshes", node["mesh"]).get("weights") or []
    pairs = zip(primitive.get("targets", []), map(float, weights), strict=False)
    moved = [(target["POSITION"], weight) for target, weight in pairs if weight and "POSITION" in target]
    if len(moved) * points.size > MOST_MORPH_NUMBERS:
        raise InputError(
            f"{gltf.path}: {len(moved)} morph targets of {len(points)} vertices are on at rest; export fewer"
        )
    for accessor, weight in moved:
        if not np.isfinite(weight):
            raise InputError(f"{gltf.path}: the weight of a morph target is {weight}; export it again")
        displacement = gltf.accessor(accessor)
        if displacement.shape != points.shape:
            raise InputError(
                f"{gltf.path}: a morph target has {len(displacement)} vertices for {len(points)}; export it again"
            )
        points += weight * displacement
    return points


def skin_transforms(
    gltf: GltfFile, node: dict[str, Any], primitive: dict[str, Any], world: dict[int, NDArray[np.float64]], count: int
) -> NDArray[np.float64] | None:
    """[V, 3, 4]: where the joints at rest put each vertex of a skinned mesh; None where the mesh is not skinned."""
    attributes = primitive["attributes"]
    if "skin" not in node or "JOINTS_0" not in attributes or "WEIGHTS_0" not in attributes:
        return None
    skin = gltf.entry("skins", node["skin"])
    if len(skin["joints"]) > len(world):
        raise InputError(f"{gltf.path}: a skin has more joints than there are nodes; export it again")
    matrices = np.stack([world[joint] for joint in skin["joints"]])
    if "inverseBindMatrices" in skin:
        inverse = gltf.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        matrices = matrices @ inverse[: len(matrices)].astype(np.float64)
    pairs = []
    for number in range(4):
        if f"JOINTS_{number}" in attributes and f"WEIGHTS_{number}" in attributes:
            joints, weights = (gltf.accessor(attributes[f"{kind}_{number}"]) for kind in ("JOINTS", "WEIGHTS"))
            if not joints.shape == weights.shape == (count, 4) or joints.dtype.kind == "f":
                raise InputError(f"{gltf.path}: expected four joints and weights a vertex; export it again")
            pairs.append((joints, weights))
    blended = np.empty((count, 3, 4))
    for start in range(0, count, _SKINNED_AT_ONCE):
        rows = slice(start, start + _SKINNED_AT_ONCE)
        blended[rows] = _blended(matrices[:, :3], [(joints[rows], weights[rows]) for joints, weights in pairs])
    return blended


def _blended(matrices: NDArray[np.float64], pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> NDArray[np.float64]:
    """[n, 3, 4] mean of the joints' matrices [J, 3, 4] at vertices, by (joints [n, 4], weights [n, 4])."""
    count = len(pairs[0][0])
    total, weight_sum = np.zeros((count, 3, 4)), np.zeros(count)
    for joints, weights in pairs:
        total += np.einsum("vk,vkij->vij", weights.astype(np.float64), matrices[joints.astype(np.int64)])
        weight_sum += weights.sum(axis=1, dtype=np.float64)
    unweighted = weight_sum < 1e-6
    total[unweighted], weight_sum[unweighted] = np.eye(4)[:3], 1.0
    return np.asarray(total / weight_sum[:, None, None])
