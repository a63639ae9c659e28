"""Units on heads of other proportions: smaller where the head is, never larger, and as they are on people."""

import numpy as np
import pytest

from calib.rig.template_units import template_data
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.identity import random_identity, target_weights
from capture.synthetic.head.local_proportions import in_proportion

SMILE, BROW, JAW = ("mouthSmileLeft", "browInnerUp", "jawOpen")


@pytest.fixture(scope="module")
def units() -> np.ndarray:
    return np.stack([template_data().dense(f"unit/{name}").astype(np.float64) for name in (SMILE, BROW, JAW)])


@pytest.fixture(scope="module")
def template() -> np.ndarray:
    return load_head_data().vertices.astype(np.float64)


def size(moved: np.ndarray) -> float:
    return float(np.sqrt((moved**2).sum()))


def about(points: np.ndarray, centre: tuple[float, float, float], reach: float, scale: float) -> np.ndarray:
    """Points scaled about a centre, fully within half the reach and not at all beyond it."""
    away = points - centre
    share = np.clip(2 - 2 * np.linalg.norm(away, axis=1, keepdims=True) / reach, 0, 1)
    return points + (scale - 1) * share * away


def test_nothing_changes_on_the_template_of_any_size(units: np.ndarray, template: np.ndarray) -> None:
    for scale in (1.0, 0.4, 3.0):
        np.testing.assert_allclose(in_proportion(units, scale * template), units, atol=1e-9)


def test_on_other_people_units_are_nearly_as_they_are(units: np.ndarray, template: np.ndarray) -> None:
    data = load_head_data()
    person = template.copy()
    for name, weight in target_weights(random_identity(np.random.default_rng(7), data), data).items():
        indices, displacement = data.targets[name]
        person[indices] += weight * displacement
    assert size(in_proportion(units, person) - units) < 0.2 * size(units)


def test_a_smaller_mouth_smiles_less_and_the_brow_does_as_before(units: np.ndarray, template: np.ndarray) -> None:
    mouth = (0.0, -0.065, 0.02)
    half = in_proportion(units, about(template, mouth, 0.09, 0.5))
    assert 0.4 < size(half[0]) / size(units[0]) < 0.8
    assert size(half[1] - units[1]) < 0.1 * size(units[1])


def test_a_larger_mouth_does_not_smile_further(units: np.ndarray, template: np.ndarray) -> None:
    twice = in_proportion(units, about(template, (0.0, -0.065, 0.02), 0.12, 1.6))
    assert size(twice[0]) < 1.02 * size(units[0])


def test_what_is_flat_in_one_direction_moves_less_in_that_only(units: np.ndarray, template: np.ndarray) -> None:
    flat = in_proportion(units, template * [1.0, 1.0, 0.5])
    assert size(flat[2][:, 2]) < 0.85 * size(units[2][:, 2])
    assert size(flat[2][:, 1]) > 0.85 * size(units[2][:, 1])


def test_a_mirrored_surface_gives_numbers(units: np.ndarray, template: np.ndarray) -> None:
    """Fits of odd heads may turn a place inside out."""
    moved = in_proportion(units, about(template, (0.0, -0.065, 0.02), 0.06, -0.5))
    assert np.isfinite(moved).all()
    assert size(moved) < 1.05 * size(units)
