"""What is a face in relief: hair before its sides is left out, and what is flat or mostly hidden is none."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from calib.survey.face_finder import FaceFinder
from calib.survey.face_fit import find_face
from calib.survey.placement import FACE_HEIGHT
from calib.survey.placing import place
from calib.survey.views import Studio, View, front_camera
from capture.synthetic import builtin_avatar_path
from render.mesh.mesh_io import load_mesh


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    with FaceFinder() as finder:
        yield finder


@pytest.fixture(scope="module")
def view(finder: FaceFinder) -> View:
    """A face from the front."""
    mesh = load_mesh(builtin_avatar_path("realistic"))
    with Studio(mesh) as studio:
        placement, _ = place("head", mesh.vertices.astype(float), studio.look, finder)
        return studio.look(placement.T_world_file, *front_camera(np.zeros(3), FACE_HEIGHT * 0.85, 512))


def behind_curtains(view: View, finder: FaceFinder, parted: float) -> View:
    """The same picture with hair as near as the tip of the nose, but for a gap of so much of the face's width."""
    points = finder.find(view.rgb)
    assert points is not None
    left, right = points[[234, 454], 0]  # the sides of the face
    aside = np.abs(np.arange(view.depth.shape[1]) - (left + right) / 2) > parted * (right - left) / 2
    nearest = view.depth[view.depth > 0].min()
    return replace(view, depth=np.where(aside & (view.depth > 0), nearest, view.depth).astype(np.float32))


def test_hair_before_the_sides_of_a_face_hides_no_face(view: View, finder: FaceFinder) -> None:
    bare = find_face(view, finder)
    covered = find_face(behind_curtains(view, finder, 0.8), finder)
    assert bare is not None
    assert covered is not None
    assert bare.plausible
    assert covered.plausible
    assert covered.relief > 0.8
    turn = np.degrees(np.arccos((np.trace(bare.rotation @ covered.rotation.T) - 1) / 2))
    assert turn < 6


def test_a_face_of_which_too_much_is_hidden_is_none(view: View, finder: FaceFinder) -> None:
    covered = find_face(behind_curtains(view, finder, 0.45), finder)
    assert covered is not None
    assert not covered.plausible


def test_a_picture_of_a_face_is_none(view: View, finder: FaceFinder) -> None:
    flat = find_face(replace(view, depth=np.full_like(view.depth, view.depth[view.depth > 0].min())), finder)
    assert flat is not None
    assert not flat.plausible
    rng = np.random.default_rng(0)
    rough = find_face(replace(view, depth=(8 + rng.normal(0, 0.1, view.depth.shape)).astype(np.float32)), finder)
    assert rough is not None
    assert not rough.plausible
