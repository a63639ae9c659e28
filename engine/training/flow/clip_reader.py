"""Single frames of videos and folders, by number, fast enough that training does not wait."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from capture.cameras.device import DamagedPictureError
from capture.recordings.rgbd_folder import COLOR_FORMATS
from capture.recordings.video_file import open_container
from core.picture_limits import LARGEST_PIXELS
from core.source import SourceError
from core.untrusted import opened_picture

_OPEN_AT_ONCE = 24  # videos each process keeps open
_LARGEST_PIXELS = 4096 * 4096
_PICTURES = ("JPEG", "PNG")


class FrameReader(Protocol):
    """Pictures of one clip by number: rgb [H, W, 3] uint8, depth [H, W] (any unit, 0 where there is none) or None."""

    name: str

    @property
    def count(self) -> int: ...

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]: ...


class VideoFrames:
    """Frames of one video by number, from the key frame before it on. Raises SourceError where it cannot be read."""

    _opened: ClassVar["OrderedDict[tuple[int, Path], Any]"] = OrderedDict()  # of all clips: few open files

    def __init__(self, path: Path, pixels: str) -> None:
        self._path, self._pixels = path, pixels
        self._times: list[int] | None = None

    @property
    def times(self) -> list[int]:
        """Presentation times of all frames, in the stream's own units. Raises SourceError."""
        if self._times is None:
            with self._readable("its frames cannot be counted"), _video(self._path) as container:
                packets = container.demux(container.streams.video[0])
                self._times = sorted(packet.pts for packet in packets if packet.pts is not None)
        return self._times or []

    def read(self, number: int) -> NDArray[Any]:
        """Raises SourceError where there is no such frame, or it cannot be decoded."""
        times = self.times
        with self._readable(f"frame {number} cannot be read"):
            return self._read(times[number])

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # decoders of damaged videos raise many kinds
            if (container := self._opened.pop((os.getpid(), self._path), None)) is not None:
                container.close()
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise SourceError(f"{self._path}: {what} ({reason}); preprocess it again") from None

    def _read(self, time: int) -> NDArray[Any]:
        container = self._container()
        stream = container.streams.video[0]
        container.seek(time, stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= time:
                if frame.width * frame.height > LARGEST_PIXELS:
                    raise ValueError(f"it is {frame.width}x{frame.height}, expected {LARGEST_PIXELS} pixels at most")
                return np.asarray(frame.to_ndarray(format=self._pixels))
        raise ValueError("the video ends before it")

    def _container(self) -> Any:
        """This process's open file: a file shared with another process would be read from two places."""
        key = (os.getpid(), self._path)
        if key not in self._opened:
            self._opened[key] = _video(self._path)
            while len(self._opened) > _OPEN_AT_ONCE:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(key)
        return self._opened[key]


def _video(path: Path) -> Any:
    """The open file. Raises what FFmpeg raises, and ValueError where it shows no pictures."""
    container = open_container(path)
    if not container.streams.video:
        container.close()
        raise ValueError("it has no pictures")
    context: Any = container.streams.video[0].codec_context  # None where no decoder is known, whatever its type says
    if context is None:
        container.close()
        raise ValueError("no decoder is known for it")
    context.thread_count = 1
    context.options = {"max_pixels": str(LARGEST_PIXELS)}  # told before anything is decoded
    return container


class VideoClip:
    """Colour video, with its depth video where there is one."""

    def __init__(self, color: Path, depth: Path | None) -> None:
        self.name = str(color)
        self._color = VideoFrames(color, "rgb24")
        self._depth = VideoFrames(depth, "gray16le") if depth is not None else None

    @property
    def count(self) -> int:
        counts = [len(self._color.times)] + ([len(self._depth.times)] if self._depth is not None else [])
        return min(counts)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        rgb, depth = self._color.read(number), self._depth.read(number) if self._depth is not None else None
        if depth is not None and depth.shape != rgb.shape[:2]:
            raise SourceError(f"{self.name}: is {rgb.shape[:2]}, its depth {depth.shape}; preprocess it again")
        return rgb, depth


class FolderClip:
    """Numbered RGBD frames, as `capture.recordings.rgbd_folder` reads them."""

    def __init__(self, folder: Path) -> None:
        from capture.recordings.rgbd_folder import RgbdFolder

        self.name = str(folder)
        self._frames = list(RgbdFolder(folder).frames())

    @property
    def count(self) -> int:
        return len(self._frames)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        try:
            picture = self._frames[number].load()
        except DamagedPictureError as error:
            raise SourceError(str(error)) from error
        return picture.rgb, picture.depth_m


class PictureClip:
    """Numbered colour pictures in a folder, as VoxCeleb is usually unpacked."""

    def __init__(self, files: list[Path]) -> None:
        self.name, self._files = str(files[0].parent), files

    @property
    def count(self) -> int:
        return len(self._files)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        path = self._files[number]
        with opened_picture(path, str(path), COLOR_FORMATS, LARGEST_PIXELS) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8), None


def find_clips(root: Path, *, depth: bool) -> list[FrameReader]:
    """Every clip below a folder, in the order of their names: colour and depth videos, RGBD frames or, without depth,
    colour videos and pictures. Raises SourceError where there is none."""
    clips: list[FrameReader] = _video_pairs(root) + _frame_folders(root) if depth else _color_clips(root)
    if not clips:
        kind = "color/X.mp4 with depth/X.nut, or numbered frames in rgb/ and depth/" if depth else "videos or pictures"
        raise SourceError(f"{root}: expected clips ({kind}) in it or below, found none; run vfa preprocess first")
    return clips


def _video_pairs(root: Path) -> list[FrameReader]:
    pairs = (
        (color, color.parent.parent / "depth" / f"{color.stem}.nut") for color in sorted(root.rglob("color/*.mp4"))
    )
    return [VideoClip(color, depth) for color, depth in pairs if depth.is_file()]


def _frame_folders(root: Path) -> list[FrameReader]:
    found = {
        path.parent for name in ("rgb", "color") for path in root.rglob(name) if next(path.glob("*.[jp][pn]*g"), None)
    }
    return [FolderClip(folder) for folder in sorted(found) if (folder / "depth").is_dir()]


def _color_clips(root: Path) -> list[FrameReader]:
    videos: list[FrameReader] = [VideoClip(path, None) for path in sorted(root.rglob("*.mp4"))]
    folders: dict[Path, list[Path]] = {}
    for path in sorted([*root.rglob("*.jpg"), *root.rglob("*.png")]):
        folders.setdefault(path.parent, []).append(path)
    return videos + [PictureClip(files) for files in folders.values()]
