"""Flow in an avatar's close-up moves the avatar's own controllers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.close_up import CloseUp
from core.face_regions import LOWER_LIP, UPPER_LIP
from engine.flow.ours.flow_following import FlowFollower, MotionPicture

SIZE = 256
UPPER, LOWER = UPPER_LIP[0][3:8], LOWER_LIP[0][3:8]  # the middle of either lip's outline
BROW, CHIN, CHEEK = 105, 152, 205


@pytest.fixture(scope="module")
def close_up(prepared: Avatar) -> CloseUp:
    return CloseUp.of(prepared.intrinsics, prepared.T_camera_world)


@pytest.fixture(scope="module")
def shown(prepared: Avatar, close_up: CloseUp) -> NDArray[np.float32]:
    return close_up.cut(prepared.source_rgb, prepared.source_depth)[1]


def picture(
    close_up: CloseUp, shown: NDArray[np.float32], way: NDArray[np.float64] | float = 0.0, deeper: float = 0.0
) -> MotionPicture:
    """Every pixel looks `way` [.., 2] pixels away, at the avatar's own depth plus `deeper` avatar units."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    places = np.stack([columns, rows], axis=-1) + way
    depth = close_up.network_input(np.zeros((SIZE, SIZE, 3), np.uint8), shown)[3]
    depth = np.where(shown > 0, depth + deeper / close_up.depth_per_channel, depth)
    return MotionPicture(
        (places * 2 / SIZE - 1).astype(np.float32), depth.astype(np.float32), np.ones((SIZE, SIZE), np.float32)
    )


@pytest.fixture(scope="module")
def follower(prepared: Avatar, close_up: CloseUp, shown: NDArray[np.float32]) -> FlowFollower:
    rest = picture(close_up, shown)
    return FlowFollower(prepared.rig.controllers, close_up, prepared.T_camera_world, shown, rest)


def test_most_of_the_face_is_followed_and_rests_exactly(
    follower: FlowFollower, close_up: CloseUp, shown: NDArray[np.float32]
) -> None:
    moved, tracked = follower.displacement(picture(close_up, shown))
    assert tracked[:468].mean() > 0.9
    assert np.abs(moved).max() < 1e-9


def test_a_shifted_picture_shifts_the_face(
    follower: FlowFollower, close_up: CloseUp, shown: NDArray[np.float32]
) -> None:
    way = np.array([-6.0, 4.0])  # to look 6 px left and 4 px below is to have moved right and up
    flat = np.full_like(shown, 8.0)
    rest = picture(close_up, flat)
    moved, tracked = follower.displacement(MotionPicture(picture(close_up, flat, way).flow, rest.depth, rest.mask))
    pixel = 8.0 / close_up.intrinsics.fx
    assert np.allclose(moved[CHEEK, :2], [6 * pixel, 4 * pixel], atol=0.6 * pixel)
    assert tracked[CHEEK]


def test_depth_moves_along_the_line_of_sight(
    follower: FlowFollower, close_up: CloseUp, shown: NDArray[np.float32]
) -> None:
    moved, tracked = follower.displacement(picture(close_up, shown, deeper=0.05))
    inner = tracked & (np.arange(len(tracked)) < 468)
    assert np.median(moved[inner, 2]) == pytest.approx(-0.05, abs=1e-3)  # away from the camera
    assert np.abs(moved[BROW, :2]).max() < 0.01


def test_an_opened_mouth_parts_the_lips(
    prepared: Avatar, follower: FlowFollower, close_up: CloseUp, shown: NDArray[np.float32]
) -> None:
    """All below the lips' line goes down by 20 px; what is seen between is hidden in the neutral and marked so."""
    rest = prepared.rig.controllers.rest
    mouth = prepared.rig.mouth
    camera = prepared.T_camera_world
    points = mouth.upper @ camera[:3, :3].T + camera[:3, 3]
    line = float(close_up.intrinsics.project(points)[:, 1].mean())
    rows = np.mgrid[:SIZE, :SIZE][0]
    between = (rows > line) & (rows <= line + 20)
    way = np.zeros((SIZE, SIZE, 2))
    way[..., 1] = np.where(rows > line + 20, -20.0, 0.0)
    opened = picture(close_up, shown, way)
    marked = MotionPicture(opened.flow, picture(close_up, shown).depth, np.where(between, 0.0, 1.0).astype(np.float32))
    moved, _ = follower.displacement(marked)
    pixel = (8.0 - rest[CHIN, 2]) / close_up.intrinsics.fx
    assert np.allclose(moved[list(LOWER), 1], -20 * pixel, atol=1.5 * pixel)
    assert np.allclose(moved[list(UPPER), 1], 0, atol=1.5 * pixel)


def test_what_flow_says_nothing_of_goes_with_its_neighbours(
    follower: FlowFollower, close_up: CloseUp, shown: NDArray[np.float32]
) -> None:
    shifted = picture(close_up, shown, np.array([-4.0, 0.0]))
    flow = shifted.flow.copy()
    moved, tracked = follower.displacement(shifted)
    assert tracked[CHEEK]
    column, row = np.floor(follower_place(follower, CHEEK)).astype(int)
    mask = shifted.mask.copy()
    mask[row - 3 : row + 4, column - 3 : column + 12] = 0  # its pixel is looked for by nobody
    filled, known = follower.displacement(MotionPicture(flow, shifted.depth, mask))
    assert not known[CHEEK]
    assert np.allclose(filled[CHEEK, 0], moved[CHEEK, 0], rtol=0.2)


def follower_place(follower: FlowFollower, controller: int) -> NDArray[np.float64]:
    return follower._rest_px[np.flatnonzero(follower._where == controller)[0]]
