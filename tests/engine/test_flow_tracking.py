"""Flow to controllers to vertices, against the published trace and by properties."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from benchmarks.published import blend_and_smooth
from core.camera import PUBLISHED_INTRINSICS, look_at
from core.native.compiled_library import missing
from engine.flow.network.layers import identity_grid
from engine.flow.published.flow_tracking import FlowControllers, FlowTracker
from engine.flow.published.published_retarget import PublishedRetarget

Golden = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def golden(shared_reference: Path) -> Golden:
    with np.load(shared_reference / "pipeline.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def controllers_of(golden: Golden) -> FlowControllers:
    shown = golden["source_depth"][golden["source_depth"] > 0]
    return FlowControllers(
        golden["controllers_px"][:, :2].astype(np.int64),
        1.0 / golden["controllers_px"][:, 2],
        (float(shown.min()), float(shown.max())),
        PUBLISHED_INTRINSICS,
        look_at(tuple(golden["eye"].astype(float))),
    )


def sparse(weights: NDArray[np.float32], index: NDArray[np.int64], columns: int) -> csr_matrix:
    rows, k = weights.shape
    return csr_matrix((weights.ravel(), index.ravel(), np.arange(0, rows * k + 1, k)), shape=(rows, columns))


def retarget_of(golden: Golden, **settings: Any) -> PublishedRetarget:
    count = len(golden["controllers_px"])
    smoothing = sparse(golden["weights_lap"], golden["index_lap"], len(golden["vertices"]))
    return PublishedRetarget(sparse(golden["weights"], golden["index"], count), smoothing, **settings)


@pytest.mark.parametrize("frame", range(6))
def test_translation_and_untracked_equal_the_published_ones(golden: Golden, frame: int) -> None:
    displacement, tracked = FlowTracker(controllers_of(golden)).track(golden["flow"][frame], golden["depth"][frame])
    np.testing.assert_array_equal(~tracked, golden["untracked"][frame])
    np.testing.assert_allclose(displacement, golden["translation"][frame], atol=2e-5)  # one of 65,535 depth levels


@pytest.mark.parametrize("frame", range(6))
def test_blend_and_smoothing_equal_the_published_ones(golden: Golden, frame: int) -> None:
    retarget = retarget_of(golden)
    motion = golden["translation"][frame], ~golden["untracked"][frame]
    np.testing.assert_allclose(retarget.blend(*motion), golden["delta"][frame], atol=1e-6)
    np.testing.assert_allclose(retarget.vertices_delta(*motion), golden["delta_smooth"][frame], atol=1e-6)


def test_pinhole_unprojection_differs_from_the_published_one_as_stated(golden: Golden) -> None:
    """The released code's slip shrinks sideways motion to 1/128 and lets depth leak sideways; depth itself agrees."""
    controllers = controllers_of(golden)
    motion = golden["flow"][0], golden["depth"][0]
    published, tracked = FlowTracker(controllers, "published").track(*motion)
    pinhole, _ = FlowTracker(controllers, "pinhole").track(*motion)
    np.testing.assert_allclose(published[tracked, 2], pinhole[tracked, 2], atol=1e-12)
    leak = published[tracked, 0] / -published[tracked, 2]
    np.testing.assert_allclose(leak, 0.128, atol=0.003)
    assert np.abs(published - pinhole)[tracked].max() > 0.05


def test_the_published_unprojection_shrinks_sideways_motion_and_leaks_depth() -> None:
    """As stated above, of a made-up motion: a shift sideways, and a face that leans."""
    controllers = small_controllers([(100, 90), (140, 128), (60, 200)])
    depth = np.tile(np.linspace(-1, 1, 256, dtype=np.float32), (256, 1))
    published, seen = FlowTracker(controllers, "published").track(moved_flow(5, -3), depth)
    pinhole, also = FlowTracker(controllers, "pinhole").track(moved_flow(5, -3), depth)
    assert seen.any()
    np.testing.assert_array_equal(seen, also)
    np.testing.assert_allclose(published[:, 2], pinhole[:, 2], atol=1e-12)
    assert np.abs(published[seen, 2]).max() > 0.1, "it comes nearer or goes away"
    np.testing.assert_allclose(published[seen, 0] / -published[seen, 2], 0.128, atol=0.003)


