"""A folder of RGBD frames: `color/N.jpg|png` or `rgb/N.jpg`, `depth/N.png` (uint16 millimetres) or `N.exr` (metres).

Depth that is smaller than the colour but shows the same view is enlarged to it.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capture.recordings.camera_file import read_camera_file, recording_intrinsics, same_shape
from capture.recordings.playback import ClipFrame, ClipPicture
from core.camera import Intrinsics
from core.errors import InputError
from core.picture_limits import LARGEST_PIXELS, check_depth_size, check_picture_size
from core.source import SourceError
from core.untrusted import opened_picture

COLOR_FOLDERS = ("color", "rgb")
COLOR_SUFFIXES = (".jpg", ".jpeg", ".png")
COLOR_FORMATS = ("JPEG", "PNG")  # Pillow's names; whatever the suffix says, nothing else is tried
DEPTH_SUFFIXES = (".png", ".exr")
DEFAULT_FPS = 30.0
_FARTHEST_M = 100.0  # beyond this a reading is not one
_TOLD = 3  # missing numbers named in an error

_Reading = TypeVar("_Reading", np.float32, np.uint16)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Pair:
    color: Path
    depth: Path


class RgbdFolder:
    """The frames of a folder, in the order of their numbers. A `Clip`.

    An optional `camera.json` gives intrinsics and rate (`camera_file`); without it they are assumed, and the
    rate is 30.

    Raises SourceError where colour or depth is missing for some frame, or sizes do not fit.
    """

    def __init__(self, folder: Path, fov_deg: float | None = None) -> None:
        self.name = str(folder)
        self._pairs = _pairs(folder)
        self.frame_count: int | None = len(self._pairs)
        camera = read_camera_file(folder)
        self.fps = camera.fps if camera is not None and camera.fps is not None else DEFAULT_FPS
        with _opened(self._pairs[0].color, COLOR_FORMATS) as picture:
            check_picture_size(str(self._pairs[0].color), *picture.size)
            self._size = picture.size
        self._intrinsics = recording_intrinsics(camera, *self._size, fov_deg)
        self._load(self._pairs[0])  # whether the first frame can be read is told at once

    def frames(self) -> Iterator[ClipFrame]:
        for index, pair in enumerate(self._pairs):
            yield ClipFrame(index, index / self.fps, partial(self._load, pair))

    def _load(self, pair: _Pair) -> ClipPicture:
        rgb = _read_color(pair.color, self._size)
        return ClipPicture(rgb, _read_depth(pair.depth, self._intrinsics), self._intrinsics)


def _pairs(folder: Path) -> list[_Pair]:
    color = _color_files(folder)
    if not color:
        raise SourceError(
            f"{folder}: expected numbered pictures in color/ or rgb/ and depth in depth/, found none; "
            "give the folder that holds them"
        )
    depth = _numbered(folder / "depth", DEPTH_SUFFIXES)
    missing = sorted(color.keys() - depth.keys())
    if missing:
        where = folder / "depth"
        if not depth:
            raise SourceError(f"{where}: expected depth N.png (uint16 millimetres) or N.exr (metres), found none")
        raise SourceError(
            f"{where}: expected depth for each of the {len(color)} color frames, missing for "
            f"{len(missing)} of them ({_listed(missing)}); add them or remove those color frames"
        )
    if len(depth) > len(color):
        log.warning("%s: %d depth frames have no color and are left out", folder, len(depth) - len(color))
    return [_Pair(color[number], depth[number]) for number in sorted(color)]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:_TOLD])) + (", …" if len(numbers) > _TOLD else "")


def _color_files(folder: Path) -> dict[int, Path]:
    for name in COLOR_FOLDERS:
        if files := _numbered(folder / name, COLOR_SUFFIXES):
            return files
    return {}


def _numbered(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    """Files by the last number in their name."""
    files: dict[int, Path] = {}
    if not folder.is_dir():
        return files
    for path in sorted(folder.iterdir()):
        number = re.search(r"(\d+)\D*$", path.stem)
        if number is None or path.suffix.lower() not in suffixes:
            continue
        if other := files.get(int(number[1])):
            raise SourceError(f"{folder}: expected one file per frame, found {other.name} and {path.name}; remove one")
        files[int(number[1])] = path
    return files


def _read_color(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    with _opened(path, COLOR_FORMATS) as picture:
        if picture.size != size:
            raise SourceError(
                f"{path}: expected {size[0]}x{size[1]} as the frames before it, got "
                f"{picture.size[0]}x{picture.size[1]}; give frames of one size"
            )
        return np.array(picture.convert("RGB"))


@contextmanager
def _opened(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    try:
        with opened_picture(path, str(path), formats, LARGEST_PIXELS) as picture:
            yield picture
    except SourceError:
        raise
    except InputError as error:
        raise SourceError(str(error)) from None


def _read_depth(path: Path, intrinsics: Intrinsics) -> NDArray[np.float32]:
    depth_m = _read_exr(path) if path.suffix.lower() == ".exr" else _read_depth_png(path)
    height, width = depth_m.shape
    if not same_shape((width, height), (intrinsics.width, intrinsics.height)):
        raise SourceError(
            f"{path}: expected depth aligned to the color of {intrinsics.width}x{intrinsics.height}, "
            f"got {width}x{height}; register it to the color first"
        )
    return enlarged(depth_m, intrinsics.width, intrinsics.height)


def enlarged(depth: NDArray[_Reading], width: int, height: int) -> NDArray[_Reading]:
    """Depth of the same view at another size, [height, width]; nearest readings, so that none is made up."""
    if depth.shape == (height, width):
        return depth
    rows = (np.arange(height) * depth.shape[0]) // height
    columns = (np.arange(width) * depth.shape[1]) // width
    return np.asarray(depth[rows[:, None], columns[None, :]])


def _read_depth_png(path: Path) -> NDArray[np.float32]:
    with _opened(path, ("PNG",)) as picture:
        check_depth_size(str(path), *picture.size)
        if not picture.mode.startswith("I"):
            raise SourceError(
                f"{path}: expected 16-bit depth in millimetres, got a picture of mode {picture.mode}; "
                "save depth as 16-bit PNG or as EXR"
            )
        millimetres = np.array(picture)
    return cleaned_depth(millimetres.astype(np.float32) * np.float32(0.001))


def _read_exr(path: Path) -> NDArray[np.float32]:
    import OpenEXR

    if not path.is_file():  # a pipe would be waited on for ever
        raise SourceError(f"{path}: expected depth as OpenEXR, found no file; replace or remove it")
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            _check_exr(path, [part.header for part in file.parts])
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            name = next((name for name in ("Z", "Y", "R", "G") if name in channels), next(iter(channels)))
            return cleaned_depth(np.asarray(channels[name].pixels).astype(np.float32))
    except SourceError:
        raise
    except Exception as error:  # the library raises nearly anything on damaged data
        reason = str(error).strip() or type(error).__name__
        raise SourceError(f"{path}: expected depth as OpenEXR, it cannot be read ({reason}); replace it") from None


def _check_exr(path: Path, headers: list[dict[str, Any]]) -> None:
    """The library unpacks all channels of all parts at once."""
    numbers = 0
    for header in headers:
        (left, top), (right, bottom) = ([int(side) for side in corner] for corner in header["dataWindow"])
        width, height = right - left + 1, bottom - top + 1
        check_depth_size(str(path), width, height)
        numbers += width * height * len(header["channels"])
    if numbers > 2 * LARGEST_PIXELS:
        raise SourceError(f"{path}: expected depth, got {numbers} numbers in its channels; save one channel only")


def cleaned_depth(depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth with everything that is no reading (not finite, negative, absurdly far) set to 0; works in place."""
    with np.errstate(invalid="ignore"):
        depth_m[~((depth_m > 0) & (depth_m < _FARTHEST_M))] = 0.0
    return depth_m
