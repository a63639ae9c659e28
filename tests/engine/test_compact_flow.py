"""Networks that work on smaller pictures than they are given, and that leave the head's motion to the tracker."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from calib.avatar import Avatar
from calib.close_up import network_picture
from capture.face.head_crop import EMPTY, HeadCropper
from core.camera import Intrinsics
from core.errors import InputError
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.frame import FaceObservation
from core.rigid_motion import rotation_matrix
from engine.flow.backends.backend import CompileRequest, proven
from engine.flow.backends.compiled import BackendError
from engine.flow.backends.select import make_backend
from engine.flow.flow_network import live_network
from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.network.config import COMPACT
from engine.flow.network.layers import identity_grid
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from engine.flow.network.network import FaceNetwork
from engine.flow.ours.shipped import COMPACT_FILE
from engine.flow.published.flow_options import CORRECTED, RELEASED, FlowOptions
from realtime.config import MotionOptions
from realtime.engines import make_engine
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
    flow, depth, _, mask = live(driving, offset)
    assert flow.shape == (size, size, 2)
    assert depth.shape == (size, size)
    way = (expected.motion.flow[0] - identity_grid(size // 2)).permute(2, 0, 1)[None]
    way = F.interpolate(way, scale_factor=2.0, mode="bilinear")[0].permute(1, 2, 0)
    places = (flow + 1) / 2 * size  # as flow_tracking reads them
    home = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), dim=-1)
    assert torch.allclose(places - home, way * size / 2, atol=2e-3)
    large = F.interpolate(expected.rgbd.depth, scale_factor=2.0, mode="bilinear")[0, 0]
    assert torch.allclose(depth, large, atol=1e-4)
    large = F.interpolate(expected.motion.mask, scale_factor=2.0, mode="bilinear")[0, 0]
    assert torch.allclose(mask, large, atol=1e-4)


def test_a_coded_graph_draws_the_code_that_it_is_told(network: FaceNetwork) -> None:
    source, driving, _ = (sample_inputs(network.config, seed)[0] for seed in (1, 2, 3))
    whole, coded = MotionNetwork(network, source), MotionNetwork(network, source, coded=True)
    told = sample_inputs(network.config, 5)[1]
    seen = whole(driving, torch.zeros_like(told))[2]
    expected = whole(driving, coded.source_alpha + told - seen)
    for own, other in zip(coded(torch.zeros(1, 4, 1, 1), told), expected, strict=True):
        if own.shape != told.shape:  # the code itself: one is as seen, the other as the avatar's picture has it
            assert torch.allclose(own, other, atol=1e-4)


def test_a_compiled_coded_graph_is_proven_too(network: FaceNetwork) -> None:
    coded = MotionNetwork(network, sample_inputs(network.config, 1)[0], coded=True)
    for name in ("openvino", "eager"):
        _, proof = proven(make_backend(name), CompileRequest(coded, "key", "avatar"))  # type: ignore[arg-type]
        assert proof.flow_px < 0.02
    with pytest.raises(BackendError, match=r"--backend native: expected at most .* channels divisible by 8"):
        proven(make_backend("native"), CompileRequest(coded, "key", "avatar"))


def test_the_shipped_network_runs_in_int8_where_the_prior_names_its_code(prepared: Avatar) -> None:
    """What int8 rounds is measured on weights of units, and so is its error; 0.5 px would be refused."""
    loaded = load_checkpoint(COMPACT_FILE)
    live = live_network(network_picture(prepared, head_motion=False), loaded, coded=True)
    request = CompileRequest(live, loaded.key, "avatar")
    int8, proof = proven(make_backend("openvino-int8"), request)
    assert 0 < proof.flow_px < 0.5, "and it is another precision"
    exact = make_backend("eager").compile(request)
    smile = np.zeros((1, UNIT_COUNT), np.float32)
    smile[0, [UNIT_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right")]] = 1.0
    nothing, still = np.zeros((1, 4, 1, 1), np.float32), np.zeros_like(smile)
    way = [run(nothing, smile).flow.copy() - run(nothing, still).flow.copy() for run in (exact, int8)]
    px = 128 * np.abs(way[1] - way[0])
    assert 128 * np.abs(way[0]).max() > 3, "else this tests nothing"
    assert px.mean() < 0.1
    assert px.max() < 1.0


@pytest.mark.parametrize("code", ["encoder", "prior", None])
def test_the_prior_names_the_code_unless_the_encoder_is_asked_for(
    prepared: Avatar, code: Literal["encoder", "prior"] | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        make_engine(MotionOptions(engine="flow", flow=FlowOptions(code=code, cache_dir=None)), prepared)
    by = "its encoder" if code == "encoder" else "the expression prior"
    assert f"motion code comes from {by}" in caplog.text


def test_a_network_with_a_code_of_its_own_has_no_prior(
    prepared: Avatar, network: FaceNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.pt"
    save_checkpoint(other, network, step=1)
    assert network.config.motion_dim != UNIT_COUNT
    monkeypatch.setattr(
        "engine.flow.flow_network.network_picture", lambda *_, **__: sample_inputs(network.config)[0][0].numpy()
    )
    with pytest.raises(InputError, match="--code prior: other"):
        make_engine(MotionOptions(checkpoint=other, flow=FlowOptions(code="prior", cache_dir=None)), prepared)


def test_compact_sizes_fit_what_may_be_shipped() -> None:
    with torch.device("meta"):
        network = FaceNetwork(COMPACT)
    assert COMPACT.picture_size == 256
    assert 4 * sum(value.numel() for value in network.state_dict().values()) < 12e6


def test_quirks_follow_the_checkpoint() -> None:
    options = FlowOptions()
    assert options.quirks(released=True) == RELEASED
    assert options.quirks(released=False) == CORRECTED
    assert FlowOptions(rigid="deform").quirks(released=False).rigid == "deform"


def cut_of(cropper: HeadCropper, observation: FaceObservation) -> tuple[np.ndarray, float]:
    """Where the cut's middle lies in the frame, and frame pixels under one of the cut."""
    A = cropper.frame_of_cut(observation)
    return A @ [128, 128, 1], float(np.hypot(*A[:, 0]))


