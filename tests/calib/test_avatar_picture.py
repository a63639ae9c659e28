"""Pictures of a head that are written beside it are not taken for its texture afterwards."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from calib.avatar_picture import check_picture, write_picture
from core.errors import InputError
from render.mesh.mesh_io import load_mesh

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
PICTURE = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def head(tmp_path: Path) -> Path:
    path = tmp_path / "head.obj"
    path.write_text(TRIANGLE)
    return path


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_picture_of_the_head_is_no_texture_of_it(head: Path, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    written = head.with_suffix(ending)
    check_picture(written, "--picture", head)
    write_picture(written, PICTURE, str(written))
    with caplog.at_level("INFO", logger="render.mesh"):
        assert load_mesh(head).materials[0].texture is None
    assert f"{written} carries its name, but is a picture that vfa has made" in caplog.text
    painted = head.with_name(f"head_color{ending}")
    cv2.imwrite(str(painted), PICTURE)
    assert load_mesh(head).materials[0].texture is not None


def test_a_picture_that_somebody_else_has_made_is_its_texture(head: Path) -> None:
    cv2.imwrite(str(head.with_suffix(".png")), PICTURE)
    texture = load_mesh(head).materials[0].texture
    assert texture is not None
    np.testing.assert_array_equal(texture, PICTURE[..., ::-1])


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_the_mark_leaves_the_picture_as_it_is(tmp_path: Path, ending: str) -> None:
    marked, plain = tmp_path / f"marked{ending}", tmp_path / f"plain{ending}"
    write_picture(marked, PICTURE, "picture")
    cv2.imwrite(str(plain), PICTURE)
    assert marked.read_bytes() != plain.read_bytes()
    np.testing.assert_array_equal(cv2.imread(str(marked)), cv2.imread(str(plain)))
    with Image.open(marked) as one, Image.open(plain) as other:
        one.verify()
        said = {**one.info}
        assert "vfa-live" in str(said.pop("Software", said.pop("comment", "")))
        assert said == other.info


@pytest.mark.parametrize("ending", [".bmp", ".webp"])
def test_formats_without_room_for_the_mark_are_refused_where_they_would_be_taken(head: Path, ending: str) -> None:
    with pytest.raises(InputError, match="would be taken for its texture"):
        check_picture(head.with_suffix(ending), "--picture", head)
    check_picture(head.with_name(f"front{ending}"), "--picture", head)
    (head.parent / "pictures").mkdir()
    check_picture(head.parent / "pictures" / f"head{ending}", "--picture", head)
