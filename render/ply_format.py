"""Stanford PLY: reading (ascii, binary of either byte order).

Besides the usual properties, texture coordinates per vertex (s, t / u, v / texture_u, texture_v) and per face corner
(`texcoord` lists) are read, and the parts this project writes: a face property `part` and comments `part N NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from render.errors import InputError
from render.mesh import Material, Mesh, MeshPart
from render.obj_format import fan_triangles
from render.pictures import load_texture

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
_MAX_ITEMS = 20_000_000


@dataclass
class _Property:
    name: str
    dtype: str
    count_dtype: str | None = None  # set for lists


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)


@dataclass
class _Header:
    byte_order: str  # "" for ascii
    elements: list[_Element]
    comments: list[str]
    size: int


# A column is [count] for a plain property; for a list it is (values one after another, lengths [count]).
_Plain = dict[str, NDArray[np.float64]]
_Lists = dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]


def load_ply(path: Path) -> Mesh:
    """Read a PLY mesh; polygons become fans of triangles. Raises InputError."""
    data = path.read_bytes()
    header = _read_header(path, data)
    plain: dict[str, _Plain] = {}
    lists: dict[str, _Lists] = {}
    body: bytes | list[bytes] = data[header.size :] if header.byte_order else data[header.size :].split()
    offset = 0
    for element in header.elements:
        if header.byte_order:
            assert isinstance(body, bytes)
            plain[element.name], lists[element.name], offset = _read_binary(path, body, offset, element, header)
        else:
            assert isinstance(body, list)
            plain[element.name], lists[element.name], offset = _read_ascii(path, body, offset, element)
    return _to_mesh(path, header, plain, lists)


def _read_header(path: Path, data: bytes) -> _Header:
    end = data.find(b"end_header", 0, 1 << 20)
    if not data.startswith(b"ply") or end < 0:
        raise InputError(f"{path}: not a PLY file: it has no header; export the mesh again")
    size = data.find(b"\n", end) + 1
    header = _Header("", [], [], size or len(data))
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        words = line.split()
        try:
            _header_line(path, header, words)
        except InputError:
            raise
        except (IndexError, ValueError, KeyError):
            raise InputError(f"{path}: the PLY header line '{line[:60]}' is not understood; export it again") from None
    return header


def _header_line(path: Path, header: _Header, words: list[str]) -> None:
    if not words or words[0] == "obj_info":
        return
    if words[0] == "format":
        header.byte_order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[words[1]]
    elif words[0] == "comment":
        header.comments.append(" ".join(words[1:]))
    elif words[0] == "element":
        count = int(words[2])
        if not 0 <= count <= _MAX_ITEMS:
            raise InputError(f"{path}: {count} {words[1]} elements announced, at most {_MAX_ITEMS} can be used")
        header.elements.append(_Element(words[1], count))
    elif words[0] == "property" and words[1] == "list":
        header.elements[-1].properties.append(_Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
    elif words[0] == "property":
        header.elements[-1].properties.append(_Property(words[2], _TYPES[words[1]]))
    else:
        raise ValueError(words[0])


def _truncated(path: Path, element: _Element) -> InputError:
    return InputError(
        f"{path}: cut short: it ends before its {element.count} {element.name} elements do; copy or export it again"
    )


def _read_binary(
    path: Path, body: bytes, offset: int, element: _Element, header: _Header
) -> tuple[_Plain, _Lists, int]:
    order, properties = header.byte_order, element.properties
    if not properties or not element.count:
        return _split_columns(element, {})
    lengths = _constant_lengths(path, body, offset, element, order)
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for item in properties:
        if item.count_dtype is None:
            fields.append((item.name, order + item.dtype))
        else:
            fields.append((f"#{item.name}", order + item.count_dtype))
            fields.append((item.name, order + item.dtype, (lengths[item.name],)))
    row = np.dtype(fields)
    if len(body) - offset >= row.itemsize * element.count:
        table = np.frombuffer(body, dtype=row, count=element.count, offset=offset)
        if all((table[f"#{name}"] == length).all() for name, length in lengths.items()):
            columns = {name: table[name] for name in table.dtype.names or ()}
            plain, lists, _ = _split_columns(element, columns)
            return plain, lists, offset + row.itemsize * element.count
    if not lengths:
        raise _truncated(path, element)
    return _read_binary_slowly(path, body, offset, element, order)


def _constant_lengths(path: Path, body: bytes, offset: int, element: _Element, order: str) -> dict[str, int]:
    """Lengths of the first row's lists: nearly every file has the same in every row."""
    lengths: dict[str, int] = {}
    for item in element.properties:
        if item.count_dtype is not None:
            size = np.dtype(item.count_dtype).itemsize
            if offset + size > len(body):
                raise _truncated(path, element)
            lengths[item.name] = int(np.frombuffer(body, order + item.count_dtype, 1, offset)[0])
            offset += size + max(lengths[item.name], 0) * np.dtype(item.dtype).itemsize
            if lengths[item.name] < 0 or offset > len(body):
                raise _truncated(path, element)
        else:
            offset += np.dtype(item.dtype).itemsize
    return lengths


