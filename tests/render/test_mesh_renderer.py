"""What the pictures show: smooth seams, dark insides, clean edges, and that they stay as they are."""

from dataclasses import replace

import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, OrbitCamera, look_at
from core.mesh import Material
from render.gl.backdrop import Backdrop
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget
from render.mesh.looks import PartLook

FRONT = look_at((0, 0, 8))
BACK = look_at((0, 0, -8))
GRAY = (Material("skin", (0.7, 0.7, 0.7, 1.0)),)


@pytest.fixture
def draw(ctx):
    """Draw a mesh once at 256x256 (or another size) and return its picture."""

    def draw_once(mesh, view=FRONT, *, samples=0, backdrop=None, vertices=None, pose=None, looks=None):
        renderer = MeshRenderer(ctx, mesh, looks, soft_shadows=False)
        target = RenderTarget(ctx, 256, 256, samples=samples)
        if vertices is not None:
            renderer.set_vertices(vertices)
        renderer.render(target, view, PUBLISHED_INTRINSICS, pose, backdrop)
        rgb = target.rgb()
        renderer.release()
        target.release()
        return rgb

    return draw_once


def test_toy_head_looks_as_it_did(ctx, toy_head, check_golden):
    renderer = MeshRenderer(ctx, toy_head)
    target = RenderTarget(ctx, 320, 288)
    backdrop = Backdrop(ctx)
    for name, azimuth, elevation in (("toy_head_front", 0.0, 0.0), ("toy_head_below", 0.7, -0.8)):
        camera = OrbitCamera()
        camera.orbit(azimuth, elevation)
        renderer.render(target, camera.T_camera_world(), PUBLISHED_INTRINSICS.fitted(320, 288), None, backdrop)
        check_golden(name, target.rgb())


def test_texture_seam_does_not_show_in_the_shading(draw, sphere):
    with_seam = draw(replace(sphere(), materials=GRAY), BACK)
    row = with_seam[128, 60:196].astype(int).sum(axis=1)
    assert np.abs(np.diff(row)).max() <= 9, "the shading must not jump where the texture coordinates do"


def test_lips_that_touch_keep_a_surface_each():
    from render.mesh.mesh_layout import weld_smooth

    up, down = [[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 0], [1, 0, 0], [0, 0, 1]]
    vertices = np.array(up + down, dtype=np.float32)
    facing_apart = np.array([[0, 2, 1], [3, 4, 5]], dtype=np.int32)
    assert len(set(weld_smooth(vertices, facing_apart).tolist())) == 6
    facing_alike = np.array([[0, 2, 1], [3, 5, 4]], dtype=np.int32)
    assert len(set(weld_smooth(vertices, facing_alike).tolist())) == 3


def test_inside_is_dark_red_and_not_shiny(draw, sphere):
    cup = replace(sphere(open_below=-0.3), materials=GRAY)
    camera = OrbitCamera()
    camera.orbit(0.0, -1.2)
    rgb = draw(cup, camera.T_camera_world()).astype(int)
    inside = rgb[128, 128]
    assert inside[0] > inside[1] > 0, "flesh, so more red than green"
    assert inside.max() < 75, "dark"
    region = rgb[110:146, 110:146].reshape(-1, 3)
    assert np.ptp(region, axis=0).max() < 40, "no highlight"


def test_closed_mesh_and_open_mesh_look_alike_where_no_hole_is_seen(draw, sphere):
    whole, open_at_neck = (draw(replace(sphere(open_below=low), materials=GRAY)) for low in (0.0, -0.9))
    np.testing.assert_array_equal(whole[:200], open_at_neck[:200])


def test_turning_the_head_is_turning_the_camera_back_except_for_the_light(ctx, draw, sphere, toy_head):
    angle = 0.5
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    np.testing.assert_array_equal(draw(toy_head, FRONT, pose=pose), draw(toy_head, FRONT @ pose))


def test_vertices_set_are_the_vertices_drawn(draw, sphere):
    mesh = replace(sphere(), materials=GRAY)
    moved = (mesh.vertices * 0.5 + np.float32([0.2, 0.1, 0.0])).astype(np.float32)
    np.testing.assert_array_equal(draw(mesh, vertices=moved) > 0, draw(replace(mesh, vertices=moved)) > 0)
    with pytest.raises(ValueError, match="expected vertices"):
        draw(mesh, vertices=moved[:-1])


def test_only_what_changed_is_painted_anew_and_nothing_stays_behind(ctx, sphere):
    """A head that moves over a backdrop, drawn into one target, against each picture drawn into a fresh one."""
    renderer, backdrop = MeshRenderer(ctx, replace(sphere(), materials=GRAY), soft_shadows=False), Backdrop(ctx)
    kept = RenderTarget(ctx, 256, 256)
    for right, away in ((0.0, 0.0), (1.5, 0.0), (-1.6, -1.0), (0.4, 4.0), (90.0, 0.0), (0.2, 0.1)):
        pose = np.eye(4)
        pose[[0, 2], 3] = right, away
        fresh = RenderTarget(ctx, 256, 256)
        for target in (kept, fresh):
            renderer.render(target, FRONT, PUBLISHED_INTRINSICS, pose, backdrop)
        np.testing.assert_array_equal(kept.rgb(), fresh.rgb())


