"""Every loss against plain loops over pixels, on fixed tensors."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import InputError
from engine.flow.network.flow_generator import GeneratedFlow
from engine.flow.network.generator import GeneratedRgbd
from engine.training.flow import losses
from engine.training.flow.losses import PerceptualLoss, distill_loss, generator_loss
from engine.training.flow.stage_options import LossWeights
from engine.training.flow.vgg import VggSlices, load_vgg

SIZE = 24


def fixed(seed: int, channels: int, size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, channels, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(-1, 1)


def plain_gradient(depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    out = np.zeros_like(depth)
    for y in range(height):
        for x in range(width):
            dx = depth[y, x + 1] - depth[y, x] if x + 1 < width else 0.0
            dy = depth[y + 1, x] - depth[y, x] if y + 1 < height else 0.0
            out[y, x] = math.sqrt(dx * dx + dy * dy)
    return out


def plain_strongest(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    return np.array(
        [[values[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].max() for x in range(width)] for y in range(height)]
    )


def plain_laplacian(depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    at = lambda y, x: depth[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]  # noqa: E731
    return np.array(
        [
            [at(y - 1, x) + at(y + 1, x) + at(y, x - 1) + at(y, x + 1) - 4 * depth[y, x] for x in range(width)]
            for y in range(height)
        ]
    )


def charbonnier(value: np.ndarray) -> np.ndarray:
    return np.sqrt(value**2 + losses.CHARBONNIER_EPSILON**2)


def plain_depth_terms(depth: Tensor, target: Tensor) -> tuple[float, float, float]:
    """L1, structure and smoothness of [B, 1, H, W], one picture and pixel after the other."""
    l1, structure, smoothness = [], [], []
    for own, other in zip(depth[:, 0].double().numpy(), target[:, 0].double().numpy(), strict=True):
        wanted = plain_gradient(other)
        edge = wanted > 0.1
        l1.append(np.abs(own - other))
        difference = plain_strongest(plain_gradient(own)) - plain_strongest(wanted)
        structure.append(np.where(edge, charbonnier(difference), 0.0))
        smoothness.append(np.where(edge, 0.0, charbonnier(plain_laplacian(own))))
    return float(np.mean(l1)), float(np.mean(structure)), float(np.mean(smoothness))


def tiny_features() -> nn.Module:
    torch.manual_seed(3)
    return _Features()


class _Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1) for _ in range(5)]).requires_grad_(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        return [torch.relu(conv(picture)) for conv in self.convs]


def plain_perceptual(features: nn.Module, picture: Tensor, target: Tensor) -> float:
    total = 0.0
    for step in (1, 2, 4, 8):
        pair = [plain_smaller(each.double().numpy(), step) for each in (picture, target)]
        own, other = (features(torch.from_numpy(each).float()) for each in pair)
        for a, b in zip(own, other, strict=True):
            total += 10.0 * float((a.double() - b.double()).abs().mean())
    return total


def plain_smaller(pictures: np.ndarray, step: int) -> np.ndarray:
    if step == 1:
        return pictures
    sigma = (step - 1) / 2
    radius = round(4 * sigma)
    line = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    line /= line.sum()
    padded = np.pad(pictures, ((0, 0), (0, 0), (radius, radius), (radius, radius)))
    height, width = pictures.shape[2:]
    out = np.zeros_like(pictures)
    for dy, wy in enumerate(line):
        for dx, wx in enumerate(line):
            out += wy * wx * padded[:, :, dy : dy + height, dx : dx + width]
    return out[:, :, ::step, ::step]


def test_generator_loss_is_the_published_sum() -> None:
    rgb, depth, target = fixed(1, 3), fixed(2, 1), fixed(3, 4)
    features = tiny_features()
    rgbd = GeneratedRgbd(rgb, depth, fixed(4, 3), torch.zeros(2, 4))
    terms = generator_loss(rgbd, target, PerceptualLoss(features), LossWeights())
    l1, structure, smoothness = plain_depth_terms(depth, target[:, 3:])
    expected = {
        "perceptual": plain_perceptual(features, rgb, target[:, :3]),
        "depth_l1": 200 * l1,
        "structure": 50 * structure,
        "smoothness": 200 * smoothness,
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert value > 0
        assert float(terms[name]) == pytest.approx(value, rel=1e-5), name


def test_distillation_loss_is_the_published_sum() -> None:
    teacher, warped, inpainted = fixed(1, 3), fixed(2, 3), fixed(3, 3)
    mask = torch.sigmoid(fixed(4, 1))
    features = tiny_features()
    motion = GeneratedFlow(torch.zeros(2, SIZE, SIZE, 2), mask, warped, inpainted)
    terms = distill_loss(motion, teacher, PerceptualLoss(features), LossWeights())
    expected = {
        "perceptual_inpainted": plain_perceptual(features, inpainted, teacher),
        "l1_inpainted": 200 * float(np.abs(inpainted.numpy() - teacher.numpy()).mean()),
        "perceptual_warped": plain_perceptual(features, warped * mask, teacher * mask),
        "l1_warped": 200 * float(np.abs((warped * mask).numpy() - (teacher * mask).numpy()).mean()),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-5), name


def test_losses_vanish_only_for_what_was_wanted() -> None:
    target = fixed(3, 4)
    same = GeneratedRgbd(target[:, :3], target[:, 3:], fixed(4, 3), torch.zeros(2, 4))
    terms = generator_loss(same, target, PerceptualLoss(tiny_features()), LossWeights())
    assert float(terms["perceptual"]) == 0
    assert float(terms["depth_l1"]) == 0
    edges = (losses.gradient_magnitude(target[:, 3:]) > losses.EDGE).float().mean()
    assert float(terms["structure"]) == pytest.approx(50 * losses.CHARBONNIER_EPSILON * float(edges), rel=1e-4)


def test_flow_and_code_errors_are_plain_means() -> None:
    generator = torch.Generator().manual_seed(5)
    flow, target = (torch.rand(2, 4, 4, 2, generator=generator) for _ in range(2))
    known = torch.rand(2, 4, 4, generator=generator)
    pictures = []
    for b in range(2):
        length = charbonnier(128 * (flow[b] - target[b]).double().numpy()).sum(axis=-1)
        pictures.append((length * known[b].numpy()).sum() / known[b].numpy().sum())
    assert float(losses.flow_error(flow, target, known)) == pytest.approx(np.mean(pictures), rel=1e-5)
    code, wanted, importance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([3.0, 1.0])
    assert float(losses.code_error(code, wanted, importance)) == pytest.approx((3 * 1 + 1 * 4) / 4)


def test_surface_and_mask_errors_equal_their_plain_forms() -> None:
    generator = torch.Generator().manual_seed(6)
    depth, target = torch.rand(2, 1, 4, 4, generator=generator), torch.rand(2, 1, 4, 4, generator=generator)
    known = torch.rand(2, 4, 4, generator=generator)
    pictures = []
    for b in range(2):
        length = charbonnier(losses.PIXELS_PER_DEPTH * (depth[b, 0] - target[b, 0]).double().numpy())
        pictures.append((length * known[b].numpy()).sum() / known[b].numpy().sum())
    assert float(losses.surface_error(depth, target, known)) == pytest.approx(np.mean(pictures), rel=1e-5)
    logits, shown = torch.randn(2, 4, 4, generator=generator).double(), known.double()
    on_avatar = (torch.rand(2, 4, 4, generator=generator) > 0.5).double()
    total = 0.0
    for logit, wanted, on in zip(
        logits.flatten().tolist(), shown.flatten().tolist(), on_avatar.flatten().tolist(), strict=True
    ):
        likely = 1 / (1 + math.exp(-logit))
        entropy = -(wanted * math.log(likely) + (1 - wanted) * math.log(1 - likely))
        total += (1 + losses.HIDDEN_WEIGHT * on * (1 - wanted)) * entropy
    assert float(losses.mask_error(logits, shown, on_avatar)) == pytest.approx(total / 32, rel=1e-6)


def test_a_colour_stage_has_no_depth_terms() -> None:
    rgbd = GeneratedRgbd(fixed(1, 3), fixed(2, 1), fixed(4, 3), torch.zeros(2, 4))
    terms = generator_loss(rgbd, fixed(3, 3), None, LossWeights(color_l1=2.0))
    assert terms.keys() == {"color_l1"}
    assert float(terms["color_l1"]) == pytest.approx(2 * float((fixed(1, 3) - fixed(3, 3)).abs().mean()))


@pytest.mark.parametrize(("name", "count"), [("vgg16", 13), ("vgg19", 16)])
def test_vgg_files_of_torchvision_are_read_whole(tmp_path, name: str, count: int) -> None:
    state, c_in = {}, 3
    blocks = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}[name]
    generator = torch.Generator().manual_seed(1)
    for block, (width, convs) in enumerate(zip((64, 128, 256, 512, 512), blocks, strict=True)):
        for conv in range(convs):
            key = f"features.{10 * block + conv}"
            state[f"{key}.weight"] = torch.randn(width, c_in, 3, 3, generator=generator) * 0.02
            state[f"{key}.bias"] = torch.zeros(width)
            c_in = width
    state["classifier.0.weight"], state["classifier.0.bias"] = torch.zeros(8, 8), torch.zeros(8)
    assert sum(blocks) == count
    path = tmp_path / "vgg.pth"
    torch.save(state, path)
    network = load_vgg(path)
    features = network(fixed(1, 3, 32))
    assert [f.shape[1:] for f in features] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    first = torch.relu(
        torch.nn.functional.conv2d(
            (fixed(1, 3, 32) - network.mean) / network.std, state["features.0.weight"], padding=1
        )
    )
    assert torch.allclose(features[0], first)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_slices_end_right_after_the_first_relu_of_each_block() -> None:
    torch.manual_seed(0)
    network = VggSlices()
    assert len(network.convs) == 13  # 2 + 2 + 4 + 4 + 1: nothing behind relu5_1
    features = network(fixed(1, 3, 16))
    x = (fixed(1, 3, 16) - network.mean) / network.std
    x = torch.relu(network.convs[0](x))
    assert torch.allclose(features[0], x)
    x = torch.relu(network.convs[2](torch.nn.functional.max_pool2d(torch.relu(network.convs[1](x)), 2)))
    assert torch.allclose(features[1], x)


def test_files_that_are_no_vgg_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_vgg(tmp_path / "missing.pth")
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged or cut short"):
        load_vgg(tmp_path / "noise.pth")
    torch.save(
        {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}, tmp_path / "one.pth"
    )
    with pytest.raises(InputError, match="16 convolutions"):
        load_vgg(tmp_path / "one.pth")


def test_the_packaged_vgg_sees_differences() -> None:
    pytest.importorskip("stlpips_pytorch")
    loss = PerceptualLoss(load_vgg())
    picture = fixed(1, 3, 128)  # the smallest whose eighth still has a relu5_1
    assert float(loss(picture, picture)) == 0
    assert float(loss(picture, picture.flip(3))) > float(loss(picture, picture + 0.02)) > 0
