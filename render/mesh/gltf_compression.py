"""What glTF files are compressed with, unpacked by packages that are imported only where a file needs them.

Geometry: EXT_meshopt_compression (and its KHR twin) and KHR_draco_mesh_compression; pictures: KTX2 with Basis
Universal in it. WebP pictures need none of this.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, MissingExtraError
from core.mesh import MAX_FACES, MAX_VERTICES

EXTRA = "compressed"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
DRACO = "KHR_draco_mesh_compression"
KTX2 = "KHR_texture_basisu"
KTX2_START = b"\xabKTX 20\xbb\r\n\x1a\n"


def _library(module: str, what: str, command: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        undone = f"(which  npx @gltf-transform/cli {command} IN.glb OUT.glb  undoes, too)"
        raise MissingExtraError(EXTRA, f"{what} {undone}") from None


def meshopt_bytes(path: Path, packed: memoryview, stated: dict[str, Any]) -> bytes:
    """A bufferView as it was before meshopt packed it; `stated` is the view's extension object. Raises InputError."""
    meshopt = _library("meshopt", f"{path}: meshopt-compressed geometry", "copy")
    count, size, mode = int(stated["count"]), int(stated["byteStride"]), str(stated["mode"])
    if not 0 < count <= 3 * MAX_FACES or not 0 < size <= 256:
        raise InputError(f"{path}: {count} compressed entries of {size} bytes are announced; that is too large")
    try:
        unpacked = meshopt.decode_gltf_buffer(packed, count, size, mode, stated.get("filter", "NONE"))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: its meshopt-compressed geometry is damaged ({error}); export it again") from None
    return bytes(np.ascontiguousarray(unpacked).tobytes())


def draco_arrays(path: Path, packed: memoryview, named: dict[str, int]) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """A Draco mesh's attributes [V, width] by the names that `named` gives their ids, and its indices [3F]."""
    library = _library("DracoPy", f"{path}: Draco-compressed geometry", "copy")
    try:
        mesh = library.decode(bytes(packed))
        attributes = {int(each["unique_id"]): np.asarray(each["data"]) for each in mesh.attributes}
        indices = np.asarray(mesh.faces).reshape(-1)
    except (ValueError, RuntimeError, AttributeError, library.FileTypeException) as error:
        raise InputError(f"{path}: its Draco-compressed geometry is damaged ({error}); export it again") from None
    if any(len(values) > MAX_VERTICES for values in attributes.values()) or len(indices) > 3 * MAX_FACES:
        raise InputError(f"{path}: at most {MAX_VERTICES} vertices can be used; export only the head")
    if missing := [name for name, number in named.items() if number not in attributes]:
        raise InputError(f"{path}: its Draco-compressed geometry holds no {', '.join(missing)}; export it again")
    return {name: attributes[number] for name, number in named.items()}, indices


def ktx2_pixels(data: bytes, label: str, largest_pixels: int) -> NDArray[np.uint8]:
    """[h, w, 3 or 4] of a KTX2 picture with Basis Universal in it. Raises InputError."""
    library = _library("opengl_basisu", f"{label}: a picture in KTX2", "ktxdecompress")
    try:
        texture = library.open(data)
        if texture.width * texture.height > largest_pixels:
            raise InputError(f"{label}: the picture is {texture.width}x{texture.height}; save a smaller one")
        pixels = np.asarray(texture.transcode(library.Target.RGBA8).data, dtype=np.uint8)
    except library.BasisuError as error:
        raise InputError(f"{label}: not a usable KTX2 picture ({error}); save it as PNG") from None
    return np.ascontiguousarray(pixels if int(pixels[..., 3].min()) < 255 else pixels[..., :3])