def test_outlines_are_as_smooth_as_with_samples(ctx, draw, sphere):
    mesh = replace(sphere(64, 128), materials=GRAY)
    smooth, sampled = draw(mesh), draw(mesh, samples=4)
    rough = _without_outlines(ctx, mesh)
    edge = (sampled[..., 0] > 4) & (sampled[..., 0] < 100)
    errors = [np.abs(p.astype(int) - sampled.astype(int))[edge].mean() for p in (smooth, rough)]
    assert errors[0] < 0.55 * errors[1]


def _without_outlines(ctx, mesh):
    """The same picture without the pass that smooths its outlines: drawn as if it had samples, with none."""
    renderer = MeshRenderer(ctx, mesh, soft_shadows=False)
    target = RenderTarget(ctx, 256, 256)
    renderer._outlines.find = lambda *_: np.zeros((0, 2, 3), np.float32)
    renderer.render(target, FRONT, PUBLISHED_INTRINSICS)
    return target.rgb()


def test_hair_lets_through_what_is_behind_in_proportion(draw, card, join_parts):
    hair = np.full((8, 8, 4), 255, np.uint8)
    hair[..., :3] = 0
    hair[..., 3] = 128
    wall = ("wall_cloth", card((-1, -1), (1, 1), 0.0), Material("w", (0.8, 0.8, 0.8, 1)))
    behind = draw(join_parts(wall))[128, 128].astype(int)
    seen = {}
    for alpha in (0, 128, 255):
        hair[..., 3] = alpha
        veil = ("hair", card((-0.5, -0.5), (0.5, 0.5), 0.2), Material("h", (1, 1, 1, 1), hair, "BLEND"))
        seen[alpha] = draw(join_parts(wall, veil))[128, 128].astype(int)
    np.testing.assert_array_equal(seen[0], behind)
    assert seen[255].max() < 40
    np.testing.assert_allclose(seen[128], (seen[0] + seen[255]) / 2, atol=3)


def test_masked_texture_is_cut_where_it_says(draw, card, join_parts):
    leaf = np.full((64, 64, 4), 255, np.uint8)
    leaf[:, 32:, 3] = 0
    rgb = draw(join_parts(("leaf", card((-0.8, -0.8), (0.8, 0.8), 0.0), Material("l", (1, 1, 1, 1), leaf, "MASK"))))
    assert rgb[128, 100].min() > 60
    assert rgb[128, 160].max() == 0


def test_thin_lashes_keep_their_weight_however_small_the_picture(ctx, card, join_parts):
    lashes = [
        ("lashes", card((x, 0), (x + 0.004, 0.6), 0.1), Material("d", (0, 0, 0, 1))) for x in np.arange(-3, 4) / 10
    ]
    wall = ("wall_cloth", card((-1, -1), (1, 1), 0.0), Material("w", (0.8, 0.8, 0.8, 1)))
    renderer = MeshRenderer(ctx, join_parts(wall, *lashes), soft_shadows=False)
    darkening = []
    for size in (128, 256):
        target = RenderTarget(ctx, size, size)
        renderer.render(target, FRONT, PUBLISHED_INTRINSICS.resized(size, size))
        rgb = target.rgb()[..., 0].astype(float)
        darkening.append((rgb[size // 2 + size // 8].mean() - rgb[int(size * 0.35)].mean()) / rgb[size // 2].mean())
    assert darkening[0] == pytest.approx(darkening[1], rel=0.25)
    assert darkening[0] > 0.005


def test_stated_look_goes_before_the_name(draw, sphere):
    mesh = replace(sphere(), materials=GRAY)
    plain, stated = draw(mesh), draw(mesh, looks={"skin": PartLook(sheen=0.0, wrap=(0, 0, 0))})
    assert stated.astype(int).sum() < plain.astype(int).sum()


def test_backdrop_is_neutral_smooth_and_brightest_behind_the_head(ctx):
    target = RenderTarget(ctx, 320, 240)
    target.begin(Backdrop(ctx))
    rgb = target.rgb().astype(int)
    assert np.ptp(rgb, axis=2).max() <= 8
    assert rgb[105, 160].sum() > rgb[5, 5].sum() + 60
    assert np.abs(np.diff(rgb, axis=0)).max() <= 3
    assert np.abs(np.diff(rgb, axis=1)).max() <= 3


def test_drawing_with_pythons_lock_held_gives_the_same_picture(draw, toy_head, monkeypatch):
    free = draw(toy_head)
    monkeypatch.setattr("render.gl.unlocked_gl._library", lambda: None)
    np.testing.assert_array_equal(draw(toy_head), free)


def test_camera_of_another_size_is_refused(ctx, sphere):
    renderer = MeshRenderer(ctx, sphere(), soft_shadows=False)
    with pytest.raises(ValueError, match="256x256"):
        renderer.render(RenderTarget(ctx, 64, 64), FRONT, PUBLISHED_INTRINSICS)


def test_soft_shadow_lies_in_hollows(ctx, sphere, join_parts):
    from render.gl.occlusion import bake_openness
    from render.mesh.mesh_layout import make_layout

    bump = sphere(12, 24, 0.4, (0.0, 0.0, 1.05))
    mesh = join_parts(("skin", sphere(), GRAY[0]), ("skin", bump, GRAY[0]))
    openness = bake_openness(ctx, mesh, make_layout(mesh))
    around = np.linalg.norm(mesh.vertices - [0, 0.38, 0.92], axis=1) < 0.12
    away = mesh.vertices[:, 2] < -0.8
    assert openness[around].min() < 0.75
    assert openness[away].mean() > 0.9
    assert 0 <= openness.min() <= openness.max() <= 1
