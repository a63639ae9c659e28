"""Pictures and films of a recording."""

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from tests.fakes.recorded_face import FRAMES, exported


@pytest.mark.parametrize("kind", ["png", "mp4", "webm", "mov"])
def test_pictures_and_films_replace_nothing_unless_told(recorded: Path, tmp_path: Path, kind: str) -> None:
    from realtime.view_options import ViewOptions

    out = tmp_path / ("pngs" if kind == "png" else f"f.{kind}")
    settings = {"format": kind, "view": ViewOptions(size=(64, 64)), "fps": 5.0}
    if kind == "png":
        out.mkdir()
        (out / "000000.png").write_bytes(b"mine")
    else:
        out.write_bytes(b"mine")
    kept = out / "000000.png" if kind == "png" else out
    with pytest.raises(InputError, match="--overwrite"):
        exported(recorded, out, **settings)
    assert kept.read_bytes() == b"mine"
    exported(recorded, out, overwrite=True, **settings)
    assert len(kept.read_bytes()) > 100
    assert [each.name for each in tmp_path.iterdir()] == [out.name], "nothing else is left behind"


@pytest.mark.parametrize("kind", ["png", "mp4", "webm", "mov"])
def test_a_full_disk_leaves_no_half_of_pictures_or_films(
    recorded: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after the third picture, as the operating system says it."""
    from realtime.export import films
    from realtime.view_options import ViewOptions

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if kind == "png":
        write_bytes = Path.write_bytes

        def written(path: Path, content: bytes) -> int:
            if path.name == "000003.png":
                raise full
            return write_bytes(path, content)

        monkeypatch.setattr(Path, "write_bytes", written)
    else:

        def encoded(path: Path, *_: object) -> int:
            path.write_bytes(b"half a film")
            raise full

        monkeypatch.setattr(films, "_encode", encoded)
    out = tmp_path / ("pngs" if kind == "png" else f"f.{kind}")
    with pytest.raises(InputError, match="the disk is full"):
        exported(recorded, out, format=kind, view=ViewOptions(size=(64, 64)))
    assert not list(tmp_path.iterdir())


def test_pictures_and_films_without_a_background(recorded: Path, tmp_path: Path) -> None:
    from realtime.view_options import ViewOptions

    view = ViewOptions(size=(160, 120))
    folder = exported(recorded, tmp_path / "pngs", format="png", view=view, fps=10.0)
    pictures = sorted(folder.iterdir())
    assert [each.name for each in pictures[:2]] == ["000000.png", "000001.png"]
    with Image.open(pictures[-1]) as picture:
        alpha = np.asarray(picture)[..., 3]
    assert alpha[2, 2] == 0
    assert alpha[60, 80] == 255
    for kind, codec in (("mp4", "h264"), ("webm", "vp9"), ("mov", "prores")):
        with av.open(str(exported(recorded, tmp_path / f"f.{kind}", view=view))) as film:
            stream = film.streams.video[0]
            assert stream.codec_context.name.startswith(codec)
            assert (stream.width, stream.height) == (160, 120)
            assert sum(1 for _ in film.decode(video=0)) == FRAMES
