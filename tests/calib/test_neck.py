"""Where the neck is, on busts made up here, and how it bends."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calib.framing import head_view
from calib.rig.face_rig import NeckRig
from calib.rigging.neck import find_neck
from calib.survey.parts import Kind
from core.camera import AVATAR_VIEW, PUBLISHED_EYE, look_at, transform_points
from core.mesh import Mesh
from core.rigid_motion import rotation_matrix
from engine.motion.neck_bend import NeckBend

CHIN_Y, TOP_Y = -0.64, 0.64
# Half width by height of a person from the crown to the elbows: head, neck, shoulders.
PERSON = [
    *((1.2, 0.1), (0.9, 0.6), (0.3, 0.75), (-0.4, 0.6), (-0.7, 0.42)),
    *((-0.95, 0.42), (-1.1, 0.7), (-1.3, 1.5), (-2.2, 1.7)),
]


def turned(profile: list[tuple[float, float]], rings: int = 120, spokes: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a profile of (height, half width) turned about the upright axis."""
    heights, widths = np.array(profile[::-1]).T
    y = np.linspace(heights[0], heights[-1], rings)
    radius = np.interp(y, heights, widths)[:, None]
    angle = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    points = np.stack(np.broadcast_arrays(radius * np.cos(angle), y[:, None], 0.7 * radius * np.sin(angle) - 0.6), -1)
    start = np.arange(rings - 1)[:, None] * spokes
    a, b = start + np.arange(spokes), start + np.roll(np.arange(spokes), -1)
    quads = np.stack([a, b, b + spokes, a + spokes], axis=-1).reshape(-1, 4)
    return points.reshape(-1, 3), np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])


def surveyed(*pieces: tuple[np.ndarray, np.ndarray, Kind]) -> Any:
    """What `find_neck` reads of a survey, of pieces of vertices, faces and kind."""
    landmarks = np.zeros((478, 3))
    landmarks[152], landmarks[10] = (0, CHIN_Y, 0), (0, TOP_Y, 0.1)
    landmarks[[127, 356], 0] = -0.7, 0.7
    landmarks[[0, 13, 14, 17], 1] = -0.3
    first, faces = 0, []
    for points, triangles, _ in pieces:
        faces.append(triangles + first)
        first += len(points)
    vertices = np.concatenate([points for points, *_ in pieces])
    parts = SimpleNamespace(
        kind=np.concatenate([np.full(len(points), kind) for points, _, kind in pieces]),
        component=np.concatenate([np.full(len(points), number) for number, (points, *_) in enumerate(pieces)]),
    )
    mesh = Mesh(vertices.astype(np.float32), np.concatenate(faces).astype(np.int32))
    return SimpleNamespace(mesh=mesh, vertices=vertices, landmarks=landmarks, parts=parts, by_shapes=False)


def neck_of(*pieces: tuple[np.ndarray, np.ndarray, Kind]) -> NeckRig:
    survey = surveyed(*pieces)
    return find_neck(survey, survey.vertices, len(survey.vertices))


def test_a_bust_keeps_its_shoulders_and_turns_its_head() -> None:
    points, faces = turned(PERSON)
    share = neck_of((points, faces, Kind.SKIN)).share
    assert (share[points[:, 1] > CHIN_Y + 0.15] == 1).all(), "the head goes along in full"
    assert (share[points[:, 1] < -1.25] == 0).all(), "shoulders and chest stay"
    column = share.reshape(120, 48)[:, 0]
    assert (np.diff(column) >= 0).all()
    assert np.diff(column).max() < 0.15, "falls off along the neck, not at a line"


@pytest.mark.parametrize("end", [-0.75, -0.95])
def test_a_head_cut_at_its_neck_turns_whole(end: float) -> None:
    points, faces = turned([(y, x) for y, x in PERSON if y > end] + [(end, 0.45)])
    assert (neck_of((points, faces, Kind.SKIN)).share == 1).all()


def test_a_bust_on_a_narrow_foot_still_has_shoulders() -> None:
    points, faces = turned([*PERSON[:-1], (-1.5, 1.2), (-1.9, 0.2)])
    share = neck_of((points, faces, Kind.SKIN)).share
    assert (share[points[:, 1] < -1.3] == 0).all()
    assert (share[points[:, 1] > 0] == 1).all()