def _split_columns(element: _Element, columns: dict[str, NDArray[np.float64]]) -> tuple[_Plain, _Lists, int]:
    plain: _Plain = {}
    lists: _Lists = {}
    for item in element.properties:
        values = np.asarray(columns.get(item.name, np.zeros(0)))
        if item.count_dtype is None:
            plain[item.name] = values.astype(np.float64)
        else:
            length = values.shape[1] if values.ndim == 2 else 0
            lists[item.name] = (values.reshape(-1).astype(np.float64), np.full(len(values), length, np.int64))
    return plain, lists, 0


def _read_binary_slowly(
    path: Path, body: bytes, offset: int, element: _Element, order: str
) -> tuple[_Plain, _Lists, int]:
    """Rows of varying length, such as triangles mixed with quads."""
    rows: dict[str, list[NDArray[np.float64]]] = {item.name: [] for item in element.properties}
    kinds = [
        (item.name, np.dtype(order + item.dtype), item.count_dtype and np.dtype(order + item.count_dtype))
        for item in element.properties
    ]
    try:
        for _ in range(element.count):
            for name, dtype, count_dtype in kinds:
                count = 1
                if count_dtype:
                    count = int(np.frombuffer(body, count_dtype, 1, offset)[0])
                    offset += count_dtype.itemsize
                if count < 0 or offset + count * dtype.itemsize > len(body):
                    raise _truncated(path, element)
                rows[name].append(np.frombuffer(body, dtype, count, offset))
                offset += count * dtype.itemsize
    except ValueError:
        raise _truncated(path, element) from None
    plain: _Plain = {}
    lists: _Lists = {}
    for item in element.properties:
        values = np.concatenate(rows[item.name]).astype(np.float64)
        if item.count_dtype is None:
            plain[item.name] = values
        else:
            lists[item.name] = (values, np.array([len(row) for row in rows[item.name]], dtype=np.int64))
    return plain, lists, offset


def _read_ascii(path: Path, tokens: list[bytes], offset: int, element: _Element) -> tuple[_Plain, _Lists, int]:
    plain_rows: dict[str, list[bytes]] = {item.name: [] for item in element.properties}
    lengths: dict[str, list[int]] = {item.name: [] for item in element.properties if item.count_dtype}
    try:
        for _ in range(element.count):
            for item in element.properties:
                count = 1
                if item.count_dtype is not None:
                    count = int(tokens[offset])
                    lengths[item.name].append(count)
                    offset += 1
                if count < 0 or offset + count > len(tokens):
                    raise _truncated(path, element)
                plain_rows[item.name].extend(tokens[offset : offset + count])
                offset += count
        columns = {name: np.array(values, dtype=np.bytes_).astype(np.float64) for name, values in plain_rows.items()}
    except InputError:
        raise
    except IndexError:
        raise _truncated(path, element) from None
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in its {element.name} lines ({error}); export it again") from None
    lists = {name: (columns[name], np.array(lengths[name], dtype=np.int64)) for name in lengths}
    return {name: column for name, column in columns.items() if name not in lengths}, lists, offset


