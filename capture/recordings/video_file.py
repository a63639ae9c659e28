"""Reading video files with PyAV: checked sizes, upright pictures, and errors a user can act on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.picture_limits import check_picture_size, plausible_fps
from core.source import SourceError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

LARGEST_FRAME_BYTES = 27_000_000  # decoded: 4K in 10 bits. A decoder may have to keep twenty of them
# FFmpeg's names of what is tried on a file. Others are texts that make it open further files, or addresses.
_FORMATS = "mov,matroska,avi,nut,mpegts,mpeg,flv,asf,ogg,mxf,dv,ivf,h264,hevc,m4v,gif,yuv4mpegpipe,wav,mp3,flac"
_ONE_THREAD_PIXELS = 1280 * 720  # small pictures decode quickly; the other core has a face to track
_MOST_DAMAGED = 1000  # packets, after which a file is given up; so it ends even if reading it never would
_LONGEST_GAP_S = 60.0  # between two frames; more is an error of the file
_MISSING_SHARE = 0.05  # a container's count may be off by this without the file being damaged

_Pixel = TypeVar("_Pixel", np.uint8, np.uint16)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: upright width and height, nominal rate (0 unknown), and the number of frames as
    counted by the file, or to within one as its length suggests, or None.
    """

    width: int
    height: int
    fps: float
    frame_count: int | None
    pixel_format: str
    stream_count: int


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A decoded picture of a file that has not been converted yet. Times start at 0 with the first."""

    index: int
    time_s: float
    picture: "av.VideoFrame"
    path: Path

    def rgb(self) -> NDArray[np.uint8]:
        """[H, W, 3] uint8, upright. Raises SourceError where its pixels are of a kind that cannot be converted."""
        return _upright(np.asarray(self._converted("rgb24"), np.uint8), self.picture.rotation)

    def gray16(self) -> NDArray[np.uint16]:
        """[H, W] uint16, upright. Raises SourceError where its pixels are of a kind that cannot be converted."""
        return _upright(np.asarray(self._converted("gray16le"), np.uint16), self.picture.rotation)

    def _converted(self, pixels: str) -> NDArray[Any]:
        with _av_errors(self.path):
            return np.asarray(self.picture.to_ndarray(format=pixels))


def probe_video(path: Path) -> VideoInfo:
    """What is in the file, checked, with one frame decoded. Raises SourceError where it holds no video to play."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        with _av_errors(path):
            first = next(iter(container.decode(stream)), None)
        if first is None:
            raise SourceError(f"{path}: expected a video, found no picture in it; give another file")
        _check_picture(path, first)
        turned = _quarter_turns(first.rotation) % 2 != 0
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        fps = _fps(stream)
        count = stream.frames or _estimated_count(container)
        return VideoInfo(width, height, fps, count, first.format.name, len(container.streams.video))


def decode_video(path: Path) -> Iterator[DecodedFrame]:
    """Every picture of the first video stream, in order, with times that never run backwards.

    A file that is damaged or cut short gives what can be decoded; that it ended early is logged. Raises SourceError
    where it cannot be opened or the picture's size changes on the way.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        expected = stream.frames or _estimated_count(container) or 0
        clock = _Times(1 / (_fps(stream) or 30))
        size: tuple[int, int] | None = None
        index = 0
        for picture in _pictures(path, container):
            if size not in {None, (picture.width, picture.height)}:
                raise SourceError(
                    f"{path}: expected pictures of one size, frame {index} is {picture.width}x{picture.height} "
                    f"and those before it are {size}; convert it to one size"
                )
            size = (picture.width, picture.height)
            _check_picture(path, picture)
            yield DecodedFrame(index, clock.of(picture.time), picture, path)
            index += 1
        if index < expected * (1 - _MISSING_SHARE) - 1:
            log.warning("%s: damaged or cut short, %d of about %d frames could be read", path, index, expected)


def _pictures(path: Path, container: "InputContainer") -> Iterator["av.VideoFrame"]:
    """What the decoder makes of the packets, one by one; those it cannot make anything of are left out."""
    errors = _decoding_errors()
    packets = container.demux(container.streams.video[0])
    damaged = 0
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            pictures = packet.decode()
        except errors as error:
            damaged += 1
            if damaged == 1:
                log.warning("%s: is damaged (%s); what cannot be read is left out", path, _reason(error))
            elif damaged > _MOST_DAMAGED:
                break
            continue
        yield from (picture for picture in pictures if not picture.is_corrupt)


class _Times:
    """Presentation times from 0 on. What is missing, runs backwards or leaps is spaced by the nominal interval."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._base_s: float | None = None
        self._last_s: float | None = None

    def of(self, time_s: float | None) -> float:
        if self._last_s is None:
            self._base_s, self._last_s = time_s, 0.0
            return 0.0
        expected_s = self._last_s + self._interval_s
        if time_s is None:
            self._last_s = expected_s
            return expected_s
        if self._base_s is None or abs(time_s - self._base_s - self._last_s) > _LONGEST_GAP_S:
            self._base_s = time_s - expected_s
        at_s = time_s - self._base_s
        self._last_s = at_s if at_s > self._last_s else expected_s
        return self._last_s


