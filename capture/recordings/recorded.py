"""Recordings in video files: colour only, colour with a 16-bit depth video beside it, or depth and colour in one."""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from capture.recordings.camera_file import read_camera_file, recording_intrinsics, same_shape
from capture.recordings.playback import ClipFrame, ClipPicture
from capture.recordings.record3d_export import video_camera
from capture.recordings.rgbd_folder import cleaned_depth, enlarged
from capture.recordings.scaled_depth import DepthScale, scale_from_face
from capture.recordings.video_file import DecodedFrame, decode_video, probe_video
from core.camera import assumed_intrinsics
from core.source import SourceError

SideBySideDepth = Literal["hue", "gray"]

HUE_RANGE_M = (0.0, 3.0)  # Record3D's export: what hue 0 and 1 stand for unless the video says otherwise
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
        if not same_shape((info.width, info.height), (depth_info.width, depth_info.height)):
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


class SideBySideClip:
    """One video with depth in its left half and colour in its right one. A `Clip`.

    Args:
        depth_coding: "hue" (Record3D's export: hue 0…1 is 0…3 m or what the video says, black is no reading) or "gray"
            (brightness 1…255 scaled as the published preprocessing does, nearer is darker; metres from `camera.json`
            or the face). By default what the left half of the first frame looks like.
    """

    def __init__(
        self,
        path: Path,
        depth_coding: SideBySideDepth | None = None,
        fov_deg: float | None = None,
        face_model: Path | None = None,
    ) -> None:
        self.name = str(path)
        info = probe_video(path)
        if info.width % 2:
            raise SourceError(f"{path}: expected two halves side by side, got an odd width of {info.width}")
        self.fps, self.frame_count = info.fps, info.frame_count
        self._path, self._half = path, info.width // 2
        self._coding = depth_coding or side_by_side_coding(first_picture(path)) or "gray"
        self._camera = read_camera_file(path.parent)
        self._intrinsics = recording_intrinsics(self._camera, self._half, info.height, fov_deg)
        self._hue_range_m = HUE_RANGE_M
        exported = video_camera(path, self._half, info.height) if self._coding == "hue" else None
        if exported is not None:
            self._intrinsics = self._intrinsics if self._camera is not None else exported.intrinsics
            self._hue_range_m = exported.depth_range_m or HUE_RANGE_M
        self._face_model = face_model
        self._scale: DepthScale | None = None

    def frames(self) -> Iterator[ClipFrame]:
        if self._coding == "gray" and self._scale is None:
            self._scale = self._find_scale()
        for frame in decode_video(self._path):
            yield ClipFrame(frame.index, frame.time_s, partial(self._load, frame))

    def _load(self, frame: DecodedFrame) -> ClipPicture:
        rgb = frame.rgb()
        left, right = rgb[:, : self._half], np.ascontiguousarray(rgb[:, self._half :])
        depth_m = (
            depth_from_hue(left, self._hue_range_m) if self._scale is None else self._scale.metres(_brightness(left))
        )
        return ClipPicture(right, cleaned_depth(depth_m), self._intrinsics)

    def _find_scale(self) -> DepthScale:
        if self._camera is not None and self._camera.depth_range_m is not None:
            return DepthScale.between(*self._camera.depth_range_m, 255)
        frames = islice(decode_video(self._path), 0, _SCALE_PICTURES * _SCALE_EVERY, _SCALE_EVERY)
        halves = ((rgb[:, : self._half], rgb[:, self._half :]) for rgb in (frame.rgb() for frame in frames))
        pictures = ((np.ascontiguousarray(right), _brightness(left)) for left, right in halves)
        return scale_from_face(self.name, pictures, self._intrinsics, 255, self._face_model)


def first_picture(path: Path) -> NDArray[np.uint8]:
    """The first frame of a video, [H, W, 3]. Raises SourceError where there is none."""
    for frame in decode_video(path):
        return frame.rgb()
    raise SourceError(f"{path}: expected a video, found no picture in it; give another file")


_GRAY_CHROMA = 16.0  # difference between the color channels that no part of a gray picture has, even compressed
_COLOR_CHROMA = 10.0  # mean difference in a picture that shows a face
_LEAST_CODED_SHARE = 0.05
_PURE = 0.85  # saturation and value of hue-coded depth, which natural pictures hardly ever have over large parts


def side_by_side_coding(rgb: NDArray[np.uint8]) -> SideBySideDepth | None:
    """Whether a picture [H, W, 3] has depth in its left half, and how coded; None for an ordinary picture.

    Hue-coded depth is all pure colours and black; gray depth has no colour at all while the right half has.
    """
    half = rgb.shape[1] // 2
    if half < 16 or rgb.shape[1] % 2:
        return None
    left, right = rgb[:, :half].astype(np.float32), rgb[:, half : 2 * half].astype(np.float32)
    strongest, weakest = left.max(axis=2), left.min(axis=2)
    lit = strongest > 40
    if lit.mean() < _LEAST_CODED_SHARE:
        return None
    pure = (strongest[lit] > _PURE * 255) & (weakest[lit] < (1 - _PURE) * strongest[lit])
    if pure.mean() > 0.8:
        return "hue"
    chroma_left = float(np.percentile(strongest - weakest, 99.5))
    chroma_right = float((right.max(axis=2) - right.min(axis=2)).mean())
    return "gray" if chroma_left < _GRAY_CHROMA and chroma_right > _COLOR_CHROMA else None


_EDGE_STEP_M = 0.06  # neighbours further apart lie on an edge, where compression blends their hues into false ones


def depth_from_hue(rgb: NDArray[np.uint8], range_m: tuple[float, float] = HUE_RANGE_M) -> NDArray[np.float32]:
    """Metres [H, W] from hue-coded depth [H, W, 3], hue 0…1 being `range_m`; 0 where there is no reading or hues of
    different depth blend."""
    import cv2

    hsv = cv2.cvtColor(np.ascontiguousarray(rgb, dtype=np.float32) / np.float32(255), cv2.COLOR_RGB2HSV)
    near_m, far_m = range_m
    depth_m = np.asarray(hsv[..., 0] * np.float32((far_m - near_m) / 360) + np.float32(near_m), dtype=np.float32)
    coded = (hsv[..., 1] > 0.5) & (hsv[..., 2] > 0.5)
    depth_m[~coded] = 0.0
    kernel = np.ones((3, 3), np.uint8)
    nearest = cv2.erode(np.where(coded, depth_m, np.float32(far_m)), kernel)
    farthest = cv2.dilate(depth_m, kernel)
    depth_m[farthest - nearest > _EDGE_STEP_M] = 0.0
    return depth_m


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


def _brightness(gray: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """[H, W, 3] of equal channels → [H, W] 0…255, with the compression's almost-black as 0."""
    value = gray[..., 1].astype(np.uint16)
    value[value < 4] = 0
    return value