def _to_mesh(path: Path, header: _Header, plain: dict[str, _Plain], lists: dict[str, _Lists]) -> Mesh:
    vertex, face = plain.get("vertex", {}), plain.get("face", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise InputError(f"{path}: expected vertices with x, y and z in it; export the mesh again")
    vertices = np.stack([vertex["x"], vertex["y"], vertex["z"]], axis=1).astype(np.float32)
    face_lists = lists.get("face", {})
    polygons = face_lists.get("vertex_indices", face_lists.get("vertex_index", (np.zeros(0), np.zeros(0, np.int64))))
    fan, owner = fan_triangles(polygons[1])
    faces = polygons[0].astype(np.int64)[fan].astype(np.int32)
    uvs, faces_uv = _texture_coordinates(vertex, face_lists, polygons[1], fan, faces)
    parts, order = _parts(header.comments, face.get("part"), owner)
    faces, faces_uv = faces[order], faces_uv[order] if faces_uv is not None else None
    colors = None if uvs is not None and _texture_name(header) else _colors(vertex)
    return Mesh(vertices, faces, uvs, faces_uv, colors, parts, _materials(path, header, parts))


def _texture_coordinates(
    vertex: _Plain, face_lists: _Lists, counts: NDArray[np.int64], fan: NDArray[np.int64], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float32] | None, NDArray[np.int32] | None]:
    for u, v in _UV_NAMES:
        if u in vertex and v in vertex:
            return np.stack([vertex[u], vertex[v]], axis=1).astype(np.float32), faces.copy()
    values, lengths = face_lists.get("texcoord", (np.zeros(0), np.zeros(0, np.int64)))
    if len(values) and np.array_equal(lengths, 2 * counts):
        return values.reshape(-1, 2).astype(np.float32), fan.astype(np.int32)
    return None, None


def _colors(vertex: _Plain) -> NDArray[np.float32] | None:
    for names in (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")):
        if all(name in vertex for name in names):
            colors = np.stack([vertex[name] for name in names], axis=1)
            return (colors / (255.0 if colors.max(initial=0) > 1.0 else 1.0)).clip(0, 1).astype(np.float32)
    return None


def _parts(
    comments: list[str], part: NDArray[np.float64] | None, owner: NDArray[np.int64]
) -> tuple[tuple[MeshPart, ...], NDArray[np.int64]]:
    """Parts, and the order that puts the faces of each one together."""
    if part is None:
        return (MeshPart("mesh", 0, len(owner), 0),), np.arange(len(owner))
    labels = {int(words[1]): " ".join(words[2:]) for words in map(str.split, comments) if _is_part_comment(words)}
    index = part.astype(np.int64)[owner]
    order = np.argsort(index, kind="stable")
    values, first, counts = np.unique(index[order], return_index=True, return_counts=True)
    rows = zip(values.tolist(), first.tolist(), counts.tolist(), strict=True)
    parts = [MeshPart(labels.get(v, f"part{v}"), a, n, i) for i, (v, a, n) in enumerate(rows)]
    return tuple(parts), order


def _is_part_comment(words: list[str]) -> bool:
    return len(words) >= 3 and words[0] == "part" and words[1].isdecimal()


def _texture_name(header: _Header) -> str | None:
    for comment in header.comments:
        word, _, name = comment.partition(" ")
        if word == "TextureFile" and name.strip():
            return name.strip()
    return None


def _materials(path: Path, header: _Header, parts: tuple[MeshPart, ...]) -> tuple[Material, ...]:
    name = _texture_name(header)
    picture = path.parent / Path(name.replace("\\", "/")).name if name else None
    texture = load_texture(picture, str(picture)) if picture is not None and picture.is_file() else None
    base = (1.0, 1.0, 1.0, 1.0) if texture is not None else (0.8, 0.8, 0.8, 1.0)
    return tuple(Material(part.name, base, texture) for part in parts) or (Material(),)
