"""What cameras do to pictures: lenses bend, video is compressed, and depth and background stay what they are."""

from dataclasses import replace

import numpy as np
import pytest

from engine.training.loop.jitter import Jitter, compressed, draw_jitter, softened

SIZE = 64
STILL = Jitter(np.ones(3, np.float32), np.zeros(3, np.float32), 0.0, np.eye(2, 3), False)


@pytest.fixture
def picture() -> np.ndarray:
    """A disc of many colours with depth before nothing."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    inside = np.hypot(down, across) < SIZE / 3
    planes = np.where(inside, rng.uniform(-0.8, 0.8, (4, SIZE, SIZE)), -1).astype(np.float32)
    planes[3] = np.where(inside, 0.2, 1.0)
    return planes


def width(picture: np.ndarray) -> int:
    return int((picture[3] < 0.6).any(axis=0).sum())


def test_a_lens_bends_the_edge_and_leaves_the_middle(picture: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    plain = STILL.apply(picture, rng, empty_depth=1.0)
    np.testing.assert_allclose(plain, picture, atol=1e-6)
    wide, narrow = (replace(STILL, bend=bend).apply(picture, rng, empty_depth=1.0) for bend in (-0.3, 0.3))
    assert width(narrow) < width(plain) < width(wide)
    middle = slice(SIZE // 2 - 3, SIZE // 2 + 3)
    for bent in (wide, narrow):
        assert np.abs(bent[:, middle, middle] - picture[:, middle, middle]).mean() < 0.1
        assert bent[3].max() <= 1.0
        assert bent[3].min() >= np.float32(0.2) - 1e-6


def test_a_lens_sees_a_quarter_of_the_radius_where_its_formula_says(picture: np.ndarray) -> None:
    ramp = np.broadcast_to(np.linspace(-0.9, 0.9, SIZE, dtype=np.float32), (4, SIZE, SIZE))
    bent = replace(STILL, bend=0.2).apply(ramp, np.random.default_rng(0))
    column = SIZE // 2 + 8
    radius = column - (SIZE - 1) / 2
    row = (SIZE - 1) // 2
    grown = 1 + 0.2 * (radius**2 + 0.25) / (SIZE / 2) ** 2
    assert bent[0, row, column] == pytest.approx(1.8 * radius * grown / (SIZE - 1), abs=2e-3)


def test_compression_costs_more_the_worse_it_is_and_never_depth(picture: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    errors = []
    for quality in (95, 60, 20):
        worse = replace(STILL, quality=quality).apply(picture, rng, empty_depth=1.0)
        np.testing.assert_array_equal(worse[3], picture[3])
        assert (worse[:3][:, picture[3] == 1.0] == -1).all()  # the background stays black
        errors.append(float(np.abs(worse[:3] - picture[:3]).mean()))
    assert errors[0] < errors[1] < errors[2] < 0.5
    smooth = np.broadcast_to(np.linspace(-0.5, 0.5, SIZE, dtype=np.float32), (3, SIZE, SIZE))
    assert np.abs(compressed(smooth, 90) - smooth).max() < 0.05


def test_some_avatars_look_as_worse_scans_do_and_keep_their_shape(picture: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    changed = 0
    for _ in range(60):
        soft = softened(picture, rng)
        np.testing.assert_array_equal(soft[3], picture[3])
        assert (soft[:3][:, picture[3] == 1.0] == -1).all()
        assert np.abs(soft).max() <= 1
        changed += not np.array_equal(soft, picture)
    assert 10 < changed < 40


def test_what_is_to_be_drawn_is_neither_grainy_nor_compressed() -> None:
    drawn = [draw_jitter(np.random.default_rng(seed), SIZE) for seed in range(60)]
    assert any(each.quality for each in drawn)
    assert any(each.bend for each in drawn)
    for each in drawn:
        kept = each.without_noise()
        assert kept.noise == kept.quality == 0
        assert kept.bend == each.bend
