"""Wild flow neither tears a head nor goes unnoticed; what can be trusted gets through."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.tearing import TORN, EdgeGrowth, stretched_by_units
from calib.avatar import Avatar
from calib.close_up import CloseUp, network_picture
from capture.face.head_crop import EMPTY
from core.errors import InputError
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.face_regions import LOWER_LIP
from core.frame import FaceObservation
from engine.flow.backends.compiled import MotionFields
from engine.flow.flow_guard import FlowGuard, controller_units
from engine.flow.flow_network import FlowNetwork
from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.network.checkpoint_file import CheckpointError
from engine.flow.network.motion_network import MotionNetwork
from engine.flow.ours.compact_flow_engine import BY_UNITS, UNTRUSTED, CompactFlowEngine
from engine.flow.ours.flow_following import flesh_side
from engine.flow.ours.shipped import COMPACT_FILE
from engine.flow.published.flow_engine import FlowEngine
from engine.flow.published.flow_options import FlowOptions
from engine.motion.protocol import AvatarPose
from tests.engine.stand_in import picture, small_network

SIZE = 256
Observe = Callable[..., FaceObservation]
Array = NDArray[Any]


class Saying:
    """A stand-in for a network: says of each frame what it is told to."""

    why = "a stand-in"

    def __init__(self, *, mask: bool) -> None:
        self.way: Array = np.zeros((SIZE, SIZE, 2))
        self.depth: Array = np.zeros((SIZE, SIZE))
        self.mask = np.ones((SIZE, SIZE), np.float32) if mask else None

    def run(self, _driving: Array, _offset: Array) -> MotionFields:
        home = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
        flow = ((home + self.way) * 2 / SIZE - 1).astype(np.float32)
        return MotionFields(flow, self.depth.astype(np.float32), np.zeros((1, 4), np.float32), self.mask)

    def network(self, *, released: bool) -> FlowNetwork:
        backend: Any = SimpleNamespace(run=self.run, why=self.why)
        return FlowNetwork(backend, np.zeros((1, 4), np.float32), released, head_motion=self.mask is None)


def wild(seed: int, pixels: float) -> Array:
    """[SIZE, SIZE, 2] ways that have nothing to do with each other, some 16 pixels apart."""
    coarse = np.random.default_rng(seed).normal(0, pixels, (SIZE // 16, SIZE // 16, 2))
    return coarse.repeat(16, axis=0).repeat(16, axis=1)


@pytest.fixture
def network(prepared: Avatar) -> Saying:
    """Says that nothing moves, at the avatar's own depth."""
    close_up = CloseUp.of(prepared.intrinsics, prepared.T_camera_world)
    says = Saying(mask=True)
    says.depth = close_up.network_input(*close_up.cut(prepared.source_rgb, prepared.source_depth))[3]
    return says


def driven(avatar: Avatar, says: Saying, observe: Observe, face: Array, *, guard: bool = True) -> CompactFlowEngine:
    engine = CompactFlowEngine(avatar, says.network(released=False), guard=guard)
    engine.calibrate(observe(face))
    return engine


def played(engine: CompactFlowEngine | FlowEngine, observe: Observe, face: Array, count: int) -> list[AvatarPose]:
    """So many frames in which the driver keeps still."""
    return [engine.animate(observe(face, time_s=number / 30)) for number in range(1, count + 1)]


def largest_growth(avatar: Avatar, poses: list[AvatarPose]) -> float:
    growth = EdgeGrowth(avatar.display_mesh.vertices, avatar.display_mesh.faces)
    counts = ~stretched_by_units(avatar, growth)
    return max(float(growth(pose.vertices)[counts].max()) for pose in poses)


@pytest.mark.parametrize("pixels", [12.0, 60.0])
def test_wild_flow_does_not_tear(
    prepared: Avatar, network: Saying, observe: Observe, face_points: Array, pixels: float
) -> None:
    def worst(*, guard: bool) -> float:
        network.way = np.zeros((SIZE, SIZE, 2))
        engine = driven(prepared, network, observe, face_points, guard=guard)
        poses = []
        for seed in range(8):
            network.way = wild(seed, pixels)
            poses.append(engine.animate(observe(face_points, time_s=(seed + 1) / 30)))
        return largest_growth(prepared, poses)

    assert worst(guard=False) > 2 * TORN, "else this tests nothing"
    assert worst(guard=True) <= TORN