def test_the_cut_stays_on_the_head(face_points: np.ndarray, observe: Observe) -> None:
    camera = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
    cropper = HeadCropper()
    first = cropper.frame_of_cut(seen(observe(face_points), camera))
    opened = face_points.copy()
    opened[152] -= [0, 0.03, 0]
    assert np.allclose(cropper.frame_of_cut(seen(observe(opened), camera)), first)  # an open mouth does not move it
    nearer = seen(observe(face_points, shift=(0.05, 0.0, -0.1)), camera)
    (before, scale), (after, larger) = cut_of(cropper, seen(observe(face_points), camera)), cut_of(cropper, nearer)
    assert larger == pytest.approx(scale * 0.5 / 0.4, rel=0.05)
    assert after[0] > before[0] + 30


def test_the_cut_rolls_with_the_head(face_points: np.ndarray, observe: Observe) -> None:
    camera = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
    cropper = HeadCropper()
    upright = cropper.frame_of_cut(seen(observe(face_points), camera))
    rolled = seen(observe(face_points, rotation=rotation_matrix(np.array([0.0, 0.0, 0.3]))), camera)
    A = cropper.frame_of_cut(rolled)
    turn = A[:, :2] @ np.linalg.inv(upright[:, :2])
    assert np.allclose(turn, rotation_matrix(np.array([0.0, 0.0, -0.3]))[:2, :2], atol=0.02)  # y is down in a picture
    chin = 152
    back = np.linalg.solve(A[:, :2], rolled.landmarks_px[chin] - A[:, 2])
    still = np.linalg.solve(upright[:, :2], seen(observe(face_points), camera).landmarks_px[chin] - upright[:, 2])
    assert np.allclose(back, still, atol=2.0)  # in the cut, the chin is where it was


