"""The flow engine: the published chain frame by frame, and how it behaves behind the MotionEngine protocol."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.published.published_rig import SeenHead, faces_under, published_rig
from capture.face.preprocess import network_input
from core.camera import PUBLISHED_INTRINSICS, Intrinsics, look_at
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from core.mesh import Mesh
from engine.flow.flow_network import open_network
from engine.flow.network.checkpoint import Checkpoint, save_checkpoint
from engine.flow.network.config import NetworkConfig
from engine.flow.network.motion_network import MotionNetwork
from engine.flow.network.network import FaceNetwork
from engine.flow.published.flow_engine import FlowEngine, rigid_fit
from engine.flow.published.flow_options import CORRECTED, RELEASED, FlowOptions
from engine.flow.published.painted import PaintedAvatar
from engine.motion.protocol import MotionEngine
from tests.engine.stand_in import picture, published_network, small_network

THIN = NetworkConfig(
    widths=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 4),
    style_dim=8,
    motion_dim=4,
    depth_motion_dim=3,
    inpaint_widths=(2, 2, 2),
)
EAGER = FlowOptions(backend="eager", cache_dir=None)
Golden = dict[str, NDArray[Any]]
Trace = tuple[Golden, "GoldenAvatar | Avatar"]


@pytest.fixture(scope="module")
def golden(shared_reference: Path) -> Golden:
    with np.load(shared_reference / "pipeline.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@dataclass(frozen=True, eq=False)
class GoldenAvatar:
    """The avatar of the published trace, as a prepared avatar presents itself."""

    content_key: str
    display_mesh: Mesh
    landmarks: NDArray[np.float32]
    source_rgb: NDArray[np.uint8]
    source_depth: NDArray[np.float32]
    intrinsics: Intrinsics
    T_camera_world: NDArray[np.float64]


@pytest.fixture(scope="module")
def avatar(golden: Golden) -> GoldenAvatar:
    T = look_at((0.0, 0.0, 8.0))
    found = golden["avatar_landmarks"][:, :2].astype(np.float64) * 256
    points = PUBLISHED_INTRINSICS.unproject(found, np.full(478, 8.0)) - T[:3, 3]
    return GoldenAvatar(
        "golden",
        Mesh(golden["vertices"], golden["faces"]),
        (points @ T[:3, :3]).astype(np.float32),
        np.ascontiguousarray(golden["source_bgr"][..., ::-1]),
        golden["source_depth"],
        PUBLISHED_INTRINSICS,
        T,
    )


@pytest.fixture(scope="module", params=["the published trace", "a made-up driver and a built-in head"])
def trace(request: pytest.FixtureRequest) -> Trace:
    """`driving_rgb` [T, 256, 256, 3], `driving_depth` [T, 256, 256] as they go into the network, and an avatar."""
    if request.param == "the published trace":
        return request.getfixturevalue("golden"), request.getfixturevalue("avatar")
    planes = [picture(seed, 256)[0].numpy().transpose(1, 2, 0) / 2 + 0.5 for seed in range(5)]
    rgb = np.stack([plane[..., :3] * 255 for plane in planes]).astype(np.uint8)
    depth = np.stack([plane[..., 3] * 60_000 for plane in planes]).astype(np.uint16)
    depth[:, :40] = 0  # behind the driver is nothing
    return {"driving_rgb": rgb, "driving_depth": depth}, request.getfixturevalue("lowpoly")


@pytest.fixture(scope="module")
def thin() -> Checkpoint:
    torch.manual_seed(1)
    return Checkpoint(FaceNetwork(THIN).eval().requires_grad_(False), True, "thin")


def driving(avatar: GoldenAvatar | Avatar, checkpoint: Path | Checkpoint, options: FlowOptions = EAGER) -> FlowEngine:
    network = open_network(avatar, checkpoint, options.backend, options.cache_dir)
    return FlowEngine(avatar, network, options)


def observation(golden: Golden, frame: int, time_s: float, *, tracked: bool = True) -> FaceObservation:
    """A frame of the trace before a camera, with landmarks that span the picture."""
    rng = np.random.default_rng(0)
    depth_m = (golden["driving_depth"][frame] / 65535 * 0.1 + 0.3).astype(np.float32)
    depth_m[golden["driving_depth"][frame] == 0] = 0
    camera = Intrinsics(400.0, 400.0, 128.0, 128.0, 256, 256)
    pixels = rng.uniform(20, 230, (478, 2)).astype(np.float32)
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[2, 3] = 0.35
    rgbd = RgbdFrame(golden["driving_rgb"][frame], depth_m, camera, time_s, frame)
    return FaceObservation(rgbd, tracked, 1.0, pixels, np.zeros((478, 3), np.float32), T, np.zeros(52, np.float32))


def test_source_input_is_the_published_one(golden: Golden, avatar: GoldenAvatar) -> None:
    ours = network_input(avatar.source_rgb, avatar.source_depth)
    assert np.abs(ours[:3] - golden["source_rgbd"][:3]).max() < 0.008  # one of 256 colour levels
    np.testing.assert_allclose(ours[3], golden["source_rgbd"][3], atol=1e-6)


def test_codes_flow_and_depth_of_every_driving_frame(golden: Golden, shared_reference: Path) -> None:
    network = published_network(shared_reference)
    live = MotionNetwork(network, torch.from_numpy(golden["source_rgbd"])[None])
    frames = [
        torch.from_numpy(network_input(golden["driving_rgb"][i][..., ::-1], golden["driving_depth"][i]))[None]
        for i in range(6)
    ]
    offset = live.neutral_offset(live.encoder(frames[0]))
    for i in (0, 3, 5):
        flow, depth, alpha = live(frames[i], offset)
        assert np.abs(alpha[0].numpy() - golden["alpha"][i]).max() < 1e-3
        assert np.abs(flow.numpy() - golden["flow"][i]).max() * 128 < 1e-3
        assert np.abs(depth.numpy() - golden["depth"][i]).max() < 1e-3


def test_the_picture_that_the_network_paints_is_the_published_one(golden: Golden, shared_reference: Path) -> None:
    painted = PaintedAvatar(published_network(shared_reference), golden["source_rgbd"])
    own = painted._alpha.numpy()
    for i in (0, 5):
        code = golden["alpha"][i][None] + own - golden["alpha"][:1]
        shown = painted(code)[::16, ::16].transpose(2, 0, 1) / 127.5 - 1.0
        assert np.abs(shown - golden["rgb_stride16"][i].clip(-1, 1)).max() < 1.5 / 127.5
    np.testing.assert_array_equal(painted(None), painted(own))


def test_rig_of_the_golden_avatar(golden: Golden, avatar: GoldenAvatar, tmp_path: Path) -> None:
    head = seen_head(avatar)
    rig = published_rig(head, cache_dir=tmp_path)
    np.testing.assert_array_equal(rig.controllers.pixels, golden["controllers_px"][:, :2])
    column, row = rig.controllers.pixels.T
    same = faces_under(head, rig.controllers.pixels) == golden["pix_to_face"][row, column]
    assert same.mean() > 0.98  # a pixel centre on an edge belongs to either face
    kept = published_rig(head, cache_dir=tmp_path)
    assert abs(kept.weights - rig.weights).max() == 0
    assert abs(kept.smoothing - rig.smoothing).max() == 0
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:1000])  # damaged: solved again
    assert abs(published_rig(head, cache_dir=tmp_path).weights - rig.weights).max() == 0


def seen_head(avatar: GoldenAvatar | Avatar) -> SeenHead:
    mesh = avatar.display_mesh
    return SeenHead(
        mesh.vertices,
        mesh.faces,
        avatar.landmarks,
        avatar.source_depth,
        avatar.intrinsics,
        avatar.T_camera_world,
    )


def test_faces_under_pixels_without_a_mesh(trace: Trace) -> None:
    assert faces_under(seen_head(trace[1]), np.array([[2, 2]])).tolist() == [-1]


def test_a_rig_is_solved_once_and_again_where_what_was_kept_is_damaged(lowpoly: Avatar, tmp_path: Path) -> None:
    head = seen_head(lowpoly)
    rig, kept = (published_rig(head, cache_dir=tmp_path) for _ in range(2))
    assert len(rig.controllers.pixels) > 100
    sums = np.asarray(rig.weights.sum(axis=1)).ravel()
    assert np.all((sums > 0.999) | (sums == 0)), "shares of what a controller reaches"
    assert abs(kept.weights - rig.weights).max() == 0
    assert abs(kept.smoothing - rig.smoothing).max() == 0
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:1000])
    assert abs(published_rig(head, cache_dir=tmp_path).weights - rig.weights).max() == 0


def test_behaves_as_a_motion_engine(trace: Trace, thin: Checkpoint) -> None:
    frames, avatar = trace
    rest = avatar.display_mesh.vertices
    engine = driving(avatar, thin)
    _: MotionEngine = engine
    first = observation(frames, 0, 0.0)
    assert not engine.calibrated
    before = engine.animate(first)
    assert not before.tracked
    np.testing.assert_array_equal(before.vertices, rest)
    with pytest.raises(ValueError, match="tracked"):
        engine.calibrate(observation(frames, 0, 0.0, tracked=False))
    engine.calibrate(first)
    assert engine.calibrated
    assert engine.code is None
    pose = engine.animate(observation(frames, 3, 0.1))
    assert pose.tracked
    assert engine.code is not None
    assert (pose.index, pose.timestamp_s) == (3, 0.1)
    moved = np.abs(pose.vertices - rest).max()
    assert moved > 0
    lost = [engine.animate(observation(frames, 4, t, tracked=False)) for t in (0.2, 0.35, 0.6)]
    assert not lost[0].tracked
    assert engine.code is None, "of no face, the picture is the avatar's own"
    sizes = [np.abs(p.vertices - rest).max() for p in lost]
    assert sizes[0] == pytest.approx(moved, rel=1e-5)  # no jump where the face is lost
    assert 0.1 * moved < sizes[1] < 0.9 * moved
    assert sizes[2] < 1e-6 * moved
    back = [engine.animate(observation(frames, 3, t)) for t in (1.0, 1.2, 1.5)]
    assert np.abs(back[0].vertices - rest).max() < 1e-6 * moved  # nor where it comes back
    assert 0.1 * moved < np.abs(back[1].vertices - rest).max() < 0.9 * moved
    np.testing.assert_allclose(back[2].vertices, pose.vertices, atol=1e-6 * moved)


def test_same_input_same_pose(trace: Trace, thin: Checkpoint) -> None:
    frames, avatar = trace
    engine = driving(avatar, thin)
    engine.calibrate(observation(frames, 0, 0.0))
    frame = observation(frames, 2, 0.1)
    np.testing.assert_array_equal(engine.animate(frame).vertices, engine.animate(frame).vertices)


def test_quirks_follow_the_checkpoint_and_can_be_chosen(trace: Trace, thin: Checkpoint) -> None:
    avatar = trace[1]
    assert driving(avatar, thin).quirks == RELEASED
    assert driving(avatar, replace(thin, released=False)).quirks == CORRECTED
    assert driving(avatar, thin, replace(EAGER, **asdict(CORRECTED))).quirks == CORRECTED
    pinhole = replace(EAGER, unprojection="pinhole")
    assert driving(avatar, thin, pinhole).quirks == replace(RELEASED, unprojection="pinhole")


def test_rigid_motion_apart_is_the_head_pose(trace: Trace, thin: Checkpoint) -> None:
    avatar = trace[1]
    engine = driving(avatar, thin, replace(EAGER, **asdict(CORRECTED)))
    angle = 0.2
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    turn[:3, 3] = [0.1, 0.0, -0.05]
    at = engine._controllers_at
    displacement = at @ turn[:3, :3].T + turn[:3, 3] - at
    delta, T = engine._pose(displacement, np.ones(len(at), bool))
    np.testing.assert_allclose(T, turn, atol=1e-9)
    assert np.abs(delta).max() < 1e-6
    engine.head_pose = "fixed"
    assert np.array_equal(engine._pose(displacement, np.ones(len(at), bool))[1], np.eye(4))


def test_parts_without_controllers_go_with_the_head(trace: Trace, thin: Checkpoint) -> None:
    avatar = trace[1]
    vertices, faces = avatar.display_mesh.vertices, avatar.display_mesh.faces
    eye = np.array([[0.2, 0.3, -0.3], [0.3, 0.3, -0.3], [0.2, 0.4, -0.3]], np.float32)
    with_eye = Mesh(
        np.concatenate([vertices, eye]), np.concatenate([faces, [np.arange(3) + len(vertices)]]).astype(np.int32)
    )
    engine = driving(replace(avatar, display_mesh=with_eye), thin, EAGER)
    shift = np.tile([0.1, -0.2, 0.05], (len(engine._controllers_at), 1))
    delta, T = engine._pose(shift, np.ones(len(shift), bool))
    np.testing.assert_allclose(delta[-3:], np.tile([0.1, -0.2, 0.05], (3, 1)), atol=1e-5)
    assert np.array_equal(T, np.eye(4))


def test_rigid_fit_never_mirrors() -> None:
    flat = np.random.default_rng(0).normal(size=(20, 3)) * [1, 1, 0]
    T = rigid_fit(flat, np.random.default_rng(1).normal(0, 0.3, (20, 3)))
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1.0)
    assert np.array_equal(rigid_fit(flat[:2], flat[:2]), np.eye(4))


def test_a_checkpoint_of_another_size_is_refused(lowpoly: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "small.pt"
    save_checkpoint(path, small_network())
    with pytest.raises(InputError, match="32x32"):
        driving(lowpoly, path)