def test_flow_that_is_wild_from_the_start_is_not_believed(
    prepared: Avatar, network: Saying, observe: Observe, face_points: Array
) -> None:
    """A network that cannot even show the neutral face knows nothing of this head."""
    network.way = wild(0, 30.0)
    engine = driven(prepared, network, observe, face_points)
    network.way = network.way + np.array([3.0, -2.0])
    poses = played(engine, observe, face_points, 12)
    assert poses[-1].trouble == UNTRUSTED
    assert largest_growth(prepared, poses) <= TORN


def test_where_nothing_is_trusted_the_face_eases_to_rest_and_that_is_told(
    prepared: Avatar, network: Saying, observe: Observe, face_points: Array
) -> None:
    engine = driven(prepared, network, observe, face_points)
    rest = played(engine, observe, face_points, 1)[0]
    network.way = np.array([0.0, -5.0]) * smile(SIZE)
    shown = [engine.animate(observe(face_points, time_s=1 + number / 30)) for number in range(20)]
    assert {pose.trouble for pose in shown} == {""}
    moved = np.abs(shown[-1].vertices - rest.vertices).max()
    assert moved > 0.03
    network.way = wild(1, 40.0)
    lost = [engine.animate(observe(face_points, time_s=1 + number / 30)) for number in range(20, 50)]
    assert {pose.trouble for pose in lost} == {UNTRUSTED}
    assert all(pose.tracked for pose in lost), "the driver is still there: head, gaze and lids go on"
    steps = [np.abs(b.vertices - a.vertices).max() for a, b in zip([shown[-1], *lost], lost, strict=False)]
    assert max(steps) < 0.5 * moved, "no jump"
    np.testing.assert_allclose(lost[-1].vertices, rest.vertices, atol=0.02 * moved)
    network.way = np.array([0.0, -5.0]) * smile(SIZE)
    back = [engine.animate(observe(face_points, time_s=1 + number / 30)) for number in range(50, 80)]
    assert back[-1].trouble == ""
    np.testing.assert_allclose(back[-1].vertices, shown[-1].vertices, atol=0.1 * moved)


def test_where_nothing_is_trusted_named_units_go_on(
    prepared: Avatar, network: Saying, observe: Observe, face_points: Array
) -> None:
    says = network.network(released=False)
    coded = replace(says, source_alpha=np.zeros((1, UNIT_COUNT), np.float32), coded=True)
    engine = CompactFlowEngine(prepared, coded)
    engine.calibrate(observe(face_points))
    still = played(engine, observe, face_points, 2)[-1]
    network.way = wild(1, 40.0)
    opened = face_points.copy()
    jaw = [152, 148, 377, 176, 400, *LOWER_LIP[0][1:-1], *LOWER_LIP[-1][1:-1]]
    opened[jaw, 1] -= 0.025
    shown = [engine.animate(observe(opened, time_s=number / 30)) for number in range(3, 33)]
    assert {pose.trouble for pose in shown} == {BY_UNITS}
    chin = prepared.rig.rest[:, 1] < prepared.landmarks[LOWER_LIP[0][5], 1]
    down = (still.vertices - shown[-1].vertices)[chin, 1]
    assert np.quantile(down, 0.95) > 0.05, "its mouth opens"
    assert largest_growth(prepared, shown) <= TORN
    steps = [np.abs(b.vertices - a.vertices).max() for a, b in zip([still, *shown], shown, strict=False)]
    assert max(steps) < 0.5 * down.max(), "no jump"


def smile(size: int) -> Array:
    """[size, size, 1] 1 in the lower half of the picture, fading over a quarter of it."""
    return np.clip((np.arange(size) / size - 0.45) * 4, 0, 1)[:, None, None] * np.ones((size, size, 1))


@pytest.fixture(scope="module")
def units(prepared: Avatar) -> Array:
    return controller_units(prepared.rig.basis)


@pytest.fixture(scope="module")
def guard(prepared: Avatar, units: Array) -> FlowGuard:
    controllers = prepared.rig.controllers
    return FlowGuard(controllers.rest, units, flesh_side(controllers), np.ones(len(controllers.rest), bool))


