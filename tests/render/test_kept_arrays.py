"""What is kept of a mesh for the next start: the same again, and never believed blindly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.cache_folder import cache_folder
from render.gl.kept_arrays import Arrays, kept_arrays, simplify_once
from render.mesh.mesh_simplify import simplify


class Making:
    """Makes [3] numbers, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Arrays:
        self.times += 1
        return {"numbers": np.arange(3)}


def always(arrays: Arrays) -> bool:
    return set(arrays) == {"numbers"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def get(
    make: Callable[[], Arrays], *given: np.ndarray | float | None, fits: Callable[[Arrays], bool] = always
) -> Arrays:
    return kept_arrays("test", given, make, fits)


def test_it_is_made_once_for_the_same_content() -> None:
    make = Making()
    first = get(make, np.ones(4), 2.0, None)
    again = get(make, np.ones(4), 2.0, None)
    assert make.times == 1
    assert np.array_equal(first["numbers"], again["numbers"])


@pytest.mark.parametrize("other", [(np.zeros(4), 2.0), (np.ones((2, 2)), 2.0), (np.ones(4), 3.0), (np.ones(4), None)])
def test_anything_else_is_made_anew(other: tuple[np.ndarray, float | None]) -> None:
    make = Making()
    get(make, np.ones(4), 2.0)
    get(make, *other)
    assert make.times == 2


def test_what_does_not_fit_or_is_damaged_is_told_and_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    make = Making()
    get(make, 1.0)
    get(make, 1.0, fits=lambda _: False)
    assert make.times == 2
    assert "not those of this mesh" in caplog.text
    (entry,) = cache_folder("drawing").glob("*.npz")
    entry.write_bytes(entry.read_bytes()[:40])
    assert np.array_equal(get(make, 1.0)["numbers"], np.arange(3))
    assert make.times == 3
    assert "made anew" in caplog.text


def test_a_kept_simplification_is_that_which_was_made() -> None:
    side = np.arange(30)
    x, y = np.meshgrid(side, side)
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(900)]).astype(float)
    corner = (side[:-1, None] * 30 + side[:-1]).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 31], 1), np.stack([corner, corner + 31, corner + 30], 1)]
    )
    given = (points, np.arange(900), faces.astype(np.int32), np.zeros(len(faces), np.int64), 200, 1.0)
    plain = simplify(*given)
    assert len(plain[0]) < len(faces)
    for _ in range(2):
        kept = simplify_once(*given, None)
        assert all(
            np.array_equal(one, other) and one.dtype == other.dtype for one, other in zip(plain, kept, strict=True)
        )