def test_the_cut_measures_depth_from_the_head(face_points: np.ndarray, observe: Observe) -> None:
    camera = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
    plain = seen(observe(face_points), camera)
    depth_m = np.full((480, 640), 0.45, np.float32)  # the head's origin is half a metre away
    depth_m[:, 400:] = 3.0  # a wall
    depth_m[240, 318:321] = 0.0  # a small hole
    frame = replace(plain.frame, depth_m=depth_m, rgb=np.full((480, 640, 3), 200, np.uint8))
    cropper = HeadCropper()
    planes = cropper(replace(plain, frame=frame))
    assert planes is not None
    assert planes.shape == (4, 256, 256)
    A = cropper.frame_of_cut(plain)
    beyond = A[0, 0] * (np.arange(256) + 0.5) + A[0, 2] - 400
    wall, before = beyond > 4, beyond < 0  # closing holes reaches over its edge a little
    assert wall.any()
    assert np.allclose(planes[3][:, before], 2 * 0.05 / 0.15 - 1, atol=1e-5)
    assert (planes[3][:, wall] == EMPTY).all()
    assert (planes[:3][:, :, wall] == -1).all()
    assert planes[:3][:, 128, 100] == pytest.approx(200 / 127.5 - 1, abs=1e-5)
    lifted = HeadCropper()(replace(plain, frame=replace(frame, depth_m=None)))  # the face's own surface
    assert lifted is not None
    nose = np.linalg.solve(A[:, :2], plain.landmarks_px[4] - A[:, 2]).astype(int)
    expected = 2 * (0.10 - face_points[4, 2]) / 0.15 - 1
    assert lifted[3, nose[1], nose[0]] == pytest.approx(expected, abs=0.05)
    assert (lifted[:3] > 0.5).all()  # colours are kept everywhere
    assert HeadCropper()(replace(plain, tracked=False)) is None


def seen(observation: FaceObservation, camera: Intrinsics) -> FaceObservation:
    """The same through a camera of useful size."""
    pixels = camera.project(observation.landmarks_m.astype(np.float64)).astype(np.float32)
    return replace(observation, landmarks_px=pixels, frame=replace_camera(observation, camera))


def replace_camera(observation: FaceObservation, camera: Intrinsics) -> object:
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    return replace(observation.frame, rgb=rgb, intrinsics=camera)


def test_the_flow_engine_without_a_checkpoint_takes_the_shipped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Path] = []

    def note(_avatar: object, path: Path, *_: object, **__: object) -> None:
        taken.append(path)
        raise InputError("that is enough")

    monkeypatch.setattr("engine.flow.flow_network.open_network", note)
    avatar = SimpleNamespace(as_bare_mesh=lambda _need: avatar)
    nowhere = FlowOptions(cache_dir=None)  # where a network tuned to the head could be
    for given in (None, Path("other.pt")):
        options = MotionOptions(engine="flow", checkpoint=given, flow=nowhere)
        with pytest.raises(InputError, match="that is enough"):
            make_engine(options, avatar)  # type: ignore[arg-type]
    assert taken == [COMPACT_FILE, Path("other.pt")]


def test_the_shipped_network_is_what_its_card_says() -> None:
    assert COMPACT_FILE.stat().st_size < 12e6
    loaded = load_checkpoint(COMPACT_FILE)
    assert not loaded.released
    assert loaded.network.config == COMPACT
    card = COMPACT_FILE.with_name("COMPACT_NETWORK.md").read_text()
    assert loaded.key[:16] in card


def test_options_of_the_published_chain_are_refused_for_it(prepared: Avatar) -> None:
    with pytest.raises(InputError, match=r"--smoothing: compact\.pt"):
        make_engine(MotionOptions(engine="flow", flow=FlowOptions(smoothing=0.5)), prepared)
