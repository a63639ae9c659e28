"""The close-up of an avatar's face."""

import numpy as np
import pytest

from calib.close_up import UNITS_PER_METRE, CloseUp, network_picture
from capture.face.head_crop import EMPTY
from core.camera import PUBLISHED_EYE, PUBLISHED_INTRINSICS, look_at, transform_points

T = np.asarray(look_at(PUBLISHED_EYE))


def test_it_is_the_same_camera_nearer() -> None:
    close_up = CloseUp.of(PUBLISHED_INTRINSICS, T)
    points = transform_points(T, np.array([[0.0, 0.0, 0.0], [0.3, -0.5, 0.2], [-0.6, 0.4, -0.3]]))
    whole, near = PUBLISHED_INTRINSICS.project(points), close_up.intrinsics.project(points)
    x, y, width, height = close_up.window
    assert np.allclose((whole - [x, y]) * [256 / width, 256 / height], near)
    assert width == pytest.approx(192)
    chin_below = transform_points(T, np.array([[0.0, -0.75, 0.0]]))  # of an open mouth
    assert 0 < close_up.intrinsics.project(chin_below)[0, 1] < 256


def test_it_follows_the_face_when_the_camera_is_moved() -> None:
    aside = np.asarray(look_at((1.0, 0.5, 12.0)))
    close_up = CloseUp.of(PUBLISHED_INTRINSICS, aside)
    middle = close_up.intrinsics.project(transform_points(aside, np.zeros((1, 3))))[0]
    assert np.allclose(middle, [128, 128 - 0.064 / 1.536 * 256], atol=1.0)


def test_cut_and_depth_are_where_and_what_they_were() -> None:
    close_up = CloseUp.of(PUBLISHED_INTRINSICS, T)
    rows, columns = np.mgrid[:256, :256]
    rgb = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    depth = np.where(columns < 128, np.float32(8.0), np.float32(0.0)).astype(np.float32)
    color, near = close_up.cut(rgb, depth)
    x, y, width, height = close_up.window
    expected = x + (np.arange(256) + 0.5) * width / 256 - 0.5
    assert np.allclose(color[100, :, 0], expected, atol=1.0)
    assert np.allclose(color[:, 50, 1], y + (np.arange(256) + 0.5) * height / 256 - 0.5, atol=1.0)
    planes = close_up.network_input(color, near)
    on = planes[3, 100, :120]
    assert np.allclose(
        on, (8.0 - close_up.origin) / close_up.depth_per_channel + 1 / 3, atol=1e-5
    )  # 10 cm before, 5 behind
    assert (planes[3, 100, 140:] == EMPTY).all()
    deeper = close_up.network_input(
        color, np.where(near > 0, near + 0.1 * np.float32(close_up.depth_per_channel), near)
    )
    assert np.allclose(deeper[3, 100, :120] - on, 0.1, atol=1e-5)
    assert close_up.depth_per_channel == pytest.approx(0.075 * UNITS_PER_METRE)


def test_networks_are_given_one_or_the_other() -> None:
    class Avatar:
        source_rgb = np.full((256, 256, 3), 90, np.uint8)
        source_depth = np.full((256, 256), 8.0, np.float32)
        intrinsics, T_camera_world = PUBLISHED_INTRINSICS, T

    whole, near = (network_picture(Avatar(), head_motion=choice) for choice in (True, False))
    assert whole.shape == near.shape == (4, 256, 256)
    assert (whole[3] == -1).all()  # stretched over its own range
    assert np.ptp(near[3]) == 0
    assert -1 < near[3, 0, 0] < 1
