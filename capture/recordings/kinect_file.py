"""Azure Kinect recordings (`.mkv`), read without the vendor's library: they play on any machine.

Matroska with a JPEG (or raw) colour track, a 16-bit big-endian depth track, and the factory calibration attached.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.cameras.device import DamagedPictureError
from capture.cameras.kinect_calibration import COLOR_MODES, DEPTH_MODES, parse_calibration
from capture.cameras.kinect_picture import KinectDecoder, KinectPicture
from capture.recordings.playback import ClipFrame, ClipPicture
from capture.recordings.video_file import open_container
from core.source import SourceError

log = logging.getLogger(__name__)

MOST_WAITING = 64  # packets of one track without a partner in the other
LARGEST_CALIBRATION = 1 << 20
LONGEST_DELAY_S = 1.0
_RATES = (5, 15, 30)


@dataclass(frozen=True)
class _Tracks:
    """Numbers of the streams in the file and the modes they were recorded in."""

    color: int
    depth: int
    color_format: str
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
            waiting: tuple[deque[Any], deque[Any]] = (deque(), deque())
            tolerance_s = 0.5 / (self.fps or 30)
            for packet in _packets(self._path, container, streams):
                waiting[packet.stream_index == self._tracks.depth].append(packet)
                while all(waiting):
                    yield from self._pair(waiting, tolerance_s)
                for queue in waiting:
                    if len(queue) > MOST_WAITING:
                        queue.popleft()

    def frames(self) -> Iterator[ClipFrame]:
        first_s = None
        for index, picture in enumerate(self.pictures()):
            first_s = picture.timestamp_s if first_s is None else first_s
            yield ClipFrame(index, picture.timestamp_s - first_s, lambda picture=picture: self._load(picture))  # type: ignore[misc]

    def _pair(self, waiting: tuple[deque[Any], deque[Any]], tolerance_s: float) -> Iterator[KinectPicture]:
        """The two oldest packets if they belong together; otherwise the older one is given up."""
        color, depth = waiting[0][0], waiting[1][0]
        apart_s = _time_s(depth) - self._tracks.depth_delay_s - _time_s(color)
        if abs(apart_s) <= tolerance_s:
            waiting[0].popleft()
            waiting[1].popleft()
            yield KinectPicture(self._color(color), _depth_mm(depth), _time_s(color))
        else:
            waiting[apart_s < 0].popleft()

    def _color(self, packet: Any) -> NDArray[np.uint8]:
        if self._tracks.color_format == "MJPG":
            return np.frombuffer(bytes(packet), np.uint8)
        import av

        try:
            return np.asarray(packet.decode()[0].to_ndarray(format="bgra"), np.uint8)
        except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
            raise SourceError(f"{self.name}: is damaged at {_time_s(packet):.2f} s ({error}); record again") from None

    def _load(self, picture: KinectPicture) -> ClipPicture:
        try:
            rgb, depth_m = self._decoder(picture)
        except DamagedPictureError as error:
            raise SourceError(
                f"{self.name}: is damaged at {picture.timestamp_s:.2f} s: {error}; record again"
            ) from error
        return ClipPicture(rgb, depth_m, self._decoder.intrinsics)


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
    """Packets with content, in file order; a file that was cut short ends where it was cut."""
    import av

    try:
        for packet in container.demux(*streams):
            if packet.size and packet.pts is not None:
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
    color_format, _, color_mode = color.metadata["K4A_COLOR_MODE"].partition("_")
    depth_mode = depth.metadata["K4A_DEPTH_MODE"]
    _check_size(path, color, COLOR_MODES.get(color_mode))
    _check_size(path, depth, DEPTH_MODES.get(depth_mode))
    return _Tracks(
        color.index,
        depth.index,
        color_format,
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


def _check_size(path: Path, stream: Any, mode: Any) -> None:
    context = stream.codec_context
    size = (context.width, context.height) if context is not None else (0, 0)
    if mode is None or mode.size != size:
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


def _time_s(packet: Any) -> float:
    return float(packet.pts * packet.time_base)


def _depth_mm(packet: Any) -> NDArray[np.uint16]:
    context = packet.stream.codec_context
    data = bytes(packet)
    if len(data) != context.width * context.height * 2:
        return np.zeros((context.height, context.width), np.uint16)
    return np.frombuffer(data, ">u2").reshape(context.height, context.width).astype(np.uint16)
