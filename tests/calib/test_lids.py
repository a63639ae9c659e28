"""What rides on the rims of lids: lashes of either lid, sheet by sheet, and tears that go round the eye."""

from types import SimpleNamespace
from typing import cast

import numpy as np

from calib.rigging.lids import _lashes
from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind

WIDTH = 0.2
ALONG = np.linspace(0, 1, 33)
HALF = 0.05 * np.sin(np.pi * ALONG)
UPPER = np.stack([(ALONG - 0.5) * WIDTH, HALF, 0 * ALONG], axis=1)
LOWER = np.stack([(ALONG - 0.5) * WIDTH, -HALF, 0 * ALONG], axis=1)
EYE = Opening(UPPER, LOWER, parted=True, closed=False, width=WIDTH, frame=np.eye(3), behind=1.0)


def strip(one: np.ndarray, other: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [2 n, 3] of a strip between two lines, and its faces numbered from `first`."""
    count = len(one)
    a = first + np.arange(count - 1)
    faces = np.concatenate([np.stack([a, a + 1, a + count], 1), np.stack([a + 1, a + count + 1, a + count], 1)])
    return np.concatenate([one, other]), faces


def surveyed(*strips: tuple[np.ndarray, np.ndarray]) -> HeadSurvey:
    """A survey in which all strips are one component, as where their edges lie on each other."""
    vertices, faces = [], []
    for one, other in strips:
        points, corners = strip(one, other, sum(map(len, vertices)))
        vertices.append(points)
        faces.append(corners)
    every = np.concatenate(vertices)
    parts = SimpleNamespace(kind=np.full(len(every), Kind.FOLLOWER), component=np.zeros(len(every), dtype=np.int64))
    mesh = SimpleNamespace(faces=np.concatenate(faces))
    return cast(HeadSurvey, SimpleNamespace(vertices=every, mesh=mesh, parts=parts))


def test_lashes_of_both_lids_that_touch_in_the_corners_ride_on_their_own_rims() -> None:
    out = np.array([0, 0.02, 0.03])
    survey = surveyed((UPPER, UPPER + out), (LOWER, LOWER + out * [1, -1, 1]))
    own, along, upper = _lashes(survey, EYE)
    assert sorted(own.tolist()) == list(range(len(survey.vertices)))
    assert (upper == (own < 66)).all()
    assert np.ptp(along) > 0.9


def test_single_triangles_of_one_lash_card_stay_together() -> None:
    """A card whose triangles have vertices of their own is one piece by its surface: its tip is not left behind."""
    far = np.array([0, 0.1, 0.06])
    points, faces = strip(UPPER, UPPER + far, 0)
    loose = points[faces].reshape(-1, 3)
    survey = cast(
        HeadSurvey,
        SimpleNamespace(
            vertices=loose,
            mesh=SimpleNamespace(faces=np.arange(len(loose)).reshape(-1, 3)),
            parts=SimpleNamespace(
                kind=np.full(len(loose), Kind.FOLLOWER), component=np.zeros(len(loose), dtype=np.int64)
            ),
        ),
    )
    own, _, upper = _lashes(survey, EYE)
    assert len(own) == len(loose)
    assert upper.all()


def test_tears_go_with_the_rim_that_is_nearer() -> None:
    survey = surveyed((UPPER - np.array([0, 0.004, 0]), LOWER + np.array([0, 0.004, 0])))
    own, _, upper = _lashes(survey, EYE)
    middle = (own % 33 > 3) & (own % 33 < 29)
    assert (upper == (own < 33))[middle].all()
