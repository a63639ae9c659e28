"""No display edge grows to several times its length, whatever controllers say; what skin can do is left as it is."""

import numpy as np
import pytest

from benchmarks.tearing import EdgeGrowth, stretched_by_units
from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from engine.flow.edge_limit import TORN, EdgeLimit
from engine.motion.retarget import Retargeter


@pytest.fixture(scope="module")
def limit(prepared: Avatar) -> EdgeLimit:
    return EdgeLimit(prepared.rig, prepared.display_mesh.faces, Retargeter(prepared.rig))


def growth(avatar: Avatar, vertices: np.ndarray) -> np.ndarray:
    of_edges = EdgeGrowth(avatar.display_mesh.vertices, avatar.display_mesh.faces)
    return of_edges(vertices)[~stretched_by_units(avatar, of_edges)]


def test_what_units_do_is_left_as_it_is(prepared: Avatar, limit: EdgeLimit) -> None:
    units, retargeter = ExpressionUnits(prepared.rig.basis), Retargeter(prepared.rig)
    for weights in np.eye(len(units.names))[::5]:
        moved = units.displacement(weights)
        shape = retargeter.vertices(moved[1].astype(np.float64), np.zeros((2, 2)), moved)
        after = shape.copy()
        limit.apply(after)
        assert np.abs(after - shape).max() < 0.02


def jumping_lips(avatar: Avatar, seed: int, length: float) -> np.ndarray:
    """[R, 3] the head whose lips' landmarks jump away from each other, as they do where flow is wrong."""
    moved = np.zeros((len(avatar.rig.controllers.rest), 3))
    lips = [13, 14, 78, 308, 82, 312, 87, 317]
    moved[lips] = np.random.default_rng(seed).normal(0, length, (len(lips), 3))
    return Retargeter(avatar.rig).vertices(moved, np.zeros((2, 2)))


@pytest.mark.parametrize("length", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_grows_to_four_times_its_length(prepared: Avatar, limit: EdgeLimit, seed: int, length: float) -> None:
    shape, rest = jumping_lips(prepared, seed, length), prepared.rig.rest
    assert growth(prepared, shape).max() > TORN, "else this tests nothing"
    before = np.linalg.norm(shape - rest, axis=1).max()
    limit.apply(shape)
    assert growth(prepared, shape).max() <= TORN
    assert np.linalg.norm(shape - rest, axis=1).max() > 0.1 * before, "nobody is frozen for an edge"


def test_the_rest_hardly_moves_where_little_is_torn(prepared: Avatar, limit: EdgeLimit) -> None:
    shapes = (jumping_lips(prepared, seed, 0.015) for seed in range(40))
    torn = [shape for shape in shapes if TORN < growth(prepared, shape).max() < 1.3 * TORN]
    assert len(torn) >= 3, "else this tests nothing"
    moved = []
    for shape in torn:
        after = shape.copy()
        limit.apply(after)
        moved.append(float((np.linalg.norm(after - shape, axis=1) > 1e-3).mean()))
    assert np.median(moved) < 0.05


@pytest.mark.parametrize("length", [0.05, 0.2])
def test_it_is_the_same_as_measuring_every_edge_in_every_round(
    prepared: Avatar, limit: EdgeLimit, monkeypatch: pytest.MonkeyPatch, length: float
) -> None:
    shape = jumping_lips(prepared, 1, length)
    quick, whole = shape.copy(), shape.copy()
    limit.apply(quick)
    every = np.arange(len(limit._edges))
    monkeypatch.setattr(limit, "_suspects", lambda _: every)
    monkeypatch.setattr(limit, "_ending_at", lambda *_: every)
    limit.apply(whole)
    assert np.array_equal(quick, whole)
    assert not np.array_equal(quick, shape), "else this tests nothing"
