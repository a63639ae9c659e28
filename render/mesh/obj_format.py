"""Wavefront OBJ and MTL: reading."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MAX_FACES, MAX_PARTS, MAX_VERTICES, Material, Mesh, MeshPart
from core.untrusted import read_bytes
from render.mesh.pictures import Textures

_LOG = logging.getLogger(__name__)
_LARGEST_INDEX = 1 << 31
_LARGEST_LIBRARY = 4 << 20
_MOST_WORDS = 32  # of a texture's name and the options before it


@dataclass
class _Statements:
    """The lines of an OBJ file, sorted by kind; `face_part` says which (group, material) each face line belongs to."""

    positions: list[bytes] = field(default_factory=list)
    uvs: list[bytes] = field(default_factory=list)
    faces: list[bytes] = field(default_factory=list)
    face_part: list[int] = field(default_factory=list)
    positions_before: list[int] = field(default_factory=list)  # vertices and uvs seen before each face line,
    uvs_before: list[int] = field(default_factory=list)  # for indices that count from the end
    part_keys: dict[tuple[str, str], int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def load_obj(path: Path) -> Mesh:
    """Read an OBJ file with its MTL. Vertices keep the file's order; faces are grouped by part, in file order inside.

    Polygons become fans of triangles. Raises InputError.
    """
    statements = _sort_statements(path, path.read_bytes())
    if not statements.positions:
        raise InputError(f"{path}: not a mesh: no vertex lines (v x y z) in it; export it again as OBJ")
    vertices, colors = _parse_positions(path, statements.positions)
    uvs = _parse_numbers(path, "vt", statements.uvs, 2).astype(np.float32) if statements.uvs else None
    corners, corners_uv, counts = _parse_corners(path, statements, len(vertices), 0 if uvs is None else len(uvs))
    fan, owner = fan_triangles(counts)
    part_of_face = np.array(statements.face_part, dtype=np.int64)[owner]
    order = np.argsort(part_of_face, kind="stable")
    faces = corners[fan][order].astype(np.int32)
    faces_uv = corners_uv[fan][order].astype(np.int32) if corners_uv is not None else None
    materials = _load_libraries(path, statements.libraries)
    parts, used = _make_parts(statements.part_keys, np.bincount(part_of_face, minlength=1), materials)
    return Mesh(vertices, faces, uvs if faces_uv is not None else None, faces_uv, colors, parts, used)


def _sort_statements(path: Path, data: bytes) -> _Statements:
    found = _Statements()
    group, material, part = "", "", -1
    whole = data.replace(b"\r\n", b"\n").replace(b"\\\n", b" ").replace(b"\r", b"\n")
    for line in io.BytesIO(whole):  # not all at once: a list of a billion empty lines takes eight gigabytes
        kind, _, rest = line.strip().partition(b" ") if b"\t" not in line else _split_tab(line)
        if kind == b"v":
            found.positions.append(rest)
        elif kind == b"f":
            if part < 0:
                part = found.part_keys.setdefault((group, material), len(found.part_keys))
            _check_counts(path, found)
            found.faces.append(rest.partition(b"#")[0])
            found.face_part.append(part)
            found.positions_before.append(len(found.positions))
            found.uvs_before.append(len(found.uvs))
        elif kind == b"vt":
            found.uvs.append(rest)
        elif kind in (b"g", b"o"):
            group, part = rest.strip().decode("utf-8", "replace"), -1
        elif kind == b"usemtl":
            material, part = rest.strip().decode("utf-8", "replace"), -1
        elif kind == b"mtllib":
            found.libraries.append(rest.strip().decode("utf-8", "replace"))
    return found


def _check_counts(path: Path, found: _Statements) -> None:
    vertices, parts = max(len(found.positions), len(found.uvs) // 2), len(found.part_keys)
    if vertices > MAX_VERTICES or len(found.faces) >= MAX_FACES or parts > MAX_PARTS:
        raise _too_many(path)


def _too_many(path: Path) -> InputError:
    return InputError(
        f"{path}: at most {MAX_VERTICES} vertices, {MAX_FACES} faces and {MAX_PARTS} groups can be used; "
        "simplify the mesh"
    )


def _split_tab(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.replace(b"\t", b" ").strip().partition(b" ")


def _read_text_numbers(text: bytes) -> NDArray[np.float64]:
    """Numbers separated by blanks; none at all where something else stands between them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # older numpy only warns
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            return np.zeros(0)


