"""Films that benchmarks keep come back as they were, and hold nothing but arrays."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kept_films import keep_film, kept_film
from core.camera import Intrinsics
from core.frame import FaceObservation, RgbdFrame

CAMERA = Intrinsics(50.0, 51.0, 12.0, 9.0, 24, 18)


def observations(*, depth: bool, camera: Intrinsics = CAMERA) -> list[FaceObservation]:
    rng = np.random.default_rng(3)
    made = []
    for index in range(3):
        rgb = rng.integers(0, 255, (18, 24, 3), dtype=np.uint8)
        metres = rng.random((18, 24), dtype=np.float32) if depth else None
        frame = RgbdFrame(rgb, metres, camera, index / 30, index)
        points = rng.random((478, 5)).astype(np.float32)
        scores = rng.random(52).astype(np.float32)
        made.append(
            FaceObservation(frame, index != 1, 0.5, points[:, :2], points[:, 2:], rng.random((4, 4)), scores, depth)
        )
    return made


@pytest.mark.parametrize("depth", [True, False])
def test_what_was_kept_comes_back(depth: bool, tmp_path: Path) -> None:
    film, weights = observations(depth=depth), np.arange(6.0).reshape(3, 2)
    place = tmp_path / "films" / "one.npz"
    assert kept_film(place) is None
    keep_film(place, film, weights=weights)
    kept = kept_film(place)
    assert kept is not None
    np.testing.assert_array_equal(kept[1]["weights"], weights)
    for before, after in zip(film, kept[0], strict=True):
        for field in fields(FaceObservation):
            if field.name != "frame":
                np.testing.assert_array_equal(getattr(after, field.name), getattr(before, field.name))
        np.testing.assert_array_equal(after.frame.rgb, before.frame.rgb)
        assert after.frame.intrinsics == CAMERA
        assert (after.frame.timestamp_s, after.frame.index) == (before.frame.timestamp_s, before.frame.index)
        assert (after.frame.depth_m is None) == (not depth)
        if depth:
            np.testing.assert_array_equal(after.frame.depth_m, before.frame.depth_m)
    assert [path.name for path in place.parent.iterdir()] == ["one.npz"]


def test_two_cameras_are_no_film(tmp_path: Path) -> None:
    other = Intrinsics(60.0, 51.0, 12.0, 9.0, 24, 18)
    with pytest.raises(ValueError, match="one camera, got 2"):
        keep_film(tmp_path / "one.npz", observations(depth=False) + observations(depth=False, camera=other))
    assert list(tmp_path.iterdir()) == []
