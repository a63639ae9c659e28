"""Single frames of videos and folders, by number, fast enough that training does not wait."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from capture.picture_limits import LARGEST_PIXELS
from capture.rgbd_folder import COLOR_FORMATS
from capture.source import SourceError
from capture.video_file import open_container
from render.untrusted import opened_picture

_OPEN_AT_ONCE = 24  # videos each process keeps open


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
        """Presentation times of all frames, in the stream's own units."""
        if self._times is None:
            with open_container(self._path) as container:
                packets = container.demux(container.streams.video[0])
                self._times = sorted(packet.pts for packet in packets if packet.pts is not None)
        return self._times

    def read(self, number: int) -> NDArray[Any]:
        import av.error

        try:
            return self._read(self.times[number])
        except (av.error.FFmpegError, OSError, IndexError, StopIteration) as error:
            raise SourceError(f"{self._path}: frame {number} cannot be read ({error}); preprocess it again") from None

    def _read(self, time: int) -> NDArray[Any]:
        container = self._container()
        stream = container.streams.video[0]
        container.seek(time, stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= time:
                return np.asarray(frame.to_ndarray(format=self._pixels))
        raise StopIteration("ended before it")

    def _container(self) -> Any:
        """This process's open file: a file shared with another process would be read from two places."""
        key = (os.getpid(), self._path)
        if key not in self._opened:
            container = open_container(self._path)
            container.streams.video[0].codec_context.thread_count = 1
            self._opened[key] = container
            while len(self._opened) > _OPEN_AT_ONCE:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(key)
        return self._opened[key]


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
        return self._color.read(number), self._depth.read(number) if self._depth is not None else None


class FolderClip:
    """Numbered RGBD frames, as `capture.rgbd_folder` reads them."""

    def __init__(self, folder: Path) -> None:
        from capture.rgbd_folder import RgbdFolder

        self.name = str(folder)
        self._frames = list(RgbdFolder(folder).frames())

    @property
    def count(self) -> int:
        return len(self._frames)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        picture = self._frames[number].load()
        return picture.rgb, picture.depth_m


class PictureClip:
    """Numbered colour pictures in a folder, as VoxCeleb is usually unpacked."""

    def __init__(self, files: list[Path]) -> None:
        self.name, self._files = str(files[0].parent), files

    @property
    def count(self) -> int:
        return len(self._files)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        file = self._files[number]
        with opened_picture(file, str(file), COLOR_FORMATS, LARGEST_PIXELS) as picture:
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
