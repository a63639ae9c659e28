"""The container side of glTF: JSON, binary chunks, buffers and accessors, every size checked before it is used."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MAX_VERTICES
from core.untrusted import parse_json, read_bytes
from render.mesh.gltf_compression import DRACO, MESHOPT, draco_arrays, meshopt_bytes

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_MAX_ITEMS = 60_000_000
_MAX_ITEMS_OF_NOTHING = (
    3 * MAX_VERTICES
)  # of arrays without data, which are zeros: some exporters write them for morphs
_MAX_BUFFER = 1 << 30
_MAX_NODES = 100_000


class NotBesideError(InputError):
    """A file that a glTF file names is not there."""


@dataclass
class GltfFile:
    """An opened glTF file. Methods raise InputError where the file does not hold what it says."""

    path: Path
    json: dict[str, Any]
    binary: bytes | None
    _buffers: dict[int, bytes] = field(default_factory=dict)
    _files: dict[Path, bytes] = field(default_factory=dict)
    _unpacked_views: dict[int, bytes] = field(default_factory=dict)
    _unpacked_accessors: dict[int, NDArray[Any]] = field(default_factory=dict)

    def entry(self, kind: str, index: int) -> dict[str, Any]:
        """Object `index` of one of the file's lists, such as nodes."""
        entries = self.json.get(kind, [])
        if not isinstance(index, int) or not 0 <= index < len(entries):
            raise InputError(f"{self.path}: it refers to number {index} of its {len(entries)} {kind}; export it again")
        entry = entries[index]
        if not isinstance(entry, dict):
            raise InputError(f"{self.path}: number {index} of its {kind} is not an object; export it again")
        return entry

    def accessor(self, index: int) -> NDArray[Any]:
        """[count, width] values, normalised integers as float32."""
        accessor = self.entry("accessors", index)
        count, width = int(accessor["count"]), _WIDTHS[accessor["type"]]
        if not 0 <= count * width <= (_MAX_ITEMS if "bufferView" in accessor else _MAX_ITEMS_OF_NOTHING):
            raise InputError(f"{self.path}: an array of {count}x{width} numbers is announced; that is too large")
        dtype = np.dtype(_COMPONENTS[accessor["componentType"]])
        if index in self._unpacked_accessors:
            values = self._unpacked_accessors[index]
            if values.shape != (count, width):
                raise InputError(
                    f"{self.path}: {count}x{width} numbers are announced, its Draco-compressed geometry holds "
                    f"{'x'.join(map(str, values.shape))}; export it again"
                )
            values = values.astype(dtype)
        elif "bufferView" in accessor:
            values = self._strided(accessor["bufferView"], int(accessor.get("byteOffset", 0)), dtype, count, width)
        else:
            values = np.zeros((count, width), dtype=dtype)
        if "sparse" in accessor:
            values = self._with_sparse(values, accessor["sparse"], dtype, width)
        return _normalised(values) if accessor.get("normalized", False) else values

    def _with_sparse(
        self, values: NDArray[Any], sparse: dict[str, Any], dtype: np.dtype[Any], width: int
    ) -> NDArray[Any]:
        count, where, what = int(sparse["count"]), sparse["indices"], sparse["values"]
        index_type = np.dtype(_COMPONENTS[where["componentType"]])
        rows = self._strided(where["bufferView"], int(where.get("byteOffset", 0)), index_type, count, 1)[:, 0]
        if count and (rows.min() < 0 or rows.max() >= len(values)):
            raise InputError(f"{self.path}: a sparse array writes past its end; export it again")
        values = values.copy()
        values[rows] = self._strided(what["bufferView"], int(what.get("byteOffset", 0)), dtype, count, width)
        return values

    def _strided(self, view_index: int, offset: int, dtype: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
        view, data = self.entry("bufferViews", view_index), self.view_bytes(view_index)
        row = dtype.itemsize * width
        stride = int(view.get("byteStride", row)) or row
        if offset < 0 or (count and (stride < row or offset + stride * (count - 1) + row > len(data))):
            raise InputError(f"{self.path}: cut short: an array of {count} entries runs past its data; export it again")
        shape, strides = (count, width), (stride, dtype.itemsize)
        return np.ndarray(shape, dtype, data, offset, strides) if count else np.zeros(shape, dtype)

    def view_bytes(self, index: int) -> memoryview:
        """The bytes of a bufferView, not copied; unpacked where meshopt has packed them."""
        view = self.entry("bufferViews", index)
        packed = next((view["extensions"][name] for name in MESHOPT if name in view.get("extensions", {})), None)
        if packed is None:
            return self._part_of_buffer(view)
        if index not in self._unpacked_views:
            room = _MAX_BUFFER - sum(map(len, self._unpacked_views.values()))
            if int(packed["count"]) * int(packed["byteStride"]) > room:
                raise InputError(f"{self.path}: more than {_MAX_BUFFER >> 20} MB when unpacked; export only the head")
            self._unpacked_views[index] = meshopt_bytes(self.path, self._part_of_buffer(packed), packed)
        return memoryview(self._unpacked_views[index])

    def unpack(self, primitive: dict[str, Any]) -> None:
        """Make the accessors of a Draco-compressed primitive readable; nothing for any other."""
        draco = primitive.get("extensions", {}).get(DRACO)
        attributes = primitive["attributes"]
        if draco is None or "bufferView" in self.entry("accessors", attributes["POSITION"]):
            return  # some files hold the plain numbers as well
        named = {name: int(number) for name, number in draco["attributes"].items() if name in attributes}
        arrays, indices = draco_arrays(self.path, self.view_bytes(draco["bufferView"]), named)
        self._unpacked_accessors |= {attributes[name]: values for name, values in arrays.items()}
        if "indices" in primitive:
            self._unpacked_accessors[primitive["indices"]] = indices[:, None]

    def _part_of_buffer(self, view: dict[str, Any]) -> memoryview:
        buffer = self._buffer(int(view["buffer"]))
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        if start < 0 or length < 0 or start + length > len(buffer):
            raise InputError(
                f"{self.path}: cut short: {start + length} bytes of geometry announced, {len(buffer)} are there; "
                "copy or export it again"
            )
        return memoryview(buffer)[start : start + length]

    def image_bytes(self, image: dict[str, Any]) -> bytes:
        """The bytes of an embedded or neighbouring picture file."""
        if "bufferView" in image:
            return bytes(self.view_bytes(image["bufferView"]))
        return self._read_uri(str(image["uri"]))

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            buffer = self.entry("buffers", index)
            if "uri" in buffer:
                self._buffers[index] = self._read_uri(str(buffer["uri"]))
            elif index == 0 and self.binary is not None:
                self._buffers[index] = self.binary
            else:
                raise InputError(f"{self.path}: its geometry is missing (buffer {index} has no data); export it again")
        return self._buffers[index]

    def _read_uri(self, uri: str) -> bytes:
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except (binascii.Error, ValueError):
                raise InputError(f"{self.path}: data embedded in it is damaged; export it again") from None
        name = unquote(uri)
        folder = self.path.parent.resolve()
        target = (folder / name).resolve()
        if not target.is_relative_to(folder):
            raise InputError(f"{self.path}: it asks for {name}, outside its own folder; put that file beside it")
        if not target.is_file():
            raise NotBesideError(f"{self.path}: it needs {name}, which is not beside it; copy that file too")
        if target not in self._files:
            self._files[target] = read_bytes(target, _MAX_BUFFER - sum(map(len, self._files.values())))
        return self._files[target]


def _normalised(values: NDArray[Any]) -> NDArray[np.float32]:
    scaled = values.astype(np.float32)
    if values.dtype.kind != "f":
        scaled = np.maximum(scaled / np.float32(np.iinfo(values.dtype).max), np.float32(-1.0))
    return np.asarray(scaled, dtype=np.float32)


@contextmanager
def damage_told(path: Path, what: str) -> Iterator[None]:
    """Turns whatever a damaged file breaks inside into one InputError; `what` "is" or "are" damaged."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, struct.error) as error:
        raise InputError(f"{path}: {what} damaged ({type(error).__name__}: {error}); export it again") from None


def read_gltf_file(path: Path) -> GltfFile:
    """Open a .glb or .gltf file; the first bytes decide which it is. Raises InputError."""
    data = path.read_bytes()
    text, binary = _split_glb(path, data) if data[:4] == b"glTF" else (data, None)
    content = parse_json(text, str(path), _MAX_BUFFER)  # pictures and geometry may stand in it as text
    if not isinstance(content, dict) or not str(content.get("asset", {}).get("version", "")).startswith("2"):
        raise InputError(f"{path}: expected glTF version 2; export it again as glTF 2.0")
    if len(content.get("nodes", [])) > _MAX_NODES:
        raise InputError(f"{path}: more than {_MAX_NODES} nodes; export only the head")
    return GltfFile(path, content, binary)


def _split_glb(path: Path, data: bytes) -> tuple[bytes, bytes | None]:
    if len(data) < 20:
        raise InputError(f"{path}: cut short: only {len(data)} bytes; copy or export it again")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise InputError(f"{path}: expected glTF version 2, got {version}; export it again as glTF 2.0")
    if length > len(data):
        raise InputError(f"{path}: cut short: {length} bytes announced, {len(data)} are there; copy or export it again")
    text, binary, offset = b"", None, 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<II", data, offset)
        chunk = data[offset + 8 : offset + 8 + size]
        if len(chunk) < size:
            raise InputError(f"{path}: cut short inside a chunk of {size} bytes; copy or export it again")
        if kind == _JSON_CHUNK:
            text = chunk
        elif kind == _BINARY_CHUNK and binary is None:
            binary = chunk
        offset += 8 + size
    return text, binary
