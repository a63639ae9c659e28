"""Finding the rims of mouths and eyes on the built-in heads, whose parts tell where they are."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from calib.rig.controllers import Role
from calib.rigging.assemble import assemble
from calib.surgery.eye_pieces import eye_shape
from calib.survey.face_finder import FaceFinder
from calib.survey.head_survey import HeadSurvey, survey_head
from calib.survey.openings import trace_opening
from calib.survey.parts import Kind
from calib.survey.surface import make_surface
from calib.survey.views import Studio, front_camera
from capture.synthetic import builtin_avatar_path
from capture.synthetic.head.head_model import HeadModel
from core.mesh import Mesh
from core.sphere import fit_sphere
from render.mesh.mesh_io import load_mesh


@pytest.fixture(scope="module", params=["realistic", "stylized"])
def survey(request: pytest.FixtureRequest) -> Iterator[HeadSurvey]:
    mesh = load_mesh(builtin_avatar_path(request.param))
    with Studio(mesh) as studio, FaceFinder() as finder:
        yield survey_head(request.param, mesh, studio, finder)


def test_parts_are_told_apart(survey: HeadSurvey) -> None:
    names = np.array([part.name for part in survey.mesh.parts for _ in range(part.face_count)])
    kind = survey.parts.kind[survey.mesh.faces[:, 0]]
    expected = {
        "skin": Kind.SKIN,
        "eye_left": Kind.EYE_RIGHT,  # the person's left is the picture's right
        "eye_right": Kind.EYE_LEFT,
        "teeth_upper": Kind.UPPER_MOUTH,
        "teeth_lower": Kind.LOWER_MOUTH,
        "tongue": Kind.LOWER_MOUTH,
        "lashes": Kind.FOLLOWER,
    }
    for name, meant in expected.items():
        assert (kind[names == name] == meant).mean() > 0.99, name


def test_lips_meet_and_eyes_are_open(survey: HeadSurvey) -> None:
    assert survey.mouth.parted
    assert survey.mouth.closed
    for eye in survey.eyes:
        assert eye.parted
        assert not eye.closed
        assert eye.behind > 0.9
        assert 0.2 < eye.gap().max() / eye.width < 0.7
        np.testing.assert_array_equal(eye.upper[[0, -1]], eye.lower[[0, -1]])


def test_rims_are_symmetric_as_the_head_is(survey: HeadSurvey) -> None:
    left, right = survey.eyes
    assert left.width == pytest.approx(right.width, rel=0.06)
    mirrored = right.upper[::-1] * [-1, 1, 1]
    middle = (left.upper[:, 0].mean() + mirrored[:, 0].mean()) / 2
    offset = np.abs((left.upper - mirrored - [left.upper[:, 0].mean() - mirrored[:, 0].mean(), 0, 0])[:, :2])
    assert offset.max() < 0.06 * left.width, f"around {middle}"


def test_lids_lie_on_the_eyeballs(survey: HeadSurvey) -> None:
    for opening, ball in zip(survey.eyes, survey.parts.eyeballs, strict=True):
        assert ball is not None
        distance = np.linalg.norm(opening.upper[4:-4] - ball.centre, axis=1) / ball.radius
        assert distance.min() > 0.9
        assert distance.max() < 1.35


def test_the_empty_sockets_of_a_mask_are_open_eyes() -> None:
    """The landmarker takes them for nearly shut; their lining hangs together with the lids."""
    mesh = HeadModel().mesh()
    corners = mesh.vertices[mesh.faces]
    mask = (corners[:, :, 2].min(axis=1) > -0.02) & (corners[:, :, 1].min(axis=1) > -0.115)
    mask &= np.array([part.name == "skin" for part in mesh.parts for _ in range(part.face_count)])
    faces = mesh.faces.copy()
    faces[~mask] = faces[~mask][:, :1]
    mesh = replace(mesh, faces=faces)
    with Studio(mesh) as studio, FaceFinder() as finder:
        found = survey_head("mask.glb", mesh, studio, finder, "y", "z")
    for eye in range(2):
        assert found.eyes[eye].parted
        assert not found.eyes[eye].closed
        gap = found.eyes[eye].gap() / found.eyes[eye].width
        assert gap[16] == pytest.approx(0.354, abs=0.02), "as high as on the same head with its eyeballs"
        assert gap[4:-4].min() > 0.15
        shape = eye_shape(found, eye)
        assert shape.added
        assert not shape.shut
    left, right = (eye_shape(found, eye).ball for eye in range(2))
    assert left.radius == pytest.approx(right.radius, rel=0.05)
    assert left.centre[1:] == pytest.approx(right.centre[1:], abs=0.02)


def test_lips_do_not_pull_each_other(survey: HeadSurvey) -> None:
    _, rig = assemble(survey)
    upper, lower = rig.controllers.of(Role.UPPER_LIP), rig.controllers.of(Role.LOWER_LIP)
    moved = np.zeros((len(rig.controllers.rest), 3))
    moved[lower, 1] = -0.1
    delta = rig.weights @ moved[:, 1]
    rest = rig.rest.astype(float)
    flat = survey.mouth.flat(rest)
    rim = survey.mouth.flat(survey.mouth.upper)
    height = flat[:, 1] - np.interp(flat[:, 0], rim[:, 0], rim[:, 1])
    middle = (np.abs(flat[:, 0] - 0.5) < 0.25) & (
        np.abs(flat[:, 2] - np.interp(flat[:, 0], rim[:, 0], rim[:, 2])) < 0.1
    )
    middle[len(survey.vertices) :] = False
    assert len(upper) == len(lower)
    assert np.abs(delta[middle & (height > 0.03) & (height < 0.2)]).max() < 0.02
    assert delta[middle & (height < -0.03) & (height > -0.06)].min() < -0.06


def test_a_sphere_is_recovered() -> None:
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(200, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    ball = fit_sphere([1, 2, 3] + 0.7 * direction[direction[:, 2] > 0.3])
    np.testing.assert_allclose(ball.centre, [1, 2, 3], atol=1e-9)
    assert ball.radius == pytest.approx(0.7)


def test_an_eye_behind_a_strand_of_hair_is_open_from_corner_to_corner() -> None:
    """The strand crosses its middle and hangs together with the skin above and below, as on drawn heads."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 101), np.linspace(0.35, -0.35, 71))
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    corner = (np.arange(70)[:, None] * 101 + np.arange(100)).reshape(-1)
    faces = np.concatenate([corner[:, None] + [0, 101, 1], corner[:, None] + [1, 101, 102]])
    middle = vertices[faces].mean(axis=1)
    hole = (np.abs(middle[:, 0]) < 0.25) & (np.abs(middle[:, 1]) < 0.08) & (np.abs(middle[:, 0]) > 0.02)
    mesh = Mesh(vertices.astype(np.float32), faces[~hole].astype(np.int32))
    surface = make_surface(mesh.vertices, mesh.faces)
    chain = np.stack([np.linspace(-0.25, 0.25, 9), 0.08 * np.sin(np.linspace(0, np.pi, 9)), np.zeros(9)], axis=1)
    with Studio(mesh) as studio:
        view = studio.look(np.eye(4), *front_camera(np.zeros(3), 0.4, 640))
    skin = np.ones(len(mesh.faces), dtype=bool)
    found = trace_opening(view, surface, skin, chain, chain * [1, -1, 1], closed=False)
    assert found.parted
    assert found.width == pytest.approx(0.5, rel=0.05)
    assert found.gap()[8] == pytest.approx(0.16, rel=0.1)
    assert found.gap()[24] == pytest.approx(0.16, rel=0.1)
