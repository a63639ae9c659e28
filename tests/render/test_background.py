"""What stands behind the head: parsed, drawn by both ways of drawing, and nothing at all with true edges."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from render.gl import mesh_renderer
from render.gl.background import TRANSPARENT, Gradient, Picture, plain, read_background, read_color
from render.gl.gl_context import is_software
from render.mesh.mesh_layout import make_layout
from render.native.painter import can_paint
from render.window.viewer import Viewer

SIZE = (320, 240)
COLORS = {"red": (255, 0, 0), "lime": (0, 255, 0), "white": (255, 255, 255)}


@pytest.fixture(params=["painter", "opengl"])
def head(request, ctx, toy_head, monkeypatch):
    """A head for each way of drawing; OpenGL's has a fringe, which is transparent, too."""
    if request.param == "opengl":
        monkeypatch.setattr(mesh_renderer, "compiled_painter", lambda: None)
        return toy_head
    if not is_software(ctx) or mesh_renderer.compiled_painter() is None:
        pytest.skip("the painter needs a compiler, AVX2 and a software rasteriser")
    kept = [part for part in toy_head.parts if part.name != "hair"]
    last = max(part.first_face + part.face_count for part in kept)
    opaque = replace(toy_head, faces=toy_head.faces[:last], faces_uv=toy_head.faces_uv[:last], parts=tuple(kept))
    assert can_paint(make_layout(opaque))
    return opaque


@pytest.mark.parametrize(
    ("text", "top", "bottom"),
    [
        ("lime", COLORS["lime"], COLORS["lime"]),
        ("#ff0000", COLORS["red"], COLORS["red"]),
        ("FF0000", COLORS["red"], COLORS["red"]),
        ("f00, White", COLORS["red"], COLORS["white"]),
    ],
)
def test_colours_by_name_and_number_and_two_of_them(text, top, bottom):
    found = read_background(text)
    assert isinstance(found, Gradient)
    assert (found.top, found.bottom) == (top, bottom)


@pytest.mark.parametrize("text", ["bleu", "red,blue,green", "", ",", "red,", "#ff00", "/", "a.png"])
def test_what_is_neither_colour_nor_file_is_told_in_one_line(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"expected|folder") as told:
        read_background(text)
    assert "\n" not in str(told.value)


def test_one_colour_is_wanted_for_a_key():
    assert read_color("00b140", "--background") == (0, 177, 64)
    with pytest.raises(InputError, match="--background red,blue: expected one colour"):
        read_color("red,blue", "--background")


def test_a_picture_covers_all_and_is_cut_evenly(tmp_path):
    path = tmp_path / "wall.png"
    striped = np.zeros((40, 120, 3), np.uint8)
    striped[:, 40:80] = COLORS["lime"]
    striped[:, 80:] = COLORS["red"]
    Image.fromarray(striped).save(path)
    shown = read_background(str(path)).pixels(64, 64)
    assert shown.shape == (64, 64, 4)
    assert (shown[..., 3] == 255).all()
    assert (shown[:, 4:60, :3] == COLORS["lime"]).all(), "the middle of three stripes"


