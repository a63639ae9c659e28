"""As few shapes as repeat a moving mesh: the error is kept, and every program can play the weights."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import InputError
from realtime.export import low_rank
from realtime.export.low_rank import fewest_shapes

_VERTICES, _FRAMES, _RANK = 300, 90, 6

Array = NDArray[np.float32]


def _moving(seed: int = 0) -> Array:
    """[T, V, 3] of a known rank, to both sides of rest."""
    random = np.random.default_rng(seed)
    shapes = random.normal(size=(_RANK, _VERTICES, 3))
    weights = np.cumsum(random.normal(size=(_FRAMES, _RANK)), axis=0) * 0.1
    return np.tensordot(weights, shapes, 1).astype(np.float32)


@pytest.mark.parametrize("block_bytes", [1 << 26, 4 * 3 * _VERTICES * 7])
def test_the_error_is_what_it_says_and_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(low_rank, "_BLOCK_BYTES", block_bytes)
    moving = _moving()
    found = fewest_shapes(lambda: iter(moving), _FRAMES, 1e-3)
    again = np.tensordot(found.weights, found.shapes, 1)
    worst = np.linalg.norm(again - moving, axis=2).max()
    assert found.error == pytest.approx(worst, abs=1e-5)
    assert worst <= 1e-3
    assert _RANK <= len(found.shapes) <= 2 * _RANK


def test_a_larger_tolerance_takes_fewer_shapes() -> None:
    moving = _moving()
    few, many = (fewest_shapes(lambda: iter(moving), _FRAMES, tolerance) for tolerance in (3.0, 0.01))
    assert len(few.shapes) < len(many.shapes)
    assert many.error < few.error <= 3.0


def test_weights_are_such_as_blender_and_unity_take() -> None:
    """Both take what is below 0 for 0, and above 1 for 1."""
    found = fewest_shapes(lambda: iter(_moving()), _FRAMES, 1e-3)
    assert found.weights.min() == 0
    np.testing.assert_allclose(found.weights.max(axis=0), 1, atol=1e-6)


def test_what_does_not_move_needs_no_shape() -> None:
    found = fewest_shapes(lambda: iter(np.zeros((5, _VERTICES, 3), np.float32)), 5, 1e-3)
    assert found.shapes.shape == (0, _VERTICES, 3)
    assert found.weights.shape == (5, 0)
    assert found.error == 0


def test_noise_that_fills_the_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rank, "_MOST_BYTES", 4 * 3 * _VERTICES * 10)
    random = np.random.default_rng(0)

    def noise() -> Iterator[Array]:
        return (random.normal(size=(_VERTICES, 3)).astype(np.float32) for _ in range(_FRAMES))

    with pytest.raises(InputError, match="too rough"):
        fewest_shapes(noise, _FRAMES, 1e-3)
