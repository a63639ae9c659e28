"""Azure Kinect recordings (`.mkv`), read without the vendor's library: they play on any machine.

Matroska with a JPEG (or raw) colour track, a 16-bit big-endian depth track, and the factory calibration attached.
Tracks that were encoded anew since, such as colour to H.264 or depth to FFV1, are decoded as what they are now.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.cameras.device import DamagedPictureError
from capture.cameras.kinect_calibration import COLOR_MODES, DEPTH_MODES, parse_calibration
from capture.cameras.kinect_picture import KinectDecoder, KinectPicture
from capture.recordings.camera_file import same_shape
from capture.recordings.playback import ClipFrame, ClipPicture
from capture.recordings.video_file import open_container
from core.source import SourceError

log = logging.getLogger(__name__)

MOST_WAITING = 64  # packets of one track without a partner in the other
LARGEST_CALIBRATION = 1 << 20
LONGEST_DELAY_S = 1.0
_RATES = (5, 15, 30)
_DEPTH_PIXELS = ("gray16be", "gray16le")


@dataclass(frozen=True)
class _Tracks:
    """Numbers of the streams in the file and the modes they were recorded in."""

    color: int
    depth: int
    color_mode: str
    depth_mode: str
    calibration: str
    depth_delay_s: float


class KinectClip:
    """A recording as a `Clip`: every pair of colour and depth, with the recording's own times.

    Raises SourceError where the file is not an Azure Kinect's or lacks one of the two pictures.
    """

    frame_count: int | None = None

    def __init__(self, path: Path, *, clean: bool = True) -> None:
        self.name = str(path)
        self.sound_file: Path | None = path
        self._path = path
        with _opened(path) as container:
            tracks = _tracks(path, container)
            color = container.streams[tracks.color]
            stated = float(color.average_rate or color.guessed_rate or 30)
            self.fps = float(min(_RATES, key=lambda rate: abs(rate - stated)))
            if container.duration is not None:  # the recorder writes the last frame's time there
                first_s = float((color.start_time or 0) * color.time_base)
                self.frame_count = max(1, round((float(container.duration) / 1e6 - first_s) * self.fps) + 1)
        self._tracks = tracks
        calibration = parse_calibration(tracks.calibration, tracks.depth_mode, tracks.color_mode, name=self.name)
        try:
            self._decoder = KinectDecoder(calibration, clean=clean)
        except ValueError as error:
            raise SourceError(f"{self.name}: its calibration fits no Azure Kinect ({error}); record again") from None

    def pictures(self) -> Iterator[KinectPicture]:
        """Every capture that has both pictures, undecoded, stamped with seconds of the device's own clock."""
        with _opened(self._path) as container:
            streams = [container.streams[number] for number in (self._tracks.color, self._tracks.depth)]
            waiting: _Waiting = (deque(), deque())
            tolerance_s = 0.5 / (self.fps or 30)
            for packet in _packets(self._path, container, streams):
                waiting[packet.stream_index == self._tracks.depth].extend(self._taken(packet))
                while all(waiting):
                    yield from self._pair(waiting, tolerance_s)
                for queue in waiting:
                    if len(queue) > MOST_WAITING:
                        queue.popleft()

    def frames(self) -> Iterator[ClipFrame]:
        first_s = None
        for index, picture in enumerate(self.pictures()):
            first_s = picture.timestamp_s if first_s is None else first_s
            yield ClipFrame(index, picture.timestamp_s - first_s, partial(self._load, picture))

    def _taken(self, packet: Any) -> list[_Taken]:
        """What a packet holds, in the order of time; where it has to be decoded, nothing yet, or several pictures."""
        import av

        if packet.pts is not None and _kept_as_it_is(packet.stream):
            return [_Taken(float(packet.pts * packet.time_base), packet)]
        if packet.size and _kept_as_it_is(packet.stream):
            return []
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            log.warning("%s: a picture is damaged and left out (%s)", self.name, error)
            return []
        return [_Taken(float(frame.pts * frame.time_base), frame) for frame in frames if frame.pts is not None]

    def _pair(self, waiting: _Waiting, tolerance_s: float) -> Iterator[KinectPicture]:
        """The two oldest pictures if they belong together; otherwise the older one is given up."""
        color, depth = waiting[0][0], waiting[1][0]
        apart_s = depth.time_s - self._tracks.depth_delay_s - color.time_s
        if abs(apart_s) <= tolerance_s:
            waiting[0].popleft()
            waiting[1].popleft()
            size = COLOR_MODES[self._tracks.color_mode].size
            yield KinectPicture(_color(color.content, size), _depth_mm(depth.content), color.time_s)
        else:
            waiting[apart_s < 0].popleft()

    def _load(self, picture: KinectPicture) -> ClipPicture:
        try:
            rgb, depth_m = self._decoder(picture)
        except DamagedPictureError as error:
            raise SourceError(
                f"{self.name}: is damaged at {picture.timestamp_s:.2f} s: {error}; record again"
            ) from error
        return ClipPicture(rgb, depth_m, self._decoder.intrinsics)


class _Taken(NamedTuple):
    """A picture that was read, and when it was taken: a packet kept as it is, or a decoded frame."""

    time_s: float
    content: Any


