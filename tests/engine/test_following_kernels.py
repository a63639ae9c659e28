"""What is compiled around the network does what NumPy does in its place."""

import numpy as np
import pytest
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.close_up import CloseUp
from core.native.compiled_library import missing
from engine.flow.edge_limit import EdgeLimit
from engine.flow.flow_guard import FlowGuard, GuardedMotion, controller_units
from engine.flow.ours.flow_following import FlowFollower, MotionPicture, flesh_side
from engine.motion.retarget import Retargeter

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"native kernels: {missing()}")

SIZE = 256


@pytest.fixture(scope="module")
def guard(prepared: Avatar) -> FlowGuard:
    controllers, units = prepared.rig.controllers, controller_units(prepared.rig.basis)
    return FlowGuard(controllers.rest, units, flesh_side(controllers), np.ones(len(controllers.rest), bool))


@pytest.mark.parametrize("heard", [1.0, 0.6, 0.02])
@pytest.mark.parametrize("wild", [0.0, 0.1])
def test_the_fit_of_the_units(
    prepared: Avatar, guard: FlowGuard, wild: float, heard: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    units = controller_units(prepared.rig.basis)
    moved = np.tensordot(rng.random(52) ** 3, units, axes=1) + rng.normal(0, 0.005 + wild, units.shape[1:])
    known, named = rng.random(len(moved)) < heard, rng.random(52) ** 3
    assert guard._kernel is not None
    answers: list[GuardedMotion] = [guard(moved, known, named)]
    monkeypatch.setattr(guard, "_kernel", None)
    answers.append(guard(moved, known, named))
    compiled, plain = answers
    assert np.abs(plain.moved).max() > 0.05
    np.testing.assert_allclose(compiled.moved, plain.moved, atol=1e-4)
    np.testing.assert_allclose(compiled.trust, plain.trust, atol=1e-3)


def test_depth_under_controllers(prepared: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    close_up = CloseUp.of(prepared.intrinsics, prepared.T_camera_world)
    shown = close_up.cut(prepared.source_rgb, prepared.source_depth)[1]
    rng = np.random.default_rng(2)
    home = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)

    def says(pixels: float) -> MotionPicture:
        flow = (home + rng.normal(0, pixels, home.shape)) * 2 / SIZE - 1
        depth, mask = rng.random((2, SIZE, SIZE), np.float32)
        return MotionPicture(flow.astype(np.float32), depth, mask)

    follower = FlowFollower(prepared.rig.controllers, close_up, prepared.T_camera_world, shown, says(0.0))
    at = rng.uniform(-9, SIZE + 9, (len(follower._around), 2))
    at[:3] = [[0, 0], [SIZE - 1, SIZE - 1], [SIZE + 5, -3]]
    now = says(3.0)
    assert follower._kernels is not None
    assert 0 < follower._lip.sum() < len(at)
    compiled, (moved, known) = follower._channel(now, at), follower.displacement(now)
    monkeypatch.setattr(follower, "_kernels", None)
    monkeypatch.setattr(follower._landing, "_splat", None)
    np.testing.assert_allclose(compiled, follower._channel(now, at), rtol=1e-6)
    plain_moved, plain_known = follower.displacement(now)
    np.testing.assert_array_equal(known, plain_known)
    assert 0.2 < known.mean() < 0.99
    np.testing.assert_allclose(moved, plain_moved, atol=2e-5)  # depth is noise here: the last digit of a place tells


@pytest.mark.parametrize("length", [0.0, 0.05, 0.2])
def test_edges_that_may_be_too_long(prepared: Avatar, length: float, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = EdgeLimit(prepared.rig, prepared.display_mesh.faces, Retargeter(prepared.rig))
    rest: NDArray[np.float32] = prepared.rig.rest
    torn = (rest + np.random.default_rng(4).normal(0, length, rest.shape)).astype(np.float32)
    torn[7] = np.nan
    assert limit._kernels is not None
    compiled = limit._suspects(torn)
    monkeypatch.setattr(limit, "_kernels", None)
    plain = limit._suspects(torn)
    assert (len(plain) > 0) == (length > 0)
    # the sums differ by their last digits, and so may edges that are as long as allowed
    assert len(np.setxor1d(compiled, plain)) <= 1e-4 * len(plain)


@pytest.mark.parametrize("with_units", [False, True])
def test_vertices_that_follow_controllers(prepared: Avatar, with_units: bool) -> None:
    retargeter = Retargeter(prepared.rig)
    follow = retargeter._follow_corrections if with_units else retargeter._follow
    compiled, plain = prepared.rig.rest.copy(), prepared.rig.rest.copy()
    moved = np.random.default_rng(5).normal(0, 0.1, (follow._shares.shape[1], 3))
    assert follow._compiled is not None
    follow(compiled, moved)
    follow._compiled = None
    follow(plain, moved)
    assert np.abs(plain - prepared.rig.rest).max() > 0.05
    np.testing.assert_allclose(compiled, plain, atol=1e-6)


def test_lids_are_evened_beforehand_as_they_were_in_every_frame(prepared: Avatar) -> None:
    retargeter, rng = Retargeter(prepared.rig), np.random.default_rng(6)
    moved = rng.normal(0, 0.03, prepared.rig.controllers.rest.shape)
    gaze, lids = np.array([[0.1, -0.2], [0.1, -0.2]]), np.array([[0.4, 0.1], [0.0, 0.0]])
    beforehand = retargeter.vertices(moved.copy(), gaze, lids=lids)
    each_time = prepared.rig.rest.copy()
    jaw = retargeter.jaw_and_eyes(moved, gaze)
    retargeter._follow(each_time, moved)
    rough = each_time.copy()
    retargeter.finish(each_time, jaw, gaze, lids)
    retargeter.finish(rough, jaw, gaze, lids, evened=True)
    assert np.abs(rough - each_time).max() > 1e-3, "else there is nothing to even out"
    np.testing.assert_allclose(beforehand, each_time, atol=2e-6)
