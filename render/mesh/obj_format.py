"""Wavefront OBJ and MTL: reading."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MAX_FACES, Material, Mesh, MeshPart
from core.untrusted import read_bytes
from render.mesh.obj_lines import ObjLines, number_table, read_obj_lines, too_many
from render.mesh.pictures import Textures

_LOG = logging.getLogger(__name__)
_LARGEST_LIBRARY = 4 << 20
_MOST_WORDS = 32  # of a texture's name and the options before it


def load_obj(path: Path) -> Mesh:
    """Read an OBJ file with its MTL. Vertices keep the file's order; faces are grouped by part, in file order inside.

    Polygons become fans of triangles. Raises InputError.
    """
    lines = read_obj_lines(path, path.read_bytes())
    if not lines.positions:
        raise InputError(f"{path}: not a mesh: no vertex lines (v x y z) in it; export it again as OBJ")
    values = number_table(path, "v", lines.positions, lines.position_count, 3)
    colors = values[:, 3:6].astype(np.float32) if values.shape[1] >= 6 else None
    if colors is not None:
        colors = (colors / np.float32(255.0 if colors.max(initial=0.0) > 1.0 else 1.0)).clip(0.0, 1.0)
    uvs = number_table(path, "vt", lines.uvs, lines.uv_count, 2).astype(np.float32) if lines.uvs else None
    corners, corners_uv, counts = _corners(path, lines)
    fan, owner = fan_triangles(counts)
    run_lines, run_part = np.array([run[:2] for run in lines.runs], dtype=np.int64).reshape(-1, 2).T
    part_of_face = np.repeat(run_part, run_lines)[owner]
    order = np.argsort(part_of_face, kind="stable")
    faces, faces_uv = corners[fan][order].astype(np.int32), None
    if uvs is not None and corners_uv is not None:
        faces_uv = corners_uv[fan][order].astype(np.int32)
        uvs = _with_spare(path, uvs, faces_uv)
    materials = _load_libraries(path, lines.libraries)
    parts, used = _make_parts(path, lines.part_keys, np.bincount(part_of_face, minlength=1), materials)
    vertices = values[:, :3].astype(np.float32)
    return Mesh(vertices, faces, uvs if faces_uv is not None else None, faces_uv, colors, parts, used)


def _corners(path: Path, lines: ObjLines) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64]]:
    """Zero-based corner indices of all face lines one after another; those into the uvs, as many as there are uvs where
    a corner has none, or None where no corner has any; and corners per line."""
    nothing = np.zeros(0, dtype=np.int64)
    counts = np.concatenate(lines.corner_counts or [nothing])
    if counts.sum() - 2 * len(counts) > MAX_FACES:
        raise too_many(path)
    table = np.concatenate(lines.corners or [nothing.reshape(0, 2)])
    runs = np.array(lines.runs, dtype=np.int64).reshape(-1, 4)
    in_run = np.add.reduceat(counts, np.cumsum(runs[:, 0]) - runs[:, 0]) if len(runs) else nothing
    corners = _zero_based(path, "vertex", table[:, 0], np.repeat(runs[:, 2], in_run), lines.position_count)
    bare = table[:, 1] == 0
    if lines.uv_count == 0 or bare.all():
        return corners, None, counts
    before = np.repeat(runs[:, 3], in_run)
    corners_uv = np.full(len(table), lines.uv_count)
    corners_uv[~bare] = _zero_based(path, "texture coordinate", table[~bare, 1], before[~bare], lines.uv_count)
    return corners, corners_uv, counts


def _with_spare(path: Path, uvs: NDArray[np.float32], faces_uv: NDArray[np.int32]) -> NDArray[np.float32]:
    """The texture coordinates with one more, zero, for corners that have none."""
    bare = int((faces_uv == len(uvs)).any(axis=1).sum())
    if bare:
        _LOG.warning(
            "%s: %d of %d faces lack texture coordinates: they take the texture's first corner",
            path,
            bare,
            len(faces_uv),
        )
        return np.concatenate([uvs, np.zeros((1, 2), dtype=np.float32)])
    return uvs


def _zero_based(
    path: Path, what: str, written: NDArray[np.int64], before: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    index = np.where(written < 0, before + written, written - 1)
    bad = (index < 0) | (index >= count) | (written == 0)
    if bad.any():
        raise InputError(
            f"{path}: a face refers to {what} {written[bad][0]}, but the file has {count} of them; "
            "it is damaged or cut short, export it again"
        )
    return np.asarray(index)


def fan_triangles(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Polygons of `counts` corners as fans: [F, 3] positions in the corner list, and the polygon each comes from."""
    triangles = counts - 2
    owner = np.repeat(np.arange(len(counts)), triangles)
    first = (np.cumsum(counts) - counts)[owner]
    step = np.arange(len(owner)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.stack([first, first + step + 1, first + step + 2], axis=1), owner


def _make_parts(
    path: Path, keys: dict[tuple[str, str], int], face_counts: NDArray[np.int64], materials: dict[str, Material]
) -> tuple[tuple[MeshPart, ...], tuple[Material, ...]]:
    """Faces before any usemtl take the only material there is."""
    only = next(iter(materials)) if len(materials) == 1 else ""
    used: dict[str, int] = {}
    parts, first = [], 0
    for (group, stated), index in keys.items():
        material = stated or only
        slot = used.setdefault(material, len(used))
        count = int(face_counts[index])
        parts.append(MeshPart(group or material or "mesh", first, count, slot))
        first += count
    if only and not all(stated for _, stated in keys):
        _LOG.warning("%s states no material for some faces: they take '%s', the only one there is", path, only)
    for name in [name for name in used if name and materials and name not in materials]:
        _LOG.warning("%s: material '%s' is in none of its material files: shown in plain colour", path, name)
    made = [materials.get(name, Material(name or "default")) for name in used]
    return tuple(parts), tuple(made) or (Material(),)


def _load_libraries(path: Path, names: list[str]) -> dict[str, Material]:
    materials: dict[str, Material] = {}
    textures = Textures()
    for name in dict.fromkeys(names):
        library = path.parent / name.replace("\\", "/")
        if not library.is_file():
            _LOG.info("%s names the material file %s, which is not there: going on without it", path, library.name)
            continue
        for material in _parse_library(library, textures):
            materials[material.name] = material
    return materials


def _parse_library(path: Path, textures: Textures) -> Iterator[Material]:
    current: Material | None = None
    for line in read_bytes(path, _LARGEST_LIBRARY).decode("utf-8", "replace").splitlines():
        kind, _, rest = line.replace("\t", " ").strip().partition(" ")
        rest = rest.strip()
        if kind == "newmtl":
            if current is not None:
                yield current
            current = Material(rest or "default")
        elif current is not None and rest:
            current = _with_statement(path, current, kind.lower(), rest, textures)
    if current is not None:
        yield current


def _with_statement(path: Path, material: Material, kind: str, rest: str, textures: Textures) -> Material:
    red, green, blue, alpha = material.base_color
    try:
        if kind == "kd":
            red, green, blue = (min(max(float(value), 0.0), 1.0) for value in rest.split()[:3])
            return replace(material, base_color=(red, green, blue, alpha))
        if kind in ("d", "tr"):
            alpha = float(rest.split()[-1]) if kind == "d" else 1.0 - float(rest.split()[-1])
            mode = "BLEND" if alpha < 1.0 else material.alpha_mode
            return replace(material, base_color=(red, green, blue, min(max(alpha, 0.0), 1.0)), alpha_mode=mode)
    except ValueError:
        raise InputError(f"{path}: material '{material.name}': expected numbers in '{kind} {rest[:40]}'") from None
    return _with_texture(path, material, rest, textures) if kind in ("map_kd", "map_d") else material


def _with_texture(path: Path, material: Material, rest: str, textures: Textures) -> Material:
    if material.texture is not None:
        return material
    picture = _find_picture(path.parent, rest)
    if picture is None:
        _LOG.warning("%s: the texture '%s' of material '%s' is not there", path, rest, material.name)
        return material
    texture = textures.load(picture, picture, str(picture))
    mode = "BLEND" if texture.shape[2] == 4 and int(texture[..., 3].min()) < 255 else material.alpha_mode
    return replace(material, texture=texture, base_color=(1.0, 1.0, 1.0, material.base_color[3]), alpha_mode=mode)


def _find_picture(folder: Path, statement: str) -> Path | None:
    """The file of a map_Kd line: its name may hold spaces, follow options, or be a path of another machine."""
    words = statement.replace("\\", "/").split(" ")[-_MOST_WORDS:]
    for start in range(len(words)):
        name = " ".join(words[start:])
        for candidate in (folder / name, folder / Path(name).name):
            if candidate.is_file():
                return candidate
    return None
