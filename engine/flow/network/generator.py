"""The RGBD generator, the teacher: source features and a latent code become colour, depth and flow logits."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.flow.network.config import NetworkConfig
from engine.flow.network.layers import (
    ModulatedConv2d,
    StyledConv,
    Upsample,
    conv_layer,
    identity_grid,
    orthonormal_basis,
    sample,
)


class Direction(nn.Module):
    """The motion dictionary: D(alpha) = alpha @ Q^T with orthonormal directions Q."""

    def __init__(self, style_dim: int, motion_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(style_dim, motion_dim))

    def basis(self) -> Tensor:  # [S, M]
        return orthonormal_basis(self.weight)

    def forward(self, alpha: Tensor) -> Tensor:  # [B, M] -> [B, S]
        return alpha @ self.basis().T


class ConstantInput(nn.Module):
    """The learned 4x4 picture every generation starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch: int) -> Tensor:
        return self.input.expand(batch, -1, -1, -1)


class FlowHead(nn.Module):
    """Flow and mask at one resolution, refined from the coarser one; warps the source feature and blends it in."""

    def __init__(self, channels: int, style_dim: int, *, refines: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.conv = ModulatedConv2d(channels, 3, 1, style_dim, demodulate=False)
        self.upsample = Upsample()
        self.refines = refines

    def forward(
        self, x: Tensor, latent: Tensor, feature: Tensor, previous: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(warped feature, blended activation, logits [B, 3, H, W], mask [B, 1, H, W])."""
        logits = self.conv(x, latent) + self.bias
        if previous is not None:
            logits = logits + self.upsample(previous)
        offset, mask = torch.tanh(logits[:, :2]), torch.sigmoid(logits[:, 2:])
        grid = identity_grid(x.shape[-1], x.device) + offset.permute(0, 2, 3, 1)
        warped = sample(feature, grid) * mask
        return warped, warped + x * (1.0 - mask), logits, mask


class PictureHead(nn.Module):
    """1x1 conv layer on the warped feature + bias + upsampled coarser picture: colour or depth."""

    def __init__(self, channels: int, c_out: int, *, refines: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, c_out, 1, 1))
        if refines:
            self.upsample = Upsample()
        self.conv = conv_layer(channels, c_out, 1)

    def forward(self, x: Tensor, previous: Tensor | None) -> Tensor:
        y: Tensor = self.conv(x) + self.bias
        return y if previous is None else y + self.upsample(previous)


class DepthMotion(nn.Module):
    """How the blended activation moves depth: a convex mix of learned orthonormal directions for each pixel."""

    def __init__(self, channels: int, directions: int, style_dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, directions, 1, 1))
        self.motion_dictionary = nn.Parameter(torch.randn(channels, directions))
        self.upsample = Upsample()
        self.conv = ModulatedConv2d(channels, directions, 1, style_dim, demodulate=False)

    def forward(self, x: Tensor, latent: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        """(correction [B, C, H, W], logits [B, D, H, W])."""
        logits = self.conv(x, latent) + self.bias
        if previous is not None:
            logits = logits + self.upsample(previous)
        basis = orthonormal_basis(self.motion_dictionary)  # [C, D]
        return torch.einsum("cd,bdhw->bchw", basis, torch.softmax(logits, dim=1)), logits


@dataclass
class GeneratedRgbd:
    """rgb [B, 3, N, N] and depth [B, 1, N, N] in [-1, 1]; the last flow logits [B, 3, N, N]; the latent [B, S]."""

    rgb: Tensor
    depth: Tensor
    flow_logits: Tensor
    latent: Tensor


class Generator(nn.Module):
    """The RGBD generator. `latent` already holds source appearance and relative motion (see `network.latent_code`)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        style, width = config.style_dim, config.widths
        self.direction = Direction(style, config.motion_dim)
        self.input = ConstantInput(width[4])
        self.conv1 = StyledConv(width[4], width[4], style)
        self.to_rgb1 = PictureHead(width[4], config.input_channels, refines=False)  # in the checkpoint, never used
        self.convs = nn.ModuleList()
        self.to_rgbs, self.to_flows = nn.ModuleList(), nn.ModuleList()
        self.to_depths, self.motion_in_depths = nn.ModuleList(), nn.ModuleList()
        for size in config.resolutions():
            channels = width[size]
            self.convs.append(StyledConv(width[size // 2], channels, style, upsample=True))
            self.convs.append(StyledConv(channels, channels, style))
            self.to_rgbs.append(PictureHead(channels, 3, refines=True))
            self.to_flows.append(FlowHead(channels, style, refines=size > 8))
            self.to_depths.append(PictureHead(channels, 1, refines=True))
            self.motion_in_depths.append(DepthMotion(channels, config.depth_motion_dim, style))

    def forward(self, latent: Tensor, features: list[Tensor]) -> GeneratedRgbd:
        """latent [B, S], source features coarse first."""
        x = self.conv1(self.input(latent.shape[0]), latent)
        rgb = depth = flow = depth_motion = None
        for level, feature in enumerate(features):
            x = self.convs[2 * level + 1](self.convs[2 * level](x, latent), latent)
            warped, x, flow, _ = self.to_flows[level](x, latent, feature, flow)
            rgb = self.to_rgbs[level](warped, rgb)
            correction, depth_motion = self.motion_in_depths[level](x, latent, depth_motion)
            depth = self.to_depths[level](warped + correction, depth)
        assert rgb is not None
        assert depth is not None
        assert flow is not None
        return GeneratedRgbd(rgb, depth, flow, latent)
