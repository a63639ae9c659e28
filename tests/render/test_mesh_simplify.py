"""Fewer faces: the shape, its borders, seams, colours and parts stay; pictures stay the same to the eye."""

from dataclasses import replace

import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, look_at
from core.mesh import Material, MeshPart
from render.gl.gl_context import is_software
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget
from render.mesh.mesh_layout import make_layout
from render.mesh.mesh_simplify import simplified, simplify

FINE = (70, 140)
DETAIL = 1 / 125


def surface_error(points, faces, radius=1.0):
    """Largest distance from faces of a sphere's approximation to the sphere, sampled in them."""
    weights = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [1, 1, 0], [0, 1, 1], [1, 0, 1]], float)
    weights /= weights.sum(axis=1, keepdims=True)
    samples = np.einsum("sk,fkj->sfj", weights, points[faces])
    return np.abs(np.linalg.norm(samples, axis=2) - radius).max()


def test_sphere_stays_a_sphere_with_far_fewer_faces(sphere):
    mesh = sphere(*FINE)
    layout = make_layout(mesh)
    fewer = simplified(layout, mesh, 6000, DETAIL)
    assert len(fewer.corners) < 0.75 * len(mesh.faces)
    points = mesh.vertices[fewer.vertex_of]
    assert surface_error(points.astype(float), fewer.corners) < 0.5 * DETAIL
    corners = points[fewer.corners]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("ij,ij->i", normal, corners.mean(axis=1)) > 0).all(), "none is turned over"


def test_plane_shrinks_to_the_target_and_keeps_its_border():
    side = 60
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    points = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float)
    low = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    faces = np.concatenate(
        [np.stack([low, low + 1, low + side + 1], 1), np.stack([low, low + side + 1, low + side], 1)]
    )
    kind = np.zeros(len(faces), dtype=np.int64)
    corners, kept = simplify(points, np.arange(len(points)), faces.astype(np.int32), kind, 1500, 1.0)
    assert 1400 < len(corners) < 1530
    a, b, c = points[corners].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert areas.min() > 0
    assert areas.sum() == pytest.approx((side - 1) ** 2), "covered once, up to the border"
    assert len(kept) == len(corners)


def test_seams_parts_and_paint_keep_their_vertices(sphere):
    mesh = sphere(*FINE)
    colors = np.full(mesh.vertices.shape, 0.7, np.float32)
    painted = np.linalg.norm(mesh.vertices - [0.0, 0.3, 0.95], axis=1) < 0.2
    colors[painted] = (0.1, 0.05, 0.0)
    half = len(mesh.faces) // 2
    parts = (MeshPart("skin", 0, half, 0), MeshPart("cloth", half, len(mesh.faces) - half, 1))
    mesh = replace(mesh, vertex_colors=colors, parts=parts, materials=(Material("a"), Material("b")))
    layout = make_layout(mesh)
    fewer = simplified(layout, mesh, 4000, DETAIL)
    used = set(fewer.vertex_of[np.unique(fewer.corners)].tolist())
    between = np.intersect1d(mesh.faces[:half], mesh.faces[half:])
    assert set(between.tolist()) <= used
    inside, outside = painted[mesh.faces].any(axis=1), ~painted[mesh.faces].all(axis=1)
    edge = np.unique(mesh.faces[inside & outside])
    assert set(edge.tolist()) <= used
    seam = np.flatnonzero(np.abs(mesh.uvs[:, 0] - 1) < 1e-6)[1:-1]
    assert set(seam.tolist()) <= used
    assert sum(group.count for group in fewer.groups) == len(fewer.corners)
    np.testing.assert_array_equal(
        np.sort(fewer.order), np.unique(fewer.order), err_msg="every face left stands for one of its own"
    )


def test_picture_stays_the_same_to_the_eye_also_when_bent(ctx, sphere):
    if not is_software(ctx):
        pytest.skip("every face is drawn where the hardware draws")
    texture = np.kron(np.random.default_rng(0).integers(90, 230, (16, 32, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    mesh = replace(sphere(100, 200), materials=(Material("skin", (1, 1, 1, 1), texture),))
    bent = (mesh.vertices + 0.06 * np.sin(4 * mesh.vertices[:, [1, 2, 0]])).astype(np.float32)
    pictures = []
    for detail in (None, 1 / 125):
        renderer = MeshRenderer(ctx, mesh, soft_shadows=False, detail=detail)
        renderer.set_vertices(bent)
        target = RenderTarget(ctx, 256, 256)
        renderer.render(target, look_at((0, 0, 8)), PUBLISHED_INTRINSICS)
        pictures.append(target.rgb().astype(int))
    difference = np.abs(pictures[0] - pictures[1]).max(axis=2)
    assert difference.any(), "fewer faces were drawn"
    assert difference.mean() < 1.5
    assert np.quantile(difference, 0.99) < 16