def open_container(path: Path) -> "InputContainer":
    """PyAV's container of a video file, of a format that holds everything itself. Raises what PyAV does."""
    import av

    return av.open(str(path), mode="r", metadata_errors="ignore", options={"format_whitelist": _FORMATS})


@contextmanager
def _opened(path: Path) -> Iterator["InputContainer"]:
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give a video or a folder of RGBD frames")
    with _av_errors(path):
        container = open_container(path)
    with container:
        if not container.streams.video:
            raise SourceError(f"{path}: expected a video, found a file without pictures; give another one")
        context = container.streams.video[0].codec_context
        if context is None:
            raise SourceError(f"{path}: its video is in a format that is not known; convert it to H.264 in an .mp4")
        _check_picture(path, context)
        context.thread_count = 1 if context.width * context.height <= _ONE_THREAD_PIXELS else 2
        context.thread_type = "AUTO"
        yield container


@contextmanager
def _av_errors(path: Path) -> Iterator[None]:
    errors = _decoding_errors()
    try:
        yield
    except errors as error:
        raise SourceError(
            f"{path}: expected a video, it cannot be read ({_reason(error)}); is it complete? try another file"
        ) from None


def _decoding_errors() -> tuple[type[Exception], ...]:
    import av.error

    return (av.error.FFmpegError, OSError, ValueError)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().splitlines()[0]


def _check_picture(path: Path, picture: Any) -> None:
    """Size of a picture or of the codec that announces it. Raises SourceError."""
    check_picture_size(str(path), picture.width, picture.height)
    bits = picture.format.padded_bits_per_pixel if picture.format is not None else 8
    if picture.width * picture.height * bits > 8 * LARGEST_FRAME_BYTES:
        raise SourceError(
            f"{path}: a picture of {picture.width}x{picture.height} in {bits} bits takes more than "
            f"{LARGEST_FRAME_BYTES // 10**6} MB; scale the video down to 4K or less"
        )


def _fps(stream: Any) -> float:
    """The nominal rate, 0 where it is not known or none that a camera has."""
    return plausible_fps(float(stream.average_rate or stream.guessed_rate or 0))


def _estimated_count(container: "InputContainer") -> int | None:
    """Frames that the stream's length, or that of a file without anything else in it, makes room for."""
    stream = container.streams.video[0]
    fps = _fps(stream)
    if stream.duration is not None and stream.time_base is not None:
        return round(float(stream.duration * stream.time_base) * fps) or None
    if container.duration is not None and len(container.streams) == 1:
        return round(container.duration / 1e6 * fps) or None
    return None


def _quarter_turns(rotation: int) -> int:
    return round(rotation / 90) % 4


def _upright(picture: NDArray[_Pixel], rotation: int) -> NDArray[_Pixel]:
    """Undo the rotation the file asks players for: whole quarter turns; `rotation` in degrees, counter-clockwise."""
    quarter_turns = _quarter_turns(rotation)
    return np.ascontiguousarray(np.rot90(picture, quarter_turns)) if quarter_turns else picture
