"""Pictures that come with meshes, read with their size checked before anything large is allocated."""

from __future__ import annotations

import logging
import struct
import zlib
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
_PNG_START, _JPEG_START, _JPEG_JFIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xe0"
_MARK = b"vfa-live: a picture of a head, not its texture"
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

    The same stem wins over one that needed dropping; a choice between equals is made by name and logged. Pictures that
    vfa has made of a head (`with_mark`) are none, and the log says so.
    """
    found = [
        path
        for path in sorted(mesh_path.parent.iterdir())
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and carries_name(path, mesh_path)
    ]
    for ours in [path for path in found if _has_mark(path)]:
        _LOG.info("%s: %s carries its name, but is a picture that vfa has made: no texture", mesh_path, ours)
        found.remove(ours)
    found.sort(key=lambda path: (path.stem.lower() != mesh_path.stem.lower(), path.name))
    if len(found) > 1:
        others = ", ".join(path.name for path in found[1:])
        _LOG.info("%s: %s chosen as its texture; %s would fit too (state one to choose)", mesh_path, found[0], others)
    return found[0] if found else None


def carries_name(picture: Path, mesh_path: Path) -> bool:
    """Whether a picture's name is that of a mesh, as `texture_beside` understands it."""
    return _bare_stem(picture.stem) == _bare_stem(mesh_path.stem)


def with_mark(content: bytes) -> bytes:
    """An encoded picture that says that vfa has made it: a PNG in a text chunk, a JPEG in a comment right at its
    beginning. Other formats have no such place and stay as they are."""
    if content.startswith(_PNG_START):
        body = b"tEXtSoftware\0" + _MARK
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        header = len(_PNG_START) + 25  # the chunk that has to be the first
        return content[:header] + chunk + content[header:]
    if content.startswith(_JPEG_START):
        after = len(_JPEG_START)
        if content[after : after + 2] == _JPEG_JFIF:  # which has to be the first
            after += 2 + int.from_bytes(content[after + 2 : after + 4], "big")
        comment = b"\xff\xfe" + struct.pack(">H", len(_MARK) + 2) + _MARK
        return content[:after] + comment + content[after:]
    return content


def _has_mark(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError:
        return False  # whoever reads it tells
    return start.startswith((_PNG_START, _JPEG_START)) and _MARK in start


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
