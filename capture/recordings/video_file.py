"""Reading video files with PyAV: checked sizes, upright pictures, and errors a user can act on."""

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capture.recordings.picture_layout import PictureLayout
from core.picture_limits import check_picture_size, plausible_fps
from core.source import SourceError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

LARGEST_FRAME_BYTES = 27_000_000  # decoded: 4K in 10 bits. A decoder may have to keep twenty of them
# FFmpeg's names of what is tried on a file. Others are texts that make it open further files, or addresses.
_FORMATS = "mov,matroska,avi,nut,mpegts,mpeg,flv,asf,ogg,mxf,dv,ivf,h264,hevc,m4v,gif,yuv4mpegpipe,wav,mp3,flac"
_ONE_THREAD_PIXELS = 1280 * 720  # small pictures decode quickly; the other core has a face to track
_MOST_DAMAGED = 1000  # packets, after which a file is given up; so it ends even if reading it never would
_LONGEST_GAP_S = 60.0  # between two frames; more is an error of the file
_MISSING_FRAMES, _MISSING_S = 5, 0.3  # at the end of a film, before it is called cut short
_LEAST_FRAME_BYTES = 16  # of a picture like the one before, with what a container writes beside it
_STILL_CODECS = ("png", "bmp", "tiff", "webp", "gif")  # of pictures that programs put beside a film

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself: width and height as seen (upright, with square pixels) and as stored (upright),
    nominal rate (0 unknown), and the number of frames as counted by the file, or to within one as its length suggests,
    or None.
    """

    width: int
    height: int
    stored: tuple[int, int]
    fps: float
    frame_count: int | None
    pixel_format: str


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A decoded picture of a file that has not been converted yet. Times start at 0 with the first."""

    index: int
    time_s: float
    picture: "av.VideoFrame"
    path: Path
    layout: PictureLayout
    size: tuple[int, int]  # of all pictures of the file

    def rgb(self) -> NDArray[np.uint8]:
        """[H, W, 3] uint8 as seen. Raises SourceError where its pixels are of a kind that cannot be converted."""
        with _av_errors(self.path):
            return np.asarray(self.layout.array(self.picture, "rgb24", self.size), np.uint8)

    def gray16(self) -> NDArray[np.uint16]:
        """[H, W] uint16 as seen. Raises SourceError where its pixels are of a kind that cannot be converted."""
        with _av_errors(self.path):
            return np.asarray(self.layout.array(self.picture, "gray16le", self.size), np.uint16)


def probe_video(path: Path) -> VideoInfo:
    """What is in the file, checked, with one frame decoded. Raises SourceError where it holds no video to play."""
    with _opened(path) as (container, stream):
        with _av_errors(path):
            first = next(iter(container.decode(stream)), None)
        if first is None:
            raise SourceError(f"{path}: expected a video, found no picture in it", "give another file")
        _check_picture(path, first)
        layout = _layout(path, first, stream)
        stored = layout.coded[::-1] if layout.transposed else layout.coded
        count = _frame_count(container, stream)
        return VideoInfo(*layout.size, stored, _fps(stream), count, first.format.name)


def decode_video(path: Path) -> Generator[DecodedFrame, None, None]:
    """Every picture of the film in it, in order, with times that never run backwards, upright and all of one size.

    A file that is damaged or cut short gives what can be decoded; that it ended early is logged, and so is a change of
    the picture's size. Raises SourceError where it cannot be opened.
    """
    with _opened(path) as (container, stream):
        ends_s, latest_s = _ends_s(container, stream), None
        first_s = 0.0
        clock = _Times(1 / (_fps(stream) or 30))
        layout: PictureLayout | None = None
        size, index = (0, 0), 0
        for picture in _pictures(path, container, stream):
            _check_picture(path, picture)
            before, layout = layout, _layout(path, picture, stream)
            if before is None:
                size = layout.size
                if layout.slanting:
                    log.warning("%s: asks for a turn that is no quarter; the nearest one is made", path)
            elif layout.size != before.size:
                told = "%s: its pictures change from %dx%d to %dx%d at frame %d; they are fitted into %dx%d"
                log.warning(told, path, *before.size, *layout.size, index, *size)
            if picture.time is not None:
                first_s = picture.time if latest_s is None else first_s
                latest_s = max(picture.time, first_s if latest_s is None else latest_s)
            yield DecodedFrame(index, clock.of(picture.time), picture, path, layout, size)
            index += 1
        if clock.closed_gaps:
            told = "%s: %d times nothing was filmed for more than %.0f s; these gaps are closed"
            log.warning(told, path, clock.closed_gaps, _LONGEST_GAP_S)
        if ends_s is None or latest_s is None or index >= (_counted(container, stream) or math.inf):
            return
        step_s = max(1 / (_fps(stream) or 30), (latest_s - first_s) / max(index - 1, 1))
        if latest_s < ends_s - max(_MISSING_FRAMES * step_s, _MISSING_S):
            told = "%s: damaged or cut short, %.1f of %.1f s could be read"
            log.warning(told, path, latest_s - first_s + step_s, ends_s - first_s)


