"""Pictures that come with meshes, read with their size checked before anything large is allocated."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.untrusted import LARGEST_PIXELS, opened_picture
from render.mesh.gltf_compression import KTX2_START, ktx2_pixels

_LOG = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "WEBP", "TGA", "BMP", "TIFF")  # Pillow's names; nothing else is ever tried on a file
MAX_TEXTURE_SIDE = 16384
_MOST_BYTES = 900 << 20  # of all pictures of a mesh, the one that is being decoded included
_DECODING_BYTES = 12  # a pixel, while a picture is decoded and converted
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tga", ".bmp", ".tif", ".tiff")
_COLOR_WORDS = ("basecolor", "base_color", "albedo", "diffuse", "color", "colour", "col", "texture", "tex", "decoded")
_LINKING_WORDS = ("mesh", "head", "model", "low", "high", "lowpoly", "highpoly", "triangulated")


class Textures:
    """The pictures of one mesh: each is decoded once, and together they stay within memory that any machine has."""

    def __init__(self) -> None:
        self._loaded: dict[Hashable, NDArray[np.uint8]] = {}

    def load(self, key: Hashable, source: Path | bytes, label: str) -> NDArray[np.uint8]:
        """See `load_texture`. `key` tells the pictures of a mesh apart. Raises InputError."""
        if key not in self._loaded:
            taken = sum(picture.nbytes for picture in self._loaded.values())
            left = max(1, (_MOST_BYTES - taken) // _DECODING_BYTES)
            self._loaded[key] = load_texture(source, label, min(left, LARGEST_PIXELS))
        return self._loaded[key]


def load_texture(source: Path | bytes, label: str, largest_pixels: int = LARGEST_PIXELS) -> NDArray[np.uint8]:
    """Picture file or its bytes → [h, w, 3] uint8, or [h, w, 4] where it has transparency. First row = top.

    `label` names the picture in messages. Raises InputError where it is missing, of another format than FORMATS, larger
    than `largest_pixels` or cannot be read.
    """
    if isinstance(source, bytes) and source.startswith(KTX2_START):
        return ktx2_pixels(source, label, largest_pixels)
    with opened_picture(source, label, FORMATS, largest_pixels) as image:
        if max(image.size) > MAX_TEXTURE_SIDE:
            raise InputError(
                f"{label}: the picture is {image.width}x{image.height}, at most {MAX_TEXTURE_SIDE} a side can be "
                "used; save a smaller one"
            )
        if image.mode.startswith("I;16") or image.mode == "I":
            gray = (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
            return np.ascontiguousarray(np.repeat(gray[..., None], 3, axis=2))
        transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        mode = "RGBA" if transparent else "RGB"
        return np.array(image if image.mode == mode else image.convert(mode), dtype=np.uint8)


def texture_beside(mesh_path: Path) -> Path | None:
    """The picture beside a mesh that carries its name, once words such as _color or _decoded are dropped from both.

    The same stem wins over one that needed dropping; a choice between equals is made by name and logged.
    """
    wanted = _bare_stem(mesh_path.stem)
    found = [
        path
        for path in sorted(mesh_path.parent.iterdir())
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and _bare_stem(path.stem) == wanted
    ]
    found.sort(key=lambda path: (path.stem.lower() != mesh_path.stem.lower(), path.name))
    if len(found) > 1:
        others = ", ".join(path.name for path in found[1:])
        _LOG.info("%s: %s chosen as its texture; %s would fit too (state one to choose)", mesh_path, found[0], others)
    return found[0] if found else None


def _bare_stem(stem: str) -> str:
    """Lower case, without trailing words that only say what kind of file it is."""
    bare = stem.lower()
    while True:
        for word in (*_COLOR_WORDS, *_LINKING_WORDS):
            shorter = bare.removesuffix(word)
            if shorter != bare and shorter.rstrip("_-. ") and shorter[-1] in "_-. ":
                bare = shorter.rstrip("_-. ")
                break
        else:
            return bare
