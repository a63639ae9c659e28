"""What a file is by its first bytes, so that an error can say so instead of what was expected of it."""

from pathlib import Path

from core.errors import InputError
from core.untrusted import opened_zip

_STILLS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_ZIP = b"PK\3\4"
_STILL_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")  # moving ones are hevc, hevx, msf1, avis
_OTHERS = {
    b"glTF": "a glTF head: give it as --avatar",
    b"ply\n": "a PLY mesh: give it as --avatar",
    b"ply\r": "a PLY mesh: give it as --avatar",
    b"v/1\x01": "an OpenEXR picture: give the folder that holds it and its colour picture",
    b"\x93NUMPY": "a NumPy array: expected pictures",
    b"%PDF": "a PDF: expected pictures",
    _ZIP: "a ZIP archive, but not Record3D's: unpack it and give the video or the folder of frames in it",
}
_MESHES = (".obj", ".gltf", ".vrm")  # that are read as heads; others show it by their first bytes
_UNREAD_MESHES = (
    ".3ds", ".3mf", ".abc", ".blend", ".c4d", ".dae", ".fbx", ".ma", ".max", ".mb", ".stl", ".usd", ".usda", ".usdc",
    ".usdz", ".x3d",
)  # fmt: skip


def unplayable_kind(path: Path) -> str | None:
    """What a file is that cannot be a recording, and the next step; None where it may be one."""
    ending = path.suffix.lower()
    if ending in _MESHES:
        return f"a head file ({ending}): give it as --avatar"
    if ending in _UNREAD_MESHES:
        return (
            f"a head file of a kind that is not read ({ending}); Blender reads most, and File > Export > glTF 2.0 "
            "writes .glb: give that as --avatar"
        )
    head = _head(path)
    brand = head[8:12] if head[4:8] == b"ftyp" else head[8:12] if head[:4] == b"RIFF" else b""
    still = next((kind for start, kind in _STILLS.items() if head.startswith(start)), None)
    if brand in _STILL_BRANDS:
        still = "AVIF" if brand == b"avif" else "HEIC"
    elif brand == b"WEBP":
        still = "WebP"
    if still is not None:
        return f"a still picture ({still}), and a driver has to move: give a video or a folder of numbered pictures"
    return next((told for start, told in _OTHERS.items() if head.startswith(start)), None)


def is_record3d_archive(path: Path) -> bool:
    """Whether it is a ZIP as Record3D writes them, whatever it is called."""
    if not _head(path).startswith(_ZIP):
        return False
    try:
        with opened_zip(path) as archive:
            return "metadata" in archive.namelist()
    except InputError:
        return False


def _head(path: Path) -> bytes:
    """Empty for what is no ordinary file: a pipe would be waited on for ever."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(64)
