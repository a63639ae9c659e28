"""The built-in performer: a camera-less RGBD device that plays a minute of acting over and over.

The minute is rendered ahead (`studio`, `film`) and shipped: 640x480 colour as H.264, the depth of the person as 12-bit
HEVC in steps of 0.1 mm, and its outline without loss, so that no depth is invented between person and wall. Shipping
rather than rendering at the first start means that the program shows something at once, on any machine, and that no
OpenGL context is made on the device's thread; decoding takes 2-3 ms a frame. Against the exact rendering the depth is
off by 0.2 mm on average; where ground truth is wanted, render it (`studio.Studio`).
"""

from __future__ import annotations

import functools
import lzma
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capture.recordings.playback import WHOLE, ClipFrame, ClipPicture, Excerpt, RecordedSource
from capture.recordings.video_file import open_container
from capture.synthetic.head.head_data import DATA_FOLDER
from core.camera import Intrinsics
from core.source import SourceError
from core.untrusted import read_bytes

if TYPE_CHECKING:
    import av

FILM_FILE, OUTLINE_FILE = DATA_FOLDER / "performer.mkv", DATA_FOLDER / "performer_outline.xz"
INTRINSICS = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
_SIZE = (INTRINSICS.width, INTRINSICS.height)
FPS = 30.0
WALL_DEPTH_M = 1.35
# The person's depth as stored: value · DEPTH_STEP_M + NEAREST_M, in 12 bits.
NEAREST_M, DEPTH_STEP_M = 0.42, 0.0001
# The outline: sorted columns where a row enters or leaves the person, OUTLINE_SLOTS per row, filled up with the width.
OUTLINE_SLOTS = 8
LARGEST_OUTLINE_BYTES = 100_000_000
_MOST_UNPACKING_BYTES = 256 << 20  # a file may ask for a dictionary of gigabytes


class PerformerClip:
    """The shipped minute, once or without end; a `Clip` as `capture.recordings.playback` plays them."""

    name = "demo"

    def __init__(
        self, *, loop: bool, film: Path = FILM_FILE, outline: Path = OUTLINE_FILE, fps: float | None = None
    ) -> None:
        self.fps = fps or FPS
        self._film, self._outline, self._loop = film, outline, loop
        self.frame_count = None if loop else len(self._edges)
        self.sound_file: Path | None = None

    @functools.cached_property
    def _edges(self) -> NDArray[np.uint16]:
        """As `read_outline`: a tenth of a second's work, which for an endless performance is the reading thread's."""
        return read_outline(self._outline)

    def frames(self) -> Iterator[ClipFrame]:
        """All frames in order. Raises SourceError where the film cannot be read."""
        index = 0
        while True:
            for frame, (color, depth) in enumerate(self._pictures()):
                yield ClipFrame(index, index / self.fps, _loader(color, depth, self._edges[frame]))
                index += 1
            if not self._loop:
                return

    def _pictures(self) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
        import av
        import av.error

        waiting: tuple[list[av.VideoFrame], list[av.VideoFrame]] = ([], [])
        delivered = 0
        try:
            with open_container(self._film) as container:
                streams = container.streams.video[:2]
                if len(streams) < 2 or any(stream.codec_context is None for stream in streams):
                    raise ValueError("expected two videos in formats that are known")
                for packet in container.demux(*streams):
                    pictures = [picture for picture in packet.decode() if isinstance(picture, av.VideoFrame)]
                    if any((picture.width, picture.height) != _SIZE for picture in pictures):
                        raise ValueError("pictures of another size")
                    waiting[streams.index(packet.stream)].extend(pictures)
                    while waiting[0] and waiting[1] and delivered < len(self._edges):
                        yield waiting[0].pop(0), waiting[1].pop(0)
                        delivered += 1
        except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
            raise SourceError(f"{self._film}: the built-in performance cannot be read ({error}); {_AGAIN}") from None
        if delivered < len(self._edges):
            raise SourceError(f"{self._film}: the built-in performance ends after {delivered} frames; {_AGAIN}")


