"""The published way, ported straight from its description: what the fast paths are measured against.

Source re-encoded for every frame, modulated weights built anew, filters over one channel at a time, QR in the loop,
colour heads and inpainting, and flow splatted pixel by pixel in Python.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.flow.network import layers
from engine.flow.network.layers import ModulatedConv2d
from engine.flow.network.network import FaceNetwork, NetworkOutput

if TYPE_CHECKING:
    from engine.flow.published.flow_tracking import FlowControllers


def stand_in_network(seed: int = 0) -> FaceNetwork:
    """The published sizes with seeded weights that give small flow, as a trained network would."""
    torch.manual_seed(seed)
    network = FaceNetwork()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "to_flows" in name and name.endswith("conv.weight"):
                value.mul_(0.02)
            elif name == "student_dec.style_conv.weight":
                value.mul_(0.1)
            elif name.endswith("bias") and "modulation" not in name:
                value.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


def upfirdn(x: Tensor, kernel: Tensor, pad: tuple[int, int], stride: int = 1) -> Tensor:
    """StyleGAN2's reference filter: every channel as a picture of its own."""
    batch, channels, height, width = x.shape
    padded = F.pad(x.reshape(-1, 1, height, width), (pad[0], pad[1], pad[0], pad[1]))
    y = F.conv2d(padded, torch.flip(kernel, [0, 1])[None, None])
    return y.view(batch, channels, *y.shape[-2:])[:, :, ::stride, ::stride]


def modulated_conv(self: ModulatedConv2d, x: Tensor, latent: Tensor) -> Tensor:
    """StyleGAN2's reference: one set of weights for each sample, grouped convolution."""
    batch, c_in, height, width = x.shape
    c_out, k = self.weight.shape[1], self.size
    style = self.modulation(latent).view(batch, 1, c_in, 1, 1)
    weight = self.scale * self.weight * style
    if self.demodulate:
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(batch, c_out, 1, 1, 1)
    x = x.reshape(1, batch * c_in, height, width)
    if self.upsample:
        turned = weight.transpose(1, 2).reshape(batch * c_in, c_out, k, k)
        y = F.conv_transpose2d(x, turned, stride=2, groups=batch)
        blurred: Tensor = self.blur(y.view(batch, c_out, *y.shape[-2:]))
        return blurred
    y = F.conv2d(x, weight.view(batch * c_out, c_in, k, k), padding=k // 2, groups=batch)
    return y.view(batch, c_out, *y.shape[-2:])


class PublishedFrame:
    """One live frame as released: source and driver encoded, pictures made, all of it."""

    def __init__(self, network: FaceNetwork, source: Tensor, start: Tensor) -> None:
        self._network, self._source = network, source
        with torch.no_grad():
            self._alpha_start = network.enc.motion(start)

    def __call__(self, driving: Tensor) -> NetworkOutput:
        with (
            patch.object(layers, "filter_2d", upfirdn),
            patch.object(ModulatedConv2d, "forward", modulated_conv),
            torch.no_grad(),
        ):
            return self._frame(driving)

    def _frame(self, driving: Tensor) -> NetworkOutput:
        network = self._network
        h, alpha_source, features = network.enc(self._source)
        latent = network.latent_code(h, alpha_source, network.enc.motion(driving), self._alpha_start)
        rgbd = network.dec(latent, features)
        return NetworkOutput(rgbd, network.student_dec(rgbd.flow_logits, latent, self._source[:, :3]))


def track_by_loops(
    controllers: FlowControllers, flow: NDArray[np.float32], depth: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Flow to controller displacement, pixel by pixel. flow [N, N, 2], depth [N, N] -> [K, 3], tracked [K]."""
    size = len(flow)
    landed: dict[tuple[int, int], list[tuple[float, int, int]]] = defaultdict(list)
    pixels = (flow + 1) / 2 * size
    for row in range(size):
        for column in range(size):
            x, y = pixels[row, column]
            left, top = math.floor(x), math.floor(y)
            for dy in (0, 1):
                for dx in (0, 1):
                    weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
                    if weight > 0 and 0 <= left + dx < size and 0 <= top + dy < size:
                        landed[left + dx, top + dy].append((weight, column, row))
    clipped = np.clip(depth, -1, 1)
    levels = np.floor((clipped - clipped.min()) / (clipped.max() - clipped.min()) * np.float32(65535)) / 65535
    near, far = controllers.depth_range
    levels = levels.astype(np.float64) * (far - near) + near
    return _moved(controllers, landed, levels, size)


def _moved(
    controllers: FlowControllers,
    landed: dict[tuple[int, int], list[tuple[float, int, int]]],
    levels: NDArray[np.float64],
    size: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    count = len(controllers.depth)
    displacement, tracked, jump = np.zeros((count, 3)), np.zeros(count, bool), np.zeros(count)
    for k, (column, row) in enumerate(controllers.pixels):
        hits = landed.get((int(column), int(row)))
        if not hits:
            continue
        total = sum(weight for weight, _, _ in hits)
        x, y = sum(w * c for w, c, _ in hits) / total, sum(w * r for w, _, r in hits) / total
        new_depth = levels[int(y), int(x)]
        tracked[k] = 0 < int(x) < size - 1 and 0 < int(y) < size - 1
        jump[k] = abs(new_depth - levels[row, column])
        moved, rest = (
            _unproject(controllers, x, y, new_depth),
            _unproject(controllers, column, row, controllers.depth[k]),
        )
        displacement[k] = (moved - rest) @ controllers.T_camera_world[:3, :3]
    tracked &= jump <= jump[tracked].mean() + 2 * jump[tracked].std()
    displacement[~tracked] = 0
    return displacement, tracked


def _unproject(controllers: FlowControllers, x: float, y: float, depth: float) -> NDArray[np.float64]:
    camera = controllers.intrinsics
    ndc_x, ndc_y = 1 - 2 * x / (camera.width - 1), 1 - 2 * y / (camera.width - 1)
    return np.array([(camera.cx - ndc_x) / camera.fx * depth, (camera.cy - ndc_y) / camera.fy * depth, depth])


def blend_and_smooth(
    weights: NDArray[np.float32],
    index: NDArray[np.int64],
    smoothing: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    displacement: NDArray[np.float64],
    tracked: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Dense gathers over [V, k, 3], five rounds. -> [V, 3]."""
    weight = weights * tracked[index]
    total = weight.sum(axis=1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    delta = (weight[:, :, None] * displacement[index]).sum(axis=1)
    for _ in range(5):
        delta = 0.6 * (smoothing[:, :, None] * delta[neighbours]).sum(axis=1) + 0.4 * delta
    return np.asarray(delta, np.float64)
