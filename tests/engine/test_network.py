"""The network against the published implementation's outputs, and properties of its blocks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.published import PublishedFrame
from core.errors import InputError
from engine.flow.network.config import NetworkConfig
from engine.flow.network.layers import Downsample, ModulatedConv2d, Upsample, identity_grid, sample
from engine.flow.network.network import FaceNetwork, NetworkOutput
from tests.engine.stand_in import SMALL, picture, published_network, published_state, small_network

PIXELS = 128  # flow is in [-1, 1] over 256 pixels


@pytest.fixture(scope="module")
def golden(shared_reference: Path) -> dict[str, NDArray[np.float32]]:
    with np.load(shared_reference / "network.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def pictures(golden: dict[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    names = ("source", "driving", "start")
    lowres = {name: torch.from_numpy(golden[f"{name}_lowres"]) for name in names}
    return {
        name: F.interpolate(value, size=(256, 256), mode="bilinear", align_corners=True).clamp(-1, 1)
        for name, value in lowres.items()
    }


@pytest.fixture(scope="module")
def output(shared_reference: Path, pictures: dict[str, Tensor]) -> NetworkOutput:
    with torch.no_grad():
        return published_network(shared_reference)(**pictures)


def worst(value: Tensor, expected: NDArray[np.float32]) -> float:
    assert tuple(value.shape) == expected.shape
    return float(np.abs(value.detach().numpy() - expected).max())


def test_every_published_entry_has_its_place(shared_reference: Path) -> None:
    state, own = published_state(shared_reference), published_network(shared_reference).state_dict()
    assert len(state) == 338
    assert {n: v.shape for n, v in state.items()} == {n: v.shape for n, v in own.items()}
    fresh = FaceNetwork().state_dict()  # the fixed filters are made, not loaded
    assert all(torch.equal(fresh[n], v) for n, v in state.items() if n.endswith(".kernel"))


def test_codes_and_basis(
    golden: dict[str, NDArray[np.float32]], pictures: dict[str, Tensor], shared_reference: Path
) -> None:
    network = published_network(shared_reference)
    h, alpha, features = network.enc(pictures["source"])
    assert worst(h, golden["wa"]) < 1e-5
    assert worst(alpha, golden["alpha_source"]) < 1e-4
    assert worst(network.enc.motion(pictures["driving"]), golden["alpha_driving"]) < 1e-4
    assert worst(network.enc.motion(pictures["start"]), golden["alpha_start"]) < 1e-4
    assert worst(network.dec.direction.basis(), golden["directions"]) < 1e-5
    assert [f.shape[-1] for f in features] == [8, 16, 32, 64, 128, 256]
    assert worst(torch.stack([f.mean() for f in features]), golden["feat_means"]) < 1e-5
    assert worst(torch.stack([f.abs().mean() for f in features]), golden["feat_absmeans"]) < 1e-5


def test_flow_and_depth_match_the_published_numbers(
    golden: dict[str, NDArray[np.float32]], output: NetworkOutput
) -> None:
    assert worst(output.motion.flow, golden["flow"]) * PIXELS < 1e-3
    assert worst(output.rgbd.depth, golden["depth"]) < 1e-3


def test_pictures_match_the_published_numbers(golden: dict[str, NDArray[np.float32]], output: NetworkOutput) -> None:
    every_fourth = (slice(None), slice(None), slice(None, None, 4), slice(None, None, 4))
    rgbd = torch.cat((output.rgbd.rgb, output.rgbd.depth), dim=1)
    assert output.motion.warped is not None
    assert output.motion.inpainted is not None
    assert worst(rgbd[every_fourth], golden["rgbd_stride4"]) < 1e-4
    assert worst(output.motion.mask[every_fourth], golden["mask_stride4"]) < 1e-5
    assert worst(output.motion.warped[every_fourth], golden["warp_stride4"]) < 1e-4
    assert worst(output.motion.inpainted[every_fourth], golden["inpaint_stride4"]) < 1e-4


def test_small_sizes_are_the_same_code() -> None:
    network = small_network()
    out = network(picture(0, 32), picture(1, 32), picture(2, 32))
    assert out.motion.flow.shape == (1, 32, 32, 2)
    assert out.rgbd.depth.shape == (1, 1, 32, 32)


def test_a_small_network_gives_what_the_published_way_gives() -> None:
    """Source encoded anew, weights modulated one by one, filters channel by channel: StyleGAN2's reference code."""
    network = small_network()
    source, start, driving = (picture(seed, 32) for seed in range(3))
    with torch.no_grad():
        ours = network(source, driving, start)
    theirs = PublishedFrame(network, source, start)(driving)
    assert torch.allclose(ours.motion.flow, theirs.motion.flow, atol=1e-4)
    assert torch.allclose(ours.rgbd.depth, theirs.rgbd.depth, atol=1e-4)


