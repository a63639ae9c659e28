"""The live graph: what remains of the network per frame once avatar and weights are fixed.

    driving picture ─▶ encoder ─▶ motion code ─▶ styles ─▶ generator ─▶ backward flow and depth

Everything else is worked out here, once: source features, the source's latent code, both QR bases, the motion head's
linear layers (folded with the encoder's last convolution), every style (affine in the motion code), the first styled
convolution (a constant picture times a style, so affine too), all equalised-learning-rate scales and activation gains
(leaky ReLU is positively homogeneous, so they move into the weights). Colour heads and inpainting are left out. The
last and largest blend is never formed: the depth head is linear in it, so only its few logits are warped.

The driver's neutral enters as `alpha_offset`, a handful of numbers, so that taking a new neutral recompiles nothing.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.flow.network.appearance import Appearance
from engine.flow.network.config import NetworkConfig
from engine.flow.network.folded import LiveEncoder, LiveHeads, LiveStudent, LiveStyledConv
from engine.flow.network.generator import DepthMotion, FlowHead
from engine.flow.network.layers import EqualLinear, StyledConv
from engine.flow.network.network import FaceNetwork


class MotionNetwork(nn.Module):
    """Driving crop [1, 4, N, N] and alpha_offset [1, M] -> flow [N, N, 2], depth [N, N], alpha [1, M].

    Networks without head motion (`NetworkConfig.head_motion`) add mask [N, N], near 1 where the source shows what the
    pixel looks for and near 0 where it is hidden there, such as the inside of an opened mouth.

    `alpha_offset` is `alpha_source - alpha_start` (`source_alpha` minus the neutral's own code, see `neutral_offset`).
    Static shapes, no control flow on data: `torch.export` takes it whole.

    `coded`: the driving picture is not looked at, and the motion code is `source_alpha + alpha_offset`; somebody else
    names what the driver does.
    """

    source_alpha: Tensor
    home: Tensor
    style_matrix: Tensor
    style_bias: Tensor
    first_matrix: Tensor
    first_bias: Tensor

    def __init__(
        self, network: FaceNetwork, source: Tensor, appearance: Appearance | None = None, *, coded: bool = False
    ) -> None:
        """`source` [1, 4, N, N]: the avatar's picture and depth in [-1, 1], N being `config.picture_size`;
        `appearance`: of the avatars of the training, to which the source's is brought back."""
        super().__init__()
        self.config: NetworkConfig = network.config
        self.pixel_scale = network.config.pixel_scale
        dec = network.dec
        with torch.no_grad():
            h, alpha, features = network.enc(shrunk(source, self.pixel_scale))
            if appearance is not None:
                h = appearance.brought_back(h)
                alpha = network.enc.fc(h)
            last = len(features) - 1
            self.encoder = None if coded else LiveEncoder(network)
            self.first = LiveStyledConv(dec.conv1)
            self.convs = nn.ModuleList([LiveStyledConv(cast(StyledConv, conv)) for conv in dec.convs])
            self.heads = nn.ModuleList([LiveHeads(network, i, f, last=i == last) for i, f in enumerate(features)])
            self.student = LiveStudent(network)
            modulations = _modulations(network)
            # All styles as one affine map of the motion code.
            weight = torch.cat([m.weight * m.scale for m in modulations]).double()
            matrix = (weight @ dec.direction.basis().double()).float()
            bias = (weight @ h[0].double() + torch.cat([m.bias for m in modulations]).double()).float()
            self.style_widths = [len(m.bias) for m in modulations]
            self.register_buffer("source_alpha", alpha.clone())
            self.register_buffer("home", pixel_grid(self.config.picture_size) if self.pixel_scale > 1 else None)
            self.register_buffer("style_matrix", matrix)  # [sum C, M]
            self.register_buffer("style_bias", bias)
            first = self.style_widths[0]
            # The first convolution sees constant * style, and the style is affine in alpha: so is its result.
            affine = torch.cat((bias[None, :first], matrix[:first].T))
            directions = affine[:, :, None, None] * dec.input.input  # [1 + M, C, 4, 4]
            response = F.conv2d(directions.double(), self.first.weight.double(), padding=1).float()
            self.register_buffer("first_bias", response[:1].clone())
            self.register_buffer("first_matrix", response[1:].flatten(1).T.clone())  # [C * 16, M]
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def neutral_offset(self, alpha_start: Tensor) -> Tensor:
        """[1, M] what to add to a driving code so that the driver's neutral [1, M] shows the source as it is."""
        return self.source_alpha - alpha_start

    def forward(self, driving: Tensor, alpha_offset: Tensor) -> tuple[Tensor, ...]:
        alpha = self.source_alpha if self.encoder is None else self.encoder(shrunk(driving, self.pixel_scale))
        code = alpha + alpha_offset
        stacked = F.linear(code, self.style_matrix, self.style_bias)[:, :, None, None]
        styles = list(torch.split(stacked, self.style_widths, dim=1))  # each [1, C, 1, 1]
        heads = styles[1 + len(self.convs) :]
        x = F.linear(code, self.first_matrix).reshape(self.first_bias.shape) + self.first_bias
        x = self.first.activate(x, styles[0])
        previous: tuple[Tensor, Tensor, Tensor] | None = None
        for level, head in enumerate(self.heads):
            x = self.convs[2 * level](x, styles[1 + 2 * level])
            x = self.convs[2 * level + 1](x, styles[2 + 2 * level])
            x, previous = head(x, heads[2 * level], heads[2 * level + 1], previous)
        assert previous is not None
        (flow, mask), depth = self.student(previous[0], styles[-1]), previous[2]
        if self.pixel_scale > 1:
            flow, depth, mask = self._enlarged(flow, depth, mask)
        return (flow, depth[0, 0], alpha) if self.config.head_motion else (flow, depth[0, 0], alpha, mask[0, 0])

    def _enlarged(self, flow: Tensor, depth: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The way each pixel looks stays as long, and ends where `flow_tracking` counts from: no way at all is home."""
        offset = (flow - self.student.grid).permute(2, 0, 1)[None]
        every = torch.cat((offset, depth, mask), dim=1)
        large = F.interpolate(every, scale_factor=float(self.pixel_scale), mode="bilinear", align_corners=False)
        return self.home + large[0, :2].permute(1, 2, 0), large[:, 2:3], large[:, 3:]


def shrunk(picture: Tensor, factor: int) -> Tensor:
    """[B, C, N, N] with blocks of `factor` pixels averaged."""
    return picture if factor == 1 else F.avg_pool2d(picture, factor)


def pixel_grid(size: int) -> Tensor:
    """[size, size, 2] x first: 2·index/size − 1, where `flow_tracking` finds the pixel of that index."""
    line = torch.arange(size) * (2.0 / size) - 1.0
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((columns, rows), dim=-1)


def sample_inputs(config: NetworkConfig, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A smooth driving picture and an offset: what backends are compiled for and proven on.

    Codes of this project's networks are weights of units, few of them large; others' are any numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, config.input_channels, 8, 8, generator=generator)
    size = (config.picture_size, config.picture_size)
    driving = F.interpolate(coarse, size=size, mode="bilinear", align_corners=True).clamp(-1, 1)
    if config.head_motion:
        return driving, torch.randn(1, config.motion_dim, generator=generator)
    return driving, torch.rand(1, config.motion_dim, generator=generator) ** 4


def _modulations(network: FaceNetwork) -> list[EqualLinear]:
    """Every style layer, in the order the live graph uses them: convolutions, heads by level, student."""
    dec = network.dec
    layers = [dec.conv1.conv.modulation] + [cast(StyledConv, conv).conv.modulation for conv in dec.convs]
    for flow, motion in zip(dec.to_flows, dec.motion_in_depths, strict=True):
        layers += [cast(FlowHead, flow).conv.modulation, cast(DepthMotion, motion).conv.modulation]
    return [*layers, network.student_dec.style_conv.modulation]
