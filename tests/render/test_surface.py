"""Normals, outlines, openings and looks, against plain definitions."""

from dataclasses import replace

import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, gl_projection, look_at
from core.mesh import Material, MeshPart
from render.gl.textures import bleed
from render.mesh.looks import EYE, HAIR, LASH, LINING, SKIN, TEETH, look_of
from render.mesh.mesh_edges import MeshEdges
from render.mesh.mesh_layout import is_closed, make_layout, weld_positions
from render.mesh.openings import Openings, faces_in_boxes
from render.mesh.surface_normals import Outlines, SurfaceNormals


def edges_of(mesh):
    return MeshEdges(mesh.vertices, mesh.faces, np.arange(len(mesh.faces)))


EYE_POINT = np.array([0.0, 0.0, 8.0])


def test_normals_of_a_sphere_point_away_from_its_centre_also_at_its_seam(sphere):
    mesh = sphere()
    surface = SurfaceNormals(mesh.vertices, mesh.faces)
    normals = surface.update(mesh.vertices)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", normals, mesh.vertices).min() > 0.999


def test_normals_follow_a_deformation_as_the_plain_sum_over_faces_does(sphere):
    mesh = sphere(10, 14)
    moved = (mesh.vertices * [1.0, 1.6, 0.7] + 0.1 * np.sin(5 * mesh.vertices[:, ::-1])).astype(np.float32)
    surface = SurfaceNormals(mesh.vertices, mesh.faces)
    normals = surface.update(moved)
    place = weld_positions(mesh.vertices)  # both sides of the seam are one smooth surface
    expected = np.zeros((place.max() + 1, 3))
    for face in mesh.faces:
        a, b, c = moved[face].astype(np.float64)
        np.add.at(expected, place[face], np.cross(b - a, c - a))
    np.testing.assert_allclose(normals, expected[place], atol=1e-5)
    some = np.array([5, 3, 20])
    np.testing.assert_array_equal(SurfaceNormals(mesh.vertices, mesh.faces, some).update(moved), normals[some])


def test_outline_of_a_sphere_lies_on_its_rim(sphere):
    mesh = sphere(48, 96)
    surface = SurfaceNormals(mesh.vertices, mesh.faces)
    surface.update(mesh.vertices)
    outlines = Outlines(edges_of(mesh))
    ends = outlines.find(mesh.vertices, surface, surface.facing(EYE_POINT))
    assert 90 < len(ends) < 400
    assert np.abs(ends[..., 2] - 1 / 8).max() < 0.12, "seen from 8 away, the rim of a unit sphere is at z = 1/8"


def test_outline_of_an_open_shape_has_its_border_but_not_where_it_faces_away(sphere):
    mesh = sphere(24, 48, open_below=0.15)
    surface = SurfaceNormals(mesh.vertices, mesh.faces)
    surface.update(mesh.vertices)
    outlines = Outlines(edges_of(mesh))
    ends = outlines.find(mesh.vertices, surface, surface.facing(EYE_POINT))
    border = ends[np.abs(np.ptp(ends[..., 1], axis=1)) < 1e-4]
    assert len(border) > 10
    assert border[..., 2].max() > 0.8
    assert border[..., 2].min() > -0.3, "the border behind faces away"


def test_openings_are_boxed_where_they_are_seen(sphere):
    mesh = sphere(24, 48, open_below=-0.7)
    openings = Openings(mesh.vertices, edges_of(mesh))
    clip = gl_projection(PUBLISHED_INTRINSICS, 4, 12) @ look_at(EYE_POINT)
    ((left, bottom, width, height),) = openings.boxes(mesh.vertices, clip, (256, 256))
    border = mesh.vertices[np.abs(mesh.vertices[:, 1] - mesh.vertices[mesh.faces][..., 1].min()) < 1e-5]
    camera = border @ look_at(EYE_POINT)[:3, :3].T + look_at(EYE_POINT)[:3, 3]
    pixels = PUBLISHED_INTRINSICS.project(camera)
    rows = 256 - pixels[:, 1]
    assert left <= pixels[:, 0].min()
    assert pixels[:, 0].max() <= left + width < pixels[:, 0].max() + 4
    assert bottom <= rows.min()
    assert rows.max() <= bottom + height < rows.max() + 4


def test_faces_in_boxes_are_all_those_that_touch_them(sphere):
    mesh = sphere(20, 30)
    surface = SurfaceNormals(mesh.vertices, mesh.faces)
    surface.update(mesh.vertices)
    clip = gl_projection(PUBLISHED_INTRINSICS, 4, 12) @ look_at(EYE_POINT)
    corners = mesh.vertices[mesh.faces].astype(np.float64) @ clip[:, :3].T + clip[:, 3]
    pixels = (corners[..., :2] / corners[..., 3:] * 0.5 + 0.5) * 256
    reach = np.linalg.norm(pixels - np.roll(pixels, 1, axis=1), axis=2).max(axis=1).astype(np.float32)
    boxes = [(100, 90, 30, 20), (180, 180, 5, 5)]
    found = faces_in_boxes(surface.face_origins, reach, clip, (256, 256), boxes)
    for left, low, width, height in boxes:
        touch = (pixels.max(1) >= [left, low]).all(1) & (pixels.min(1) <= [left + width, low + height]).all(1)
        assert touch.any()
        assert found[touch].all()
    assert found.mean() < 0.3