def test_codes_and_basis_by_plain_algebra() -> None:
    """What the golden tensors say at the published size: one linear map behind the appearance, and an orthonormal basis
    of the dictionary's own space."""
    network = small_network()
    h = network.enc.net_app(picture(0, 32))[0].detach().double().numpy()
    alpha = h
    for layer in network.enc.fc:
        weight = layer.weight.detach().double().numpy()
        alpha = alpha @ (weight / np.sqrt(weight.shape[1])).T + layer.bias.detach().double().numpy()
    assert np.abs(network.enc.motion(picture(0, 32)).detach().numpy() - alpha).max() < 1e-5
    dictionary = network.dec.direction.weight.detach().double().numpy()
    basis = network.dec.direction.basis().detach().double().numpy()
    assert np.abs(basis.T @ basis - np.eye(basis.shape[1])).max() < 1e-5
    onto = dictionary @ np.linalg.solve(dictionary.T @ dictionary, dictionary.T)
    assert np.abs(basis @ basis.T - onto).max() < 1e-4


def test_a_driver_at_neutral_leaves_the_source_code() -> None:
    network = small_network()
    h, alpha, _ = network.enc(picture(0, 32))
    driver = network.enc.motion(picture(3, 32))
    latent = network.latent_code(h, alpha, driver, driver)
    assert torch.allclose(latent, h + network.dec.direction(alpha), atol=1e-5)


def test_modulation_by_scaling_equals_modulated_weights() -> None:
    torch.manual_seed(3)
    conv = ModulatedConv2d(6, 5, 3, 7)
    x, latent = torch.randn(2, 6, 9, 9), torch.randn(2, 7)
    result = conv(x, latent)
    for b in range(2):  # the textbook way: one weight for each sample
        weight = conv.weight[0] * conv.scale * conv.modulation(latent)[b][None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        assert torch.allclose(result[b], F.conv2d(x[b : b + 1], weight, padding=1)[0], atol=1e-5)


def test_resampling_keeps_constants_inside() -> None:
    flat = torch.full((1, 2, 8, 8), 3.0)
    assert torch.allclose(Upsample()(flat)[..., 2:-2, 2:-2], torch.tensor(3.0))
    assert torch.allclose(Downsample()(flat)[..., 1:-1, 1:-1], torch.tensor(3.0))


def test_identity_grid_stretches_as_published() -> None:
    """linspace(-1, 1) with align_corners=False does not return the picture itself: the published slight zoom."""
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    looked_up = sample(ramp, identity_grid(16)[None])[0, 0, 8]
    inside = looked_up[1:-1]
    assert torch.allclose(inside, (torch.linspace(-1, 1, 16)[1:-1] + 1) * 8 - 0.5, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 48},
        {"image_size": 512},
        {"widths": {4: 8}},
        {"motion_dim": 0},
        {"style_dim": 3},
        {"depth_motion_dim": 65},
    ],
)
def test_impossible_sizes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        NetworkConfig(**wrong)  # type: ignore[arg-type]


def test_config_survives_json() -> None:
    import json

    assert NetworkConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL
