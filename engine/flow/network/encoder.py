"""The encoder: a picture with depth becomes an appearance code, a motion code and features at six resolutions."""

import math
from itertools import pairwise

from torch import Tensor, nn

from engine.flow.network.config import NetworkConfig
from engine.flow.network.layers import EqualConv2d, EqualLinear, conv_layer


class ResidualBlock(nn.Module):
    """3x3 at full size, 3x3 to half size; the skip is a 1x1 to half size without bias or activation."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = conv_layer(c_in, c_in, 3)
        self.conv2 = conv_layer(c_in, c_out, 3, down=True)
        self.skip = conv_layer(c_in, c_out, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:  # [B, C_in, H, W] -> [B, C_out, H/2, W/2]
        y: Tensor = (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2.0)
        return y


class AppearanceEncoder(nn.Module):
    """RGBD [B, 4, N, N] -> h [B, S] and the features at 8, 16, ... N, coarse first."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = config.resolutions(from_size=4)[::-1]  # N, N/2, ... 4
        widths = [config.widths[s] for s in sizes]
        layers: list[nn.Module] = [conv_layer(config.input_channels, widths[0], 1)]
        layers += [ResidualBlock(c_in, c_out) for c_in, c_out in pairwise(widths)]
        layers.append(EqualConv2d(widths[-1], config.style_dim, 4))
        self.convs = nn.ModuleList(layers)

    def forward(self, rgbd: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        x = rgbd
        for conv in self.convs:
            x = conv(x)
            features.append(x)
        return x.flatten(1), features[-3::-1]  # neither h nor the 4x4 output is a feature


class Encoder(nn.Module):
    """Appearance and motion code. The motion layers have no activation between them: they are one linear map."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        style = config.style_dim
        self.net_app = AppearanceEncoder(config)
        self.fc = nn.Sequential(*[EqualLinear(style, style) for _ in range(4)], EqualLinear(style, config.motion_dim))

    def motion(self, rgbd: Tensor) -> Tensor:
        """Motion code alpha [B, M] of a picture."""
        alpha: Tensor = self.fc(self.net_app(rgbd)[0])
        return alpha

    def forward(self, rgbd: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(h [B, S], alpha [B, M], features coarse first)."""
        h, features = self.net_app(rgbd)
        return h, self.fc(h), features
