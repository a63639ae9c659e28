"""Films of the avatar alone: MP4 (H.264) on its background, WebM (VP9) and QuickTime (ProRes 4444) without one, and
numbered PNG pictures. PyAV encodes.

Colours are not multiplied by alpha, as WebM, ProRes and PNG have it. Every film has a steady rate.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, cast

import av
import av.error
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from core.errors import InputError
from core.source import Sound
from core.whole_file import whole_file
from realtime.recording.sound import add_sound

log = logging.getLogger(__name__)

FilmFormat = Literal["mp4", "webm", "mov"]
Picture = NDArray[np.uint8]

_MOST_RATE = 100_000
_NUMBERED = re.compile(r"\d{6}\.png")


@dataclass(frozen=True)
class _Kind:
    """How one kind of film is encoded."""

    container: str
    codec: str
    pixels: str
    options: dict[str, str]
    sound: str


_KINDS: Final[dict[FilmFormat, _Kind]] = {
    "mp4": _Kind("mp4", "libx264", "yuv420p", {"preset": "medium", "crf": "18"}, "aac"),
    "webm": _Kind(
        "webm",
        "libvpx-vp9",
        "yuva420p",
        {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "auto-alt-ref": "0"},
        "libopus",
    ),
    "mov": _Kind("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}, "aac"),
}


def has_alpha(kind: FilmFormat) -> bool:
    """Whether films of this kind have no background."""
    return _KINDS[kind].pixels.startswith("yuva")


def check_encoder(kind: FilmFormat) -> None:
    """Raises InputError where PyAV was built without the encoder."""
    codec = _KINDS[kind].codec
    try:
        av.Codec(codec, "w")
    except (ValueError, av.error.FFmpegError):
        raise InputError(
            f"--format {kind}: the installed PyAV has no {codec}; pip install --force-reinstall av"
        ) from None


def save_film(path: Path, kind: FilmFormat, pictures: Iterable[Picture], fps: float, sound: Sound | None = None) -> int:
    """Write pictures [H, W, 3 or 4] uint8 of one size, even in both directions; returns how many there were.

    The film appears when it is whole. `sound` goes along, its clock that of a first picture at 0 s. Raises OSError, and
    InputError where nothing can be encoded.
    """
    how = _KINDS[kind]
    rate = Fraction(fps).limit_denominator(_MOST_RATE)
    with whole_file(path) as partial:
        try:
            count = _encode(partial, how, pictures, rate)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise InputError(f"{path}: cannot be encoded ({error}); try another --format") from None
        if sound is not None:
            add_sound(partial, 0.0, sound, container=how.container, codec=how.sound)
    return count


def _encode(path: Path, how: _Kind, pictures: Iterable[Picture], rate: Fraction) -> int:
    count = 0
    with av.open(str(path), "w", format=how.container) as container:
        stream: VideoStream | None = None
        for picture in pictures:
            if stream is None:
                stream = cast(VideoStream, container.add_stream(how.codec, rate=rate, options=how.options))
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = how.pixels
                if how.pixels.startswith("yuva") and how.container == "webm":
                    stream.metadata["alpha_mode"] = "1"
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(stream.encode(frame))
            count += 1
        if stream is not None:
            container.mux(stream.encode(None))
    return count


def save_pictures(folder: Path, pictures: Iterable[Picture]) -> int:
    """Write pictures [H, W, 4] as `000000.png` and so on; returns how many there were.

    The folder appears when all are written, in the place of one that holds such pictures alone. Raises OSError, and
    InputError where another kind of folder is there.
    """
    check_pictures_folder(folder)
    count = 0
    with _whole_folder(folder) as partial:
        for picture in pictures:
            encoded, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
            if not encoded:
                raise InputError(f"{folder}: picture {count} cannot be encoded; try another --size")
            (partial / f"{count:06}.png").write_bytes(content.tobytes())
            count += 1
    return count


def check_pictures_folder(folder: Path) -> None:
    """Raises InputError where there is something else at its place."""
    if folder.is_dir():
        if other := next((each.name for each in folder.iterdir() if not _NUMBERED.fullmatch(each.name)), None):
            raise InputError(
                f"--out {folder}: a folder with other things in it ({other}), it is not replaced; name another"
            )
    elif folder.exists():
        raise InputError(f"--out {folder}: expected the name of a folder for pictures, this is a file; name another")


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    mark = secrets.token_hex(4)
    partial, old = (folder.with_name(f".{folder.name[:100]}.{what}-{mark}") for what in ("partial", "old"))
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