def moved_flow(dx: int, dy: int, size: int = 256) -> NDArray[np.float32]:
    """Every pixel looks at the pixel (-dx, -dy) away: the picture moves by (dx, dy)."""
    line = (np.arange(size, dtype=np.float32)) * 2 / size - 1
    x, y = np.meshgrid(line - 2 * dx / size, line - 2 * dy / size)
    return np.stack([x, y], axis=-1)


def small_controllers(pixels: list[tuple[int, int]]) -> FlowControllers:
    return FlowControllers(
        np.array(pixels), np.full(len(pixels), 8.0), (7.0, 9.0), PUBLISHED_INTRINSICS, look_at((0.0, 0.0, 8.0))
    )


def ramp_depth() -> NDArray[np.float32]:
    depth = np.zeros((256, 256), np.float32)  # half of the range everywhere but in two corners
    depth[0, 0], depth[-1, -1] = -1.0, 1.0
    return depth


def test_a_shifted_picture_moves_controllers_by_that_shift() -> None:
    tracker = FlowTracker(small_controllers([(100, 90), (140, 128), (60, 200)]), "pinhole")
    displacement, tracked = tracker.track(moved_flow(5, -3), ramp_depth())
    assert tracked.all()
    expected = np.array([5 * 8 / 1000, 3 * 8 / 1000, 0.0])  # image down is world down: y is up
    np.testing.assert_allclose(displacement, np.tile(expected, (3, 1)), atol=2e-4)


def test_untracked_where_nothing_lands_or_the_border_is_touched() -> None:
    tracker = FlowTracker(small_controllers([(3, 90), (254, 128), (128, 128)]), "pinhole")
    flow = moved_flow(-4, 0)  # the first leaves the picture, the others stay inside
    _, tracked = tracker.track(flow, ramp_depth())
    np.testing.assert_array_equal(tracked, [False, True, True])
    everything_at_one_corner = np.full((256, 256, 2), -1.0, np.float32)
    displacement, tracked = tracker.track(everything_at_one_corner, ramp_depth())
    assert not tracked.any()
    assert not displacement.any()


def test_flow_far_outside_the_picture_is_ignored() -> None:
    tracker = FlowTracker(small_controllers([(0, 0), (255, 255), (128, 128)]), "pinhole")
    flow = moved_flow(0, 0)
    flow[:100] = 2.0
    flow[200:] = -2.0
    _, tracked = tracker.track(flow, ramp_depth())
    np.testing.assert_array_equal(tracked, [False, False, True])


def test_the_plain_loop_agrees_on_rough_flow() -> None:
    """The published way, pixel by pixel, as the reference for arbitrary flow."""
    rng = np.random.default_rng(4)
    flow = (identity_grid(256).numpy() + rng.normal(0, 0.02, (256, 256, 2))).astype(np.float32)
    pixels = [(int(x), int(y)) for x, y in rng.integers(20, 236, (30, 2))]
    tracker = FlowTracker(small_controllers(sorted(set(pixels))))
    position, landed = tracker._landing(flow)
    place = (flow.astype(np.float64) + 1) / 2 * 256
    for k, (column, row) in enumerate(sorted(set(pixels))):
        weight = np.clip(1 - np.abs(place - (column, row)), 0, None).prod(axis=-1)
        rows, columns = np.nonzero(weight)
        assert landed[k] == bool(len(rows))
        if len(rows):
            mean = np.array([columns, rows]) @ weight[rows, columns] / weight.sum()
            np.testing.assert_allclose(position[k], mean, atol=2e-3)  # flow is float32: 1e-5 of a pixel


