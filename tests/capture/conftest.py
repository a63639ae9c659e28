"""Small recordings written for a test, and a face without a camera."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from core.canonical_face import CanonicalFace, load_canonical_face
from tests.fakes.rendered_face import TRUEDEPTH, RenderedFace, rendered_faces

VideoWriter = Callable[..., Path]
TICKS = 90_000  # a second, where a video's times are given


@pytest.fixture(scope="session")
def face() -> CanonicalFace:
    return load_canonical_face(find_face_model(url=None))


@pytest.fixture
def write_video() -> VideoWriter:
    """write(path, pictures, codec=…, pixel_format=…, times_s=…, rotation=…, matrix=…, aspect=…): a video file of
    [H, W(, 3)] arrays, with the first four numbers of a display matrix and the shape of a pixel."""

    def write(
        path: Path,
        pictures: Sequence[NDArray[np.generic]],
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        times_s: Sequence[float] | None = None,
        rotation: int = 0,
        matrix: tuple[float, float, float, float] | None = None,
        aspect: Fraction | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pixel_format
            if times_s is not None:
                stream.codec_context.time_base = Fraction(1, TICKS)
            if codec == "libx264":
                stream.options = {"crf": "3"}
            if rotation:
                stream.set_display_rotation(rotation)
            if matrix is not None:
                a, b, c, d = (round(number * 65536) for number in matrix)
                stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            for frame in _frames(pictures, times_s):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def driver() -> RenderedFace:
    """A rendered person before a wall, 640x480, with exact depth."""
    return rendered_faces(TRUEDEPTH, turn_deg=0.0, expressions=[{}])[0]


def _frames(pictures: Sequence[NDArray[np.generic]], times_s: Sequence[float] | None) -> Iterator[av.VideoFrame]:
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="gray16le" if picture.dtype == np.uint16 else "rgb24")
        if times_s is not None:
            frame.time_base = Fraction(1, TICKS)
            frame.pts = round(times_s[number] * TICKS)
        yield frame


@pytest.fixture
def colored() -> Callable[[int], list[NDArray[np.uint8]]]:
    """colored(n): n pictures [48, 64, 3], each of one brightness that tells its number: 4·n."""
    return lambda count: [np.full((48, 64, 3), 4 * number, np.uint8) for number in range(count)]
