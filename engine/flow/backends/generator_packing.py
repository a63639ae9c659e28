"""The weights of this project's own live graphs in the order `generator_kernels.c` reads them."""

from itertools import accumulate
from typing import cast

import numpy as np
from torch import Tensor

from engine.flow.backends.native_generator import LANES, MOST_SIZE, MOST_WIDTH, UP_TAPS, Array, PackedGenerator
from engine.flow.backends.native_motion import aligned_copy
from engine.flow.backends.native_packing import WINOGRAD_G
from engine.flow.network.config import NetworkConfig
from engine.flow.network.folded import LiveBlock, LiveEncoder, LiveHeads, LiveStyledConv
from engine.flow.network.motion_network import MotionNetwork


def refusal(config: NetworkConfig) -> str | None:
    """Why the kernels cannot run a network of these sizes, in a few words, or None."""
    widths = [config.widths[size] for size in config.resolutions(from_size=4)]
    if config.head_motion or config.input_channels != 4:
        return "expected a network without head motion that sees colour and depth"
    if config.depth_motion_dim != 5 or config.pixel_scale not in (1, 2):
        return "expected 5 depth directions and a pixel scale of 1 or 2"
    if config.image_size > MOST_SIZE or any(width % LANES or width > MOST_WIDTH for width in widths):
        return f"expected at most {MOST_SIZE} pixels and channels divisible by {LANES}, got widths {widths}"
    return None


def packed_generator(network: MotionNetwork, panel_width: int) -> PackedGenerator:
    """Everything that `NativeGenerator` runs on, for kernels of that `panel_width`."""
    config, student, first = network.config, network.student, network.first_bias[0]
    channels, codes = len(first), network.first_matrix.shape[1]
    by_pixel = network.first_matrix.reshape(channels, 16, codes).permute(2, 1, 0)
    arrays = {
        "styles": _numpy(network.style_matrix.T),
        "styles_bias": _numpy(network.style_bias),
        "first": _numpy(by_pixel.reshape(codes, -1)),
        "first_bias": _numpy(first.permute(1, 2, 0).reshape(-1)),
        "first_energy": _numpy(network.first.energy.T),
        "first_activation": _numpy(network.first.bias.reshape(-1)),
        "student": _numpy(student.weight),
        "student_bias": _numpy(student.bias),
    }
    padding = -len(arrays["styles_bias"]) % LANES  # the flow generator's style has three numbers
    arrays["styles"] = np.pad(arrays["styles"], ((0, 0), (0, padding)))
    arrays["styles_bias"] = np.pad(arrays["styles_bias"], (0, padding))
    for i, head in enumerate(network.heads):
        up, same = cast(LiveStyledConv, network.convs[2 * i]), cast(LiveStyledConv, network.convs[2 * i + 1])
        level = _level(up, same, cast(LiveHeads, head), panel_width)
        arrays |= {f"level{i}.{name}": aligned_copy(value) for name, value in level.items()}
    begins = list(accumulate(network.style_widths[:-1], initial=0))
    widths = tuple(config.widths[size] for size in config.resolutions(from_size=4))
    source_alpha = _numpy(network.source_alpha)
    encoder = None if network.encoder is None else _encoder(network.encoder, panel_width)
    return PackedGenerator(widths, tuple(begins[1:]), config.pixel_scale, source_alpha, arrays, encoder)


def _encoder(encoder: LiveEncoder, panel: int) -> dict[str, Array]:
    codes = len(encoder.alpha_bias)
    by_pixel = encoder.to_alpha.reshape(codes, -1, 16).permute(2, 1, 0)  # [16, channels, codes]
    padding = -codes % LANES
    arrays = {
        "stem": _numpy(encoder.stem.weight[:, :, 0, 0].T),
        "stem_bias": _numpy(encoder.stem.bias),
        "to_alpha": np.pad(_numpy(by_pixel).reshape(-1, codes), ((0, 0), (0, padding))),
        "to_alpha_bias": np.pad(_numpy(encoder.alpha_bias), (0, padding)),
    }
    for i, each in enumerate(encoder.blocks):
        block = cast(LiveBlock, each)
        taps = [_numpy(block.conv2.weight[:, :, k // 3, k % 3].T) for k in range(9)]
        own = {
            "same_weights": _square(block.conv1.weight, panel),
            "same_bias": _numpy(block.conv1.bias),
            "down_weights": _panels(np.concatenate(taps), panel),
            "down_bias": _numpy(block.conv2.bias),
            "skip_weights": _panels(_numpy(block.skip[:, :, 0, 0].T), panel),
        }
        arrays |= {f"block{i}.{name}": aligned_copy(value) for name, value in own.items()}
    return arrays


def _level(up: LiveStyledConv, same: LiveStyledConv, head: LiveHeads, panel: int) -> dict[str, Array]:
    flow, motion, depth = (_numpy(value).T for value in (head.flow_weight, head.motion_weight, head.depth_weight))
    nothing = np.zeros((len(depth), 2), np.float32)
    biases = [_numpy(value).ravel() for value in (head.flow_bias, head.motion_bias)]
    mix = [_numpy(value).ravel() for value in (head.depth_mix, head.depth_bias, head.depth_offset)]
    return {
        "up_energy": _numpy(up.energy.T),
        "up_bias": _numpy(up.bias.reshape(-1)),
        **{f"up_weights{2 * a + b}": _panels(_parity(up.weight, a, b), panel) for a in (0, 1) for b in (0, 1)},
        "same_energy": _numpy(same.energy.T),
        "same_bias": _numpy(same.bias.reshape(-1)),
        "same_weights": _square(same.weight, panel),
        "feature": _numpy(head.feature[0].permute(1, 2, 0)),
        "seen": np.concatenate([flow, motion], axis=1),
        "warped": np.concatenate([motion, depth, nothing], axis=1),
        "bias": np.concatenate(biases),
        "mix": np.concatenate(mix),
    }


def _parity(weight: Tensor, row: int, column: int) -> Array:
    """Of a transposed convolution [c_in, c_out, 3, 3]: what results of that parity collect, [taps · c_in, c_out]."""
    return np.concatenate([_numpy(weight[:, :, i, j]) for i in UP_TAPS[row] for j in UP_TAPS[column]])


def _square(weight: Tensor, panel: int) -> Array:
    """3x3 [c_out, c_in, 3, 3] as panels of [c_in, c_out] for each of Winograd's 36 points, transformed in float64."""
    points = np.einsum("pi,qj,ocij->pqco", WINOGRAD_G, WINOGRAD_G, weight.detach().double().numpy())
    matrices = points.reshape(36, *points.shape[2:]).astype(np.float32)
    return np.concatenate([_panels(matrix, panel) for matrix in matrices])


def _panels(matrix: Array, width: int) -> Array:
    """[depth, c_out] as panels of columns, one after the other, flat: as many of that width as fit, then one of half of
    it and one of eight where so many are left."""
    panels, at = [], 0
    while at < matrix.shape[1]:
        left = matrix.shape[1] - at
        own = width if left >= width else width // 2 if left >= width // 2 else LANES
        panels.append(matrix[:, at : at + own].ravel())
        at += own
    return np.concatenate(panels)


def _numpy(value: Tensor) -> Array:
    held: Array = np.ascontiguousarray(value.detach().float().numpy())
    return held