def _parse_numbers(path: Path, kind: str, lines: list[bytes], least: int) -> NDArray[np.float64]:
    """[len(lines), at least `least`] float64: the numbers of each line, or the first ones where lines differ."""
    values = _read_text_numbers(b" ".join(lines))
    per_line = len(lines[0].split())
    if per_line >= least and len(values) == per_line * len(lines):
        return values.reshape(len(lines), per_line)
    rows = np.empty((len(lines), least))
    for number, line in enumerate(lines):
        row = _read_text_numbers(line.partition(b"#")[0])
        if len(row) < least:
            raise InputError(
                f"{path}: '{kind}' line {number + 1} of its kind: expected at least {least} numbers, "
                f"got '{line.decode('utf-8', 'replace').strip()[:40]}'; the file is damaged, export it again"
            )
        rows[number] = row[:least]
    return rows


def _parse_positions(path: Path, lines: list[bytes]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    values = _parse_numbers(path, "v", lines, 3)
    colors = values[:, 3:6].astype(np.float32) if values.shape[1] >= 6 else None
    if colors is not None and colors.max(initial=0.0) > 1.0:
        colors = colors / np.float32(255.0)
    return values[:, :3].astype(np.float32), None if colors is None else colors.clip(0.0, 1.0)


def _parse_corners(
    path: Path, found: _Statements, vertex_count: int, uv_count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64]]:
    """Zero-based corner indices of all face lines one after another, those into the uvs, and corners per line."""
    counts = np.array([len(line.split()) for line in found.faces], dtype=np.int64)
    if len(counts) and counts.min() < 3:
        line = found.faces[int(counts.argmin())].decode("utf-8", "replace").strip()
        raise InputError(f"{path}: a face needs at least three corners, got 'f {line[:40]}'; export the mesh again")
    if counts.sum() - 2 * len(counts) > MAX_FACES:
        raise _too_many(path)
    table = _index_table(path, found.faces, int(counts.sum()))
    with_uvs = uv_count > 0 and bool((table[:, 1] != 0).all())
    before = np.repeat(np.array(found.positions_before, dtype=np.int64), counts)
    corners = _zero_based(path, "vertex", table[:, 0], before, vertex_count)
    if not with_uvs:
        return corners, None, counts
    before = np.repeat(np.array(found.uvs_before, dtype=np.int64), counts)
    return corners, _zero_based(path, "texture coordinate", table[:, 1], before, uv_count), counts


def _index_table(path: Path, lines: list[bytes], corner_count: int) -> NDArray[np.int64]:
    """[corner_count, 2] vertex and uv index as written, 0 where there is no uv index."""
    table = np.zeros((corner_count, 2), dtype=np.int64)
    if not lines:
        return table
    text = b" ".join(lines)
    shape = lines[0].split()[0]
    slashes = shape.count(b"/")
    values = _read_text_numbers(text.replace(b"//", b" ").replace(b"/", b" "))
    per_corner = len([number for number in shape.split(b"/") if number])
    if text.count(b"/") == slashes * corner_count and len(values) == per_corner * corner_count:
        columns = values.reshape(corner_count, per_corner).astype(np.int64)
        table[:, 0] = columns[:, 0]
        if per_corner > 1 and b"//" not in text:
            table[:, 1] = columns[:, 1]
        return table
    for row, token in enumerate(text.split()):
        table[row] = _corner(path, token)
    return table


def _corner(path: Path, token: bytes) -> tuple[int, int]:
    numbers = token.split(b"/")
    try:
        vertex, uv = int(numbers[0]), int(numbers[1]) if len(numbers) > 1 and numbers[1] else 0
        if max(abs(vertex), abs(uv)) > _LARGEST_INDEX:
            raise ValueError
        return vertex, uv
    except ValueError:
        written = token.decode("utf-8", "replace")[:40]
        raise InputError(
            f"{path}: face corner '{written}': expected indices such as 7 or 7/3 or 7/3/9; "
            "the file is damaged, export it again"
        ) from None


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
    keys: dict[tuple[str, str], int], face_counts: NDArray[np.int64], materials: dict[str, Material]
) -> tuple[tuple[MeshPart, ...], tuple[Material, ...]]:
    used: dict[str, int] = {}
    parts, first = [], 0
    for (group, material), index in keys.items():
        slot = used.setdefault(material, len(used))
        count = int(face_counts[index])
        parts.append(MeshPart(group or material or "mesh", first, count, slot))
        first += count
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