@pytest.mark.skipif(missing() is not None, reason=f"native kernels: {missing()}")
def test_the_native_pass_equals_the_look_up_tables() -> None:
    rng = np.random.default_rng(3)
    cells = rng.permutation(60 * 60)[:200]
    pixels = np.stack(np.divmod(cells, 60), axis=1) * 4 + 5
    at = FlowControllers(pixels, np.full(200, 8.0), (7.0, 9.0), PUBLISHED_INTRINSICS, look_at((0.0, 0.0, 8.0)))
    tracker = FlowTracker(at)
    assert tracker._landing._splat is not None
    line = np.linspace(-1, 1, 256, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    for scale in (0.0, 0.02, 0.5, 5.0):
        flow = grid + rng.normal(0, 1, grid.shape).astype(np.float32) * np.float32(scale)
        for mask in (None, rng.random((256, 256), np.float32)):
            native, plain = tracker._landing._splat(flow, mask, len(pixels)), tracker._landing._sums(flow, mask)
            np.testing.assert_allclose(native, plain, rtol=1e-9, atol=1e-9)


def test_controllers_on_one_pixel_are_refused() -> None:
    with pytest.raises(ValueError, match="distinct"):
        small_controllers([(3, 3), (3, 3)])


def test_retarget_keeps_constants_and_zero() -> None:
    rng = np.random.default_rng(0)
    weights = sparse(
        rng.dirichlet(np.ones(3), 50).astype(np.float32), rng.permuted(np.tile(np.arange(5), (50, 1)), axis=1)[:, :3], 5
    )
    smoothing = identity(50, format="csr")
    retarget = PublishedRetarget(weights, smoothing)
    tracked = np.array([True, False, True, True, False])
    shift = np.tile([0.1, -0.2, 0.3], (5, 1))
    delta = retarget.vertices_delta(shift, tracked)
    reached = (weights @ tracked.astype(np.float32)) > 0
    np.testing.assert_allclose(delta[reached], np.tile([0.1, -0.2, 0.3], (reached.sum(), 1)), atol=1e-6)
    assert not delta[~reached].any()
    assert not retarget.vertices_delta(shift, np.zeros(5, bool)).any()


def test_blend_and_smoothing_equal_dense_sums_over_neighbours() -> None:
    """The published way, gather by gather, on made-up weights."""
    rng = np.random.default_rng(2)
    weights, smoothing = (rng.random((60, 3)).astype(np.float32) for _ in range(2))
    smoothing /= smoothing.sum(axis=1, keepdims=True)
    index, neighbours = (np.argsort(rng.random((60, count)))[:, :3] for count in (9, 60))
    motion = rng.normal(size=(9, 3)), rng.random(9) > 0.3
    ours = PublishedRetarget(sparse(weights, index, 9), sparse(smoothing, neighbours, 60))
    expected = blend_and_smooth(weights, index, smoothing, neighbours, *motion)
    np.testing.assert_allclose(ours.vertices_delta(*motion), expected, atol=1e-6)


def test_no_rounds_is_the_blend_alone() -> None:
    rng = np.random.default_rng(3)
    weights, index = rng.random((20, 2)).astype(np.float32), np.argsort(rng.random((20, 5)))[:, :2]
    plain = PublishedRetarget(sparse(weights, index, 5), csr_matrix(identity(20, np.float32)), rounds=0)
    motion = rng.normal(size=(5, 3)), np.array([True, False, True, True, True])
    np.testing.assert_array_equal(plain.vertices_delta(*motion), plain.blend(*motion))


def test_controllers_outside_the_picture_are_refused() -> None:
    controllers = small_controllers([(100, 90), (140, 128)])
    with pytest.raises(ValueError, match="inside"):
        replace(controllers, pixels=controllers.pixels + 200)
