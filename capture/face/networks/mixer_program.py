"""The coefficients' network for the compiled kernels: a mixer over tokens that are made of points (`native_kernels.c`).

Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision" (NeurIPS 2021): within a block, first the tokens are
mixed, for each channel alike, then the channels of each token.
"""

from __future__ import annotations

import ctypes
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.tflite import Graph
from core.errors import InputError

_MOST_BLOCKS = 4
_COLUMNS = 32  # the kernels' products are so many columns wide, or a multiple
# What is done before, between and after the convolutions, by kinds of operations: the kernels do the same.
_NORMALISED: Final = ("MEAN", "SUB", "MUL", "SUM", "SQRT", "MEAN", "DIV", "RESHAPE", "STRIDED_SLICE", "MUL")
_EVENED: Final = ("MEAN", "NEG", "SQUARED_DIFFERENCE", "MEAN", "ADD", "RSQRT", "MUL", "MUL", "MUL", "ADD")
_EMBEDDED: Final = (*_NORMALISED, "TRANSPOSE", "CONV_2D", "TRANSPOSE", "CONV_2D", "CONCATENATION")
_BLOCK: Final = (
    *(*_EVENED, "TRANSPOSE", "CONV_2D", "CONV_2D", "TRANSPOSE", "ADD"),
    *(*_EVENED, "CONV_2D", "CONV_2D", "ADD"),
)
_NAMED: Final = ("STRIDED_SLICE", "STRIDED_SLICE", "CONV_2D", "LOGISTIC", "RESHAPE", "STRIDED_SLICE")

_MIXED: Final = tuple(
    f"{kind}_{part}" for kind in ("token", "channel") for part in ("gain", "in", "in_bias", "out", "out_bias")
)
_COUNTS: Final = ("points", "made", "tokens", "channels", "token_hidden", "channel_hidden", "blocks", "results")
_WEIGHTS: Final = ("embed", "embed_bias", "widen", "widen_bias", "first", "name", "name_bias")

Array = NDArray[np.float32]


class Mix(ctypes.Structure):
    """One block, as in the kernels, like the other."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in _MIXED)


class Mixer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in _COUNTS),
        *((name, ctypes.c_float) for name in ("scale", "epsilon")),
        *((name, ctypes.c_void_p) for name in _WEIGHTS),
        ("mix", Mix * _MOST_BLOCKS),
        *((name, ctypes.c_void_p) for name in ("given", "state", "even", "hidden", "answer")),
    )


class MixerProgram:
    """Its weights in the kernels' order, and where it reads and writes. Owned by one thread at a time.

    Attributes:
        given: [points, 2] float32.
        answer: [results] float32.
        mixer: for the kernels.

    Raises InputError, which says `name`, where the network is of another kind.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self._held: list[Array] = []
        kinds = tuple(each.kind for each in graph.operations)
        blocks = (len(kinds) - len(_EMBEDDED) - len(_NAMED)) // len(_BLOCK)
        if not 1 <= blocks <= _MOST_BLOCKS or kinds != _EMBEDDED + _BLOCK * blocks + _NAMED:
            raise InputError(f"{name}: expected a mixer, found other operations; use --tracker openvino")
        try:
            self._fill(graph, blocks)
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(f"{name}: its layers do not fit together ({error}); use --tracker openvino") from None

    def _fill(self, graph: Graph, blocks: int) -> None:
        constants = {number: np.asarray(array, np.float32) for number, array in graph.constants.items()}
        layers = []  # [out, in], [out]
        for each in (each for each in graph.operations if each.kind == "CONV_2D"):
            weights, bias = constants[each.inputs[1]], constants[each.inputs[2]]
            _expect(bias, (len(weights),))
            layers.append((weights.reshape(len(weights), -1), bias))
        multiplied = [each.inputs for each in graph.operations if each.kind == "MUL"]
        scale, *gains = [constants[number] for pair in multiplied for number in pair if number in constants]
        (epsilon,) = [
            float(constants[number].reshape(()))
            for number in graph.operations[len(_EMBEDDED) + _EVENED.index("ADD")].inputs
            if number in constants
        ]
        first = constants[graph.operations[len(_EMBEDDED) - 1].inputs[0]].ravel()
        (embed, embed_bias), (widen, widen_bias), *middle, (name, name_bias) = layers
        (made, points), (channels, _) = embed.shape, widen.shape
        tokens, results = made + 1, len(name)
        hidden = len(middle[0][0]), len(middle[2][0])
        _expect(widen, (channels, 2))
        _expect(first, (channels,))
        _expect(name, (results, channels))
        wide = -(-results // _COLUMNS) * _COLUMNS
        if channels % _COLUMNS or hidden[1] % _COLUMNS or len(gains) != 2 * blocks or len(middle) != 4 * blocks:
            raise ValueError(f"{channels} channels, {hidden} hidden, {len(gains)} gains")
        self.given = np.zeros((points, 2), np.float32)
        answer = np.zeros(wide, np.float32)
        self.answer = answer[:results]
        places = {
            "embed": embed,
            "embed_bias": embed_bias,
            "widen": widen.T,
            "widen_bias": widen_bias,
            "first": first,
            "name": np.pad(name.T, ((0, 0), (0, wide - results))),
            "name_bias": np.pad(name_bias, (0, wide - results)),
            "given": self.given,
            "state": np.zeros((tokens, channels), np.float32),
            "even": np.zeros((tokens, channels), np.float32),
            "hidden": np.zeros(max(hidden[0] * channels, hidden[1] * tokens), np.float32),
            "answer": answer,
        }
        self.mixer = Mixer(points, made, tokens, channels, *hidden, blocks, wide, float(scale.reshape(())), epsilon)
        for field, array in places.items():
            setattr(self.mixer, field, self._hold(array))
        for number in range(blocks):
            self._fill_block(self.mixer.mix[number], middle[4 * number :][:4], gains[2 * number :][:2], tokens)

    def _fill_block(self, mix: Mix, layers: list[tuple[Array, Array]], gains: list[Array], tokens: int) -> None:
        (token_in, token_in_bias), (token_out, token_out_bias), (channel_in, channel_in_bias), last = layers
        channel_out, channel_out_bias = last
        mixer = self.mixer
        _expect(token_in, (mixer.token_hidden, tokens))
        _expect(token_out, (tokens, mixer.token_hidden))
        _expect(channel_in, (mixer.channel_hidden, mixer.channels))
        _expect(channel_out, (mixer.channels, mixer.channel_hidden))
        for gain in gains:
            _expect(gain, (mixer.channels,))
        held = [gains[0], token_in, token_in_bias, token_out, token_out_bias]
        held += [gains[1], channel_in.T, channel_in_bias, channel_out.T, channel_out_bias]
        for field, array in zip(_MIXED, held, strict=True):
            setattr(mix, field, self._hold(array))

    def _hold(self, array: NDArray[np.generic]) -> int:
        """Its address, for as long as this is there."""
        self._held.append(np.ascontiguousarray(array, np.float32))
        return int(self._held[-1].ctypes.data)


def _expect(array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"expected {shape}, got {array.shape}")