def test_clothes_stay_and_hair_over_the_shoulders_bends_the_longer_way() -> None:
    skin, shirt = turned([*PERSON[:7], (-1.1, 0.3)]), turned([(-1.0, 0.6), *PERSON[7:]])
    hair = turned([(1.3, 0.2), (0.9, 0.7), (-1.2, 0.75)])
    share = neck_of((*skin, Kind.SKIN), (*shirt, Kind.FOLLOWER), (*hair, Kind.FOLLOWER)).share
    of_shirt, of_hair = share[len(skin[0]) : -len(hair[0])], share[-len(hair[0]) :]
    assert (of_shirt[shirt[0][:, 1] < -1.3] == 0).all()
    assert (of_hair[hair[0][:, 1] > -0.4] == 1).all()
    tips = of_hair[hair[0][:, 1] < -1.15]
    assert (tips > 0).all()
    assert tips.mean() < 0.5


def test_an_animals_body_behind_its_head_does_not_shear() -> None:
    head, body = turned(PERSON[:6]), turned([(0.9, 0.2), (0.8, 1.2), (-1.6, 1.2), (-1.7, 0.2)])
    body[0][:, 2] -= 3.0
    faces = np.concatenate([head[1], body[1] + len(head[0])])
    assert (neck_of((np.concatenate([head[0], body[0]]), faces, Kind.SKIN)).share == 1).all()


def motion(turn: tuple[float, ...], shift: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    """A head's [4, 4] turn in degrees about the upper end of the spine, and its shift."""
    pivot, T = np.array([0, -0.3, -0.6]), np.eye(4)
    T[:3, :3] = rotation_matrix(np.radians(turn))
    T[:3, 3] = pivot - T[:3, :3] @ pivot + shift
    return T


def placed(points: np.ndarray, neck: NeckRig, T: np.ndarray) -> np.ndarray:
    """Where a pose leads the vertices: bent, then moved as a whole."""
    vertices = points.astype(np.float32)
    NeckBend(neck, vertices.copy()).apply(vertices, T)
    return transform_points(T, vertices.astype(np.float64))


@pytest.mark.parametrize("turn", [(0, 40, 0), (25, 0, 0), (0, 0, -25), (10, -30, 15)])
def test_whatever_the_head_does_shoulders_stay_and_the_head_goes_all_the_way(turn: tuple[float, float, float]) -> None:
    points, faces = turned(PERSON)
    neck = neck_of((points, faces, Kind.SKIN))
    T = motion(turn, (0.02, 0.0, 0.03))
    shown = placed(points, neck, T)
    head = neck.share == 1
    np.testing.assert_allclose(shown[head], transform_points(T, points)[head], atol=1e-5)
    shoulders = points[:, 1] < -1.3
    assert np.ptp(shown[shoulders] - points[shoulders], axis=0).max() < 1e-5, "they do not turn"
    assert np.abs(shown[shoulders] - points[shoulders]).max() < 0.06, "and hardly leave their place"
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    before, after = (np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=1) for p in (points, shown))
    assert (after / before).max() < 3.0, "nothing tears"


def test_who_steps_aside_takes_the_shoulders_along() -> None:
    points, faces = turned(PERSON)
    shown = placed(points, neck_of((points, faces, Kind.SKIN)), motion((0, 0, 0), (1.5, 0, 0)))
    moved = (shown - points)[points[:, 1] < -1.3, 0]
    assert moved.min() > 1.0
    small = placed(points, neck_of((points, faces, Kind.SKIN)), motion((0, 0, 0), (0.05, 0, 0)))
    assert np.abs((small - points)[points[:, 1] < -1.3]).max() < 0.003


def test_a_turning_neck_keeps_its_thickness() -> None:
    points, faces = turned(PERSON)
    shown = placed(points, neck_of((points, faces, Kind.SKIN)), motion((0, 60, 0)))
    on_axis = np.array([0, 0, -0.6])
    level = np.abs(points[:, 1] + 0.85) < 0.05
    radius = np.linalg.norm((points - on_axis)[level][:, [0, 2]], axis=1)
    assert np.linalg.norm((shown - shown[level].mean(axis=0))[level][:, [0, 2]], axis=1).mean() > 0.93 * radius.mean()


def test_the_view_is_the_usual_one_unless_the_head_sticks_out() -> None:
    face = np.array([[-0.7, -0.64, 0], [0.7, 0.9, 0]])
    assert head_view(face) == AVATAR_VIEW
    for more in ([0.0, 1.9, -0.3], [-1.6, 0.8, -0.5], [1.5, 1.6, -1.0]):
        view = head_view(np.vstack([face, more]))
        at = view.project(transform_points(look_at(PUBLISHED_EYE), np.array([more])))[0]
        assert (at > 0.03 * view.width).all()
        assert (at < 0.97 * view.width).all()
        assert view.width < 1.8 * AVATAR_VIEW.width
        assert view.cx == pytest.approx(view.width / 2), "the face stays in the middle"
    chest = head_view(np.vstack([face, [0.3, -3.0, 0.0], [3.0, -2.5, 0.0]]))
    assert chest == AVATAR_VIEW, "what hangs below is not looked at"
