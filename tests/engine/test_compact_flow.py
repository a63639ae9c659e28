"""Networks that work on smaller pictures than they are given, and that leave the head's motion to the tracker."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from capture.frame import FaceObservation
from capture.head_crop import HeadCropper
from engine import shipped
from engine.flow_engine import CORRECTED, EXPRESSION, RELEASED, FlowOptions
from engine.head_motion import TrackedHead
from engine.motion_network import MotionNetwork, sample_inputs
from engine.network.checkpoint import save_checkpoint
from engine.network.config import COMPACT
from engine.network.layers import identity_grid
from engine.network.network import FaceNetwork
from realtime.config import MotionOptions
from realtime.engines import make_engine
from render.camera import Intrinsics
from render.errors import InputError
from render.rigid_motion import rotation_matrix
from tests.engine.stand_in import SMALL

Observe = Callable[..., FaceObservation]


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    torch.manual_seed(2)
    return FaceNetwork(replace(SMALL, pixel_scale=2, head_motion=False)).eval().requires_grad_(False)


def test_the_live_graph_averages_in_and_enlarges_out(network: FaceNetwork) -> None:
    size = network.config.picture_size
    assert size == 2 * network.config.image_size
    source, driving, start = (sample_inputs(network.config, seed)[0] for seed in (1, 2, 3))
    live = MotionNetwork(network, source)
    half = [F.avg_pool2d(picture, 2) for picture in (source, driving, start)]
    expected = network(*half)
    offset = live.neutral_offset(network.enc.motion(half[2]))
    flow, depth, _ = live(driving, offset)
    assert flow.shape == (size, size, 2)
    assert depth.shape == (size, size)
    way = (expected.motion.flow[0] - identity_grid(size // 2)).permute(2, 0, 1)[None]
    way = F.interpolate(way, scale_factor=2.0, mode="bilinear")[0].permute(1, 2, 0)
    places = (flow + 1) / 2 * size  # as flow_tracking reads them
    home = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), dim=-1)
    assert torch.allclose(places - home, way * size / 2, atol=2e-3)
    large = F.interpolate(expected.rgbd.depth, scale_factor=2.0, mode="bilinear")[0, 0]
    assert torch.allclose(depth, large, atol=1e-4)


def test_compact_sizes_fit_what_may_be_shipped() -> None:
    with torch.device("meta"):
        network = FaceNetwork(COMPACT)
    assert COMPACT.picture_size == 256
    assert 4 * sum(value.numel() for value in network.state_dict().values()) < 12e6


def test_quirks_follow_the_checkpoint() -> None:
    options = FlowOptions()
    assert options.quirks(released=True) == RELEASED
    assert options.quirks(released=False) == CORRECTED
    assert options.quirks(released=False, head_motion=False) == EXPRESSION
    assert FlowOptions(rigid="apart").quirks(released=False, head_motion=False).rigid == "apart"


def test_the_tracked_head_turns_the_avatar(face_points: np.ndarray, observe: Observe) -> None:
    avatar = 5.0 * face_points + [0.1, 0.2, 0.3]
    head = TrackedHead(avatar, observe(face_points))
    assert np.allclose(head.pose(observe(face_points)), np.eye(4), atol=1e-9)
    turn = rotation_matrix(np.array([0.0, 0.3, 0.0]))
    T = TrackedHead(avatar, observe(face_points)).pose(observe(face_points, rotation=turn, shift=(0.01, 0.0, 0.0)))
    assert np.allclose(T[:3, :3], turn, atol=1e-6)
    origin = np.array([0.1, 0.2, 0.3])
    moved = T[:3, :3] @ origin + T[:3, 3] - origin
    assert moved == pytest.approx([0.05, 0, 0], abs=1e-3)


def test_the_cut_stays_on_the_head(face_points: np.ndarray, observe: Observe) -> None:
    camera = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
    cropper = HeadCropper()
    first = cropper.box(seen(observe(face_points), camera))
    opened = face_points.copy()
    opened[152] -= [0, 0.03, 0]
    assert cropper.box(seen(observe(opened), camera)) == first  # an open mouth does not move it
    nearer = cropper.box(seen(observe(face_points, shift=(0.05, 0.0, -0.1)), camera))
    assert nearer.width == pytest.approx(first.width * 0.5 / 0.4, abs=1)
    assert nearer.x + nearer.width / 2 > first.x + first.width / 2 + 30


def seen(observation: FaceObservation, camera: Intrinsics) -> FaceObservation:
    """The same through a camera of useful size."""
    pixels = camera.project(observation.landmarks_m.astype(np.float64)).astype(np.float32)
    return replace(observation, landmarks_px=pixels, frame=replace_camera(observation, camera))


def replace_camera(observation: FaceObservation, camera: Intrinsics) -> object:
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    return replace(observation.frame, rgb=rgb, intrinsics=camera)


def test_the_flow_engine_without_a_checkpoint_takes_the_shipped_one(
    network: FaceNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "COMPACT_FILE", tmp_path / "compact.pt")
    with pytest.raises(InputError, match="--checkpoint"):
        MotionOptions(engine="flow")
    save_checkpoint(tmp_path / "compact.pt", network)
    assert shipped.shipped_checkpoint() == tmp_path / "compact.pt"
    taken: list[Path] = []
    monkeypatch.setattr("engine.flow_engine.FlowEngine", lambda _avatar, path, *_: taken.append(path))
    monkeypatch.setattr("realtime.engines.with_source", lambda avatar, _settings: avatar)
    avatar = SimpleNamespace(file_mesh=SimpleNamespace(morphs=None))
    make_engine(MotionOptions(engine="flow"), avatar)  # type: ignore[arg-type]
    make_engine(MotionOptions(engine="flow", checkpoint=tmp_path / "other.pt"), avatar)  # type: ignore[arg-type]
    assert taken == [tmp_path / "compact.pt", tmp_path / "other.pt"]
