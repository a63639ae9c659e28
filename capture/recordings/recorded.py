"""Recordings in video files: colour only, or colour with a 16-bit depth video beside it."""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from capture.recordings.camera_file import read_camera_file, recording_intrinsics, same_shape
from capture.recordings.playback import ClipFrame, ClipPicture
from capture.recordings.rgbd_folder import cleaned_depth, enlarged
from capture.recordings.scaled_depth import DepthScale, scale_from_face
from capture.recordings.video_file import DecodedFrame, decode_video, probe_video
from core.camera import assumed_intrinsics
from core.source import SourceError

_SCALE_PICTURES, _SCALE_EVERY = 8, 5  # frames looked at for the scale of a depth video: so many, every so many-th
_MILLIMETRE_LIMIT = 16_000  # a clip whose values go beyond sixteen metres is not in millimetres
_DEPTH_SUFFIXES = (".nut", ".mkv", ".avi", ".mov")
_COLOR_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")

log = logging.getLogger(__name__)


class ColorClip:
    """A colour-only video; its frames have no depth. A `Clip`. Raises SourceError where it cannot be played."""

    def __init__(self, path: Path, fov_deg: float | None = None) -> None:
        self.name = str(path)
        info = probe_video(path)
        self.fps, self.frame_count = info.fps, info.frame_count
        self._path = path
        self.sound_file: Path | None = path
        self._intrinsics = assumed_intrinsics(info.width, info.height, fov_deg)

    def frames(self) -> Iterator[ClipFrame]:
        for frame in decode_video(self._path):
            yield ClipFrame(frame.index, frame.time_s, partial(self._load, frame))

    def _load(self, frame: DecodedFrame) -> ClipPicture:
        return ClipPicture(frame.rgb(), None, self._intrinsics)


class PairClip:
    """The published pair: `color/X.mp4` and `depth/X.nut` (16 bit), frame by frame. A `Clip`.

    The depth values are millimetres where none is beyond sixteen metres. Otherwise they are taken as scaled to
    1…65535 (published preprocessing) and turned into metres by `depth_near_m` and `depth_far_m` of a `camera.json`
    beside the two folders, or else such that the face has average size (`scaled_depth`), worked out when the
    clip is first played.
    """

    def __init__(self, color: Path, depth: Path, fov_deg: float | None = None, face_model: Path | None = None) -> None:
        self.name = str(color)
        info, depth_info = probe_video(color), probe_video(depth)
        if not depth_info.pixel_format.startswith(("gray16", "gray12", "gray10")):
            raise SourceError(
                f"{depth}: expected 16-bit gray depth, got pixels of type {depth_info.pixel_format}; "
                "encode depth as FFV1 gray16le"
            )
        aligned = same_shape((info.width, info.height), (depth_info.width, depth_info.height))
        # often only the colour says how wide its pixels are
        if not aligned and not same_shape(info.stored, depth_info.stored):
            raise SourceError(
                f"{depth}: expected depth aligned to the color of {info.width}x{info.height} in {color}, "
                f"got {depth_info.width}x{depth_info.height}; register it to the color first"
            )
        counts = [count for count in (info.frame_count, depth_info.frame_count) if count is not None]
        self.fps, self.frame_count = info.fps, min(counts, default=None)
        if len(counts) == 2 and abs(counts[0] - counts[1]) <= 1:
            self.frame_count = counts[0]  # the other is an estimate
        elif len(counts) == 2:
            log.warning("%s: %d color frames, but %d of depth; the rest is left out", color, *counts)
        self._color, self._depth = color, depth
        self.sound_file: Path | None = color
        self._camera = read_camera_file(color.parent.parent)
        self._intrinsics = recording_intrinsics(self._camera, info.width, info.height, fov_deg)
        self._face_model = face_model
        self._scale: DepthScale | None = None

    def frames(self) -> Iterator[ClipFrame]:
        if self._scale is None:
            self._scale = self._find_scale()
        for color, depth in self._pairs():
            yield ClipFrame(color.index, color.time_s, partial(self._load, color, depth, self._scale))

    def _pairs(self) -> Iterator[tuple[DecodedFrame, DecodedFrame]]:
        """Frames of both videos taken at the same time; one whose partner is missing or damaged is left out."""
        tolerance_s = 0.5 / (self.fps or 30.0)
        colors, depths = decode_video(self._color), decode_video(self._depth)
        color, depth = next(colors, None), next(depths, None)
        while color is not None and depth is not None:
            if color.time_s < depth.time_s - tolerance_s:
                color = next(colors, None)
            elif depth.time_s < color.time_s - tolerance_s:
                depth = next(depths, None)
            else:
                yield color, depth
                color, depth = next(colors, None), next(depths, None)

    def _load(self, color: DecodedFrame, depth: DecodedFrame, scale: DepthScale) -> ClipPicture:
        depth_m = scale.metres(depth.gray16())
        depth_m = enlarged(depth_m, self._intrinsics.width, self._intrinsics.height)
        return ClipPicture(color.rgb(), cleaned_depth(depth_m), self._intrinsics)

    def _find_scale(self) -> DepthScale:
        looked_at = islice(self._pairs(), 0, _SCALE_PICTURES * _SCALE_EVERY, _SCALE_EVERY)
        samples = [(color.rgb(), depth.gray16()) for color, depth in looked_at]
        largest = max((int(values.max()) for _, values in samples), default=0)
        if largest <= _MILLIMETRE_LIMIT:
            return DepthScale(0.0, 0.001, _MILLIMETRE_LIMIT)
        if self._camera is not None and self._camera.depth_range_m is not None:
            return DepthScale.between(*self._camera.depth_range_m, np.iinfo(np.uint16).max)
        size = self._intrinsics.width, self._intrinsics.height
        aligned = ((rgb, enlarged(values, *size)) for rgb, values in samples)
        return scale_from_face(self.name, aligned, self._intrinsics, np.iinfo(np.uint16).max, self._face_model)


def find_pair(path: Path) -> tuple[Path, Path] | None:
    """The (color, depth) videos that belong to `path`: a folder with color/X.mp4 and depth/X.nut, or either of the two.

    None where `path` is no such thing. Raises SourceError where there are several, or the depth is missing.
    """
    if path.is_dir():
        names = sorted(file for file in _videos(path / "color", _COLOR_SUFFIXES) if _partner(file, "depth") is not None)
        if len(names) > 1:
            listed = ", ".join(file.name for file in names[:3])
            raise SourceError(
                f"{path}: expected one recording, found {len(names)} ({listed}, …); give one of the files"
            )
        if not names and _videos(path / "color", _COLOR_SUFFIXES) and not any(path.glob("color/*.jp*g")):
            raise SourceError(f"{path / 'depth'}: expected a depth video (.nut) for the color video, found none")
        return (names[0], _checked_partner(names[0], "depth")) if names else None
    if path.parent.name == "color" and (depth := _partner(path, "depth")) is not None:
        return path, depth
    if path.parent.name == "depth" and path.suffix.lower() in _DEPTH_SUFFIXES:
        return _checked_partner(path, "color"), path
    return None


def _videos(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in suffixes)


def _partner(path: Path, side: str) -> Path | None:
    suffixes = _DEPTH_SUFFIXES if side == "depth" else _COLOR_SUFFIXES
    same = [file for file in _videos(path.parent.parent / side, suffixes) if file.stem == path.stem]
    return same[0] if same else None


def _checked_partner(path: Path, side: str) -> Path:
    partner = _partner(path, side)
    if partner is None:
        raise SourceError(f"{path}: expected a video of the same name in {path.parent.parent / side}, found none")
    return partner
