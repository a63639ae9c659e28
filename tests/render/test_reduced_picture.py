"""A picture drawn smaller and enlarged keeps its size, its place and its looks, whoever draws it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from core.errors import InputError
from core.mesh import Material
from render.gl.background import TRANSPARENT
from render.native.painter import compiled_painter
from render.window import reduced_picture
from render.window.reduced_picture import SCALES, scales_for
from render.window.viewer import Viewer

IDENTITY = np.eye(4)
SIZE = (384, 288)


@pytest.fixture(autouse=True)
def _small_pictures_are_large_enough(monkeypatch):
    monkeypatch.setattr(reduced_picture, "LEAST_ROWS", 96)


@pytest.fixture(params=["painter", "opengl", "graphics card"])
def way(request, monkeypatch):
    """Whoever draws; the last as far as that goes without one."""
    if request.param == "painter" and compiled_painter() is None:
        pytest.skip("no compiled painter here")
    if request.param == "opengl":
        monkeypatch.setattr("render.gl.mesh_renderer.compiled_painter", lambda: None)
    if request.param == "graphics card":
        for module in ("render.window.viewer", "render.gl.mesh_renderer"):
            monkeypatch.setattr(f"{module}.is_software", lambda _: False)
    return request.param


@pytest.fixture
def ball(sphere):
    return replace(sphere(48, 96), materials=(Material("skin", (0.7, 0.5, 0.4, 1.0)),))


def viewer_of(mesh, **options):
    try:
        return Viewer(mesh, SIZE, headless=True, **options)
    except InputError as error:
        pytest.skip(str(error))


def shown(viewer, mesh, pose=IDENTITY):
    viewer.show(mesh.vertices, pose, None, "")
    return viewer.read_rgb().astype(np.int64)


def moved(x):
    pose = IDENTITY.copy()
    pose[0, 3] = x
    return pose


@pytest.mark.parametrize("scale", SCALES[1:])
def test_the_picture_has_its_size_and_lies_where_it_does_in_full(way, ball, scale):
    with viewer_of(ball) as viewer:
        full = shown(viewer, ball)
        viewer.scale = scale
        small = shown(viewer, ball)
        assert small.shape == full.shape
        apart = np.abs(small - full)
        assert 0 < apart.mean() < 1.2, "drawn anew, and nearly the same"
        viewer.scale = 1.0
        np.testing.assert_array_equal(shown(viewer, ball), full)


def middle(viewer, mesh):
    """[2] of what the mesh covers."""
    viewer.show(mesh.vertices, moved(0.2), None, "")
    alpha = viewer.read_rgba()[..., 3].astype(float)
    return np.array([(alpha.sum(axis=axis) * np.arange(alpha.shape[1 - axis])).sum() / alpha.sum() for axis in (0, 1)])


@pytest.mark.parametrize("scale", SCALES[1:])
def test_nothing_is_shifted(way, ball, scale):
    with viewer_of(ball, background=TRANSPARENT) as viewer:
        full = middle(viewer, ball)
        viewer.scale = scale
        np.testing.assert_allclose(middle(viewer, ball), full, atol=0.1)


@pytest.mark.parametrize("size", [SIZE, (385, 291)])
def test_what_changed_alone_is_enlarged_and_nothing_stays_behind(way, ball, size):
    with viewer_of(ball) as kept, viewer_of(ball) as fresh:
        kept._size = fresh._size = size
        for scale in (3 / 4, 2 / 3, 1 / 2):
            kept.scale = fresh.scale = scale
            for x in (0.0, 0.9, -0.7, 0.1, 0.1):
                fresh._reduced._large = np.zeros((0, 0), np.uint32)  # forgets what it had
                apart = np.abs(shown(kept, ball, moved(x)) - shown(fresh, ball, moved(x)))
                assert apart.max() <= 1, "rounding, at most"


def test_both_ways_of_enlarging_agree(ball, monkeypatch):
    with viewer_of(ball) as by_processor:
        by_processor.scale = 3 / 4
        one = shown(by_processor, ball)
        monkeypatch.setattr("render.window.reduced_picture.has_screen_order", lambda: False)
        with viewer_of(ball) as by_shader:
            by_shader.scale = 3 / 4
            other = shown(by_shader, ball)
            small = by_shader._reduced._side._target.rgb()
    assert np.abs(one - other).max() <= 2
    by_hand = cv2.resize(small, SIZE, interpolation=cv2.INTER_CUBIC)
    assert np.abs(other - by_hand).max() <= 2


def test_see_through_pictures_stay_see_through(way, ball):
    with viewer_of(ball, background=TRANSPARENT) as viewer:
        viewer.show(ball.vertices, IDENTITY, None, "")
        full = viewer.read_rgba()
        viewer.scale = 1 / 2
        viewer.show(ball.vertices, IDENTITY, None, "")
        small = viewer.read_rgba()
        assert small.shape == full.shape
        assert small[2, 2, 3] == 0
        assert small[SIZE[1] // 2, SIZE[0] // 2, 3] == 255
        np.testing.assert_array_equal(viewer.read_still(), full)


def test_what_is_kept_of_one_picture_is_drawn_in_full(way, ball):
    with viewer_of(ball) as viewer:
        full = shown(viewer, ball)
        other = viewer.read_other_rgb(None, (200, 120))
        viewer.scale = 1 / 2
        assert (shown(viewer, ball) != full).any()
        np.testing.assert_array_equal(viewer.read_still(), full)
        np.testing.assert_array_equal(viewer.read_other_rgb(None, (200, 120)), other)


def test_overlays_are_never_reduced(ball):
    with viewer_of(ball) as viewer:
        viewer.show(ball.vertices, IDENTITY, None, "streaming · 30 fps")
        line = np.s_[-24:, :160]
        full, plain = viewer.read_rgb(overlays=True)[line].astype(int), viewer.read_rgb()[line].astype(int)
        viewer.scale = 1 / 2
        viewer.show(ball.vertices, IDENTITY, None, "streaming · 30 fps")
        small, small_plain = viewer.read_rgb(overlays=True)[line].astype(int), viewer.read_rgb()[line].astype(int)
        assert np.abs(full - plain).max() > 60, "there are letters"
        assert np.abs(full - small).max() <= np.abs(plain - small_plain).max() + 2


def test_a_picture_is_reduced_only_as_far_as_a_face_bears_it(monkeypatch):
    monkeypatch.setattr(reduced_picture, "LEAST_ROWS", 480)
    assert scales_for((960, 720)) == (1.0, 3 / 4, 2 / 3)
    assert scales_for((1920, 1440)) == SCALES
    assert scales_for((640, 480)) == scales_for((64, 64)) == (1.0,)