def mixed(units: Array, seed: int) -> Array:
    """[K, 3] a few units at once."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(len(units))
    weights[rng.permutation(len(units))[:4]] = rng.uniform(0.3, 1.0, 4)
    return np.tensordot(weights, units, axes=1)


@pytest.mark.parametrize("seed", range(4))
def test_what_an_expression_does_gets_through(guard: FlowGuard, units: Array, seed: int) -> None:
    true = mixed(units, seed)
    motion = guard(true, np.ones(len(true), bool))
    assert motion.share > 0.97
    np.testing.assert_allclose(motion.moved, true, atol=0.004)


def test_a_wild_fifth_is_filled_from_the_rest(guard: FlowGuard, units: Array) -> None:
    trusted = []
    for seed in range(20):
        true, rng = mixed(units, seed), np.random.default_rng(seed + 100)
        broken = rng.random(len(true)) < 0.2
        given = np.where(broken[:, None], rng.normal(0, 0.3, true.shape), true)
        motion = guard(given, np.ones(len(true), bool))
        trusted.append(motion.trust[~broken].mean())
        assert motion.trust[broken].mean() < 0.15
        error = np.linalg.norm(motion.moved - true, axis=1)
        assert np.quantile(error, 0.95) < 0.015
        assert error.max() < 0.05
    assert np.mean(trusted) > 0.93
    assert min(trusted) > 0.75, "of faces whose units resemble each other, more is doubted"


def test_what_is_hidden_is_filled_from_the_rest(guard: FlowGuard, units: Array) -> None:
    true = mixed(units, 7)
    known = np.random.default_rng(7).random(len(true)) > 0.3
    motion = guard(np.where(known[:, None], true, 99.0), known)
    assert (motion.trust[~known] == 0).all()
    np.testing.assert_allclose(motion.moved, true, atol=0.01)


def test_small_motion_beyond_the_units_is_kept(guard: FlowGuard, units: Array) -> None:
    """Faces do more than 52 units: a chin that goes aside by a little stays aside."""
    given = np.zeros(units.shape[1:])
    given[152] = [0.008, 0.0, 0.0]
    moved = guard(given, np.ones(len(given), bool)).moved
    np.testing.assert_allclose(moved[152], given[152], atol=0.002)


@pytest.mark.parametrize("seed", range(3))
def test_named_units_and_flow_are_heard_alike(guard: FlowGuard, units: Array, seed: int) -> None:
    """Where both say the same, so does the result; where they differ, it lies between."""
    true, rng = mixed(units, seed), np.random.default_rng(seed)
    named = np.zeros(len(units))
    named[rng.permutation(len(units))[:4]] = rng.uniform(0.3, 1.0, 4)
    by_units = np.tensordot(named, units, axes=1)
    alike = guard(by_units, np.ones(len(true), bool), named).moved
    np.testing.assert_allclose(alike, by_units, atol=0.002)
    between = guard(true, np.ones(len(true), bool), named)
    np.testing.assert_allclose(between.moved, (true + by_units) / 2, atol=0.004)
    assert between.share == guard(true, np.ones(len(true), bool)).share, "names say nothing of how far flow is trusted"


def test_wild_flow_leaves_what_is_named(guard: FlowGuard, units: Array) -> None:
    named = np.zeros(len(units))
    named[UNIT_NAMES.index("jawOpen")] = 0.8
    wrong = np.random.default_rng(3).normal(0, 0.3, units.shape[1:])
    motion = guard(wrong, np.ones(len(wrong), bool), named)
    off = np.linalg.norm(motion.moved - 0.8 * units[UNIT_NAMES.index("jawOpen")], axis=1)
    assert motion.share < 0.2
    assert np.median(off) < 0.05


# --- the published chain ----------------------------------------------------------------------------------------------


def released(avatar: Avatar, observe: Observe, face: Array, options: FlowOptions) -> list[AvatarPose]:
    says = Saying(mask=False)
    says.depth = np.where(avatar.source_depth > 0, avatar.source_depth - 8.0, 1.0)
    engine = FlowEngine(avatar, says.network(released=True), options)
    engine.calibrate(observe(face))
    says.way = wild(3, 40.0)
    return played(engine, observe, face, 2)


def test_off_is_the_published_chain_bit_for_bit(prepared: Avatar, observe: Observe, face_points: Array) -> None:
    published = released(prepared, observe, face_points, FlowOptions(cache_dir=None))
    off = released(prepared, observe, face_points, FlowOptions(cache_dir=None, guard="off"))
    for one, other in zip(published, off, strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
    on = released(prepared, observe, face_points, FlowOptions(cache_dir=None, guard="on"))
    true = FlowOptions(cache_dir=None, unprojection="pinhole", rigid="apart")
    assert largest_growth(prepared, released(prepared, observe, face_points, true)) > 1.5 * largest_growth(prepared, on)


def test_guarded_motion_has_to_be_the_true_one() -> None:
    assert FlowOptions(guard="on").quirks(released=True).unprojection == "pinhole"
    assert FlowOptions(guard="off").quirks(released=True) == FlowOptions().quirks(released=True)
    with pytest.raises(InputError, match="--guard on"):
        FlowOptions(guard="on", unprojection="published")


# --- pictures that are like no avatar of the training -----------------------------------------------------------------


def test_strange_appearances_are_brought_back() -> None:
    known = Appearance(torch.tensor([1.0, 0.0]), 2.0)
    near, far = torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 8.0]])
    torch.testing.assert_close(known.brought_back(near), near)
    torch.testing.assert_close(known.brought_back(far), torch.tensor([[1.0, 2.0]]))


def test_the_live_graph_knows_what_avatars_look_like() -> None:
    network = small_network()
    source = picture(1, network.config.image_size)
    code = network.enc.net_app(source)[0]
    same = MotionNetwork(network, source, Appearance(code[0] + 0.1, 1e3))
    torch.testing.assert_close(same.source_alpha, MotionNetwork(network, source).source_alpha)
    usual = Appearance(torch.zeros_like(code[0]), 1e-6)
    torch.testing.assert_close(
        MotionNetwork(network, source, usual).source_alpha, network.enc.fc(0 * code), atol=1e-5, rtol=0
    )


def test_the_shipped_network_keeps_a_plain_white_head_at_rest(prepared: Avatar) -> None:
    """Such as a mask without a texture, whose neutral face it bent by a dozen pixels on average."""
    loaded = load_checkpoint(COMPACT_FILE)
    own = network_picture(prepared, head_motion=False)
    white = np.where(own[3] < EMPTY, np.float32(1), np.float32(-1))
    source = torch.from_numpy(np.stack([white, white, white, own[3]]))[None]
    home = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)

    def bent_px(appearance: Appearance | None) -> float:
        live = MotionNetwork(loaded.network, source, appearance)
        driver = torch.from_numpy(own)[None]
        offset = live.neutral_offset(live(driver, torch.zeros_like(live.source_alpha))[2])
        places = (live(driver, offset)[0].numpy() + 1) * SIZE / 2
        return float(np.linalg.norm(places - home, axis=-1)[own[3] < EMPTY].mean())

    with torch.no_grad():
        assert bent_px(None) > 5.0
        assert bent_px(loaded.appearance) < 1.0


def test_a_checkpoint_keeps_it(tmp_path: Any) -> None:
    network = small_network()
    known = Appearance(torch.arange(network.config.style_dim, dtype=torch.float32), 2.5)
    save_checkpoint(tmp_path / "with.pt", network, appearance=known)
    save_checkpoint(tmp_path / "without.pt", network)
    kept, plain = load_checkpoint(tmp_path / "with.pt"), load_checkpoint(tmp_path / "without.pt")
    assert plain.appearance is None
    assert kept.appearance is not None
    assert kept.key != plain.key, "compiled networks are kept under it"
    torch.testing.assert_close(kept.appearance.usual, known.usual)
    for wrong in (
        Appearance(known.usual[1:], 2.5),
        Appearance(known.usual * float("nan"), 2.5),
        Appearance(known.usual, -1.0),
    ):
        save_checkpoint(tmp_path / "wrong.pt", network, appearance=wrong)
        with pytest.raises(CheckpointError, match="usual appearance"):
            load_checkpoint(tmp_path / "wrong.pt")
