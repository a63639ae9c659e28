"""Spectacles sit before the eyes of any head, show in its picture, and do not move with the face."""

import numpy as np
import pytest

from calib.survey.face_finder import FaceFinder
from capture.synthetic.studio.people import random_person
from core.expression_units import UNIT_NAMES
from core.mesh import Material, Mesh
from engine.training.flow.avatar_shots import AvatarStage, as_prepared
from engine.training.flow.spectacles import Wearer, spectacles, with_spectacles

SIZE = 128


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    with FaceFinder() as finder:
        yield finder


def test_they_are_before_the_eyes_and_as_wide_as_the_face() -> None:
    eyes = np.array([[-0.032, 0, 0], [0.032, 0, 0]])
    for seed in range(20):
        vertices, faces = spectacles(eyes, np.array([0.0, 0.0, 1.0]), np.random.default_rng(seed))
        front = vertices[vertices[:, 2] > 0.005]
        assert 0.1 < np.ptp(vertices[:, 0]) < 0.14
        assert 0.02 < np.ptp(front[:, 1]) < 0.07
        assert abs(vertices[:, 0].mean()) < 1e-3
        assert np.unique(faces).tolist() == list(range(len(vertices)))


def test_a_face_moves_and_what_it_wears_does_not(finder: FaceFinder) -> None:
    person = random_person(500_003, "train", bust=True)
    wearer = with_spectacles(person, finder, np.random.default_rng(1))
    weights = np.zeros(len(UNIT_NAMES))
    weights[[UNIT_NAMES.index("eyeBlinkLeft"), UNIT_NAMES.index("jawOpen")]] = 1
    still, moved = wearer.vertices(np.zeros(len(UNIT_NAMES))), wearer.vertices(weights)
    own = len(person.mesh().vertices)
    assert np.abs(moved[:own] - still[:own]).max() > 0.01
    np.testing.assert_array_equal(moved[own:], still[own:])


def test_the_avatars_picture_shows_them_nearer_than_the_eyes(finder: FaceFinder) -> None:
    person = random_person(500_003, "train", bust=True)
    wearer = with_spectacles(person, finder, np.random.default_rng(1))
    pictures = []
    for actor in (person, wearer):
        with AvatarStage(actor, as_prepared(finder, np.random.default_rng(2)), SIZE) as stage:
            pictures.append(stage.source)
    height, lower = slice(SIZE // 8, SIZE // 2), slice(5 * SIZE // 8, 7 * SIZE // 8)
    bare, worn = (picture[3] for picture in pictures)
    assert (worn[height] < bare[height] - 0.02).sum() > 50  # nearer
    assert np.median(np.abs(worn[lower] - bare[lower])) < 0.02  # chin and mouth as before


def test_painted_and_textured_heads_keep_their_looks() -> None:
    vertices = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    texture = Material("skin", texture=np.zeros((2, 2, 3), np.uint8))
    mesh = Mesh(
        vertices, faces, np.zeros((4, 2), np.float32), faces.copy(), np.full((4, 3), 0.5, np.float32), (), (texture,)
    )

    class Bust:
        def mesh(self) -> Mesh:
            return mesh

        def vertices(self, _weights: np.ndarray) -> np.ndarray:
            return vertices

    extra = np.zeros((3, 3))
    shown = Wearer.of(Bust(), extra, np.array([[0, 1, 2]], np.int32), (0.1, 0.1, 0.1, 1.0)).mesh()
    assert shown.faces.tolist() == [*faces.tolist(), [4, 5, 6]]
    assert shown.faces_uv is not None
    assert shown.faces_uv[:2].tolist() == faces.tolist()
    assert shown.faces_uv[2].max() < len(shown.uvs)
    assert [part.face_count for part in shown.parts] == [2, 1]
    assert shown.materials[shown.parts[1].material].texture is None
    np.testing.assert_array_equal(shown.vertex_colors[:4], 0.5)
