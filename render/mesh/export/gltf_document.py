"""A glTF document to be written: the JSON and one buffer of an opened file, or an empty one, that things are added to.

What a file holds stays as it is, byte for byte where it was a plain .glb. Compressed geometry is written plainly,
neighbouring files are taken in.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from render.mesh.gltf_buffers import GltfFile, NotBesideError, damage_told
from render.mesh.gltf_compression import DRACO, MESHOPT

log = logging.getLogger(__name__)

FLOAT, UNSIGNED, SHORT = 5126, 5125, 5123
VERTICES, INDICES = 34962, 34963  # what a bufferView is for
_COMPONENTS = {np.dtype("<f4"): FLOAT, np.dtype("<u4"): UNSIGNED, np.dtype("<u2"): SHORT, np.dtype("u1"): 5121}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_WORD = 4  # bytes: what glTF aligns arrays to
_USE_NO_ARRAYS = ("VRM", "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_mesh_quantization")
_MAGIC, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
_PICTURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"\xabKTX", "image/ktx2"),
)


class GltfDocument:
    """A document under way; `to_glb` is what becomes of it."""

    def __init__(self, generator: str) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0", "generator": generator}}
        self._binary = bytearray()
        self._nothing: dict[int, int] = {}

    @staticmethod
    def of(gltf: GltfFile) -> GltfDocument:
        """What an opened file holds. Raises InputError where that is damaged."""
        document = GltfDocument("")
        document.json = copy.deepcopy(gltf.json)
        with damage_told(gltf.path, "its buffers are"):
            document._take_buffers(gltf)
            document._take_draco(gltf)
            document._take_pictures(gltf)
        return document

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The document's list of `kind`, such as nodes; made where there is none."""
        entries: list[dict[str, Any]] = self.json.setdefault(kind, [])
        return entries

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Append to a list; the number of the new entry."""
        self.entries(kind).append(entry)
        return len(self.entries(kind)) - 1

    def add_view(self, data: bytes, target: int | None = None) -> int:
        """Bytes as a bufferView of their own."""
        self._binary.extend(b"\0" * (-len(self._binary) % 4))
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data)}
        self._binary.extend(data)
        return self.add("bufferViews", view | ({} if target is None else {"target": target}))

    def add_array(self, values: NDArray[Any], target: int | None = VERTICES, *, bounds: bool = False) -> int:
        """An accessor of values [n] or [n, width] (float32, or unsigned of 1, 2, 4 bytes). `bounds`: with their least
        and greatest, as positions must have them."""
        values = np.ascontiguousarray(values)
        rows = values.reshape(len(values), -1)
        accessor: dict[str, Any] = {
            "bufferView": self._rows_view(rows, target),
            "componentType": _COMPONENTS[rows.dtype],
            "count": len(rows),
            "type": _TYPES[rows.shape[1]],
        }
        if bounds:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return self.add("accessors", accessor)

    def _rows_view(self, rows: NDArray[Any], target: int | None) -> int:
        """A view of rows [n, width]; vertex data of less than four bytes a row is spread out to them, as glTF wants."""
        width = rows.shape[1] * rows.dtype.itemsize
        spare = -width % 4 if target == VERTICES else 0
        if not spare:
            return self.add_view(rows.tobytes(), target)
        padded = np.zeros((len(rows), width + spare), dtype=np.uint8)
        padded[:, :width] = rows.view(np.uint8).reshape(len(rows), width)
        number = self.add_view(padded.tobytes(), target)
        self.json["bufferViews"][number]["byteStride"] = width + spare
        return number

    def add_indices(self, faces: NDArray[np.integer[Any]]) -> int:
        """Triangles [f, 3], in two bytes where that is enough."""
        kind = "<u2" if int(faces.max(initial=0)) < 65535 else "<u4"
        return self.add_array(faces.reshape(-1).astype(kind), INDICES)

    def add_picture(self, pixels: NDArray[np.uint8], name: str) -> int:
        """[h, w, 3 or 4] pixels as an embedded PNG and a texture of it; the number of the texture."""
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        view = self.add_view(data.getvalue())
        image = self.add("images", {"name": name, "mimeType": "image/png", "bufferView": view})
        return self.add("textures", {"source": image})

    def add_target(
        self, count: int, rows: NDArray[np.int64], moved: NDArray[Any], normals: NDArray[Any] | None
    ) -> dict[str, int]:
        """A morph target of a primitive of `count` vertices, sparse: displacement [n, 3] of the vertices `rows` [n]
        (rising), and of their normals where these are given, too. Where nothing moves it is an array of zeros without
        data, one for all such targets of that size."""
        if not len(rows):
            if count not in self._nothing:
                zeros = {"componentType": FLOAT, "count": count, "type": "VEC3", "min": [0, 0, 0], "max": [0, 0, 0]}
                self._nothing[count] = self.add("accessors", zeros)
            number = self._nothing[count]
            return {"POSITION": number} | ({} if normals is None else {"NORMAL": number})
        index = self.add_view(rows.astype("<u2" if count <= 65535 else "<u4").tobytes())
        target = {"POSITION": self._sparse(count, len(rows), index, moved, bounds=True)}
        if normals is not None:
            target["NORMAL"] = self._sparse(count, len(rows), index, normals, bounds=False)
        return target

    def _sparse(self, count: int, used: int, index: int, values: NDArray[Any], *, bounds: bool) -> int:
        values = values.astype("<f4")
        accessor: dict[str, Any] = {"componentType": FLOAT, "count": count, "type": "VEC3"}
        if bounds:
            all_ = values if used == count else np.concatenate([values, np.zeros((1, 3), dtype="<f4")])
            accessor |= {"min": all_.min(axis=0).tolist(), "max": all_.max(axis=0).tolist()}
        accessor["sparse"] = {
            "count": used,
            "indices": {"bufferView": index, "componentType": SHORT if count <= 65535 else UNSIGNED},
            "values": {"bufferView": self.add_view(values.tobytes())},
        }
        return self.add("accessors", accessor)

    def opened(self) -> GltfFile:
        """The document as it is now, to be read; it shares the JSON."""
        self.json["buffers"] = [{"byteLength": len(self._binary)}]
        return GltfFile(Path("the file being made"), self.json, bytes(self._binary))

    def to_glb(self) -> bytes:
        """The whole file."""
        self._binary.extend(b"\0" * (-len(self._binary) % 4))
        content = dict(self.json)
        if self._binary:
            content["buffers"] = [{"byteLength": len(self._binary)}]
        else:
            content.pop("buffers", None)
        for scene in content.get("scenes", []):
            if not scene.get("nodes", [0]):  # glTF forbids it, exporters write it
                del scene["nodes"]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        binary = struct.pack("<II", len(self._binary), _BINARY_CHUNK) + self._binary if self._binary else b""
        length = 20 + len(text) + len(binary)
        return struct.pack("<IIIII", _MAGIC, 2, length, len(text), _JSON_CHUNK) + text + binary

    def _take_buffers(self, gltf: GltfFile) -> None:
        views = self.json.get("bufferViews", [])
        packed = [name for name in MESHOPT if any(name in view.get("extensions", {}) for view in views)]
        buffers = self.json.get("buffers", [])
        if gltf.binary is not None and len(buffers) == 1 and "uri" not in buffers[0] and not packed:
            self._binary.extend(gltf.binary[: int(buffers[0]["byteLength"])])
            return
        for number, view in enumerate(views):
            data = bytes(gltf.view_bytes(number))
            self._binary.extend(b"\0" * (-len(self._binary) % 16))
            view |= {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data)}
            self._binary.extend(data)
            _without(view, packed)
        for name in packed:
            self.drop_extension(name)

    def _take_draco(self, gltf: GltfFile) -> None:
        """Draco's geometry as plain accessors. The extension goes."""
        done: set[int] = set()
        for mesh in self.json.get("meshes", []):
            for primitive in mesh.get("primitives", []):
                if DRACO not in primitive.get("extensions", {}):
                    continue
                gltf.unpack(primitive)
                numbers = [*primitive["attributes"].values()] + [primitive[k] for k in ("indices",) if k in primitive]
                changed = _skin_weights(gltf, primitive["attributes"])
                for number in set(numbers) - done:
                    target = INDICES if number == primitive.get("indices") else VERTICES
                    self._write_plainly(gltf, number, target, changed.get(number))
                    done.add(number)
                _without(primitive, [DRACO])
        if done:
            self.drop_extension(DRACO)

    def _write_plainly(
        self, gltf: GltfFile, number: int, target: int, changed: NDArray[np.float32] | None = None
    ) -> None:
        accessor = self.json["accessors"][number]
        if "bufferView" in accessor or "sparse" in accessor:
            return
        values = gltf.accessor(number) if changed is None else changed
        if accessor.pop("normalized", False) or changed is not None:
            accessor["componentType"] = FLOAT
        if len(values):  # what was packed had other bounds: packing rounds
            rows = values.reshape(len(values), -1)
            for bound, found in (("min", rows.min(axis=0)), ("max", rows.max(axis=0))):
                if bound in accessor:
                    accessor[bound] = found.tolist()
        accessor["bufferView"] = self._rows_view(np.ascontiguousarray(values), target)
        accessor.pop("byteOffset", None)

    def _take_pictures(self, gltf: GltfFile) -> None:
        for image in self.json.get("images", []):
            if "uri" not in image or str(image["uri"]).startswith("data:"):
                continue
            try:
                data = gltf.image_bytes(image)
            except NotBesideError as error:
                log.warning("%s; the rigged file lacks it, too", error)
                continue
            kind = next((mime for start, mime in _PICTURES if data.startswith(start)), None)
            if kind is None:
                log.warning("%s: %s is neither PNG nor JPEG and stays beside the file", gltf.path, image["uri"])
                continue
            image.setdefault("name", str(image.pop("uri")))
            image |= {"bufferView": self.add_view(data), "mimeType": kind}

    def drop_arrays(self, accessors: set[int]) -> None:
        """Take those of these accessors away, with their bytes, that nothing uses any more. All stay where the file has
        extensions that may use accessors in ways not known here."""
        if not all(name.startswith(_USE_NO_ARRAYS) for name in self.json.get("extensionsUsed", [])):
            return
        places = list(self._array_places())
        gone = accessors - {place[key] for place, key in places}
        if not gone:
            return
        kept = [entry for number, entry in enumerate(self.json["accessors"]) if number not in gone]
        lost = {v["bufferView"] for number in gone for v in _view_places(self.json["accessors"][number])}
        images = [image for image in self.json.get("images", []) if "bufferView" in image]
        view_places = [place for entry in kept for place in _view_places(entry)] + images
        _renumber(places, len(self.json["accessors"]), gone)
        self.json["accessors"] = kept
        self._nothing.clear()
        self._drop_views(lost - {place["bufferView"] for place in view_places}, view_places)

    def _array_places(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Wherever the document names an accessor: an object and the key in it."""
        for mesh in self.json.get("meshes", []):
            for primitive in mesh["primitives"]:
                primitive["attributes"] = dict(primitive["attributes"])  # each one's own, to be renumbered once
                if "targets" in primitive:
                    primitive["targets"] = [dict(target) for target in primitive["targets"]]
                for named in (primitive["attributes"], *primitive.get("targets", [])):
                    yield from ((named, key) for key in named)
                if "indices" in primitive:
                    yield primitive, "indices"
        yield from (
            (skin, "inverseBindMatrices") for skin in self.json.get("skins", []) if "inverseBindMatrices" in skin
        )
        for animation in self.json.get("animations", []):
            for sampler in animation["samplers"]:
                yield from ((sampler, key) for key in ("input", "output"))

    def _drop_views(self, gone: set[int], places: list[dict[str, Any]]) -> None:
        """Take bufferViews away, and of their bytes those that no other has. What is left stays aligned to words."""
        if not gone:
            return
        views = self.json["bufferViews"]
        stays = np.ones(-(-len(self._binary) // _WORD), dtype=bool)
        for dropped in (True, False):
            for number, view in enumerate(views):
                if (number in gone) == dropped:
                    first = view.get("byteOffset", 0)
                    start = -(-first // _WORD) if dropped else first // _WORD
                    stays[start : -(-(first + view["byteLength"]) // _WORD)] = not dropped
        self._binary.extend(b"\0" * (-len(self._binary) % _WORD))
        before = np.concatenate([[0], np.cumsum(~stays)])
        self._binary = bytearray(np.frombuffer(self._binary, dtype=np.uint8).reshape(-1, _WORD)[stays].tobytes())
        _renumber([(place, "bufferView") for place in places], len(views), gone)
        self.json["bufferViews"] = [view for number, view in enumerate(views) if number not in gone]
        for view in self.json["bufferViews"]:
            first = view.get("byteOffset", 0)
            view["byteOffset"] = first - _WORD * int(before[first // _WORD])

    def drop_extension(self, name: str) -> None:
        """Forget an extension that nothing uses any more."""
        for kind in ("extensionsUsed", "extensionsRequired"):
            left = [each for each in self.json.get(kind, []) if each != name]
            if left:
                self.json[kind] = left
            else:
                self.json.pop(kind, None)


def _view_places(accessor: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of an accessor that name a bufferView."""
    sparse = accessor.get("sparse")
    return [
        each for each in (accessor, *((sparse["indices"], sparse["values"]) if sparse else ())) if "bufferView" in each
    ]


def _renumber(places: list[tuple[dict[str, Any], str]], count: int, gone: set[int]) -> None:
    """Let every place name its entry by its number among those of `count` that are left."""
    stays = np.array([number not in gone for number in range(count)])
    number = (np.cumsum(stays) - 1).tolist()
    for place, key in places:
        place[key] = number[place[key]]


def _without(entry: dict[str, Any], names: list[str] | tuple[str, ...]) -> None:
    """Take extensions away from an entry."""
    kept = {name: value for name, value in entry.get("extensions", {}).items() if name not in names}
    entry.pop("extensions", None)
    if kept:
        entry["extensions"] = kept


def _skin_weights(gltf: GltfFile, attributes: Mapping[str, int]) -> dict[int, NDArray[np.float32]]:
    """Accessors of a primitive's skin weights → values [N, 4] that sum to one at each vertex, as glTF wants it: packing
    rounds them."""
    numbers = [number for name, number in attributes.items() if name.startswith("WEIGHTS_")]
    values = [np.asarray(gltf.accessor(number), np.float32) for number in numbers]
    if not values:
        return {}
    total = np.sum([each.sum(axis=1) for each in values], axis=0)
    total[total <= 0] = 1.0
    return {number: each / total[:, None] for number, each in zip(numbers, values, strict=True)}
