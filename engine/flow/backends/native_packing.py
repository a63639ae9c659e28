"""The live graph's weights in the order the native kernels read them: one flat dictionary of float32 arrays, which can
be kept on disk and run again without torch."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.flow.backends.native_layout import PANEL
from engine.flow.backends.native_motion import UP_TAPS, Array, PackedWeights, aligned_copy
from engine.flow.network.folded import LiveBlock, LiveHeads, LiveStyledConv
from engine.flow.network.motion_network import MotionNetwork

WINOGRAD_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


def packed(network: MotionNetwork, *, for_matrix_unit: bool) -> PackedWeights:
    """Everything that `NativeMotion` runs on. 3x3 convolutions are packed as `conv.taps` for a matrix unit, as
    Winograd's `conv.weight` otherwise."""
    encoder, student = network.encoder, network.student
    if encoder is None:
        raise ValueError("expected a live graph with its encoder, got a coded one")
    channels = network.config.widths[4]
    to_alpha = encoder.to_alpha.reshape(-1, channels, 4, 4).permute(0, 2, 3, 1)
    arrays = {
        "stem.weight": _numpy(encoder.stem.weight[:, :, 0, 0].T),
        "stem.bias": _numpy(encoder.stem.bias),
        "to_alpha.weight": _numpy(to_alpha.reshape(len(to_alpha), -1)),
        "to_alpha.bias": _numpy(encoder.alpha_bias),
        "styles.weight": _numpy(network.style_matrix),
        "styles.bias": _numpy(network.style_bias),
        "student.weight": _numpy(student.weight),
        "student.bias": _numpy(student.bias),
        "source_alpha": _numpy(network.source_alpha),
        **_under("first", _first(network)),
    }
    for i, block in enumerate(encoder.blocks):
        arrays |= _under(f"block{i}", _block(block, for_matrix_unit))  # type: ignore[arg-type]
    for i, head in enumerate(network.heads):
        up, same = network.convs[2 * i], network.convs[2 * i + 1]
        arrays |= _under(f"level{i}", _level(up, same, head, for_matrix_unit))  # type: ignore[arg-type]
    return PackedWeights(network.config.image_size, tuple(network.style_widths), arrays)


def _under(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    return {f"{prefix}.{name}": value for name, value in arrays.items()}


def _same(name: str, weight: Tensor, for_matrix_unit: bool) -> dict[str, Array]:
    return {f"{name}.taps": square_taps(weight)} if for_matrix_unit else {f"{name}.weight": winograd_weights(weight)}


def _block(block: LiveBlock, for_matrix_unit: bool) -> dict[str, Array]:
    return {
        **_same("conv1", block.conv1.weight, for_matrix_unit),
        "conv1.bias": _numpy(block.conv1.bias),
        "conv2.weight": square_taps(block.conv2.weight),
        "conv2.bias": _numpy(block.conv2.bias),
        "skip.weight": tap_weights([block.skip[:, :, 0, 0]]),
    }


def _first(network: MotionNetwork) -> dict[str, Array]:
    matrix, bias = network.first_matrix, network.first_bias[0]
    channels = len(bias)
    return {
        "weight": _numpy(matrix.reshape(channels, 16, -1).transpose(0, 1).reshape(16 * channels, -1)),
        "offset": _numpy(bias.permute(1, 2, 0).reshape(-1)),
        "energy": _numpy(network.first.energy),
        "bias": _numpy(network.first.bias.reshape(-1)),
    }


def _level(up: LiveStyledConv, same: LiveStyledConv, head: LiveHeads, for_matrix_unit: bool) -> dict[str, Array]:
    biases = [_numpy(value).ravel() for value in (head.flow_bias, head.motion_bias)]
    mix = [_numpy(value).ravel() for value in (head.depth_mix, head.depth_bias, head.depth_offset)]
    return {
        "up.energy": _numpy(up.energy),
        "up.bias": _numpy(up.bias.reshape(-1)),
        **{f"up.weight{a}{b}": tap_weights(_phase(up, a, b)) for a in (0, 1) for b in (0, 1)},
        "same.energy": _numpy(same.energy),
        **_same("same", same.weight, for_matrix_unit),
        "same.bias": _numpy(same.bias.reshape(-1)),
        "feature": _numpy(head.feature[0].permute(1, 2, 0)),
        "flow": _numpy(head.flow_weight),
        "motion": _numpy(head.motion_weight),
        "depth": _numpy(head.depth_weight[0]),
        "head_bias": np.concatenate(biases),
        "mix": np.concatenate(mix),
    }


def _phase(up: LiveStyledConv, a: int, b: int) -> list[Tensor]:
    """The taps [c_out, c_in] that outputs of parity (a, b) collect, see `native_motion.UP_TAPS`."""
    return [up.weight[:, :, ti, tj].T for ti, _ in UP_TAPS[a] for tj, _ in UP_TAPS[b]]


def square_taps(weight: Tensor) -> Array:
    """[c_out, c_in, 3, 3] -> [9, panels, c_in, 64]."""
    return tap_weights([weight[:, :, i, j] for i in range(3) for j in range(3)])


def tap_weights(taps: list[Tensor]) -> Array:
    """Matrices [c_out, c_in] -> [taps, panels, c_in, 64]."""
    stacked = np.stack([_numpy(tap) for tap in taps])
    count, c_out, c_in = stacked.shape
    return aligned_copy(stacked.reshape(count, c_out // PANEL, PANEL, c_in).transpose(0, 1, 3, 2))


def winograd_weights(weight: Tensor) -> Array:
    """[c_out, c_in, 3, 3] -> [panels, 36, c_in, 64], transformed in float64."""
    given: NDArray[np.float64] = weight.detach().double().numpy()
    c_out, c_in = given.shape[:2]
    both_axes = np.kron(WINOGRAD_G, WINOGRAD_G)  # [36, 9]
    held = np.empty((c_out // PANEL, 36, c_in, PANEL), np.float32)
    for panel, rows in enumerate(given.reshape(-1, PANEL * c_in, 9)):
        held[panel] = (both_axes @ rows.T).reshape(36, PANEL, c_in).transpose(0, 2, 1)
    return aligned_copy(held)


def _numpy(value: Tensor) -> Array:
    return np.ascontiguousarray(value.detach().float().numpy())
