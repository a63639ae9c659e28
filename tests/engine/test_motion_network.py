"""The live graph computes what the whole network does, for one avatar."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from engine.flow.network.folded import upsample
from engine.flow.network.layers import Upsample
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from tests.engine.stand_in import SMALL, picture, published_network, small_network


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_whole_network_at_small_size(seed: int) -> None:
    network = small_network(seed)
    source, driving, start = (picture(10 * seed + i, 32) for i in range(3))
    whole = network(source, driving, start)
    live = MotionNetwork(network, source)
    flow, depth, alpha = live(driving, live.neutral_offset(network.enc.motion(start)))
    assert torch.allclose(flow, whole.motion.flow[0], atol=2e-5)
    assert torch.allclose(depth, whole.rgbd.depth[0, 0], atol=1e-4)
    assert torch.allclose(alpha, network.enc.motion(driving), atol=1e-4)


def test_published_size_gives_the_golden_flow_and_depth(shared_reference: Path) -> None:
    golden = np.load(shared_reference / "network.npz", allow_pickle=False)

    def enlarged(name: str) -> torch.Tensor:
        lowres = torch.from_numpy(golden[f"{name}_lowres"])
        return F.interpolate(lowres, size=(256, 256), mode="bilinear", align_corners=True).clamp(-1, 1)

    live = MotionNetwork(published_network(shared_reference), enlarged("source"))
    offset = live.neutral_offset(live.encoder(enlarged("start")))
    flow, depth, alpha = live(enlarged("driving"), offset)
    assert np.abs(flow.numpy() - golden["flow"][0]).max() * 128 < 1e-3
    assert np.abs(depth.numpy() - golden["depth"][0, 0]).max() < 1e-3
    assert np.abs(alpha.numpy() - golden["alpha_driving"]).max() < 1e-4


def test_taking_a_new_neutral_only_changes_the_offset() -> None:
    network = small_network()
    source, driving = picture(0, 32), picture(1, 32)
    live = MotionNetwork(network, source)
    still, _, _ = live(driving, live.neutral_offset(network.enc.motion(driving)))
    other, _, _ = live(picture(5, 32), live.neutral_offset(network.enc.motion(picture(5, 32))))
    assert torch.allclose(still, other, atol=1e-5)  # anyone at their neutral shows the source as it is


def test_upsampling_by_resize_equals_the_filter() -> None:
    x = torch.randn(2, 3, 5, 7)
    assert torch.allclose(upsample(x), Upsample()(x), atol=1e-6)


def test_exports_whole_with_fixed_shapes() -> None:
    live = MotionNetwork(small_network(), picture(0, 32))
    inputs = sample_inputs(SMALL)
    program = torch.export.export(live, inputs)
    for exported, eager in zip(program.module()(*inputs), live(*inputs), strict=True):
        assert torch.allclose(exported, eager, atol=1e-6)
    kinds = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("linalg_qr" in kind for kind in kinds)  # worked out beforehand


def test_nothing_of_pictures_is_left_in_the_live_graph() -> None:
    network = small_network()
    live = MotionNetwork(network, picture(0, 32))
    held = sum(value.numel() for value in live.encoder.state_dict().values())
    assert held < sum(value.numel() for value in network.enc.state_dict().values())
    assert not list(live.parameters())  # buffers only: nothing to train, nothing to move by mistake
