"""Preprocessed clips on disk: H.264 colour and 16-bit FFV1 depth, side by side in two folders."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capture.face.preprocess import NETWORK_SIZE

if TYPE_CHECKING:
    import av

_COLOR_OPTIONS = {
    "crf": "3",
    "preset": "fast",
    "g": "12",
}  # published quality; key frames so that any frame is near one


class ClipWriter:
    """Writes `color/NAME.mp4` and `depth/NAME.nut` under a person's folder, both whole or neither.

    Use as a context manager; `keep` gives the files their names, everything else leaves nothing behind.
    """

    def __init__(self, person: Path, name: str, fps: float) -> None:
        import av

        self.color, self.depth = clip_paths(person, name)
        self._partial = [partial_of(path) for path in (self.color, self.depth)]
        for path in self._partial:
            path.parent.mkdir(parents=True, exist_ok=True)
        rate = Fraction(fps or 30.0).limit_denominator(1000)
        self._containers = [
            av.open(str(path), "w", format=kind) for path, kind in zip(self._partial, ("mp4", "nut"), strict=True)
        ]
        self._streams = [
            _stream(self._containers[0], "libx264", "yuv420p", rate, _COLOR_OPTIONS),
            _stream(self._containers[1], "ffv1", "gray16le", rate, {}),
        ]
        self.frames = 0

    def append(self, rgb: NDArray[np.uint8], depth: NDArray[np.uint16]) -> None:
        """[256, 256, 3] and [256, 256]"""
        frames = _frame(rgb, "rgb24", self.frames), _frame(depth, "gray16le", self.frames)
        for frame, container, stream in zip(frames, self._containers, self._streams, strict=True):
            container.mux(stream.encode(frame))
        self.frames += 1

    def keep(self) -> None:
        """Finish both files."""
        for container, stream in zip(self._containers, self._streams, strict=True):
            container.mux(stream.encode(None))
            container.close()
        for partial, path in zip(reversed(self._partial), (self.depth, self.color), strict=True):
            partial.replace(path)  # colour last: where it is, the depth is, too

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(self, *_: object) -> None:
        for container in self._containers:
            container.close()
        for path in self._partial:
            path.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where a clip's file stands until it is whole."""
    return path.with_name(f".{path.name}.partial")


def remove_unfinished(out: Path, person: str, name: str) -> None:
    """Take away what a writer that was killed left of a clip, and folders that are empty then."""
    for path in clip_paths(out / person, name):
        with suppress(OSError):
            partial_of(path).unlink(missing_ok=True)
            for folder in (path.parent, out / person, out):
                folder.rmdir()


def clip_paths(person: Path, name: str) -> tuple[Path, Path]:
    """Where a clip's colour and depth lie."""
    return person / "color" / f"{name}.mp4", person / "depth" / f"{name}.nut"


def _stream(container: Any, codec: str, pixels: str, rate: Fraction, options: dict[str, str]) -> Any:
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width = stream.height = NETWORK_SIZE
    stream.pix_fmt = pixels
    stream.codec_context.thread_count = 1
    return stream


def _frame(picture: NDArray[Any], kind: str, number: int) -> "av.VideoFrame":
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=kind)
    frame.pts = number
    return frame
