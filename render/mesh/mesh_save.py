"""Meshes into files: OBJ with its materials, and binary PLY. What they write, `render.mesh.mesh_io.load_mesh` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.mesh import Mesh, MeshPart


def save_obj(mesh: Mesh, path: Path) -> None:
    """Write `path`, and beside it an .mtl and PNG textures where the mesh has materials that need them."""
    lines = [] if _is_plain(mesh) else [f"mtllib {path.with_suffix('.mtl').name}"]
    if mesh.vertex_colors is None:
        lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
    else:
        rows = np.concatenate([mesh.vertices, mesh.vertex_colors], axis=1).tolist()
        lines += [f"v {x:.9g} {y:.9g} {z:.9g} {r:.6g} {g:.6g} {b:.6g}" for x, y, z, r, g, b in rows]
    if mesh.uvs is not None:
        lines += [f"vt {u:.9g} {v:.9g}" for u, v in mesh.uvs.tolist()]
    for part in mesh.parts or (MeshPart("mesh", 0, len(mesh.faces), 0),):
        lines += [f"g {part.name}"] + ([] if _is_plain(mesh) else [f"usemtl {mesh.materials[part.material].name}"])
        lines += _face_lines(mesh, slice(part.first_face, part.first_face + part.face_count))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    if _is_plain(mesh):
        return
    looks = []
    for index, material in enumerate(mesh.materials):
        red, green, blue, alpha = material.base_color
        looks += [f"newmtl {material.name}", f"Kd {red:.6g} {green:.6g} {blue:.6g}", f"d {alpha:.6g}"]
        if material.texture is not None:
            picture = path.with_name(f"{path.stem}_{index}.png")
            Image.fromarray(material.texture).save(picture)
            looks.append(f"map_Kd {picture.name}")
    path.with_suffix(".mtl").write_text("\n".join(looks) + "\n", "utf-8")


def _is_plain(mesh: Mesh) -> bool:
    return all(material.texture is None and material.name == "default" for material in mesh.materials)


def _face_lines(mesh: Mesh, which: slice) -> list[str]:
    faces = (mesh.faces[which] + 1).tolist()
    if mesh.faces_uv is None:
        return [f"f {a} {b} {c}" for a, b, c in faces]
    uvs = (mesh.faces_uv[which] + 1).tolist()
    return [f"f {a}/{s} {b}/{t} {c}/{u}" for (a, b, c), (s, t, u) in zip(faces, uvs, strict=True)]


def save_ply(mesh: Mesh, path: Path) -> None:
    """Write a binary PLY: vertices, colours, texture coordinates per corner, part names. Textures are left out."""
    kinds = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    columns = list(mesh.vertices.T)
    if mesh.vertex_colors is not None:
        kinds += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
        columns += list(np.rint(mesh.vertex_colors.T * 255.0))
    table = np.zeros(len(mesh.vertices), dtype=np.dtype(kinds))
    for (name, _), column in zip(kinds, columns, strict=True):
        table[name] = column
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment part {i} {p.name}" for i, p in enumerate(mesh.parts)),
    ]
    lines += [f"element vertex {len(table)}"]
    lines += [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in kinds]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]
    rows, more = _face_table(mesh)
    header = "\n".join([*lines, *more, "end_header"]) + "\n"
    path.write_bytes(header.encode() + table.tobytes() + rows.tobytes())


def _face_table(mesh: Mesh) -> tuple[NDArray[np.void], list[str]]:
    kinds: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [("n", "u1"), ("corners", "<i4", (3,))]
    more = []
    if mesh.uvs is not None and mesh.faces_uv is not None:
        kinds += [("m", "u1"), ("uvs", "<f4", (6,))]
        more.append("property list uchar float texcoord")
    if mesh.parts:
        kinds.append(("part", "<i4"))
        more.append("property int part")
    rows = np.zeros(len(mesh.faces), dtype=np.dtype(kinds))
    rows["n"], rows["corners"] = 3, mesh.faces
    if mesh.uvs is not None and mesh.faces_uv is not None:
        rows["m"], rows["uvs"] = 6, mesh.uvs[mesh.faces_uv].reshape(-1, 6)
    for index, part in enumerate(mesh.parts):
        rows["part"][part.first_face : part.first_face + part.face_count] = index
    return rows, more
