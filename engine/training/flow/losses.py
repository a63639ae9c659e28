"""Losses of both published stages (arXiv 2308.06076) and those that synthetic truth allows beside them.

Every function returns a scalar and takes pictures [B, C, H, W] in [-1, 1]. `LossWeights` says how much each counts;
its defaults are the published weights.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.flow.network.flow_generator import GeneratedFlow
from engine.flow.network.generator import GeneratedRgbd
from engine.training.flow.stage_options import LossWeights

EDGE = 0.1  # gradient of the target's depth from which on a pixel belongs to its structure
STRUCTURE_POOL = 5
CHARBONNIER_EPSILON = 1e-3
PIXELS_PER_DEPTH = 90.0  # of the close-up: as long as a change of 1 in the depth channel is deep (`calib.close_up`)
DEPTH_L1, STRUCTURE, SMOOTHNESS = 200.0, 50.0, 200.0  # weights of the first stage's depth losses, as published
DISTILL_L1 = 200.0  # of the second stage's colour difference, as published
HIDDEN_WEIGHT = 8.0
PYRAMID_STEPS = (1, 2, 4, 8)
FEATURE_WEIGHTS = (10.0, 10.0, 10.0, 10.0, 10.0)

Features = Callable[[Tensor], list[Tensor]]


class PerceptualLoss(nn.Module):
    """Mean absolute difference of a feature network's slices over a pyramid of scales (Johnson et al. 2016).

    Args:
        features: pictures [B, 3, H, W] → feature maps, such as `vgg.VggSlices`.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features  # a module here is registered, and follows the loss to its device

    def forward(self, picture: Tensor, target: Tensor) -> Tensor:
        total = picture.new_zeros(())
        for step in PYRAMID_STEPS:
            with torch.no_grad():
                wanted = self.features(antialiased(target, step))
            got = self.features(antialiased(picture, step))
            for weight, own, other in zip(FEATURE_WEIGHTS, got, wanted, strict=True):
                total = total + weight * (own - other).abs().mean()
        return total


def antialiased(picture: Tensor, step: int) -> Tensor:
    """Every `step`-th pixel after a Gaussian of sigma (step − 1)/2 (Siarohin et al. 2019)."""
    if step == 1:
        return picture
    sigma = (step - 1) / 2
    radius = round(sigma * 4)
    offsets = torch.arange(-radius, radius + 1, dtype=picture.dtype, device=picture.device)
    line = torch.exp(-(offsets**2) / (2 * sigma**2))
    line = line / line.sum()
    channels = picture.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return F.conv2d(F.pad(picture, [radius] * 4), kernel, groups=channels)[:, :, ::step, ::step]


def charbonnier(difference: Tensor) -> Tensor:
    """sqrt(d² + ε²): the absolute value, smooth at zero (Charbonnier et al. 1994)."""
    return torch.sqrt(difference.square() + CHARBONNIER_EPSILON**2)


def gradient_magnitude(depth: Tensor) -> Tensor:
    """[B, 1, H, W] length of the forward differences, the last row's and column's being zero."""
    dx = F.pad(depth[..., :, 1:] - depth[..., :, :-1], (0, 1, 0, 0))
    dy = F.pad(depth[..., 1:, :] - depth[..., :-1, :], (0, 0, 0, 1))
    return torch.sqrt(dx.square() + dy.square() + 1e-12)


def laplacian(depth: Tensor) -> Tensor:
    """[B, 1, H, W] second differences along both axes, the border continued."""
    padded = F.pad(depth, (1, 1, 1, 1), mode="replicate")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return around - 4 * depth


def depth_structure(depth: Tensor, target: Tensor) -> Tensor:
    """Where the target has edges, the strongest gradient nearby should be as strong as the target's."""
    wanted = gradient_magnitude(target)
    edges = (wanted > EDGE).to(depth.dtype)
    difference = _strongest(gradient_magnitude(depth)) - _strongest(wanted)
    return (charbonnier(difference) * edges).mean()


