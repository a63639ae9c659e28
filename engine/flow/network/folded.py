"""Parts of the live graph: each of the network's layers with all that is constant folded into its weights.

Tensors that differ per frame keep rank four, [1, C, 1, 1] for a style: compilers then keep channels-last memory.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.flow.network.encoder import ResidualBlock
from engine.flow.network.generator import DepthMotion, FlowHead, PictureHead
from engine.flow.network.layers import (
    ACTIVATION_GAIN,
    NEGATIVE_SLOPE,
    EqualConv2d,
    EqualLinear,
    FusedLeakyReLU,
    ModulatedConv2d,
    StyledConv,
    filter_2d,
    fir_kernel,
    identity_grid,
    orthonormal_basis,
    sample,
)
from engine.flow.network.network import FaceNetwork

_EPSILON = 1e-8 / ACTIVATION_GAIN**2  # StyleGAN2's, in the scale of the folded gain


def upsample(x: Tensor) -> Tensor:
    """`layers.Upsample` as a bilinear resize: the taps are the same, only outside counts as zero."""
    padded = F.pad(x, (1, 1, 1, 1))
    return F.interpolate(padded, scale_factor=2.0, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]


class LiveConv(nn.Module):
    """Weights and bias with every scale folded in, followed by leaky ReLU."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.clone(memory_format=torch.contiguous_format))
        self.register_buffer("bias", bias.reshape(-1).clone())

    @staticmethod
    def of(layer: nn.Sequential, gain: float = ACTIVATION_GAIN) -> "LiveConv":
        """The last two of a conv layer: equalised convolution and activation."""
        conv, activation = cast(EqualConv2d, layer[-2]), cast(FusedLeakyReLU, layer[-1])
        return LiveConv(conv.weight * conv.scale * gain, activation.bias * gain)

    def forward(self, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return F.leaky_relu(F.conv2d(x, self.weight, self.bias, stride=stride, padding=padding), NEGATIVE_SLOPE)


class LiveBlock(nn.Module):
    """The encoder's residual block. The sum's 1/sqrt(2) cancels the activation's gain and moves into the skip."""

    skip: Tensor
    kernel: Tensor

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.conv1 = LiveConv.of(block.conv1)
        self.conv2 = LiveConv.of(block.conv2, gain=1.0)
        skip = cast(EqualConv2d, block.skip[1])
        self.register_buffer("skip", skip.weight * (skip.scale / math.sqrt(2.0)))
        self.register_buffer("kernel", fir_kernel())

    def forward(self, x: Tensor) -> Tensor:  # [1, C_in, H, W] -> [1, C_out, H/2, W/2]
        full = filter_2d(self.conv1(x, padding=1), self.kernel, (2, 2))
        y: Tensor = self.conv2(full, stride=2)
        return y + F.conv2d(filter_2d(x, self.kernel, (1, 1), stride=2), self.skip)


class LiveEncoder(nn.Module):
    """Driving picture [1, 4, N, N] -> motion code [1, M]."""

    to_alpha: Tensor
    alpha_bias: Tensor

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        convs = list(network.enc.net_app.convs)
        self.stem = LiveConv.of(cast(nn.Sequential, convs[0]))
        self.blocks = nn.ModuleList([LiveBlock(cast(ResidualBlock, block)) for block in convs[1:-1]])
        last = cast(EqualConv2d, convs[-1])
        matrix, bias = _folded_linear([cast(EqualLinear, layer) for layer in network.enc.fc])
        folded = matrix @ (last.weight * last.scale).flatten(1).double()
        self.register_buffer("to_alpha", folded.float())  # [M, C * 16]
        self.register_buffer("alpha_bias", bias.float())

    def forward(self, driving: Tensor) -> Tensor:
        x = self.stem(driving)
        for block in self.blocks:
            x = block(x)
        return F.linear(x.flatten(1), self.to_alpha, self.alpha_bias)


class LiveStyledConv(nn.Module):
    """Static weights; scaled by the style before and by the demodulation after. `energy` @ style² demodulates."""

    weight: Tensor
    energy: Tensor
    bias: Tensor
    kernel: Tensor

    def __init__(self, conv: StyledConv) -> None:
        super().__init__()
        weight = conv.conv.weight[0] * conv.conv.scale
        self.upsamples = conv.conv.upsample
        stored = weight.transpose(0, 1) if self.upsamples else weight  # [C_in, C_out, 3, 3] for the transposed kind
        self.register_buffer("weight", stored.clone(memory_format=torch.contiguous_format))
        self.register_buffer("energy", weight.square().sum((2, 3)) / ACTIVATION_GAIN**2)
        self.register_buffer("bias", conv.activate.bias * ACTIVATION_GAIN)
        self.register_buffer("kernel", fir_kernel(4.0))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:  # [1, C_in, H, W], [1, C_in, 1, 1]
        x = x * style
        if self.upsamples:
            x = F.conv_transpose2d(x, self.weight, stride=2)
            x = filter_2d(x, self.kernel, (1, 1))
        else:
            x = F.conv2d(x, self.weight, padding=1)
        return self.activate(x, style)

    def activate(self, x: Tensor, style: Tensor) -> Tensor:
        """Demodulation, bias and leaky ReLU."""
        demodulation = torch.rsqrt(F.linear(style.square().flatten(1), self.energy) + _EPSILON)
        return F.leaky_relu(x * demodulation[:, :, None, None] + self.bias, NEGATIVE_SLOPE)


class LiveHeads(nn.Module):
    """Flow and depth at one resolution, and the blended activation for the next (None at the last)."""

    feature: Tensor
    grid: Tensor
    flow_weight: Tensor
    flow_bias: Tensor
    motion_weight: Tensor
    motion_bias: Tensor
    depth_weight: Tensor
    depth_feature: Tensor
    depth_mix: Tensor
    depth_bias: Tensor
    depth_offset: Tensor

    def __init__(self, network: FaceNetwork, level: int, feature: Tensor, *, last: bool) -> None:
        super().__init__()
        dec = network.dec
        flow = cast(FlowHead, dec.to_flows[level])
        motion = cast(DepthMotion, dec.motion_in_depths[level])
        depth = cast(PictureHead, dec.to_depths[level])
        conv, activation = cast(EqualConv2d, depth.conv[0]), cast(FusedLeakyReLU, depth.conv[1])
        depth_weight = conv.weight[:, :, 0, 0] * (conv.scale * ACTIVATION_GAIN)  # [1, C]
        basis = orthonormal_basis(motion.motion_dictionary)
        self.last = last
        self.register_buffer("feature", feature.clone())  # [1, C, H, W]
        self.register_buffer("grid", identity_grid(feature.shape[-1]))
        self.register_buffer("flow_weight", _head_weight(flow.conv))
        self.register_buffer("flow_bias", flow.bias.clone())
        self.register_buffer("motion_weight", _head_weight(motion.conv))
        self.register_buffer("motion_bias", motion.bias.clone())
        self.register_buffer("depth_weight", depth_weight.clone())
        self.register_buffer("depth_feature", torch.einsum("oc,bchw->bohw", depth_weight, feature))
        self.register_buffer("depth_mix", depth_weight @ basis)  # [1, D]
        self.register_buffer("depth_bias", activation.bias * ACTIVATION_GAIN)
        self.register_buffer("depth_offset", depth.bias.clone())

    def forward(
        self, x: Tensor, flow_style: Tensor, motion_style: Tensor, previous: tuple[Tensor, Tensor, Tensor] | None
    ) -> tuple[Tensor | None, tuple[Tensor, Tensor, Tensor]]:
        """x [1, C, H, W] -> (blended, (flow logits [1, 3, ..], depth motion logits [1, D, ..], depth [1, 1, ..]))."""
        flow_weight, motion_weight = (
            self.flow_weight * flow_style.flatten(1),
            self.motion_weight * motion_style.flatten(1),
        )
        if self.last:  # the widest picture is read once
            both = _project(x, torch.cat((flow_weight, motion_weight)))
            flow, moved = torch.tensor_split(both, (len(flow_weight),), dim=1)
        else:
            flow = _project(x, flow_weight)
        flow = flow + self.flow_bias
        if previous is not None:
            flow = flow + upsample(previous[0])
        grid = self.grid[None] + torch.tanh(flow[:, :2]).permute(0, 2, 3, 1)
        mask = torch.sigmoid(flow[:, 2:])
        blended: Tensor | None = None
        if self.last:
            shown = torch.cat((_project(self.feature, motion_weight), self.depth_feature), dim=1)
            shown = sample(shown, grid) * mask  # a linear head commutes with warping: 6 channels instead of 64
            motion = shown[:, :-1] + moved * (1.0 - mask)
            depth = shown[:, -1:]
        else:
            warped = sample(self.feature, grid) * mask
            blended = warped + x * (1.0 - mask)
            motion = _project(blended, motion_weight)
            depth = _project(warped, self.depth_weight)
        motion = motion + self.motion_bias
        if previous is not None:
            motion = motion + upsample(previous[1])
        depth = depth + _project(torch.softmax(motion, dim=1), self.depth_mix) + self.depth_bias
        depth = F.leaky_relu(depth, NEGATIVE_SLOPE) + self.depth_offset
        if previous is not None:
            depth = depth + upsample(previous[2])
        return blended, (flow, motion, depth)


class LiveStudent(nn.Module):
    """The flow generator without its pictures: 3x3 modulated convolution on the last flow logits.

    Networks without head motion also tell where the source shows what a pixel looks for (`MotionNetwork`).
    """

    weight: Tensor
    bias: Tensor
    grid: Tensor

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        conv = network.student_dec.style_conv
        used = 2 if network.config.head_motion else 3
        self.register_buffer("weight", (conv.weight[0, :used] * conv.scale).clone())
        self.register_buffer("bias", network.student_dec.bias[0].flatten()[:used].clone())
        self.register_buffer("grid", identity_grid(network.config.image_size))

    def forward(self, logits: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 3, N, N] -> flow [N, N, 2] and mask [1, 0 or 1, N, N]."""
        out = F.conv2d(logits * style, self.weight, self.bias, padding=1)
        return self.grid + torch.tanh(out[:, :2])[0].permute(1, 2, 0), torch.sigmoid(out[:, 2:])


def _head_weight(conv: ModulatedConv2d) -> Tensor:
    return (conv.weight[0, :, :, 0, 0] * conv.scale).clone()  # [n, C]


def _project(x: Tensor, weight: Tensor) -> Tensor:
    """1x1 convolution with weights that may change every frame: x [1, C, H, W], weight [n, C] -> [1, n, H, W]."""
    projected: Tensor = torch.matmul(weight, x.flatten(2)).unflatten(2, x.shape[2:])
    return projected


def _folded_linear(layers: list[EqualLinear]) -> tuple[Tensor, Tensor]:
    """One matrix [M, S] and bias [M] (float64) for a chain of linear layers."""
    matrix = torch.eye(layers[0].weight.shape[1], dtype=torch.float64)
    bias = torch.zeros(layers[0].weight.shape[1], dtype=torch.float64)
    for layer in layers:
        weight = layer.weight.double() * layer.scale
        matrix, bias = weight @ matrix, weight @ bias + layer.bias.double()
    return matrix, bias