_Waiting = tuple[deque[_Taken], deque[_Taken]]
"""Colour and depth that have no partner yet, oldest first."""


def is_kinect_recording(path: Path) -> bool:
    """Whether the file carries the marks of an Azure Kinect recording. False for what cannot be read at all."""
    try:
        with _opened(path) as container:
            return any(key.startswith("K4A_") for stream in container.streams for key in stream.metadata)
    except SourceError:
        return False


def _opened(path: Path) -> Any:
    import av

    try:
        return open_container(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{path}: expected an Azure Kinect recording, it cannot be read ({error})") from error


def _packets(path: Path, container: Any, streams: list[Any]) -> Iterator[Any]:
    """Packets in file order, and at the end one for each decoder that lets out what it holds back; a file that was cut
    short ends where it was cut.
    """
    import av

    try:
        for packet in container.demux(*streams):
            if packet.size or not _kept_as_it_is(packet.stream):
                yield packet
    except (av.error.FFmpegError, OSError) as error:
        log.warning("%s: damaged or cut short (%s)", path, error)


def _tracks(path: Path, container: Any) -> _Tracks:
    color = depth = None
    for stream in container.streams.video:
        color = stream if "K4A_COLOR_MODE" in stream.metadata else color
        depth = stream if "K4A_DEPTH_MODE" in stream.metadata else depth
    if color is None or depth is None:
        missing = "color" if color is None else "depth"
        raise SourceError(
            f"{path}: expected color and depth of an Azure Kinect, found no {missing}; record with both on"
        )
    color_mode = color.metadata["K4A_COLOR_MODE"].partition("_")[2]
    depth_mode = depth.metadata["K4A_DEPTH_MODE"]
    _check_size(path, color, COLOR_MODES.get(color_mode))
    _check_size(path, depth, DEPTH_MODES.get(depth_mode))
    pixels = depth.codec_context.pix_fmt
    if not _kept_as_it_is(depth) and pixels not in _DEPTH_PIXELS:
        raise SourceError(
            f"{path}: expected depth of 16 bits, its track was encoded anew with pixels of {pixels}, which keeps no "
            "distances; use the recording it was made from"
        )
    return _Tracks(
        color.index,
        depth.index,
        color_mode,
        depth_mode,
        _calibration(path, container),
        _delay_s(path, container.metadata.get("K4A_DEPTH_DELAY_NS", "0")),
    )


def _delay_s(path: Path, nanoseconds: str) -> float:
    """How much later than the colour the depth was taken."""
    try:
        delay_s = float(nanoseconds) / 1e9
    except ValueError:
        delay_s = math.nan
    if not abs(delay_s) <= LONGEST_DELAY_S:
        raise SourceError(f"{path}: expected a delay of the depth in nanoseconds, got {nanoseconds[:40]}; record again")
    return delay_s


def _kept_as_it_is(stream: Any) -> bool:
    """Whether packets of a track are what the camera sent: `KinectDecoder` or `_depth_mm` takes them."""
    name = stream.codec_context.name
    return bool(name == "mjpeg") or bool(name == "rawvideo" and "K4A_DEPTH_MODE" in stream.metadata)


def _check_size(path: Path, stream: Any, mode: Any) -> None:
    context = stream.codec_context
    size = (context.width, context.height) if context is not None else (0, 0)
    scaled = context is not None and "K4A_COLOR_MODE" in stream.metadata and not _kept_as_it_is(stream)
    if mode is None or (mode.size != size and not (scaled and min(size) > 0 and same_shape(mode.size, size))):
        raise SourceError(
            f"{path}: expected a picture size of an Azure Kinect's modes, got {size[0]}x{size[1]} as "
            f"{stream.metadata.get('K4A_COLOR_MODE') or stream.metadata.get('K4A_DEPTH_MODE')}; record again"
        )


def _calibration(path: Path, container: Any) -> str:
    for stream in container.streams:
        named = stream.metadata.get("filename") == "calibration.json"
        if stream.type == "attachment" and (named or "K4A_CALIBRATION_FILE" in stream.metadata):
            data = bytes(stream.data)
            if len(data) <= LARGEST_CALIBRATION:
                return data.decode("utf-8", errors="replace")
    raise SourceError(
        f"{path}: expected the factory calibration as an attachment, found none; record with the Azure Kinect's own "
        "recorder, or attach it: mkvpropedit FILE --attachment-name calibration.json --add-attachment calibration.json"
    )


def _color(content: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """JPEG [n] as it came, or BGRA [H, W, 4] of the size the camera is calibrated for."""
    if not _is_decoded(content):
        return np.frombuffer(bytes(content), np.uint8)
    return np.asarray(content.reformat(*size, "bgra").to_ndarray(), np.uint8)


def _is_decoded(content: Any) -> bool:
    import av

    return isinstance(content, av.VideoFrame)


def _depth_mm(content: Any) -> NDArray[np.uint16]:
    if _is_decoded(content):
        return np.asarray(content.to_ndarray(format="gray16le"), np.uint16)
    context = content.stream.codec_context
    data = bytes(content)
    if len(data) != context.width * context.height * 2:
        return np.zeros((context.height, context.width), np.uint16)
    order = "<u2" if context.pix_fmt == "gray16le" else ">u2"
    return np.frombuffer(data, order).reshape(context.height, context.width).astype(np.uint16)
