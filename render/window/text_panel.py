"""Text drawn into small pictures, with the font that Pillow carries, so that no system font is needed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
_PLAIN: Color = (232, 234, 237)
_FAINT: Color = (160, 165, 172)
_PANEL = (14, 15, 18, 178)
_SUPERSAMPLING = 4  # of the panel's round corners
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=8)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


Word = tuple[str, Color | None]


def line_panel(
    words: list[Word], text_px: int, width: int | None = None, *, centred: bool = False
) -> NDArray[np.uint8]:
    """[h, w, 4] uint8, alpha multiplied in: coloured words with dots between them, on a dark rounded panel. On as many
    lines as it takes to be no wider than `width` pixels."""
    font = _font(text_px)
    gap, pad, line = round(text_px * 0.55), round(text_px * 0.6), round(text_px * 1.45)
    rows = _rows(words, font, None if width is None else max(width - 2 * pad, text_px), 2 * gap)
    lengths = [sum(round(font.getlength(word)) for word, _ in row) + 2 * gap * (len(row) - 1) for row in rows]
    image = _panel(max(lengths) + 2 * pad, round(text_px * 1.9) + line * (len(rows) - 1))
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        x, middle = pad, round(text_px * 1.9) / 2 + line * number
        x += (max(lengths) - lengths[number]) // 2 if centred else 0
        for place, (word, color) in enumerate(row):
            if place:
                dot = text_px * 0.09
                draw.ellipse((x - gap - dot, middle - dot, x - gap + dot, middle + dot), fill=_FAINT)
            draw.text((x, middle), word, font=font, fill=color or _PLAIN, anchor="lm")
            x += round(font.getlength(word)) + 2 * gap
    return _premultiplied(image)


def _rows(words: list[Word], font: Font, width: int | None, gap: int) -> list[list[Word]]:
    """The words in lines of at most `width` pixels; longer ones are broken, at spaces where they have some."""
    if width is None:
        return [words]
    rows: list[list[Word]] = [[]]
    left = float(width)
    for word, color in words:
        pieces = _pieces(word, font, width)
        for piece in pieces:
            needed = font.getlength(piece) + (gap if rows[-1] else 0)
            if rows[-1] and (needed > left or len(pieces) > 1):
                rows.append([])
                left, needed = float(width), font.getlength(piece)
            rows[-1].append((piece, color))
            left -= needed
    return rows


def _pieces(text: str, font: Font, width: int) -> list[str]:
    pieces = []
    while font.getlength(text) > width and len(text) > 1:
        fits = next(end for end in range(len(text) - 1, 0, -1) if end == 1 or font.getlength(text[:end]) <= width)
        space = text.rfind(" ", 0, fits + 1)
        end = space if space > 0 else fits
        pieces.append(text[:end])
        text = text[end:].lstrip()
    return [*pieces, text]


def table_panel(title: str, rows: list[tuple[str, str]], text_px: int) -> NDArray[np.uint8]:
    """[h, w, 4] uint8, alpha multiplied in: a title and two columns, such as keys and what they do."""
    font, title_font = _font(text_px), _font(round(text_px * 1.2))
    pad, line, gap = round(text_px * 1.3), round(text_px * 1.65), round(text_px * 1.4)
    first = max(round(font.getlength(left)) for left, _ in rows)
    second = max(round(font.getlength(right)) for _, right in rows)
    width = 2 * pad + max(first + gap + second, round(title_font.getlength(title)))
    image = _panel(width, 2 * pad + line * (len(rows) + 1) + line // 2)
    draw = ImageDraw.Draw(image)
    draw.text((pad, pad + line // 2), title, font=title_font, fill=_PLAIN, anchor="lm")
    for number, (left, right) in enumerate(rows):
        y = pad + line * (number + 2)
        draw.text((pad, y), left, font=font, fill=(140, 190, 255), anchor="lm")
        draw.text((pad + first + gap, y), right, font=font, fill=_PLAIN, anchor="lm")
    return _premultiplied(image)


def _panel(width: int, height: int) -> Image.Image:
    large = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    mask = Image.new("L", large, 0)
    corner = min(height * 0.28, 14.0) * _SUPERSAMPLING
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, large[0] - 1, large[1] - 1), radius=corner, fill=_PANEL[3])
    image = Image.new("RGBA", (width, height), _PANEL[:3])
    image.putalpha(mask.resize((width, height), Image.Resampling.BOX))
    return image


def _premultiplied(image: Image.Image) -> NDArray[np.uint8]:
    rgba = np.asarray(image, dtype=np.uint16)
    alpha = rgba[..., 3:]
    return np.concatenate([(rgba[..., :3] * alpha + 127) // 255, alpha], axis=2).astype(np.uint8)
