"""One video with depth in its left half and colour in its right one: whether a file is such a thing, and its frames."""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from capture.recordings.camera_file import read_camera_file, recording_intrinsics
from capture.recordings.playback import ClipFrame, ClipPicture
from capture.recordings.record3d_export import video_camera
from capture.recordings.rgbd_folder import cleaned_depth
from capture.recordings.scaled_depth import DepthScale, fits_a_face, scale_from_face
from capture.recordings.video_file import DecodedFrame, decode_video, probe_video
from core.source import SourceError

SideBySideDepth = Literal["hue", "gray"]

HUE_RANGE_M = (0.0, 3.0)  # Record3D's export: what hue 0 and 1 stand for unless the video says otherwise
_SCALE_PICTURES, _SCALE_EVERY = 8, 5  # frames looked at for the scale of the depth: so many, every so many-th
_JUDGED_PICTURES, _JUDGED_EVERY = 7, 10  # and for whether there is depth
_AGREEING = 0.75  # share of them that has to say the same
_GRAY_CHROMA = 16.0  # difference between the color channels that no part of a gray picture has, even compressed
_COLOR_CHROMA = 10.0  # mean difference in a picture that shows a face
_LEAST_CODED_SHARE = 0.05
_PURE = 0.85  # saturation and value of hue-coded depth, which natural pictures hardly ever have over large parts
_NO_READING, _LEAST_EMPTY = 12, 0.05  # brightness of depth's background, and the least share of it
_EDGE_STEP_M = 0.06  # neighbours further apart lie on an edge, where compression blends their hues into false ones

log = logging.getLogger(__name__)


def video_coding(path: Path, fov_deg: float | None = None, face_model: Path | None = None) -> SideBySideDepth | None:
    """How depth is coded in the left half of a video's pictures, looked up in several; None for an ordinary video.

    A gray half is depth only where a face in the other half stands out of it as faces do, or, where none is found,
    where much of it has no reading or a `camera.json` tells its range: walls are gray, too. Raises SourceError, and
    InputError without a face model where one is needed.
    """
    codings: list[SideBySideDepth | None] = []
    for rgb in _judged_pictures(path):
        if not _is_dark(rgb):
            codings.append(side_by_side_coding(rgb))
        if codings.count(None) > (1 - _AGREEING) * _JUDGED_PICTURES:
            return None
    least = max(_AGREEING * len(codings), 1)
    if codings.count("hue") >= least:
        return "hue"
    if codings.count("gray") < least:
        return None
    camera = read_camera_file(path.parent)
    if camera is not None and camera.depth_range_m is not None:
        return "gray"
    halves = [_halves(rgb) for rgb in _judged_pictures(path)]
    intrinsics = recording_intrinsics(camera, halves[0][1].shape[1], halves[0][1].shape[0], fov_deg)
    fits = fits_a_face(((right, _brightness(left)) for left, right in halves), intrinsics, 255, face_model)
    if fits is None:
        empty = [(left.max(axis=2) < _NO_READING).mean() for left, _ in halves]
        fits = bool(np.median(empty) >= _LEAST_EMPTY)
    if not fits:
        log.info("%s: its left half is gray, but no depth: taken as color only (--layout says otherwise)", path)
    return "gray" if fits else None


def _judged_pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    """A few frames from the beginning of a video, [H, W, 3]. Raises SourceError where there is none."""
    found = False
    for frame in islice(decode_video(path), 0, _JUDGED_PICTURES * _JUDGED_EVERY, _JUDGED_EVERY):
        found = True
        yield frame.rgb()
    if not found:
        raise SourceError(f"{path}: expected a video, found no picture in it; give another file")


def _halves(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    half = rgb.shape[1] // 2
    return rgb[:, :half], np.ascontiguousarray(rgb[:, half:])


def _is_dark(rgb: NDArray[np.uint8]) -> bool:
    """Whether it shows too little to be judged, as the first frames of many videos."""
    return bool((rgb.max(axis=2) > 40).mean() < _LEAST_CODED_SHARE)


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
    shown = right.max(axis=2) > 40  # the background may have been removed
    chroma_right = float((right.max(axis=2) - right.min(axis=2))[shown].mean()) if shown.any() else 0.0
    return "gray" if chroma_left < _GRAY_CHROMA and chroma_right > _COLOR_CHROMA else None


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


class SideBySideClip:
    """One video with depth in its left half and colour in its right one. A `Clip`.

    Args:
        depth_coding: "hue" (Record3D's export: hue 0…1 is 0…3 m or what the video says, black is no reading) or "gray"
            (brightness 1…255 scaled as the published preprocessing does, nearer is darker; metres from `camera.json`
            or the face). By default what the left half looks like.

    Raises SourceError where it cannot be played so.
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
        self.sound_file: Path | None = path
        codings = [side_by_side_coding(rgb) for rgb in _judged_pictures(path)] if depth_coding is None else []
        self._coding = depth_coding or ("hue" if "hue" in codings else "gray")
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
        left, right = _halves(frame.rgb())
        depth_m = (
            depth_from_hue(left, self._hue_range_m) if self._scale is None else self._scale.metres(_brightness(left))
        )
        return ClipPicture(right, cleaned_depth(depth_m), self._intrinsics)

    def _find_scale(self) -> DepthScale:
        if self._camera is not None and self._camera.depth_range_m is not None:
            return DepthScale.between(*self._camera.depth_range_m, 255)
        frames = islice(decode_video(self._path), 0, _SCALE_PICTURES * _SCALE_EVERY, _SCALE_EVERY)
        pictures = ((right, _brightness(left)) for left, right in (_halves(frame.rgb()) for frame in frames))
        return scale_from_face(self.name, pictures, self._intrinsics, 255, self._face_model)


def _brightness(gray: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """[H, W, 3] of equal channels → [H, W] 0…255, with the compression's almost-black as 0."""
    value = gray[..., 1].astype(np.uint16)
    value[value < 4] = 0
    return value
