"""Building blocks in the manner of StyleGAN2 (Karras et al. 2020), with the published checkpoint's parameter names.

Modulated convolutions scale their input by the style and their output by the demodulation instead of building one
weight per sample; that is the same arithmetic in another order, and keeps the weights static for compilers.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATION_GAIN = math.sqrt(2.0)
NEGATIVE_SLOPE = 0.2
_FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_kernel(gain: float = 1.0) -> Tensor:
    """[4, 4] outer product of (1, 3, 3, 1), its sum equal to `gain`."""
    taps = torch.tensor(_FIR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def filter_2d(x: Tensor, kernel: Tensor, pad: tuple[int, int], stride: int = 1) -> Tensor:
    """Filter every channel of x [B, C, H, W] by kernel [k, k] (symmetric), padded alike in both axes."""
    channels = x.shape[1]
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    return F.conv2d(x, kernel.expand(channels, 1, -1, -1), stride=stride, groups=channels)


class Blur(nn.Module):
    """Low-pass filter around a resampling convolution."""

    kernel: Tensor

    def __init__(self, pad: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__()
        self.pad, self.gain = pad, gain
        self.register_buffer("kernel", fir_kernel(gain))

    def forward(self, x: Tensor) -> Tensor:
        return filter_2d(x, self.kernel, self.pad)


class Upsample(nn.Module):
    """Twice the size: zeros between the pixels, then the low-pass filter at four times the gain."""

    kernel: Tensor
    gain = 4.0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(self.gain))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W] -> [B, C, 2H, 2W]
        batch, channels, height, width = x.shape
        spread = F.pad(x.reshape(batch, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
        return filter_2d(spread.reshape(batch, channels, 2 * height, 2 * width), self.kernel, (2, 1))


class Downsample(nn.Module):
    """Half the size: low-pass filter, every second pixel kept."""

    kernel: Tensor
    gain = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(self.gain))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W] -> [B, C, H/2, W/2]
        return filter_2d(x, self.kernel, (1, 1), stride=2)


class FusedLeakyReLU(nn.Module):
    """Bias, leaky ReLU and the gain that keeps the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias, NEGATIVE_SLOPE) * ACTIVATION_GAIN


class EqualConv2d(nn.Module):
    """Convolution with weights stored as N(0, 1) and scaled by 1/sqrt(fan-in) when used (equalised learning rate)."""

    def __init__(self, c_in: int, c_out: int, size: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, size, size))
        self.scale = 1.0 / math.sqrt(c_in * size * size)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class EqualLinear(nn.Module):
    """Linear layer with the equalised learning rate."""

    def __init__(self, c_in: int, c_out: int, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in))
        self.bias = nn.Parameter(torch.full((c_out,), bias_init))
        self.scale = 1.0 / math.sqrt(c_in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


def downsample_padding(size: int) -> tuple[int, int]:
    """Padding of the blur before a stride-2 convolution of `size`, as StyleGAN2 has it for its four-tap filter."""
    p = (len(_FIR_TAPS) - 2) + (size - 1)
    return (p + 1) // 2, p // 2


def conv_layer(c_in: int, c_out: int, size: int, *, down: bool = False, activate: bool = True) -> nn.Sequential:
    """[blur, if downsampling] + equalised convolution + fused leaky ReLU (all biases are the activation's)."""
    layers: list[nn.Module] = [Blur(downsample_padding(size))] if down else []
    layers.append(EqualConv2d(c_in, c_out, size, stride=2 if down else 1, padding=0 if down else size // 2))
    if activate:
        layers.append(FusedLeakyReLU(c_out))
    return nn.Sequential(*layers)


class ModulatedConv2d(nn.Module):
    """Convolution whose weights a style scales per input channel, optionally renormalised per output channel."""

    def __init__(
        self, c_in: int, c_out: int, size: int, style_dim: int, *, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, c_out, c_in, size, size))
        self.modulation = EqualLinear(style_dim, c_in, bias_init=1.0)
        self.scale = 1.0 / math.sqrt(c_in * size * size)
        self.size, self.demodulate, self.upsample = size, demodulate, upsample
        if upsample:
            self.blur = Blur((1, 1), gain=4.0)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:  # [B, C_in, H, W], [B, S] -> [B, C_out, H', W']
        y: Tensor
        style = self.modulation(latent)  # [B, C_in]
        weight = self.weight[0] * self.scale
        x = x * style[:, :, None, None]
        if self.upsample:
            y = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        else:
            y = F.conv2d(x, weight, padding=self.size // 2)
        if self.demodulate:
            energy = F.linear(style.square(), weight.square().sum((2, 3)))  # [B, C_out]
            y = y * torch.rsqrt(energy + 1e-8)[:, :, None, None]
        return y


class Noise(nn.Module):
    """Holds the published noise strength. No noise is ever passed, so it leaves its input as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x


class StyledConv(nn.Module):
    """3x3 modulated convolution and activation, doubling the size when `upsample`."""

    def __init__(self, c_in: int, c_out: int, style_dim: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(c_in, c_out, 3, style_dim, upsample=upsample)
        self.noise = Noise()
        self.activate = FusedLeakyReLU(c_out)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y: Tensor = self.activate(self.noise(self.conv(x, latent)))
        return y


def orthonormal_basis(dictionary: Tensor) -> Tensor:
    """[C, n] orthonormal columns spanning a motion dictionary, by QR of `dictionary + 1e-8` as published."""
    basis: Tensor = torch.linalg.qr(dictionary + 1e-8)[0]
    return basis


def identity_grid(size: int, device: torch.device | None = None) -> Tensor:
    """[size, size, 2] x first, from -1 at the first to 1 at the last pixel's centre, as published."""
    line = torch.linspace(-1.0, 1.0, size, device=device)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((columns, rows), dim=-1)


def sample(picture: Tensor, grid: Tensor) -> Tensor:
    """Bilinear look-up of picture [B, C, H, W] at grid [B, h, w, 2] in [-1, 1], zero outside."""
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