def _layout(path: Path, picture: "av.VideoFrame", stream: "VideoStream") -> PictureLayout:
    layout = PictureLayout.of(picture, stream.sample_aspect_ratio)
    check_picture_size(str(path), *layout.size)
    return layout


def _pictures(path: Path, container: "InputContainer", stream: "VideoStream") -> Iterator["av.VideoFrame"]:
    """What the decoder makes of the packets, one by one; those it cannot make anything of are left out."""
    errors = _decoding_errors()
    packets = container.demux(stream)
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
        self.closed_gaps = 0
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
            self.closed_gaps += self._base_s is not None and time_s - self._base_s > self._last_s
            self._base_s = time_s - expected_s
        at_s = time_s - self._base_s
        self._last_s = at_s if at_s > self._last_s else expected_s
        return self._last_s


def open_container(path: Path) -> "InputContainer":
    """PyAV's container of a video file, of a format that holds everything itself. Raises what PyAV does."""
    import av

    return av.open(str(path), mode="r", metadata_errors="ignore", options={"format_whitelist": _FORMATS})


def _film(path: Path, container: "InputContainer") -> "VideoStream":
    """The stream to play: neither a cover nor another still, and of several films the one that players take."""
    import av

    beside = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    films = [stream for stream in container.streams.video if not stream.disposition & beside]
    if not films:
        found = "only a cover picture" if container.streams.video else "a file without pictures"
        raise SourceError(f"{path}: expected a video, found {found}", "give another one")
    known = [stream for stream in films if stream.codec_context is not None]
    if not known:
        raise SourceError(f"{path}: its video is in a format that is not known", "convert it to H.264 in an .mp4")

    def rank(stream: "VideoStream") -> tuple[bool, bool]:
        still = stream.frames == 1 or stream.codec_context.name in _STILL_CODECS
        return not still, bool(stream.disposition & av.stream.Disposition.default)

    film = max(known, key=rank)  # of equal ones the first
    if len(known) > 1:
        log.info("%s: holds %d videos; the one of %dx%d is played", path, len(known), film.width, film.height)
    return film


@contextmanager
def _opened(path: Path) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    if not path.is_file():
        raise SourceError(f"{path}: no such file", "give a video or a folder of RGBD frames")
    with _av_errors(path):
        container = open_container(path)
    with container:
        stream = _film(path, container)
        context = stream.codec_context
        _check_picture(path, context)
        context.thread_count = 1 if context.width * context.height <= _ONE_THREAD_PIXELS else 2
        context.thread_type = "AUTO"
        yield container, stream


@contextmanager
def _av_errors(path: Path) -> Iterator[None]:
    errors = _decoding_errors()
    try:
        yield
    except errors as error:
        raise SourceError(
            f"{path}: expected a video, it cannot be read ({_reason(error)})", "is it complete? try another file"
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
            f"{LARGEST_FRAME_BYTES // 10**6} MB",
            "scale the video down to 4K or less",
        )


def _fps(stream: Any) -> float:
    """The nominal rate, 0 where it is not known or none that a camera has."""
    return plausible_fps(float(stream.average_rate or stream.guessed_rate or 0))


def _counted(container: "InputContainer", stream: "VideoStream") -> int | None:
    """The frames that the file lists one by one, as an .mp4 does; an .avi counts times at which nothing is."""
    return stream.frames if stream.frames and "mp4" in container.format.name else None


def _frame_count(container: "InputContainer", stream: "VideoStream") -> int | None:
    """The frames that the file lists, or for which its length has room; None where it has too few bytes for them."""
    if (counted := _counted(container, stream)) is not None:
        return counted
    ends_s = _ends_s(container, stream)
    if ends_s is None:
        return None
    count = round((ends_s - _begins_s(stream)) * _fps(stream))
    return count if 0 < count * _LEAST_FRAME_BYTES <= container.size else None


def _begins_s(stream: "VideoStream") -> float:
    """The time of the film's first picture, which is not 0 where the recorder's clock had run before."""
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _ends_s(container: "InputContainer", stream: "VideoStream") -> float | None:
    """When the film ends, on the clock of its pictures, as the file says; None where it does not."""
    if stream.duration is not None and stream.time_base is not None:
        return _begins_s(stream) + float(stream.duration * stream.time_base)
    if container.duration is None or len(container.streams) != 1:  # the sound may go on for longer
        return None
    length_s = container.duration / 1e6  # of Matroska and NUT the end on that clock; of FLV from the first picture on
    return length_s if length_s > _begins_s(stream) else _begins_s(stream) + length_s