def test_a_photograph_is_turned_as_it_says(tmp_path):
    path = tmp_path / "wall.jpg"
    halves = np.zeros((64, 128, 3), np.uint8)
    halves[:, 64:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # its right side is the picture's lower end
    Image.fromarray(halves).save(path, exif=exif, quality=95)
    shown = read_background(str(path)).pixels(64, 128)
    assert shown[:50, :, 0].max() < 30
    assert shown[78:, :, 0].min() > 225


def test_hostile_pictures_are_refused_before_they_are_decoded(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="expected a picture"):
        read_background(str(tmp_path / "text.png"))
    Image.new("1", (8193, 2)).save(tmp_path / "long.png")
    with pytest.raises(InputError, match="8193x2"):
        read_background(str(tmp_path / "long.png"))
    Image.new("1", (8000, 8000)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match="8000x8000"):
        read_background(str(tmp_path / "large.png"))


def test_a_gradient_is_smooth_and_ends_in_its_colours():
    shown = Gradient((0, 0, 0), (40, 80, 255)).pixels(64, 480)[..., :3].astype(float)
    rows = shown.mean(axis=1)
    np.testing.assert_allclose(rows[0], 0, atol=1)
    np.testing.assert_allclose(rows[-1], (40, 80, 255), atol=1)
    share = (np.arange(480) + 0.5) / 480
    np.testing.assert_allclose(rows, share[:, None] * [40, 80, 255], atol=0.6)
    assert np.unique(shown[100, :, 0]).size == 2, "dithered: no bands"


@pytest.mark.parametrize("size", [SIZE, (130, 240)])
def test_what_is_read_alone_and_laid_over_a_colour_is_what_is_drawn_before_it(head, size):
    """Alpha is exact: hair, lashes, outlines included."""
    backgrounds = [plain(COLORS["lime"]), plain((30, 60, 200)), Gradient((0, 0, 0), COLORS["white"])]
    for background in backgrounds:
        with Viewer(head, size, headless=True, background=background) as viewer:
            alone, shown = viewer.read_rgba(), viewer.read_rgb()
            assert (viewer.read_rgb() == shown).all(), "drawing again leaves the picture as it was"
        ground = background.pixels(*size)[..., :3].astype(float)
        share = alone[..., 3:] / 255.0
        laid = alone[..., :3] * share + ground * (1 - share)
        difference = np.abs(laid - shown).max(axis=2)
        assert difference.max() <= 6, "hair that is 98 % solid is drawn as solid"
        assert (difference > 2).mean() < 0.001
        assert (alone[2, 2] == 0).all()
        assert alone[size[1] // 2, size[0] // 2, 3] == 255
        assert ((alone[..., 3] > 0) & (alone[..., 3] < 255)).sum() > 100, "edges are smooth"


def test_the_background_is_all_that_stands_beside_the_head(head):
    rng = np.random.default_rng(1)
    background = Picture(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
    with Viewer(head, SIZE, headless=True, background=background) as viewer:
        beside = viewer.read_rgba()[..., 3] == 0
        assert beside.mean() > 0.3
        np.testing.assert_array_equal(viewer.read_rgb()[beside], background.rgb[beside])
        pose = np.eye(4)
        pose[0, 3] = 0.5
        viewer.show(head.vertices, pose, None, "")
        beside = viewer.read_rgba()[..., 3] == 0
        np.testing.assert_array_equal(viewer.read_rgb()[beside], background.rgb[beside])


def test_nothing_behind_the_window_needs_no_second_drawing(head):
    with (
        Viewer(head, SIZE, headless=True, background=TRANSPARENT) as bare,
        Viewer(head, SIZE, headless=True) as studio,
    ):
        np.testing.assert_array_equal(bare.read_rgba(), studio.read_rgba())
        assert not bare.read_rgb()[2, 2].any()


def test_other_pictures_of_the_pose_have_their_own_size_and_background(head):
    with Viewer(head, SIZE, headless=True) as viewer:
        shown = viewer.read_rgb()
        other = viewer.read_other_rgb(plain(COLORS["lime"]), (400, 200))
        assert other.shape == (200, 400, 3)
        assert (other[:, :20] == COLORS["lime"]).all()
        assert (other[100, 200] != COLORS["lime"]).any()
        np.testing.assert_array_equal(viewer.read_rgb(), shown)
        viewer.show((head.vertices * 0.5).astype(np.float32), np.eye(4), None, "")
        smaller = viewer.read_other_rgb(plain(COLORS["lime"]), (400, 200))
        green = [(picture == COLORS["lime"]).all(axis=2).mean() for picture in (other, smaller)]
        assert green[1] > green[0] + 0.1
        same = viewer.read_other_rgb(None, SIZE)
        np.testing.assert_array_equal(same, viewer.read_rgb())


def test_before_there_is_a_head_there_is_the_background(head):
    with Viewer(None, SIZE, headless=True, background=plain(COLORS["red"])) as viewer:
        assert (viewer.read_rgb() == COLORS["red"]).all()
        assert not viewer.read_rgba().any()
