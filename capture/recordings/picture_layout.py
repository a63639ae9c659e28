"""How a video's pictures have to be laid out to be seen as they were filmed: square pixels, upright, all of one size.

A file may store its pictures squeezed (the sample aspect ratio) and turned or mirrored (the display matrix), and may
change their size on the way. Faces and cameras are only understood where none of that is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

_SKEW = 0.2  # tangent: a display matrix further from a quarter turn is none
_ASPECTS = (Fraction(1, 5), Fraction(5))  # of one pixel; what lies outside is an error of the file
_SQUARE = 0.01  # a pixel so nearly square is


@dataclass(frozen=True)
class PictureLayout:
    """From a decoded picture to the one that is seen: stretched, then transposed, then flipped.

    Attributes:
        coded: width and height as decoded.
        square: width and height once its pixels are square.
        transposed, rows_flipped, columns_flipped: what the display matrix does to the array [H, W, …], in this order.
    """

    coded: tuple[int, int]
    square: tuple[int, int]
    transposed: bool = False
    rows_flipped: bool = False
    columns_flipped: bool = False

    @staticmethod
    def of(picture: av.VideoFrame, aspect: Fraction | None) -> PictureLayout:
        """Of a decoded picture of a stream whose pixels are `aspect` times as wide as high (None or 0: not told).

        Raises ValueError where the file asks for anything but quarter turns and mirrors.
        """
        coded = width, height = picture.width, picture.height
        if aspect and _ASPECTS[0] <= aspect <= _ASPECTS[1] and abs(aspect - 1) > _SQUARE:
            width, height = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
        layout = PictureLayout(coded, (width, height))
        side_data: Any = picture.side_data.get("DISPLAYMATRIX")
        return layout if side_data is None else layout._turned(np.frombuffer(side_data, "=i4", 9))

    def _turned(self, matrix: NDArray[np.int32]) -> PictureLayout:
        """By a display matrix a b u c d v x y w, which sends (x, y) to (a x + c y, b x + d y)."""
        a, b, c, d = (float(number) for number in matrix[[0, 1, 3, 4]])
        straight, across = max(abs(a), abs(d)), max(abs(b), abs(c))
        if straight == across == 0:  # written by programs that mean nothing by it
            return self
        if min(straight, across) > _SKEW * max(straight, across) or 0 in ((a, d) if straight > across else (b, c)):
            shown = ", ".join(f"{number / 65536:.2f}" for number in (a, b, c, d))
            raise ValueError(f"its display matrix ({shown}) is neither a quarter turn nor a mirror")
        if straight > across:
            return replace(self, rows_flipped=d < 0, columns_flipped=a < 0)
        return replace(self, transposed=True, rows_flipped=b < 0, columns_flipped=c < 0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that is seen."""
        return self.square[::-1] if self.transposed else self.square

    def array(self, picture: av.VideoFrame, pixels: str, size: tuple[int, int]) -> NDArray[Any]:
        """[H, W, …] of a decoded picture in the format `pixels`, seen as this layout says and fitted into `size`.

        A picture of another size keeps its shape: it is scaled, centred, and black or without depth around. Depth
        (16 bit) takes the nearest reading, so that none is made up.
        """
        scale = min(size[0] / self.size[0], size[1] / self.size[1])
        width, height = (max(1, round(side * scale)) for side in self.square)
        array: NDArray[Any]
        if (width, height) == self.coded:
            array = picture.to_ndarray(format=pixels)
        else:
            how = "POINT" if pixels.startswith("gray16") else "AREA" if scale < 1 else "BILINEAR"
            array = picture.reformat(width, height, pixels, interpolation=how).to_ndarray()
        upright = array.swapaxes(0, 1) if self.transposed else array
        upright = upright[:: -1 if self.rows_flipped else 1, :: -1 if self.columns_flipped else 1]
        return np.ascontiguousarray(_framed(upright, size))


def _framed(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """In the middle of a black picture of `size`, where it does not fill it."""
    width, height = size
    rows, columns = min(picture.shape[0], height), min(picture.shape[1], width)
    if picture.shape[:2] == (height, width):
        return picture
    framed = np.zeros((height, width, *picture.shape[2:]), picture.dtype)
    top, left = (height - rows) // 2, (width - columns) // 2
    framed[top : top + rows, left : left + columns] = picture[:rows, :columns]
    return framed
