"""Primitives of a glTF file whose triangles are others in the rigged mesh: old vertices stay, new ones are appended.

A new vertex lies on a triangle of the file, so all that the file knows about its vertices (normals, texture coordinates
of all sets, colours, joints and weights, shapes it has already) is known there, too, by its place on that triangle.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from render.mesh.export.gltf_blocks import Block
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.rigged_mesh import RiggedMesh, unit
from render.mesh.gltf_buffers import GltfFile

_CANDIDATES = 24
_TURN = 0.5  # of a face's size: how much a normal that looks the other way counts as distance
_MOVED = 1e-3  # of a unit normal


@dataclass(frozen=True, eq=False)
class Grown:
    """The vertices of a block in the rigged file: its own, then new ones.

    Attributes:
        vertex: [c'] the rigged mesh's vertex behind each.
        mix: [c', c] how each is mixed of the file's vertices of this block; the first c rows are the identity.
        faces: for each primitive of the block its triangles [f, 3].
        T_file: [c', 3, 4] as `Block.T_file`.
    """

    vertex: NDArray[np.int64]
    mix: sparse.csr_matrix
    faces: tuple[NDArray[np.int64], ...]
    T_file: NDArray[np.float64]

    @property
    def count(self) -> int:
        return len(self.vertex)


def grown(block: Block, rigged: RiggedMesh) -> Grown:
    """The block as the rigged mesh has it."""
    mesh, count = rigged.mesh, block.count
    runs = [mesh.parts[part] for part in block.parts]
    which = np.concatenate([np.arange(run.first_face, run.first_face + run.face_count) for run in runs])
    corners = mesh.faces[which].astype(np.int64)
    new = corners >= len(rigged.file_rest)
    flat = np.zeros((len(which), 3), dtype=np.int64)
    if mesh.uvs is not None and mesh.faces_uv is not None:
        uvs = np.ascontiguousarray(mesh.uvs[mesh.faces_uv[which]].reshape(-1, 2).astype("<f4") + np.float32(0.0))
        flat = np.unique(uvs.view("<u8").reshape(-1), return_inverse=True)[1].reshape(-1, 3)
    key = (corners * (int(flat.max(initial=0)) + 1) + flat)[new]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    number = corners - block.first
    number[new] = count + inverse.reshape(-1)
    face_of_new, added = np.nonzero(new)[0][first], corners[new][first]
    mix = _mixed(block, rigged, corners, face_of_new, added)
    ends = np.cumsum([0, *(run.face_count for run in runs)])
    faces = tuple(number[a:b] for a, b in pairwise(ends.tolist()))
    every = sparse.vstack([sparse.identity(count, format="csr"), mix]).tocsr()
    T_file = np.asarray(every @ np.ascontiguousarray(block.T_file).reshape(count, 12)).reshape(-1, 3, 4)
    return Grown(np.concatenate([np.arange(block.first, block.first + count), added]), every, faces, T_file)


def _mixed(
    block: Block,
    rigged: RiggedMesh,
    corners: NDArray[np.int64],
    face_of_new: NDArray[np.int64],
    added: NDArray[np.int64],
) -> sparse.csr_matrix:
    """[n, c] places of new vertices on the file's triangles.

    Which triangle a new one was cut out of is seen by what lies nearest to its middle and looks the same way: upper and
    lower lip may lie on each other.
    """
    count = block.count
    if not len(added):
        return sparse.csr_matrix((0, count))
    at_rest = rigged.mesh.vertices.astype(np.float64)
    at_rest[: len(rigged.file_rest)] = rigged.file_rest
    own = rigged.file_faces.astype(np.int64)
    own = own[(own[:, 0] >= block.first) & (own[:, 0] < block.first + count)]
    triangles = at_rest[own]
    pieces = rigged.mesh.vertices.astype(np.float64)[corners[face_of_new]]
    way, looks = _normals(triangles), _normals(pieces)
    middles = pieces.mean(axis=1)
    _, near = cKDTree(triangles.mean(axis=1)).query(middles, k=min(_CANDIDATES, len(own)))
    near = near.reshape(len(added), -1)
    _, distance = _closest(middles, triangles[near])
    size = np.linalg.norm(np.ptp(pieces, axis=1), axis=1)[:, None]
    against = 1 - np.einsum("nkd,nd->nk", way[near], looks)
    best = near[np.arange(len(added)), (distance + _TURN * size * against).argmin(axis=1)]
    bary, _ = _closest(rigged.mesh.vertices[added].astype(np.float64), triangles[best][:, None])
    bary = np.where(bary[:, 0] < 1e-3, 0.0, bary[:, 0])
    bary /= bary.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(added)), 3)
    return sparse.csr_matrix((bary.reshape(-1), (rows, own[best].reshape(-1) - block.first)), shape=(len(added), count))


def _normals(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    return unit(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]))


def _closest(
    points: NDArray[np.float64], triangles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Barycentric place [n, k, 3] on triangles [n, k, 3, 3] near each point [n, 3], clipped to them, and distance."""
    origin = triangles[..., 0, :]
    u, v, w = triangles[..., 1, :] - origin, triangles[..., 2, :] - origin, points[:, None] - origin
    uu, uv, vv, wu, wv = (np.einsum("nkd,nkd->nk", a, b) for a, b in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    determinant = np.maximum(uu * vv - uv * uv, 1e-30)
    beta, gamma = (vv * wu - uv * wv) / determinant, (uu * wv - uv * wu) / determinant
    bary = np.clip(np.stack([1 - beta - gamma, beta, gamma], axis=-1), 0, 1)
    bary /= np.maximum(bary.sum(axis=-1, keepdims=True), 1e-12)
    off = w - bary[..., 1, None] * u - bary[..., 2, None] * v
    return bary, np.linalg.norm(off, axis=-1)


def rewrite(
    document: GltfDocument, gltf: GltfFile, block: Block, new: Grown, rigged: RiggedMesh, shift: NDArray[np.float64]
) -> None:
    """Give the block's primitives their new vertices and triangles. `shift` [c', 3] is how far each vertex stands from
    where the file has it, in the file's stored coordinates."""
    primitives = document.json["meshes"][document.json["nodes"][block.node]["mesh"]]["primitives"]
    made: dict[tuple[str, int], int] = {}
    for number, part, faces in zip(block.primitives, block.parts, new.faces, strict=True):
        primitive = primitives[number]
        source = gltf.entry("meshes", block.mesh)["primitives"][number]
        if _turned_over(gltf, source, rigged, part, block.first):
            faces = faces[:, ::-1]
        attributes: dict[str, int] = source["attributes"]
        for name, accessor in attributes.items():
            if (name, accessor) not in made and not name.startswith(("JOINTS_", "WEIGHTS_")):
                made[name, accessor] = _attribute(document, gltf, new, name, accessor, shift)
        joints = _joints(document, gltf, new, attributes)
        primitive["attributes"] = {
            name: joints[name] if name in joints else made[name, accessor] for name, accessor in attributes.items()
        }
        primitive["indices"] = document.add_indices(np.ascontiguousarray(faces))
        primitive.pop("mode", None)
        if "targets" in source:
            primitive["targets"] = [
                {name: _shape(document, gltf, new, accessor) for name, accessor in target.items()}
                for target in source["targets"]
            ]


def _turned_over(gltf: GltfFile, source: dict[str, Any], rigged: RiggedMesh, part: int, first: int) -> bool:
    """Whether triangles wind the other way in the file than in the loaded mesh."""
    stored = [0, 1, 2]
    if "indices" in source:
        stored = gltf.accessor(source["indices"]).reshape(-1)[:3].astype(np.int64).tolist()
    loaded = (rigged.file_faces[rigged.file_first_faces[part]].astype(np.int64) - first).tolist()
    return loaded not in ([*stored[k:], *stored[:k]] for k in range(3))


def _attribute(
    document: GltfDocument, gltf: GltfFile, new: Grown, name: str, accessor: int, shift: NDArray[np.float64]
) -> int:
    values = gltf.accessor(accessor)
    mixed = np.asarray(new.mix @ values.astype(np.float64))
    if name == "POSITION":
        return document.add_array((mixed + shift).astype("<f4"), bounds=True)
    if name == "NORMAL":
        mixed = unit(mixed)
        mixed[~mixed.any(axis=1)] = [0.0, 1.0, 0.0]
    if name == "TANGENT":
        mixed = np.concatenate([unit(mixed[:, :3]), np.where(mixed[:, 3:] < 0, -1.0, 1.0)], axis=1)
        mixed[~mixed[:, :3].any(axis=1), 0] = 1.0
    if values.dtype.kind != "f":  # numbers of something, such as features: they cannot be mixed
        mixed = np.concatenate([values, values[_strongest(new)]])
    return document.add_array(mixed.astype("<f4"))


def _strongest(new: Grown) -> NDArray[np.int64]:
    """[n] for each new vertex the file's vertex that it is most of."""
    own = new.mix.shape[1]
    return np.asarray(new.mix[own:].argmax(axis=1)).reshape(-1)


def _joints(document: GltfDocument, gltf: GltfFile, new: Grown, attributes: dict[str, int]) -> dict[str, int]:
    """JOINTS and WEIGHTS of all sets: the strongest of what a new vertex is mixed of, as many as the file has."""
    sets = [n for n in range(4) if f"JOINTS_{n}" in attributes and f"WEIGHTS_{n}" in attributes]
    if not sets:
        return {}
    joints = np.concatenate([gltf.accessor(attributes[f"JOINTS_{n}"]) for n in sets], axis=1).astype(np.int64)
    weights = np.concatenate([gltf.accessor(attributes[f"WEIGHTS_{n}"]) for n in sets], axis=1).astype(np.float64)
    own, width = joints.shape
    rows = np.repeat(np.arange(own), width)
    shape = (own, int(joints.max(initial=0)) + 1)
    every = sparse.csr_matrix((weights.reshape(-1), (rows, joints.reshape(-1))), shape=shape)
    mixed = np.asarray((new.mix[own:] @ every).todense())
    wide = np.zeros((len(mixed), max(width, mixed.shape[1])))
    wide[:, : mixed.shape[1]] = mixed
    best = np.argsort(-wide, axis=1, kind="stable")[:, :width]
    share = np.take_along_axis(wide, best, axis=1)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    best[share == 0] = 0
    joints, weights = np.concatenate([joints, best]), np.concatenate([weights, share])
    joints[weights == 0] = 0
    made: dict[str, int] = {}
    for place, n in enumerate(sets):
        columns = slice(4 * place, 4 * place + 4)
        made[f"JOINTS_{n}"] = document.add_array(np.ascontiguousarray(joints[:, columns]).astype("<u2"))
        made[f"WEIGHTS_{n}"] = document.add_array(np.ascontiguousarray(weights[:, columns]).astype("<f4"))
    return made


def _shape(document: GltfDocument, gltf: GltfFile, new: Grown, accessor: int) -> int:
    """A shape that the file had, with the new vertices."""
    values = np.asarray(new.mix @ gltf.accessor(accessor).astype(np.float64))
    rows = np.flatnonzero(np.abs(values).max(axis=1) > 0)
    return document.add_target(new.count, rows, values[rows], None)["POSITION"]
