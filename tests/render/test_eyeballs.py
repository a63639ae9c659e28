"""Eyes stay eyes wherever they look: a dark pupil, a small highlight, shadow that does not turn with the ball."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from core.camera import PUBLISHED_INTRINSICS, look_at
from core.mesh import Material, Mesh, MeshPart
from core.rigid_motion import rotation_matrix
from render.gl.eyeballs import Eyeballs, EyeShade
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget

PUPIL_DEG, IRIS_DEG = 10.0, 25.0
GAZES_RAD = [(yaw, pitch) for yaw in np.linspace(-0.6, 0.6, 9) for pitch in np.linspace(-0.4, 0.4, 7)]


@pytest.fixture
def ball(sphere: Callable[..., Mesh]) -> Mesh:
    return sphere()


def turned(points: np.ndarray, centre: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    R = rotation_matrix(np.array([0.0, yaw, 0.0])) @ rotation_matrix(np.array([-pitch, 0.0, 0.0]))
    return ((points - centre) @ R.T + centre).astype(np.float32)


@pytest.fixture(params=["dish", "disc", "faceted"])
def eye(request: pytest.FixtureRequest) -> tuple[Mesh, np.ndarray]:
    """An eyeball whose iris is flat, in the ways files have it, and what area of its pupil each vertex stands for."""
    v, u = np.mgrid[0:41, 0:48].astype(float)
    angle = np.concatenate([np.linspace(0, IRIS_DEG, 16), np.linspace(IRIS_DEG + 1, 180, 25)])[v.astype(int)]
    polar, around = np.radians(angle), u / 48 * 2 * np.pi
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    flat = angle <= IRIS_DEG
    points[flat, 2] = np.cos(np.radians(IRIS_DEG)) - (0.03 if request.param == "dish" else 0.0)
    corner = np.arange(41 * 48).reshape(41, 48)
    after = np.roll(corner, -1, axis=1)
    a, b, c, d = corner[:-1], corner[1:], after[1:], after[:-1]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3).astype(np.int32)
    color = np.where(angle[..., None] <= PUPIL_DEG, 0.02, np.where(flat[..., None], [0.3, 0.4, 0.5], 0.93))
    name = "faceted" if request.param == "faceted" else "painted"
    mesh = Mesh(
        (0.8 * points.reshape(-1, 3)).astype(np.float32),
        faces,
        vertex_colors=np.broadcast_to(color, points.shape).reshape(-1, 3).astype(np.float32),
        parts=(MeshPart("eye_left", 0, len(faces), 0),),
        materials=(Material(name, (1.0, 1.0, 1.0, 1.0)),),
    )
    return mesh, np.where(angle <= 0.9 * PUPIL_DEG, angle, 0.0).reshape(-1)


def test_pupils_are_dark_wherever_the_eye_looks(ctx, eye: tuple[Mesh, np.ndarray]) -> None:
    mesh, area = eye
    pupil = np.flatnonzero(area)
    renderer = MeshRenderer(ctx, mesh, soft_shadows=False)
    target = RenderTarget(ctx, 256, 256)
    view, camera = look_at((0.0, 0.0, 8.0)), PUBLISHED_INTRINSICS
    highlights = 0
    for yaw, pitch in GAZES_RAD:
        vertices = turned(mesh.vertices, np.zeros(3), yaw, pitch)
        renderer.set_vertices(vertices)
        renderer.render(target, view, camera)
        picture = target.rgb().max(axis=2)
        at = camera.project((vertices[pupil] * [1, -1, -1] + [0, 0, 8]).astype(np.float64)).astype(int)
        shown = picture[at[:, 1], at[:, 0]]
        assert np.average(shown > 60, weights=area[pupil]) < 0.35, (yaw, pitch)
        highlights += int((picture > 224).sum() > 20)
    assert highlights == len(GAZES_RAD), "every eye keeps its spark"
    renderer.release()


def test_two_eyes_in_one_part_are_two_balls_with_middles_of_their_own(ball: Mesh) -> None:
    count = len(ball.vertices)
    vertices = np.concatenate([0.3 * ball.vertices - [0.5, 0, 0], 0.3 * ball.vertices + [0.5, 0, 0]])
    balls = Eyeballs(vertices.astype(np.float32), np.concatenate([ball.faces, ball.faces + count]))
    assert balls.count == 2
    np.testing.assert_allclose(np.abs(balls.centres), np.broadcast_to([0.5, 0, 0], balls.centres.shape), atol=1e-4)


def test_a_cornea_over_an_iris_belongs_to_the_same_ball(ball: Mesh) -> None:
    iris = replace(ball, vertices=(ball.vertices * [0.3, 0.3, 0.01] + [0, 0, 0.8]).astype(np.float32))
    vertices = np.concatenate([ball.vertices, iris.vertices])
    faces = np.concatenate([ball.faces, iris.faces + len(ball.vertices)])
    assert Eyeballs(vertices, faces).count == 1


def test_a_flat_eye_is_lit_as_if_it_bulged(ball: Mesh) -> None:
    flat = (ball.vertices * [0.5, 0.5, 0.02] + [0.2, 0.1, 0.9]).astype(np.float32)
    balls = Eyeballs(flat, ball.faces)
    front = flat[balls.vertices][:, 2] > 0.9
    normal = balls.normals(flat)[front]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert normal[:, 2].min() > 0.5, "all of it faces forwards"
    assert np.degrees(np.arccos(normal[:, 2])).max() > 30, "but its rim looks aside"


def test_shadow_stays_with_the_head_while_the_eye_turns(ball: Mesh) -> None:
    balls = Eyeballs(ball.vertices, ball.faces)
    under_lid = (ball.vertices[:, 1] < 0.4).astype(np.float32)
    shade = EyeShade(balls, ball.vertices, under_lid)
    for yaw, pitch in ((0.0, 0.0), (0.5, 0.3), (-0.4, -0.3)):
        vertices = turned(ball.vertices, np.zeros(3), yaw, pitch)
        height = vertices[balls.vertices][:, 1]
        ahead = vertices[balls.vertices][:, 2] > 0.2
        openness = shade.openness(vertices)
        assert openness[ahead & (height > 0.6)].max() < 0.4
        assert openness[ahead & (height < 0.2)].min() > 0.7


def test_a_head_without_eyes_has_no_balls(ball: Mesh) -> None:
    balls = Eyeballs(ball.vertices, np.zeros((0, 3), dtype=np.int32))
    assert balls.count == 0
    assert balls.normals(ball.vertices).shape == (0, 3)
