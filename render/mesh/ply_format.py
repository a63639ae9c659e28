"""Stanford PLY: reading (ascii, binary of either byte order).

Triangle strips (element `tristrips`) count as faces. Besides the usual properties, texture coordinates per vertex
(s, t / u, v / texture_u, texture_v) and per face corner (`texcoord` lists) are read, and the parts this project writes:
a face property `part` and comments `part N NAME`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MAX_FACES, MAX_PARTS, Material, Mesh, MeshPart
from render.mesh.obj_format import fan_triangles
from render.mesh.pictures import load_texture
from render.mesh.ply_body import Lists, Plain, read_ply_body
from render.mesh.ply_header import PlyHeader, read_ply_header

_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
_STRIP_NAMES = ("tristrips", "tristrip", "triangle_strips")
_LARGEST_PART = 1 << 31


def load_ply(path: Path) -> Mesh:
    """Read a PLY mesh; polygons become fans of triangles. Raises InputError."""
    data = path.read_bytes()
    header = read_ply_header(path, data)
    plain, lists = read_ply_body(path, header, data)
    vertex, face = plain.get("vertex", {}), plain.get("face", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise InputError(f"{path}: expected vertices with x, y and z in it; export the mesh again")
    vertices = _columns(vertex, ("x", "y", "z"))
    face_lists = lists.get("face", {})
    polygons = _index_lists(face_lists)
    for strips in (lists[name] for name in _STRIP_NAMES if name in lists):
        triangles = _strip_triangles(*_index_lists(strips))
        polygons = np.r_[polygons[0], triangles.reshape(-1)], np.r_[polygons[1], np.full(len(triangles), 3)]
    _check_polygons(path, *polygons, len(vertices))
    fan, owner = fan_triangles(polygons[1])
    faces = polygons[0].astype(np.int32)[fan]
    uvs, faces_uv = _texture_coordinates(vertex, face_lists, polygons[1], fan, faces)
    parts, order = _parts(path, header.comments, face.get("part"), owner)
    faces, faces_uv = faces[order], faces_uv[order] if faces_uv is not None else None
    colors = None if uvs is not None and _texture_name(header) else _colors(vertex)
    return Mesh(vertices, faces, uvs, faces_uv, colors, parts, _materials(path, header, parts))


def _index_lists(lists: Lists) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Vertex numbers of an element's lists one after another, and how many each has."""
    return lists.get("vertex_indices", lists.get("vertex_index", (np.zeros(0), np.zeros(0, np.int64))))


def _strip_triangles(values: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """[F, 3] triangles of strips, each a list in which -1 begins a new one; every other triangle is turned round."""
    begins = np.cumsum(lengths) - lengths
    values = np.insert(values, begins, -1)
    place = np.arange(len(values)) - np.maximum.accumulate(np.where(values == -1, np.arange(len(values)), 0))
    triangles = np.stack([values[:-2], values[1:-1], values[2:]], axis=1)
    turned = place[:-2] % 2 == 0  # counted from the -1 before the strip
    triangles[turned] = triangles[turned][:, [1, 0, 2]]
    a, b, c = triangles.T
    return np.asarray(triangles[(triangles != -1).all(axis=1) & (a != b) & (b != c) & (c != a)])


def _columns(plain: Plain, names: tuple[str, ...]) -> NDArray[np.float32]:
    """[count, names] float32; what is too large for that becomes infinite, which is refused later."""
    with np.errstate(over="ignore"):
        return np.stack([plain[name].astype(np.float32) for name in names], axis=1)


def _check_polygons(path: Path, corners: NDArray[Any], counts: NDArray[np.int64], vertex_count: int) -> None:
    if len(counts) and counts.min() < 3:
        raise InputError(f"{path}: a face needs at least three corners, got one with {counts.min()}; export it again")
    if counts.sum() - 2 * len(counts) > MAX_FACES:
        raise InputError(f"{path}: at most {MAX_FACES} faces can be used; simplify the mesh")
    wrong = ~((corners >= 0) & (corners < vertex_count))  # before 32 bits cut it down to a number that fits
    if corners.dtype.kind == "f":
        wrong |= corners != np.floor(corners)
    if wrong.any():
        which = f"vertex {corners[wrong][0]} of {vertex_count}"
        raise InputError(f"{path}: a face refers to {which}; the file is damaged, export it again")


def _texture_coordinates(
    vertex: Plain, face_lists: Lists, counts: NDArray[np.int64], fan: NDArray[np.int64], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float32] | None, NDArray[np.int32] | None]:
    for u, v in _UV_NAMES:
        if u in vertex and v in vertex:
            return _columns(vertex, (u, v)), faces.copy()
    values, lengths = face_lists.get("texcoord", (np.zeros(0), np.zeros(0, np.int64)))
    if len(values) and np.array_equal(lengths, 2 * counts):
        return values.reshape(-1, 2).astype(np.float32), fan.astype(np.int32)
    return None, None


def _colors(vertex: Plain) -> NDArray[np.float32] | None:
    for names in (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")):
        if all(name in vertex for name in names):
            colors = _columns(vertex, names)
            return (colors / np.float32(255.0 if colors.max(initial=0) > 1.0 else 1.0)).clip(0, 1)
    return None


def _parts(
    path: Path, comments: list[str], part: NDArray[Any] | None, owner: NDArray[np.int64]
) -> tuple[tuple[MeshPart, ...], NDArray[np.int64]]:
    """Parts, and the order that puts the faces of each one together."""
    if part is None:
        return (MeshPart("mesh", 0, len(owner), 0),), np.arange(len(owner))
    named = [found for comment in comments if (found := re.fullmatch(r"part\s+(\d{1,9})\s+(\S.*)", comment.strip()))]
    labels = {int(found[1]): " ".join(found[2].split()) for found in named}
    if not np.isfinite(part).all() or np.abs(part).max(initial=0) > _LARGEST_PART:
        raise InputError(f"{path}: expected small whole numbers as the parts of its faces; export it again")
    index = part.astype(np.int64)[owner]
    order = np.argsort(index, kind="stable")
    values, first, counts = np.unique(index[order], return_index=True, return_counts=True)
    if len(values) > MAX_PARTS:
        raise InputError(f"{path}: {len(values)} parts, at most {MAX_PARTS} can be used; join some of them")
    rows = zip(values.tolist(), first.tolist(), counts.tolist(), strict=True)
    parts = [MeshPart(labels.get(v, f"part{v}"), a, n, i) for i, (v, a, n) in enumerate(rows)]
    return tuple(parts), order


def _texture_name(header: PlyHeader) -> str | None:
    for comment in header.comments:
        word, _, name = comment.partition(" ")
        if word == "TextureFile" and name.strip():
            return name.strip()
    return None


def _materials(path: Path, header: PlyHeader, parts: tuple[MeshPart, ...]) -> tuple[Material, ...]:
    name = _texture_name(header)
    picture = path.parent / Path(name.replace("\\", "/")).name if name else None
    texture = load_texture(picture, str(picture)) if picture is not None and picture.is_file() else None
    base = (1.0, 1.0, 1.0, 1.0) if texture is not None else (0.8, 0.8, 0.8, 1.0)
    return tuple(Material(part.name, base, texture) for part in parts) or (Material(),)
