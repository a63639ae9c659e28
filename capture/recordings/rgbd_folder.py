"""A folder of frames: `color/N.jpg|png` or `rgb/N.jpg`, `depth/N.png` (uint16 millimetres) or `N.exr` (metres).

Without `depth/` it is color only, and its pictures may lie in the folder itself.

Depth that is smaller than the colour but shows the same view is enlarged to it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from capture.cameras.device import DamagedPictureError
from capture.recordings.camera_file import read_camera_file, recording_intrinsics, same_shape
from capture.recordings.frame_files import (
    TUM_COLOR,
    TUM_DEPTH,
    FrameFile,
    frame_files,
    listed_files,
    paired,
    usual_step_s,
)
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
MILLIMETRES_PER_METRE, TUM_PER_METRE = 1000.0, 5000.0
_FARTHEST_M = 100.0  # beyond this a reading is not one
_ASKED = 5  # readable pictures that are asked for the size
_TRIED = 30  # pictures from the first one on, of which one has to be sound

_Reading = TypeVar("_Reading", np.float32, np.uint16)

log = logging.getLogger(__name__)


class _UnreadableError(SourceError):
    """One file cannot be read; that says nothing about the others."""


class RgbdFolder:
    """The frames of a folder, in order; without depth where it holds none. A `Clip`.

    An optional `camera.json` gives intrinsics and rate (`camera_file`); without it they are assumed, and the
    rate is that of the times in the names (`frame_files`), or 30.

    A frame whose files cannot be read is a damaged one, which players leave out.

    Raises SourceError where depth is missing for some frame, sizes do not fit, or no frame can be read.
    """

    def __init__(self, folder: Path, fov_deg: float | None = None) -> None:
        self.name = str(folder)
        self._pairs, self._depth_per_metre = _pairs(folder)
        self.frame_count: int | None = len(self._pairs)
        self.sound_file: Path | None = None
        camera = read_camera_file(folder)
        first = self._pairs[0][0]
        step_s = usual_step_s([color for color, _ in self._pairs])
        stated = camera.fps if camera is not None else None
        self.fps = stated or (1 / step_s if step_s else DEFAULT_FPS)
        self._first_s = first.time_s if step_s else None
        self._size = self._first_size()
        self._intrinsics = recording_intrinsics(camera, *self._size, fov_deg)
        self._try_first()

    def frames(self) -> Iterator[ClipFrame]:
        for index, (color, depth) in enumerate(self._pairs):
            time_s = index / self.fps
            if self._first_s is not None and color.time_s is not None:
                time_s = color.time_s - self._first_s
            yield ClipFrame(index, time_s, partial(self._load_one_of_many, color, depth))

    def _first_size(self) -> tuple[int, int]:
        """Of the first frames' colour, as most of them have it: one header may be damaged."""
        sizes, failure = [], None
        for color, depth in self._pairs[:_TRIED]:
            try:
                with _opened_color(color.path) as picture:
                    sizes.append(picture.size if depth is not None else ImageOps.exif_transpose(picture).size)
            except _UnreadableError as error:
                failure = failure or error
            if len(sizes) == _ASKED:
                break
        if not sizes:
            assert failure is not None
            raise failure
        return max(sizes, key=sizes.count)

    def _try_first(self) -> None:
        """What cannot be read at all is told at once. Raises SourceError where none of the first frames is sound."""
        failure: _UnreadableError | None = None
        for color, depth in self._pairs[:_TRIED]:
            try:
                self._load(color, depth)
                return
            except _UnreadableError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _load_one_of_many(self, color: FrameFile, depth: FrameFile | None) -> ClipPicture:
        try:
            return self._load(color, depth)
        except _UnreadableError as error:
            raise DamagedPictureError(str(error)) from error

    def _load(self, color: FrameFile, depth: FrameFile | None) -> ClipPicture:
        if depth is None:
            return ClipPicture(_read_upright(color.path, self._size), None, self._intrinsics)
        rgb = _read_color(color.path, self._size)
        depth_m = _read_depth(depth.path, self._intrinsics, self._depth_per_metre)
        return ClipPicture(rgb, depth_m, self._intrinsics)


