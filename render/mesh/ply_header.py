"""The header of a PLY file: what it announces, checked before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.errors import InputError
from core.mesh import MAX_FACES, MAX_VERTICES

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_MOST = {"vertex": MAX_VERTICES, "face": MAX_FACES}
_MOST_OTHERS = 20_000_000
_MOST_ELEMENTS, _MOST_PROPERTIES = 32, 256
_LARGEST_HEADER = 1 << 20


@dataclass
class PlyProperty:
    name: str
    dtype: str
    count_dtype: str | None = None  # set for lists


@dataclass
class PlyElement:
    name: str
    count: int
    properties: list[PlyProperty] = field(default_factory=list)


@dataclass
class PlyHeader:
    """byte_order: "" for ascii, "<" or ">"; size: bytes of the header."""

    byte_order: str
    elements: list[PlyElement]
    comments: list[str]
    size: int


def read_ply_header(path: Path, data: bytes) -> PlyHeader:
    """Raises InputError where it is none, or announces more than can be used."""
    end = data.find(b"end_header", 0, _LARGEST_HEADER)
    if not data.startswith(b"ply") or end < 0:
        raise InputError(f"{path}: not a PLY file: it has no header; export the mesh again")
    size = data.find(b"\n", end) + 1
    header = PlyHeader("", [], [], size or len(data))
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        try:
            _take_line(path, header, line.split())
        except InputError:
            raise
        except (IndexError, ValueError, KeyError):
            raise InputError(
                f"{path}: the PLY header line '{line[:60].strip()}' is not understood; export it again"
            ) from None
    return header


def _take_line(path: Path, header: PlyHeader, words: list[str]) -> None:
    if not words or words[0] == "obj_info":
        return
    if words[0] == "format":
        header.byte_order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[words[1]]
    elif words[0] == "comment":
        header.comments.append(" ".join(words[1:]))
    elif words[0] == "element":
        name, count = words[1], int(words[2])
        most = _MOST.get(name, _MOST_OTHERS)
        if not 0 <= count <= most:
            raise InputError(
                f"{path}: {count} {name} elements announced, at most {most} can be used; simplify the mesh"
            )
        if len(header.elements) >= _MOST_ELEMENTS or name in {element.name for element in header.elements}:
            raise ValueError(name)
        header.elements.append(PlyElement(name, count))
    elif words[0] == "property":
        _add_property(header.elements[-1], words)
    else:
        raise ValueError(words[0])


def _add_property(element: PlyElement, words: list[str]) -> None:
    if words[1] == "list":
        count_dtype = _TYPES[words[2]]
        if count_dtype[0] == "f":
            raise ValueError(words[2])
        added = PlyProperty(words[4], _TYPES[words[3]], count_dtype)
    else:
        added = PlyProperty(words[2], _TYPES[words[1]])
    if len(element.properties) >= _MOST_PROPERTIES or added.name in {item.name for item in element.properties}:
        raise ValueError(added.name)
    element.properties.append(added)
