"""Record3D's own recordings (`.r3d`): a ZIP of a JSON text, and per frame a JPEG, compressed depth and confidence.

Archives come from anywhere: only the names we look for are read, and sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import importlib.util
import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.cameras.record3d_usb import Rotation, resized_depth, rotated, trusted_depth
from capture.recordings.playback import ClipFrame, ClipPicture
from core.errors import InputError, MissingExtraError
from core.picture_limits import LARGEST_SIDE, check_picture_size, stated_intrinsics, whole_number
from core.source import SourceError
from core.untrusted import opened_picture, opened_zip, parse_json, zip_entry

LARGEST_TEXT = 64 << 20
LARGEST_ENTRY = 32 << 20
LARGEST_PIXELS = 4096 * 4096
_DAMAGED = "export it from Record3D again"
_NOTHING_PACKED = (b"", b"bvx$", b"bvx-\0\0\0\0bvx$")  # ways to write nothing with LZFSE


@dataclass(frozen=True)
class _Metadata:
    """size: (w, h) of the colour; depth_size: (w, h) or None; intrinsics: fx fy cx cy, one for all or one per frame."""

    size: tuple[int, int]
    depth_size: tuple[int, int] | None
    fps: float
    intrinsics: list[tuple[float, float, float, float]]
    times_s: list[float]


class R3dClip:
    """An archive as a `Clip`. Depth is cleaned by confidence and brought to the colour's size; K stays the colour's.

    Args:
        rotation: degrees to turn the pictures clockwise until they stand upright.

    Raises SourceError where the file is no such archive and MissingExtraError without the decompressor.
    """

    def __init__(self, path: Path, rotation: Rotation = 0) -> None:
        if importlib.util.find_spec("liblzfse") is None:
            raise MissingExtraError("record3d", f"{path}: a Record3D archive")
        self.name = str(path)
        self._path, self._rotation = path, rotation
        with self._opened() as archive:
            text = self._entry(archive, "metadata", LARGEST_TEXT)
            try:
                self._metadata = _parsed(parse_json(text, "metadata"))
            except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
                raise SourceError(
                    f"{self.name}: its metadata lacks what is needed ({type(error).__name__}: {error}); {_DAMAGED}"
                ) from error
            self._frames = self._numbers(archive)
        self.fps = self._metadata.fps
        self.frame_count: int | None = len(self._frames)
        self.sound_file: Path | None = None

    def frames(self) -> Iterator[ClipFrame]:
        times_s, first = self._metadata.times_s, self._frames[0]
        with self._opened() as archive:
            for index, number in enumerate(self._frames):
                stamped = max(number, first) < len(times_s)
                time_s = times_s[number] - times_s[first] if stamped else index / self.fps
                yield ClipFrame(index, time_s, partial(self._load, archive, number))

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        with _told_as_source_error(), opened_zip(self._path) as archive:
            yield archive

    def _entry(self, archive: zipfile.ZipFile, name: str, largest: int = LARGEST_ENTRY) -> bytes:
        with _told_as_source_error():
            return zip_entry(archive, name, self.name, largest)

    def _numbers(self, archive: zipfile.ZipFile) -> list[int]:
        """Numbers of the frames that have colour and depth, in order."""
        names = set(archive.namelist())
        stems = (name.removeprefix("rgbd/").removesuffix(".jpg") for name in names if name.endswith(".jpg"))
        numbers = sorted(int(stem) for stem in stems if stem.isdecimal() and len(stem) < 9)
        complete = [number for number in numbers if f"rgbd/{number}.depth" in names and f"rgbd/{number}.jpg" in names]
        if not complete:
            raise SourceError(f"{self.name}: expected rgbd/N.jpg with rgbd/N.depth, found no such pair; {_DAMAGED}")
        return complete

    def _load(self, archive: zipfile.ZipFile, number: int) -> ClipPicture:
        rgb = self._rgb(archive, number)
        height, width = rgb.shape[:2]
        depth = self._plane(archive, f"rgbd/{number}.depth", np.dtype("<f4")).astype(np.float32)
        confidence = self._confidence(archive, f"rgbd/{number}.conf")
        fx, fy, cx, cy = self._metadata.intrinsics[min(number, len(self._metadata.intrinsics) - 1)]
        try:
            pinhole = stated_intrinsics(fx, fy, cx, cy, *self._metadata.size).resized(width, height)
        except ValueError as error:
            raise SourceError(f"{self.name}: frame {number}: {error}; {_DAMAGED}") from error
        depth_m = resized_depth(trusted_depth(depth, confidence), width, height)
        return ClipPicture(*rotated(rgb, depth_m, pinhole, self._rotation))

    def _confidence(self, archive: zipfile.ZipFile, name: str) -> NDArray[np.uint8]:
        """[h, w], or empty where the sensor gave none: no file, an empty one, or one that holds nothing."""
        if name not in archive.NameToInfo or self._entry(archive, name) in _NOTHING_PACKED:
            return np.zeros((0, 0), np.uint8)
        return self._plane(archive, name, np.dtype(np.uint8))

    def _rgb(self, archive: zipfile.ZipFile, number: int) -> NDArray[np.uint8]:
        name = f"{self.name}: rgbd/{number}.jpg"
        content = self._entry(archive, f"rgbd/{number}.jpg")
        with _told_as_source_error(""), opened_picture(content, name, ["JPEG"], LARGEST_PIXELS) as picture:
            check_picture_size(name, *picture.size)
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)

    def _plane(self, archive: zipfile.ZipFile, name: str, kind: np.dtype[Any]) -> NDArray[Any]:
        """[h, w] of the depth's size; where none is known, as many numbers as there are, shaped like the colour."""
        import liblzfse

        packed = self._entry(archive, name)
        size = unpacked_size(packed)
        width, height = self._metadata.depth_size or _shape_of(size // kind.itemsize, self._metadata.size)
        if size != width * height * kind.itemsize or width * height > LARGEST_PIXELS:
            raise SourceError(f"{self.name}: {name} holds {size} bytes, expected {width}x{height}; {_DAMAGED}")
        try:
            return np.frombuffer(liblzfse.decompress(packed), kind, width * height).reshape(height, width)
        except (liblzfse.error, ValueError, MemoryError) as error:
            raise SourceError(f"{self.name}: {name} cannot be unpacked ({error}); {_DAMAGED}") from error


@contextmanager
def _told_as_source_error(next_step: str = f"; {_DAMAGED}") -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except InputError as error:
        raise SourceError(f"{error}{next_step}") from None


def unpacked_size(packed: bytes) -> int:
    """Bytes that LZFSE data says it unpacks to, from its block headers; 0 for what is not such data."""
    at = total = 0
    while at + 4 <= len(packed) and (magic := packed[at : at + 4]) != b"bvx$":
        header = packed[at : at + 32].ljust(32, b"\0")
        raw = struct.unpack_from("<I", header, 4)[0]
        if magic == b"bvx-":
            at += 8 + raw
        elif magic == b"bvxn":
            at += 12 + struct.unpack_from("<I", header, 8)[0]
        elif magic == b"bvx2":
            literals, matches, sizes = struct.unpack_from("<3Q", header, 8)
            if sizes & 0xFFFFFFFF < len(header):
                return 0
            at += (sizes & 0xFFFFFFFF) + (literals >> 20 & 0xFFFFF) + (matches >> 40 & 0xFFFFF)
        else:
            return 0
        total += raw
    return total if packed[at : at + 4] == b"bvx$" else 0


def _parsed(content: dict[str, Any]) -> _Metadata:
    width, height = whole_number(content, "w"), whole_number(content, "h")
    matrix = [float(number) for number in content["K"]]
    listed = content.get("perFrameIntrinsicCoeffs") or []
    rows = [[float(number) for number in row[:4]] for row in listed]
    # column after column: fx 0 0, 0 fy 0, cx cy 1
    rows = rows or [[matrix[0], matrix[4], matrix[6], matrix[7]]]
    both = "dw" in content and "dh" in content
    depth_size = (whole_number(content, "dw"), whole_number(content, "dh")) if both else None
    fps = float(content.get("fps") or 30)
    times_s = [float(number) for number in content.get("frameTimestamps") or []]
    sides = [width, height, *(depth_size or ())]
    if (
        not all(1 <= side <= LARGEST_SIDE for side in sides)
        or not 1 <= fps <= 1000
        or any(len(row) != 4 for row in rows)
    ):
        raise ValueError(f"w={width}, h={height}, dw dh={depth_size}, fps={fps}")
    if any(not math.isfinite(time_s) for time_s in times_s) or sorted(times_s) != times_s:
        times_s = []  # the nominal rate does instead
    intrinsics = [(fx, fy, cx, cy) for fx, fy, cx, cy in rows]
    return _Metadata((width, height), depth_size, fps, intrinsics, times_s)


def _shape_of(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of `count` numbers in the shape of `size`."""
    width, height = size
    rows = round(math.sqrt(count * height / width)) or 1
    return count // rows, rows