def depth_smoothness(depth: Tensor, target: Tensor) -> Tensor:
    """Where the target has no edge, depth should have no curvature."""
    flat = (gradient_magnitude(target) <= EDGE).to(depth.dtype)
    return (charbonnier(laplacian(depth)) * flat).mean()


def flow_error(flow: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Charbonnier error of flow [B, H, W, 2] in pixels of a 256² picture, x and y added, averaged over each picture.

    `known` [B, H, W] ≥ 0 weighs the pixels: 0 where there is no truth, more where things move.
    """
    length = charbonnier(128.0 * (flow - target)).sum(dim=-1)
    of_picture = (length * known).sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp_min(1.0)
    return of_picture.mean()


def surface_error(depth: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Charbonnier error of depth [B, 1, H, W], averaged over each picture as in `flow_error`, and in its measure:
    pixels of a 256² close-up that are as long as the error is deep."""
    length = charbonnier(PIXELS_PER_DEPTH * (depth - target)[:, 0])
    of_picture = (length * known).sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp_min(1.0)
    return of_picture.mean()


def mask_error(logits: Tensor, shown: Tensor, on_avatar: Tensor) -> Tensor:
    """Binary cross entropy of the mask [B, H, W] against what the source shows [B, H, W] of each pixel.

    What it hides of the avatar (an opened mouth's inside) is rare and counts for more.
    """
    weight = 1.0 + HIDDEN_WEIGHT * on_avatar * (1.0 - shown)
    return F.binary_cross_entropy_with_logits(logits, shown, weight)


def code_error(code: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Mean squared error of motion codes [B, M], each unit counting by `importance` [M] (as far as it moves a face)."""
    return ((code - target).square() * importance).sum(dim=1).mean() / importance.sum()


def generator_loss(
    rgbd: GeneratedRgbd, target: Tensor, perceptual: nn.Module | None, weights: LossWeights
) -> dict[str, Tensor]:
    """The published first stage: weighted terms by name. `target` [B, 4, H, W]; perceptual None leaves it out."""
    rgb, depth = rgbd.rgb, rgbd.depth
    terms: dict[str, Tensor] = {}
    if perceptual is not None and weights.perceptual:
        terms["perceptual"] = weights.perceptual * perceptual(rgb, target[:, :3])
    if weights.color_l1:
        terms["color_l1"] = weights.color_l1 * (rgb - target[:, :3]).abs().mean()
    if target.shape[1] == 4:  # a 3-channel stage (colour-only clips) has no depth to learn from
        wanted = target[:, 3:]
        terms["depth_l1"] = DEPTH_L1 * weights.depth * (depth - wanted).abs().mean()
        terms["structure"] = STRUCTURE * weights.depth * depth_structure(depth, wanted)
        terms["smoothness"] = SMOOTHNESS * weights.depth * depth_smoothness(depth, wanted)
    return terms


def distill_loss(
    motion: GeneratedFlow, teacher: Tensor, perceptual: nn.Module | None, weights: LossWeights
) -> dict[str, Tensor]:
    """The published second stage: the student's pictures against the teacher's [B, 3, H, W], whole, and where the
    student does not inpaint."""
    assert motion.warped is not None
    assert motion.inpainted is not None
    pairs = {"inpainted": (motion.inpainted, teacher), "warped": (motion.warped * motion.mask, teacher * motion.mask)}
    terms: dict[str, Tensor] = {}
    for name, (picture, wanted) in pairs.items():
        if perceptual is not None and weights.perceptual:
            terms[f"perceptual_{name}"] = weights.perceptual * perceptual(picture, wanted)
        terms[f"l1_{name}"] = DISTILL_L1 * (picture - wanted).abs().mean()
    return terms


def _strongest(magnitude: Tensor) -> Tensor:
    return F.max_pool2d(magnitude, STRUCTURE_POOL, stride=1, padding=STRUCTURE_POOL // 2)