def _pairs(folder: Path) -> tuple[list[tuple[FrameFile, FrameFile | None]], float]:
    """Colour and depth of every frame, and the number that stands for a metre."""
    if (folder / TUM_COLOR).is_file():
        color, per_metre = listed_files(folder / TUM_COLOR, COLOR_SUFFIXES), TUM_PER_METRE
    else:
        places = (folder / name for name in (*COLOR_FOLDERS, "."))
        color = next((files for place in places if (files := frame_files(place, COLOR_SUFFIXES))), [])
        per_metre = MILLIMETRES_PER_METRE
    if not color:
        raise SourceError(
            f"{folder}: expected numbered pictures in color/ or rgb/ (and depth in depth/), found none; "
            "give the folder that holds them"
        )
    if (folder / TUM_COLOR).is_file() and (folder / TUM_DEPTH).is_file():
        depth = listed_files(folder / TUM_DEPTH, DEPTH_SUFFIXES)
        log.info("%s: a list of the TUM benchmark: %g in its depth pictures are a metre", folder, per_metre)
    else:
        depth = frame_files(folder / "depth", DEPTH_SUFFIXES)
        if not depth and not (folder / "depth").is_dir():
            log.info("%s: holds no depth; its pictures are color only", folder)
            return [(file, None) for file in color], per_metre
    if not depth:
        raise SourceError(
            f"{folder / 'depth'}: expected depth N.png (uint16 millimetres) or N.exr (metres), found none; "
            "without the folder its pictures are color only"
        )
    return list(paired(folder, color, depth)), per_metre


def _read_color(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture to which depth is aligned, pixel by pixel."""
    with _opened_color(path) as picture:
        if picture.size != size:
            raise _UnreadableError(
                f"{path}: expected {size[0]}x{size[1]} as the other frames, got "
                f"{picture.size[0]}x{picture.size[1]}; give frames of one size"
            )
        return np.array(picture.convert("RGB"))


def _read_upright(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture that stands for itself: turned as its camera says, and fitted into the size of the first one."""
    with _opened_color(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        return np.array(upright if upright.size == size else ImageOps.pad(upright, size))


@contextmanager
def _opened_color(path: Path) -> Iterator[Image.Image]:
    with _opened(path, COLOR_FORMATS) as picture:
        check_picture_size(str(path), *picture.size)
        if picture.mode.startswith(("I", "F")):
            raise SourceError(f"{path}: expected a color picture, got one of 16 bits, as depth is; give the colors too")
        yield picture


@contextmanager
def _opened(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    try:
        with opened_picture(path, str(path), formats, LARGEST_PIXELS) as picture:
            yield picture
    except SourceError:
        raise
    except InputError as error:
        raise _UnreadableError(str(error)) from None


def _read_depth(path: Path, intrinsics: Intrinsics, per_metre: float) -> NDArray[np.float32]:
    depth_m = _read_exr(path) if path.suffix.lower() == ".exr" else _read_depth_png(path, per_metre)
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


def _read_depth_png(path: Path, per_metre: float) -> NDArray[np.float32]:
    with _opened(path, ("PNG",)) as picture:
        check_depth_size(str(path), *picture.size)
        if not picture.mode.startswith("I"):
            raise SourceError(
                f"{path}: expected 16-bit depth in millimetres, got a picture of mode {picture.mode}; "
                "save depth as 16-bit PNG or as EXR"
            )
        values = np.array(picture)
    return cleaned_depth(values.astype(np.float32) * np.float32(1 / per_metre))


def _read_exr(path: Path) -> NDArray[np.float32]:
    import OpenEXR

    if not path.is_file():  # a pipe would be waited on for ever
        raise _UnreadableError(f"{path}: expected depth as OpenEXR, found no file; replace or remove it")
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
        raise _UnreadableError(f"{path}: expected depth as OpenEXR, it cannot be read ({reason}); replace it") from None


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
