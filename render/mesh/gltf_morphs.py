"""Morph targets of glTF files: named displacements of the vertices, in the order and coordinates of `load_gltf`."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MorphTargets
from core.untrusted import parse_json
from render.mesh.gltf_buffers import GltfFile, damage_told, read_gltf_file
from render.mesh.gltf_scene import (
    MOST_MORPH_NUMBERS,
    rest_positions,
    skin_transforms,
    transform_each,
    visible_nodes,
    world_matrices,
)

RIG_MARK = "vfaRig"
"""In the `asset.extras` of files whose shapes `vfa rig` has made, or an artist after it."""
_MOST_TARGETS = 1024
_LARGEST_JSON = 1 << 27
_TRIANGLES, _FAN = 4, 6
log = logging.getLogger(__name__)


def load_gltf_morphs(path: Path) -> MorphTargets:
    """Every named morph target with positions of the default scene. Targets of one name on several meshes are one; of
    several with one name on one mesh the one that moves farthest counts.

    Sizes are checked before anything is allocated. Targets with numbers that are none are left out, with a warning.
    Raises InputError; a file without targets gives none.
    """
    with damage_told(path, "its morph targets are"):
        gltf = read_gltf_file(path)
        blocks = _blocks(gltf)
        names = _names(blocks)
        count = sum(block.count for block in blocks)
        if len(names) > _MOST_TARGETS or 3 * len(names) * count > MOST_MORPH_NUMBERS:
            raise InputError(
                f"{path}: {len(names)} morph targets of {count} vertices, at most {_MOST_TARGETS} targets and "
                f"{MOST_MORPH_NUMBERS // 3} vertices in all can be read; export only those of the face"
            )
        displacement = np.zeros((len(names), count, 3), dtype=np.float32)
        broken = _fill(gltf, blocks, names, displacement)
        if broken:
            told = ", ".join(map(repr, broken))
            log.warning("%s: left out, as they hold numbers that are none: morph targets %s", path, told)
            displacement = displacement[[name not in broken for name in names]]
            names = tuple(name for name in names if name not in broken)
        return MorphTargets(names, displacement, _marked(gltf.json))


def gltf_morph_names(path: Path) -> tuple[str, ...]:
    """Names of the morph targets that `load_gltf_morphs` reads, without their displacements. Raises InputError."""
    with damage_told(path, "its morph targets are"):
        return _names(_blocks(read_gltf_file(path)))


def _names(blocks: list[_Block]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for block in blocks for name in block.targets))


def has_rig_mark(path: Path) -> bool:
    """Whether a .glb or .vrm says that `vfa rig` has given it its shapes; False for whatever cannot be read."""
    try:
        with path.open("rb") as file:
            magic, _, _, length, _ = struct.unpack("<4sIIII", file.read(20))
            if magic != b"glTF" or length > _LARGEST_JSON:
                return False
            content = parse_json(file.read(length), str(path), _LARGEST_JSON)
    except (OSError, ValueError, struct.error, InputError):
        return False
    return _marked(content)


def _marked(content: object) -> bool:
    asset = content.get("asset") if isinstance(content, dict) else None
    extras = asset.get("extras") if isinstance(asset, dict) else None
    return isinstance(extras, dict) and RIG_MARK in extras


class _Block:
    """Vertices of one primitive as `load_gltf` keeps them: how many, whose, and accessors of their targets by name; of
    more than one where several targets have that name."""

    def __init__(self, gltf: GltfFile, node: int, primitive: dict[str, Any], names: list[str]) -> None:
        self.node, self.primitive = node, primitive
        self.count = int(gltf.entry("accessors", primitive["attributes"]["POSITION"])["count"])
        self.targets: dict[str, list[int]] = {}
        for number, target in enumerate(primitive.get("targets", [])):
            if "POSITION" in target:
                accessor = gltf.entry("accessors", target["POSITION"])
                if int(accessor["count"]) != self.count or accessor["type"] != "VEC3":
                    raise InputError(
                        f"{gltf.path}: a morph target has {accessor['count']} {accessor['type']} for {self.count} "
                        "vertices; export it again"
                    )
                name = str(names[number]) if number < len(names) else f"target{number}"
                self.add(name, target["POSITION"])

    def add(self, name: str, accessor: int) -> None:
        known = self.targets.setdefault(name, [])
        if accessor not in known:
            known.append(accessor)


def _target_names(path: Path, *owners: dict[str, Any]) -> list[Any]:
    """What the first of a primitive and its mesh that does so says its targets' names are; none where neither does."""
    for owner in owners:
        extras = owner.get("extras")
        names = extras.get("targetNames") if isinstance(extras, dict) else None
        if isinstance(names, list):
            return names
        if names is not None:
            raise InputError(
                f"{path}: expected a list of the morph targets' names in extras.targetNames, found "
                f"{str(names)[:40]!r}; export it again"
            )
    return []


def _blocks(gltf: GltfFile) -> list[_Block]:
    found: list[_Block] = []
    for node in visible_nodes(gltf):
        entry = gltf.entry("nodes", node)
        if "mesh" not in entry:
            continue
        mesh = gltf.entry("meshes", entry["mesh"])
        seen: dict[int, _Block] = {}  # primitives of one mesh often share their vertices, see `load_gltf`
        for primitive in mesh.get("primitives", []):
            if not _TRIANGLES <= primitive.get("mode", _TRIANGLES) <= _FAN:
                continue
            block = _Block(gltf, node, primitive, _target_names(gltf.path, primitive, mesh))
            position = primitive["attributes"]["POSITION"]
            if position in seen:
                for name, accessors in block.targets.items():
                    for accessor in accessors:
                        seen[position].add(name, accessor)
            else:
                seen[position] = block
        found += seen.values()
    return found


def _fill(
    gltf: GltfFile, blocks: list[_Block], names: tuple[str, ...], displacement: NDArray[np.float32]
) -> tuple[str, ...]:
    """Fill in `displacement` [M, V, 3]; names of the targets that hold numbers that are none, in their order."""
    broken: dict[str, None] = {}
    number = {name: index for index, name in enumerate(names)}
    world = world_matrices(gltf)
    first = 0
    for block in blocks:
        node = gltf.entry("nodes", block.node)
        gltf.unpack(block.primitive)
        points = rest_positions(gltf, node, block.primitive)
        skinned = skin_transforms(gltf, node, block.primitive, world, len(points))
        transform = world[block.node] if skinned is None else skinned
        at_rest = transform_each(transform, points)
        for name, accessors in block.targets.items():
            every = (
                transform_each(transform, points + gltf.accessor(each).astype(np.float64)) - at_rest
                for each in accessors
            )
            usable = [moved for moved in every if np.isfinite(moved).all()]
            if usable:
                moved = max(usable, key=lambda each: float(np.abs(each).max(initial=0.0)))
                displacement[number[name], first : first + block.count] += moved.astype(np.float32)
            else:
                broken[name] = None
        first += block.count
    return tuple(broken)
