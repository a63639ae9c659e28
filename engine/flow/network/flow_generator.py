"""The flow generator, the distilled student: dense backward flow from the teacher's last flow logits.

Only the flow drives a mesh. The warped and inpainted pictures are what it is trained on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.flow.network.config import NetworkConfig
from engine.flow.network.layers import Downsample, ModulatedConv2d, Upsample, conv_layer, identity_grid, sample


class NormalisedResidualBlock(nn.Module):
    """Convolution, batch norm, ReLU, convolution, batch norm, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return x + residual


@dataclass
class GeneratedFlow:
    """flow [B, N, N, 2] in [-1, 1] (x first): where in the source each output pixel looks. mask, warped, inpainted
    pictures [B, 1 or 3, N, N]; the last two are None when only motion was asked for."""

    flow: Tensor
    mask: Tensor
    warped: Tensor | None = None
    inpainted: Tensor | None = None


class FlowGenerator(nn.Module):
    """Backward flow, and for training the source picture warped by it and inpainted where it has nothing to show."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        full, half, quarter = config.inpaint_widths
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.bias2 = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.style_conv = ModulatedConv2d(3, 3, 3, config.style_dim, demodulate=False)
        self.first = conv_layer(3, full, 7)
        self.down_blocks = nn.ModuleList(
            [conv_layer(full, half, 3, down=True), conv_layer(half, quarter, 3, down=True)]
        )
        self.down_mask = nn.Sequential(Downsample(), Downsample())
        self.res_blocks = nn.ModuleList([NormalisedResidualBlock(quarter) for _ in range(config.inpaint_blocks)])
        self.up_blocks = nn.ModuleList(
            [nn.Sequential(conv_layer(c_in, c_out, 3), Upsample()) for c_in, c_out in ((quarter, half), (half, full))]
        )
        self.final = conv_layer(full, 3, 7)

    def motion(self, flow_logits: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(flow [B, N, N, 2], mask [B, 1, N, N]) from the teacher's last flow logits [B, 3, N, N]."""
        logits = self.style_conv(flow_logits, latent) + self.bias
        offset, mask = torch.tanh(logits[:, :2]), torch.sigmoid(logits[:, 2:])
        return identity_grid(logits.shape[-1], logits.device) + offset.permute(0, 2, 3, 1), mask

    def forward(self, flow_logits: Tensor, latent: Tensor, source_rgb: Tensor) -> GeneratedFlow:
        flow, mask = self.motion(flow_logits, latent)
        warped = sample(source_rgb, flow)
        x = self.first(warped)
        for block in self.down_blocks:
            x = block(x)
        x = x * (1.0 - torch.sigmoid(self.down_mask(mask)))
        for block in self.res_blocks:
            x = block(x)
        for block in self.up_blocks:
            x = block(x)
        return GeneratedFlow(flow, mask, warped, warped * mask + self.final(x) + self.bias2)