class PerformerSource(RecordedSource):
    """The performer as a device.

    Args:
        realtime: hand frames over when they are due, on the monotonic clock, for ever; a late reader misses some.
            Otherwise the minute is played once, as fast as it is read.
        loop: start again at the end; by default as `realtime` says.
        noise_m: standard deviation of the depth sensor's noise at 1 m; it grows with the square of the distance, and
            readings are lost along outlines. 0 is perfect.
        fps: frames per second to play it at; acted for 30, it is so much faster at others.
        excerpt: the frames that are played.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        *,
        realtime: bool = True,
        loop: bool | None = None,
        noise_m: float = 0.0,
        fps: float | None = None,
        excerpt: Excerpt = WHOLE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        clip = PerformerClip(loop=realtime if loop is None else loop, fps=fps)
        super().__init__(
            clip if noise_m == 0 else NoisyClip(clip, noise_m),
            realtime=realtime,
            excerpt=excerpt,
            clock=clock,
            sleep=sleep,
        )


class NoisyClip:
    """A performer's clip seen by an imperfect depth sensor; the same noise every time."""

    def __init__(self, clip: PerformerClip, noise_m: float) -> None:
        self.name, self.fps, self.frame_count = clip.name, clip.fps, clip.frame_count
        self.sound_file = clip.sound_file
        self._clip, self._noise_m = clip, noise_m
        self._pool = (
            np.random.default_rng(8).normal(size=(INTRINSICS.height * 2, INTRINSICS.width * 2)).astype(np.float32)
        )

    def frames(self) -> Iterator[ClipFrame]:
        for frame in self._clip.frames():
            yield ClipFrame(frame.index, frame.time_s, functools.partial(self._spoiled, frame))

    def _spoiled(self, frame: ClipFrame) -> ClipPicture:
        picture, index = frame.load(), frame.index
        assert picture.depth_m is not None
        depth = picture.depth_m
        # A window of fixed noise at a place that jumps about is as good as fresh noise and takes a tenth of the time.
        top, left = (index * 197) % INTRINSICS.height, (index * 389) % INTRINSICS.width
        noise = self._pool[top : top + INTRINSICS.height, left : left + INTRINSICS.width]
        spoiled = depth + self._noise_m * depth * depth * noise
        step = np.zeros(depth.shape, dtype=bool)
        step[:, 1:] |= np.abs(np.diff(depth, axis=1)) > 0.03
        step[1:] |= np.abs(np.diff(depth, axis=0)) > 0.03
        spoiled[step] = 0
        return ClipPicture(picture.rgb, spoiled, picture.intrinsics)


_AGAIN = "install the package again"


def read_outline(path: Path) -> NDArray[np.uint16]:
    """[T, H, OUTLINE_SLOTS] columns where each row of each frame enters or leaves the person. Raises SourceError."""
    row_bytes = 2 * INTRINSICS.height * OUTLINE_SLOTS
    try:
        unpacker = lzma.LZMADecompressor(memlimit=_MOST_UNPACKING_BYTES)
        content = unpacker.decompress(read_bytes(path, LARGEST_OUTLINE_BYTES), max_length=LARGEST_OUTLINE_BYTES)
        changes = np.frombuffer(content, dtype="<u2").reshape(-1, INTRINSICS.height, OUTLINE_SLOTS)
    except (EOFError, lzma.LZMAError, ValueError, MemoryError) as error:
        raise SourceError(f"{path}: the built-in performance cannot be read ({error}); {_AGAIN}") from None
    if len(content) < row_bytes:
        raise SourceError(f"{path}: the built-in performance holds no frame; {_AGAIN}")
    edges = np.cumsum(changes, axis=0, dtype=np.uint16)
    if edges.max() > INTRINSICS.width:
        raise SourceError(f"{path}: the built-in performance has an outline outside its pictures; {_AGAIN}")
    return edges


def write_outline(masks: list[NDArray[np.bool_]], path: Path) -> None:
    """The inverse: [H, W] masks of the person to a file. Raises ValueError where a row has too many edges."""
    edges = np.full((len(masks), INTRINSICS.height, OUTLINE_SLOTS), INTRINSICS.width, dtype=np.uint16)
    for frame, mask in enumerate(masks):
        turns = np.diff(mask.astype(np.int8), axis=1, prepend=0) != 0
        rows, columns = np.nonzero(turns)
        counts = np.bincount(rows, minlength=INTRINSICS.height)
        if counts.max() > OUTLINE_SLOTS:
            raise ValueError(f"frame {frame}: a row crosses the outline {counts.max()} times, {OUTLINE_SLOTS} are kept")
        slot = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        edges[frame, rows, slot] = columns
    changes = np.diff(edges, axis=0, prepend=np.zeros_like(edges[:1])).astype("<u2")  # wraps around, as cumsum does
    path.write_bytes(lzma.compress(changes.tobytes(), preset=9 | lzma.PRESET_EXTREME))


def person_mask(edges: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """[H, W] where the person is, from one frame's edges [H, OUTLINE_SLOTS]."""
    turns = np.zeros((INTRINSICS.height, INTRINSICS.width + 1), dtype=np.uint8)
    np.put_along_axis(turns, edges.astype(np.intp), 1, axis=1)
    return np.asarray(np.bitwise_xor.accumulate(turns[:, : INTRINSICS.width], axis=1), dtype=bool)


def _loader(color: av.VideoFrame, depth: av.VideoFrame, edges: NDArray[np.uint16]) -> Callable[[], ClipPicture]:
    def load() -> ClipPicture:
        stored = np.asarray(depth.to_ndarray(format="gray12le"))
        metres = stored.astype(np.float32) * np.float32(DEPTH_STEP_M) + np.float32(NEAREST_M)
        metres[~person_mask(edges)] = WALL_DEPTH_M
        return ClipPicture(np.asarray(color.to_ndarray(format="rgb24"), dtype=np.uint8), metres, INTRINSICS)

    return load
