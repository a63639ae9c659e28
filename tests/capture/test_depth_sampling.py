"""Readings that are counted in sorted patches come to what looking at each patch alone comes to."""

import numpy as np
import pytest

from capture.face.depth_sampling import _patches, _Readings

SHARE = 0.25  # of a patch that has to lie within the gate


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    """[300, 25] depths in whole millimetres with holes, background and patches of nothing."""
    rng = np.random.default_rng(7)
    depth = rng.normal(0.5, 0.004, (300, 25)).round(3)
    depth[rng.random(depth.shape) < 0.2] = 0.0
    depth[rng.random(depth.shape) < 0.2] = 1.4
    depth[rng.random(len(depth)) < 0.1] = 0.0
    return depth.astype(np.float32)


@pytest.mark.parametrize("gate_m", [0.003, 0.007, 0.5])
def test_gated_readings(patches: np.ndarray, gate_m: float) -> None:
    predicted = np.random.default_rng(8).normal(0.5, 0.004, len(patches))
    predicted[::3] = predicted[::3].round(3)  # many readings lie on the gate itself
    middle, share = _Readings(patches).gated(predicted, gate_m)
    seen = 0
    for row, at, correction, trust in zip(patches.astype(np.float64), predicted, middle, share, strict=True):
        kept = np.sort(row[(row > max(at - gate_m, 0.0)) & (row < at + gate_m)])
        if len(kept) >= SHARE * len(row):
            assert trust == len(kept) / len(row)
            assert correction == pytest.approx(kept[(len(kept) - 1) // 2] - at, abs=1e-12)
            seen += 1
        else:
            assert trust == correction == 0
    assert seen > 50


def test_middle_readings(patches: np.ndarray) -> None:
    readings = _Readings(patches)
    assert readings.any.tolist() == (patches > 0).any(axis=1).tolist()
    for row, middle in zip(patches[readings.any], readings.middle[readings.any], strict=True):
        assert middle == pytest.approx(np.median(row[row > 0]), abs=1e-7)


@pytest.mark.parametrize("radius", [1, 3])
def test_patches_beyond_the_picture_read_nothing_there(radius: int) -> None:
    depth_m = np.random.default_rng(9).random((12, 16)).astype(np.float32) + 0.1
    inside = np.array([[8.2, 6.7], [4.0, 5.5]])
    beyond = np.array([[0.4, 0.2], [15.9, 11.9], [-3.0, 30.0]])
    wide = np.pad(depth_m, 40)
    for px in (inside, np.concatenate([inside, beyond])):
        columns, rows = np.floor(px).astype(int).T + 40
        expected = [
            wide[row - radius : row + radius + 1, column - radius : column + radius + 1].ravel()
            for row, column in zip(rows, columns, strict=True)
        ]
        np.testing.assert_array_equal(_patches(depth_m, px, radius), expected)
