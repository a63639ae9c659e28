"""The shapes of a rigged mesh put into the glTF file that the head came from (.glb, .gltf, .vrm).

Nodes, skins, materials, pictures, animations and whatever else is in the file stay. Meshes that move get the shapes as
morph targets, in the coordinates the file stores their vertices in: of skinned meshes that is the bind pose, so joints
act upon them as ever. Shapes that the file has already keep their numbers; one of the same name is replaced.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.mesh import Material
from render.mesh.export.gltf_altered import Grown, grown, rewrite
from render.mesh.export.gltf_blocks import Block, blocks_of, check_blocks, inverted
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.gltf_looks import add_material
from render.mesh.export.gltf_new import TURNED, whole
from render.mesh.export.rigged_mesh import RiggedMesh, Shape, TurningNormals, turned, unit, unrolled
from render.mesh.gltf_buffers import GltfFile, damage_told, read_gltf_file
from render.mesh.gltf_materials import texture_info

_STANDS = 1e-7  # of the head: vertices nearer to where the file has them are there


@dataclass(eq=False)
class _Slot:
    """A primitive of a rigged file: where it is, its vertices in the rigged mesh, and what turns displacements and
    normals into those the file stores."""

    node: int
    primitive: int
    vertex: NDArray[np.int64]
    inverse: NDArray[np.float64]
    linear: NDArray[np.float64]
    normals: NDArray[np.float64] | None


def rig_gltf(path: Path, rigged: RiggedMesh) -> GltfDocument:
    """The document of `path` with the shapes. Raises InputError where the file is damaged or is not the one that was
    loaded."""
    gltf = read_gltf_file(path)
    document = GltfDocument.of(gltf)
    with damage_told(path, "its glTF structure is"):
        blocks = blocks_of(gltf)
        check_blocks(gltf, blocks, len(rigged.file_rest), len(rigged.file_first_faces))
        _Rigging(document, gltf, rigged, blocks).run()
    return document


class _Rigging:
    """One file on its way."""

    def __init__(self, document: GltfDocument, gltf: GltfFile, rigged: RiggedMesh, blocks: list[Block]) -> None:
        self._document, self._gltf, self._rigged, self._blocks = document, gltf, rigged, blocks
        self._normals = TurningNormals(rigged.mesh)
        self._turned: dict[str, NDArray[np.float32]] = {}
        self._slots: list[_Slot] = []

    def run(self) -> None:
        moving = self._rigged.moving()
        acting = [b for b in self._blocks if moving[b.vertices].any() or self._rigged.altered & set(b.parts)]
        host = max(acting, key=lambda b: int(moving[b.vertices].sum()), default=None)
        nodes = {block.node for block in acting}
        count = len(self._document.entries("accessors"))
        primitives = [primitive for node in nodes for primitive in self._mesh(node)["primitives"]]
        shapes = {number for each in primitives for target in each.get("targets", []) for number in target.values()}
        self._own_meshes(nodes)
        for block in [b for b in self._blocks if b.node in nodes]:
            self._take(block)
        if host is not None and self._rigged.added:
            self._add_pieces(host)
        for node in sorted(nodes):
            self._targets(node)
        self._add_textures()
        self._document.drop_arrays(shapes | set(range(count, len(self._document.entries("accessors")))))

    def _own_meshes(self, nodes: set[int]) -> None:
        """Give nodes that show one mesh a mesh each: an eye may be modelled once and stand in two places."""
        users: dict[int, list[int]] = {}
        for number, node in enumerate(self._document.json["nodes"]):
            if "mesh" in node:
                users.setdefault(node["mesh"], []).append(number)
        for mesh, among in users.items():
            for number in [n for n in among[1:] if n in nodes and len(among) > 1]:
                again = copy.deepcopy(self._document.json["meshes"][mesh])
                self._document.json["nodes"][number]["mesh"] = self._document.add("meshes", again)

    def _mesh(self, node: int) -> dict[str, Any]:
        mesh: dict[str, Any] = self._document.json["meshes"][self._document.json["nodes"][node]["mesh"]]
        return mesh

    def _take(self, block: Block) -> None:
        """Note where a block's vertices are; write them anew where the rigged mesh has others."""
        rigged = self._rigged
        new: Grown | None = None
        vertex, T_file = np.arange(block.first, block.first + block.count), block.T_file
        if rigged.altered & set(block.parts):
            new = grown(block, rigged)
            vertex, T_file = new.vertex, new.T_file
            rewrite(self._document, self._gltf, block, new, rigged, self._shift(block, new))
        linear = np.asarray(T_file[:, :, :3])
        inverse = block.inverse if new is None else inverted(linear)
        for number in block.primitives:
            attributes = self._gltf.entry("meshes", block.mesh)["primitives"][number]["attributes"]
            normals = None
            if "NORMAL" in attributes:
                normals = self._gltf.accessor(attributes["NORMAL"]).astype(np.float64)
                normals = normals if new is None else unit(np.asarray(new.mix @ normals))
            self._slots.append(_Slot(block.node, number, vertex, inverse, linear, normals))

    def _shift(self, block: Block, new: Grown) -> NDArray[np.float64]:
        """[c', 3] how far vertices of the rigged mesh stand from where the file has them, as the file stores it."""
        rigged = self._rigged
        loaded = rigged.file_rest[block.vertices].astype(np.float64)
        stored = new.mix @ np.einsum("nij,nj->ni", block.inverse, loaded - block.T_file[:, :, 3])
        there = np.einsum("nij,nj->ni", new.T_file[:, :, :3], stored) + new.T_file[:, :, 3]
        off = rigged.mesh.vertices[new.vertex] - there
        off[np.abs(off).max(axis=1) < _STANDS * np.ptp(rigged.mesh.vertices, axis=0).max()] = 0.0
        return np.asarray(np.einsum("nij,nj->ni", inverted(np.asarray(new.T_file[:, :, :3])), off))

    def _add_pieces(self, host: Block) -> None:
        """Parts that are not the file's, as primitives of the mesh that moves most, with that mesh's joints: those of
        the vertex over the mouth's skull side, which no joint of a jaw moves."""
        document, rigged, mesh = self._document, self._rigged, self._rigged.mesh
        primitives = self._mesh(host.node)["primitives"]
        still = self._steady(host)
        T_file = np.asarray(host.T_file[still])
        inverse = inverted(T_file[None, :, :3])[0]
        mirrored = bool(np.linalg.det(T_file[:, :3]) < 0)
        for part in rigged.added:
            run = mesh.parts[part]
            vertex, uvs, faces = unrolled(mesh, slice(run.first_face, run.first_face + run.face_count))
            stored = (mesh.vertices[vertex].astype(np.float64) - T_file[:, 3]) @ inverse.T
            normals = whole(unit(self._normals.rest[vertex] @ T_file[:, :3]))
            attributes = {
                "POSITION": document.add_array(stored.astype("<f4"), bounds=True),
                "NORMAL": document.add_array(normals.astype("<f4")),
            }
            if uvs is not None:
                attributes["TEXCOORD_0"] = document.add_array((uvs * [1, -1] + [0, 1]).astype("<f4"))
            attributes |= self._rigid_joints(host, still, len(vertex))
            primitives.append(
                {
                    "attributes": attributes,
                    "indices": document.add_indices(faces[:, ::-1] if mirrored else faces),
                    "material": self._material(mesh.parts[part].material),
                }
            )
            linear = np.broadcast_to(T_file[:, :3], (len(vertex), 3, 3))
            there = np.broadcast_to(inverse, (len(vertex), 3, 3))
            self._slots.append(_Slot(host.node, len(primitives) - 1, vertex, there, linear, normals))

    def _material(self, number: int) -> int:
        material = add_material(self._document, self._rigged.mesh.materials[number])
        vrm = self._document.json.get("extensions", {}).get("VRM", {})
        if "materialProperties" in vrm:  # VRM 0.x: one for every material, in their order
            plain: dict[str, Any] = {"floatProperties": {}, "vectorProperties": {}, "textureProperties": {}}
            name = self._document.json["materials"][material]["name"]
            entry = {"name": name, "shader": "VRM_USE_GLTFSHADER", "renderQueue": 2000, "keywordMap": {}, "tagMap": {}}
            vrm["materialProperties"].append(entry | plain)
        return material

    def _add_textures(self) -> None:
        """Pictures that the head was given beside its file, in which its materials name none."""
        materials: dict[int | None, int] = {}  # which one stands now where the file had this one
        for block in self._blocks:
            for number, part in zip(block.primitives, block.parts, strict=True):
                primitive = self._mesh(block.node)["primitives"][number]
                slot = primitive.get("material")
                look = self._rigged.mesh.materials[self._rigged.mesh.parts[part].material]
                bare = slot is None or texture_info(self._document.json["materials"][slot]) is None
                if look.texture is not None and bare and slot not in materials:
                    materials[slot] = self._textured(slot, look)
                if slot in materials:
                    primitive["material"] = materials[slot]

    def _textured(self, slot: int | None, look: Material) -> int:
        """A material of the file, or a new one, with a picture."""
        assert look.texture is not None, "there is a picture to add"
        number = self._document.add("materials", {}) if slot is None else slot
        surface = self._document.json["materials"][number].setdefault("pbrMetallicRoughness", {"metallicFactor": 0.0})
        picture = self._document.add_picture(look.texture, look.name)
        surface |= {"baseColorTexture": {"index": picture}, "baseColorFactor": [1.0, 1.0, 1.0, 1.0]}
        return number

    def _steady(self, host: Block) -> int:
        """Of the host's vertices one that no shape moves, the nearest to the added pieces: it stands for the skull."""
        rigged = self._rigged
        pieces = rigged.mesh.parts[rigged.added[0]]
        faces = rigged.mesh.faces[pieces.first_face : pieces.first_face + pieces.face_count]
        middle = rigged.mesh.vertices[np.unique(faces)].mean(axis=0)
        away = np.linalg.norm(rigged.file_rest[host.vertices] - middle, axis=1)
        up = rigged.T_metres_file[1, :3]
        below = (rigged.file_rest[host.vertices] - middle) @ up < 0
        moves = rigged.moving()[host.vertices]
        return int(np.lexsort((away, moves, below))[0])

    def _rigid_joints(self, host: Block, still: int, count: int) -> dict[str, int]:
        source = self._gltf.entry("meshes", host.mesh)["primitives"][host.primitives[0]]["attributes"]
        if not host.skinned:
            return {}
        joints = self._gltf.accessor(source["JOINTS_0"])[still].astype("<u2")
        weights = self._gltf.accessor(source["WEIGHTS_0"])[still].astype("<f4")
        weights = weights / max(float(weights.sum()), 1e-9) if weights.any() else np.array([1, 0, 0, 0], dtype="<f4")
        joints = np.where(weights > 0, joints, 0)
        return {
            "JOINTS_0": self._document.add_array(np.tile(joints, (count, 1)).astype("<u2")),
            "WEIGHTS_0": self._document.add_array(np.tile(weights, (count, 1)).astype("<f4")),
        }

    def _targets(self, node: int) -> None:
        """All shapes for every primitive of a node's mesh."""
        document, mesh = self._document, self._mesh(node)
        before, columns = self._columns(mesh)
        slots = {slot.primitive: slot for slot in self._slots if slot.node == node}
        total = max([len(before), *(column + 1 for column in columns)])
        for number, primitive in enumerate(mesh["primitives"]):
            count = int(document.json["accessors"][primitive["attributes"]["POSITION"]]["count"])
            old = primitive.get("targets", [])
            empty = {} if len(old) == total else _nothing(document, count, primitive)
            primitive["targets"] = [*old, *(dict(empty) for _ in range(total - len(old)))]
            if number not in slots:  # points or lines
                continue
            for column, target in zip(columns, self._made(slots[number]), strict=True):
                primitive["targets"][column] = target
        names = [*before, *[""] * (total - len(before))]
        for column, shape in zip(columns, self._rigged.shapes, strict=True):
            names[column] = shape.name
        self._name(node, mesh, names, len(before))

    def _columns(self, mesh: dict[str, Any]) -> tuple[list[str], list[int]]:
        """Names of the shapes a mesh has, and where each of the new ones goes."""
        primitives = mesh["primitives"]
        count = max((len(primitive.get("targets", [])) for primitive in primitives), default=0)
        given = mesh.get("extras") or {}
        first: dict[str, Any] = next((p["extras"] for p in primitives if "targetNames" in (p.get("extras") or {})), {})
        stated = [*(given.get("targetNames") or first.get("targetNames") or [])][:count]
        names = [str(name) for name in stated] + [f"target{k}" for k in range(len(stated), count)]
        columns = []
        for shape in self._rigged.shapes:
            taken = names.index(shape.name) if shape.name in names else count
            columns.append(taken)
            count += int(taken == count)
        return names, columns

    def _made(self, slot: _Slot) -> list[dict[str, int]]:
        """One target for each shape."""
        normals = slot.normals
        made = []
        for shape in self._rigged.shapes:
            dense = shape.dense(len(self._rigged.mesh.vertices))[slot.vertex]
            acts = dense.any(axis=1)
            change: NDArray[np.float64] | None = None
            if normals is not None:
                change = self._turns(slot, shape, normals)
                acts |= np.abs(change).max(axis=1) > TURNED
            rows = np.flatnonzero(acts)
            stored = np.einsum("nij,nj->ni", slot.inverse[rows], dense[rows].astype(np.float64))
            made.append(
                self._document.add_target(len(slot.vertex), rows, stored, None if change is None else change[rows])
            )
        return made

    def _turns(self, slot: _Slot, shape: Shape, normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n, 3] change of the stored normals: they turn as those of the triangles do."""
        before, after = self._normals.rest[slot.vertex], self._in_shape(shape)[slot.vertex]
        change = np.zeros_like(normals)
        rows = np.flatnonzero(np.abs(after - before).max(axis=1) > TURNED)
        if not len(rows):
            return change
        outside = unit(np.einsum("nji,nj->ni", slot.inverse[rows], normals[rows]))  # inverse transposed
        outside = turned(outside, before[rows], after[rows].astype(np.float64))
        change[rows] = unit(np.einsum("nji,nj->ni", slot.linear[rows], outside)) - unit(normals[rows])
        change[rows[~normals[rows].any(axis=1)]] = 0.0
        return change

    def _in_shape(self, shape: Shape) -> NDArray[np.float32]:
        """[R, 3] normals in a shape, kept for the next primitive."""
        if shape.name not in self._turned:
            self._turned[shape.name] = self._normals.of(shape).astype(np.float32)
        return self._turned[shape.name]

    def _name(self, node: int, mesh: dict[str, Any], names: list[str], before: int) -> None:
        """Names, and weights of as many shapes, wherever the file keeps them."""
        mesh["extras"] = {**(mesh.get("extras") or {}), "targetNames": names}
        for primitive in mesh["primitives"]:
            if "targetNames" in (primitive.get("extras") or {}):
                primitive["extras"]["targetNames"] = names
        added = len(names) - before
        for number, entry in enumerate(self._document.json["nodes"]):
            if entry.get("mesh") == self._document.json["nodes"][node]["mesh"]:
                if entry.get("weights"):
                    entry["weights"] = [*entry["weights"], *[0.0] * added]
                self._lengthen_animations(number, before, added)
        mesh["weights"] = [*mesh.get("weights", [0.0] * before), *[0.0] * added]

    def _lengthen_animations(self, node: int, before: int, added: int) -> None:
        """Animations of a mesh's weights hold one for every shape; the new ones stay at zero in them."""
        if not before or not added:
            return
        for animation in self._document.json.get("animations", []):
            for channel in animation["channels"]:
                if channel["target"].get("path") != "weights" or channel["target"].get("node") != node:
                    continue
                sampler = dict(animation["samplers"][channel["sampler"]])
                values = self._gltf.accessor(sampler["output"]).reshape(-1, before).astype("<f4")
                longer = np.concatenate([values, np.zeros((len(values), added), dtype="<f4")], axis=1)
                sampler["output"] = self._document.add_array(longer.reshape(-1), None)
                animation["samplers"].append(sampler)
                channel["sampler"] = len(animation["samplers"]) - 1


def _nothing(document: GltfDocument, count: int, primitive: dict[str, Any]) -> dict[str, int]:
    normals = np.zeros((0, 3)) if "NORMAL" in primitive["attributes"] else None
    return document.add_target(count, np.zeros(0, dtype=np.int64), np.zeros((0, 3)), normals)
