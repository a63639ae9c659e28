"""Preparation pictures: exact against geometry, and against the published renderer's trace."""

from dataclasses import replace

import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, look_at, transform_points
from core.mesh import Material, Mesh
from render.gl.rgbd import RgbdCamera, render_rgbd

FRONT = look_at((0, 0, 8))
WHITE = Material("white", (1.0, 1.0, 1.0, 1.0))


def test_same_picture_as_the_published_renderer(ctx, shared_reference):
    trace = np.load(shared_reference / "pipeline.npz")
    mesh = Mesh(trace["vertices"], trace["faces"], vertex_colors=trace["vertex_colors"], materials=(WHITE,))
    picture = render_rgbd(mesh, look_at(trace["eye"]), PUBLISHED_INTRINSICS, ctx)
    face_id, depth = trace["pix_to_face"].reshape(256, 256), trace["source_depth"].reshape(256, 256)
    assert (picture.face_id != face_id).mean() < 5e-4, "but for pixels whose centre lies on an edge"
    both = (picture.face_id >= 0) & (face_id >= 0)
    same = both & (picture.face_id == face_id)
    np.testing.assert_allclose(picture.depth[same], depth[same], atol=2e-5)
    rgb = trace["source_bgr"].reshape(256, 256, 3)[..., ::-1]
    assert np.abs(picture.rgb[both].astype(int) - rgb[both]).max() <= 1
    np.testing.assert_array_equal(picture.rgb[~both & (picture.face_id < 0)], 0)


def test_depth_is_that_of_the_surface_and_empty_is_empty(ctx, sphere):
    picture = render_rgbd(sphere(96, 192), FRONT, PUBLISHED_INTRINSICS, ctx)
    assert picture.depth[128, 128] == pytest.approx(7.0, abs=2e-3)
    assert picture.depth[2, 2] == 0.0
    assert picture.face_id[2, 2] == -1
    assert picture.rgb[2, 2].max() == 0
    np.testing.assert_array_equal(picture.depth > 0, picture.face_id >= 0)
    assert picture.rgb.max() == 255


def test_barycentric_weights_bring_back_the_point_under_each_pixel(ctx, sphere):
    mesh = sphere()
    view = look_at((2.0, 1.0, 7.0))
    picture = render_rgbd(mesh, view, PUBLISHED_INTRINSICS, ctx)
    rows, columns = np.nonzero(picture.face_id >= 0)
    corners = mesh.vertices[mesh.faces[picture.face_id[rows, columns]]].astype(np.float64)
    points = np.einsum("nk,nkj->nj", picture.barycentric[rows, columns].astype(np.float64), corners)
    camera = transform_points(view, points)
    np.testing.assert_allclose(PUBLISHED_INTRINSICS.project(camera), np.stack([columns, rows], 1) + 0.5, atol=2e-3)
    np.testing.assert_allclose(camera[:, 2], picture.depth[rows, columns], atol=1e-4)
    np.testing.assert_allclose(picture.barycentric[rows, columns].sum(axis=1), 1, atol=1e-6)


def test_face_numbers_are_the_meshs_own_whatever_the_order_of_drawing(ctx, toy_head):
    picture = render_rgbd(toy_head, FRONT, PUBLISHED_INTRINSICS, ctx)
    rows, columns = np.nonzero(picture.face_id >= 0)
    pixels = PUBLISHED_INTRINSICS.project(transform_points(FRONT, toy_head.vertices))
    corners = pixels[toy_head.faces[picture.face_id[rows, columns]]]
    low, high = corners.min(axis=1) - 0.01, corners.max(axis=1) + 0.01
    centre = np.stack([columns, rows], axis=1) + 0.5
    assert ((centre >= low) & (centre <= high)).all()


def test_holes_in_hair_are_seen_through(ctx, card, join_parts):
    strands = np.full((64, 64, 4), 255, np.uint8)
    strands[:, 32:, 3] = 0
    wall = ("skin", card((-1, -1), (1, 1), 0.0), WHITE)
    hair = ("hair", card((-0.5, -0.5), (0.5, 0.5), 0.5), Material("h", (1, 1, 1, 1), strands, "BLEND"))
    depth = render_rgbd(join_parts(wall, hair), FRONT, PUBLISHED_INTRINSICS, ctx).depth
    assert depth[128, 110] == pytest.approx(7.5)
    assert depth[128, 146] == pytest.approx(8.0)


def test_light_falls_from_far_in_front_of_the_world_not_from_the_camera(ctx, sphere):
    mesh, view = replace(sphere(64, 128), materials=(WHITE,)), look_at((8, 1, 2))
    picture = render_rgbd(mesh, view, PUBLISHED_INTRINSICS, ctx)
    rows, columns = np.nonzero(picture.depth > 0)
    camera = PUBLISHED_INTRINSICS.unproject(
        np.stack([columns, rows], 1) + 0.5, picture.depth[rows, columns].astype(np.float64)
    )
    normal = (camera - view[:3, 3]) @ view[:3, :3]  # of a unit sphere, in the world
    expected = 0.5 + 0.5 * np.maximum(normal[:, 2], 0)
    np.testing.assert_allclose(picture.rgb[rows, columns, 0], 255 * expected / expected.max(), atol=2.5)


def test_camera_keeps_its_mesh_and_takes_other_vertices_and_sizes(ctx, sphere):
    mesh = sphere()
    with RgbdCamera(mesh, ctx) as camera:
        first = camera.take(FRONT, PUBLISHED_INTRINSICS)
        moved = camera.take(FRONT, PUBLISHED_INTRINSICS.resized(64, 64), (mesh.vertices * 0.5).astype(np.float32))
        again = camera.take(FRONT, PUBLISHED_INTRINSICS)
    assert moved.depth.shape == (64, 64)
    assert moved.depth[32, 32] == pytest.approx(7.5, abs=5e-3)
    np.testing.assert_array_equal(first.rgb, again.rgb)


def test_cameras_with_a_context_each_take_turns(ctx, sphere):
    near = replace(sphere(), materials=(WHITE,))
    far = replace(near, vertices=(near.vertices * 0.5).astype(np.float32))
    with RgbdCamera(near) as first, RgbdCamera(far) as second:
        depths = [camera.take(FRONT, PUBLISHED_INTRINSICS).depth[128, 128] for camera in (first, second, first)]
    assert depths == pytest.approx([7.0, 7.5, 7.0], abs=0.01)