def test_many_holes_are_gathered_into_a_few_boxes_that_cover_them(sphere):
    mesh = sphere(24, 48)
    faces = np.delete(mesh.faces, np.arange(100, len(mesh.faces), 150), axis=0)
    openings = Openings(mesh.vertices, edges_of(replace(mesh, faces=faces)))
    boxes = openings.boxes(mesh.vertices, np.diag([0.5, 0.5, 0.0, 1.0]), (64, 64))
    assert 1 <= len(boxes) <= 4
    whole = Openings(mesh.vertices, edges_of(mesh))
    assert whole.boxes(mesh.vertices, np.eye(4), (64, 64)) == []


def test_slit_is_an_opening_and_an_outline_only_while_it_is_open(card):
    """Two cards that touch along a line, each with vertices of its own there: as lips, once cut."""
    upper, lower = card((-1, 0), (1, 1), 0.0), card((-1, -1), (1, 0), 0.0)
    vertices = np.concatenate([upper.vertices, lower.vertices])
    mesh = replace(upper, vertices=vertices, faces=np.concatenate([upper.faces, lower.faces + 4]))
    edges = edges_of(mesh)
    assert edges.is_slit.sum() == 1
    surface, outlines, openings = SurfaceNormals(vertices, mesh.faces), Outlines(edges), Openings(vertices, edges)
    clip = gl_projection(PUBLISHED_INTRINSICS, 4, 12) @ look_at(EYE_POINT)
    parted = vertices.copy()
    parted[[4 + 2, 4 + 3], 1] -= 0.2
    found = {}
    for name, points in (("shut", vertices), ("open", parted)):
        surface.update(points)
        ends = outlines.find(points, surface, surface.facing(EYE_POINT))
        across = np.abs(ends[..., 1]).max(axis=1) < 0.5
        found[name] = (across.sum(), len(openings.boxes(points, clip, (256, 256))))
    assert found["shut"][0] == 0
    assert found["open"][0] == 2
    assert found["open"][1] == found["shut"][1] + 1


def test_closedness(sphere):
    mesh = sphere()
    assert is_closed(mesh.vertices, mesh.faces)
    assert not is_closed(mesh.vertices, mesh.faces[1:])


def test_welding_is_by_place_whatever_the_sign_of_zero():
    points = np.array([[0.0, 1, 2], [-0.0, 1, 2], [0, 1, 2.0000002]], dtype=np.float32)
    place = weld_positions(points)
    assert place[0] == place[1] != place[2]


def test_layout_draws_every_face_once_opaque_before_soft(toy_head):
    layout = make_layout(toy_head)
    assert sorted(layout.order.tolist()) == list(range(len(toy_head.faces)))
    np.testing.assert_array_equal(layout.vertex_of[layout.corners], toy_head.faces[layout.order])
    soft = [group.transparent for group in layout.groups]
    assert soft == sorted(soft)
    assert sum(group.count for group in layout.groups) == len(toy_head.faces)
    uvs = layout.uvs[layout.corners]
    expected = toy_head.uvs[toy_head.faces_uv[layout.order]]
    np.testing.assert_allclose(uvs[..., 1], 1 - expected[..., 1])


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("eye_left", EYE),
        ("Eyeball.R", EYE),
        ("eyelashes", LASH),
        ("lashes", LASH),
        ("eyelid_upper", SKIN),
        ("teeth_upper", TEETH),
        ("mouth_lining", LINING),
        ("Hair_Card_03", HAIR),
        ("head", SKIN),
        ("mesh", SKIN),
    ],
)
def test_looks_go_by_name(name, look):
    assert look_of(MeshPart(name, 0, 1, 0), Material("m")) == look
    assert look_of(MeshPart("part", 0, 1, 0), Material(name)) == look


def test_bleeding_keeps_what_is_visible_and_fills_what_is_not():
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[8:16, 8:16] = (200, 100, 50, 255)
    filled = bleed(rgba)
    np.testing.assert_array_equal(filled[8:16, 8:16], rgba[8:16, 8:16])
    np.testing.assert_array_equal(filled[..., 3], rgba[..., 3])
    np.testing.assert_allclose(filled[7, 10, :3], [200, 100, 50], atol=1)
    np.testing.assert_allclose(filled[31, 31, :3], [200, 100, 50], atol=1)
