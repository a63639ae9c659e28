"""Which vertices and parts of a loaded mesh are which primitives of its glTF file, and how they stand there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from render.mesh.gltf_buffers import GltfFile
from render.mesh.gltf_scene import skin_transforms, visible_nodes, world_matrices

_TRIANGLES, _FAN = 4, 6


@dataclass(frozen=True, eq=False)
class Block:
    """Vertices that one or more primitives of a node's mesh share, as `render.mesh.gltf_format.load_gltf` keeps them.

    Attributes:
        node, mesh: numbers of both.
        first, count: its vertices in the loaded mesh.
        primitives: their numbers in the mesh; parts: the loaded mesh's part for each.
        T_file: [count, 3, 4] from the coordinates the file stores the vertices in (the bind pose where it is skinned)
            to those they are loaded in.
        skinned: whether joints move it.
    """

    node: int
    mesh: int
    first: int
    count: int
    primitives: tuple[int, ...]
    parts: tuple[int, ...]
    T_file: NDArray[np.float64]
    skinned: bool

    @property
    def vertices(self) -> slice:
        return slice(self.first, self.first + self.count)

    @property
    def linear(self) -> NDArray[np.float64]:
        """[count, 3, 3] of `T_file`."""
        return self.T_file[:, :, :3]

    @cached_property
    def inverse(self) -> NDArray[np.float64]:
        """[count, 3, 3] from loaded displacements to those the file stores; zeros where a scale of zero forbids it."""
        return inverted(self.linear)


def inverted(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3, 3] inverses, zeros where there is none."""
    determinant = np.linalg.det(linear)
    size = np.abs(linear).max(axis=(1, 2), initial=0.0)
    sound = np.abs(determinant) > 1e-12 * np.maximum(size, 1e-30) ** 3
    return np.where(sound[:, None, None], np.linalg.inv(np.where(sound[:, None, None], linear, np.eye(3))), 0.0)


def blocks_of(gltf: GltfFile) -> list[Block]:
    """All blocks of a file that has been loaded, in the order of the loaded mesh's vertices."""
    found: list[Block] = []
    world = world_matrices(gltf)
    first = part = 0
    for node in visible_nodes(gltf):
        entry = gltf.entry("nodes", node)
        if "mesh" not in entry:
            continue
        shared: dict[int, list[tuple[int, int]]] = {}
        primitives = gltf.entry("meshes", entry["mesh"]).get("primitives", [])
        for number, primitive in enumerate(primitives):
            if _TRIANGLES <= primitive.get("mode", _TRIANGLES) <= _FAN:
                shared.setdefault(primitive["attributes"]["POSITION"], []).append((number, part))
                part += 1
        for accessor, uses in shared.items():
            count = int(gltf.entry("accessors", accessor)["count"])
            primitive = primitives[uses[0][0]]
            gltf.unpack(primitive)
            T_file, skinned = _placed(gltf, entry, primitive, world[node], world, count)
            numbers, parts = (tuple(column) for column in zip(*uses, strict=True))
            found.append(Block(node, entry["mesh"], first, count, numbers, parts, T_file, skinned))
            first += count
    return found


def _placed(
    gltf: GltfFile,
    node: dict[str, Any],
    primitive: dict[str, Any],
    T_world_node: NDArray[np.float64],
    world: dict[int, NDArray[np.float64]],
    count: int,
) -> tuple[NDArray[np.float64], bool]:
    skinned = skin_transforms(gltf, node, primitive, world, count)
    if skinned is not None:
        return skinned, True
    return np.broadcast_to(T_world_node[:3], (count, 3, 4)), False


def check_blocks(gltf: GltfFile, blocks: list[Block], vertices: int, parts: int) -> None:
    """Raises InputError where the file is not the one that was loaded: somebody has written it since."""
    if sum(block.count for block in blocks) != vertices or sum(len(block.parts) for block in blocks) != parts:
        raise InputError(f"{gltf.path}: has changed while the head was being prepared; start again")
