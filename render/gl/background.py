"""What may stand behind the head instead of the studio: nothing, a colour, a gradient, a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.picture_limits import LARGEST_PIXELS, LARGEST_SIDE
from core.untrusted import opened_picture

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_KEPT_SIDE = 4096  # of a picture, whose pixels stay in memory
_HEX = re.compile(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_EXPECTED = "expected a colour (a name, or RRGGBB in hexadecimal), two of them with a comma between, or a picture file"

Color = tuple[int, int, int]


class Background:
    """What stands behind the head, in a picture of any size. One object is one background: they are told apart by
    identity where they are kept."""

    def pixels(self, width: int, height: int) -> NDArray[np.uint8]:
        """[height, width, 4] uint8, R first, alpha multiplied in, first row at the top."""
        raise NotImplementedError


class Transparent(Background):
    """Nothing: black with alpha 0."""

    def pixels(self, width: int, height: int) -> NDArray[np.uint8]:
        return np.zeros((height, width, 4), dtype=np.uint8)


TRANSPARENT = Transparent()


@dataclass(frozen=True, eq=False)
class Gradient(Background):
    """From one colour at the top to another at the bottom, sRGB; or one colour all over."""

    top: Color
    bottom: Color

    def pixels(self, width: int, height: int) -> NDArray[np.uint8]:
        made = np.full((height, width, 4), 255, dtype=np.uint8)
        if self.top == self.bottom:
            made[..., :3] = self.top
            return made
        share = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        rows = np.array(self.top, np.float32) * (1 - share) + np.array(self.bottom, np.float32) * share  # [H, 3]
        y, x = np.arange(height)[:, None], np.arange(width)[None]
        # against bands, as behind the studio's head (shaders/backdrop.frag.glsl)
        noise = np.modf(52.9829189 * np.modf(0.06711056 * x + 0.00583715 * y)[0])[0].astype(np.float32)
        made[..., :3] = (rows[:, None] + noise[..., None]).clip(0, 255)  # floor(x + noise in [0, 1)) is x on average
        return made


@dataclass(frozen=True, eq=False)
class Picture(Background):
    """A picture [h, w, 3] uint8 that covers all; what is too wide or too high of it is cut off evenly."""

    rgb: NDArray[np.uint8]

    def pixels(self, width: int, height: int) -> NDArray[np.uint8]:
        h, w = self.rgb.shape[:2]
        scale = max(width / w, height / h)
        wide, high = min(round(width / scale), w), min(round(height / scale), h)
        left, top = (w - wide) // 2, (h - high) // 2
        cut = self.rgb[top : top + max(high, 1), left : left + max(wide, 1)]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.cvtColor(cv2.resize(cut, (width, height), interpolation=method), cv2.COLOR_RGB2RGBA))


def plain(color: Color) -> Gradient:
    """One colour all over."""
    return Gradient(color, color)


def read_background(text: str, option: str = "--background") -> Background:
    """A background from what a user gives: `COLOR`, `COLOR,COLOR` (top, bottom), or the path of a picture.

    Raises InputError, which names `option`, where it is neither or the picture cannot be used.
    """
    colors = [_color(word.strip()) for word in text.split(",")]
    if None not in colors and len(colors) <= 2:
        first, last = colors[0], colors[-1]
        assert first is not None
        assert last is not None
        return Gradient(first, last)
    if not Path(text).exists():
        raise InputError(f"{option} {text}: {_EXPECTED}; there is neither a colour nor a file of that name")
    return Picture(_read_picture(Path(text)))


def read_color(text: str, option: str) -> Color:
    """One colour. Raises InputError."""
    color = _color(text.strip())
    if color is None:
        raise InputError(f"{option} {text}: expected one colour, a name such as lime or RRGGBB in hexadecimal")
    return color


def _color(word: str) -> Color | None:
    """A name of CSS, or three or six hexadecimal digits. The number sign may be left out: shells take it for theirs."""
    from PIL import ImageColor

    if _HEX.fullmatch(word):
        word = "#" + word.removeprefix("#")
    elif word.lower() not in ImageColor.colormap:
        return None
    found: Sequence[int] = ImageColor.getrgb(word)
    return found[0], found[1], found[2]


def _read_picture(path: Path) -> NDArray[np.uint8]:
    from PIL import ImageOps

    with opened_picture(path, str(path), _FORMATS, LARGEST_PIXELS) as picture:
        if max(picture.size) > LARGEST_SIDE:
            raise InputError(
                f"{path}: the picture is {picture.width}x{picture.height}, expected {LARGEST_SIDE} pixels a side at "
                "most; scale it"
            )
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        upright.thumbnail((_KEPT_SIDE, _KEPT_SIDE))
        return np.array(upright, dtype=np.uint8)
