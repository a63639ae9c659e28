"""From a network's blocks to steps for the compiled kernels (`native_kernels.c`): weights packed, pictures placed."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.network_blocks import Block, blocks_of
from capture.face.networks.tflite import Graph, Operation
from core.errors import InputError

_LANES = 8
_TOGETHER = 32  # results whose weights lie together
_DEPTH_KERNEL, _LARGEST_KERNEL = 3, 5
_RING_ROWS = 4
_BEFORE, _AFTER = 1, 2  # pixels of border

Array = NDArray[np.float32]
Shape = tuple[int, ...]
"""Height, width and channels."""


class Dense(ctypes.Structure):
    """As in the kernels, like the next one."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("rows", "span", "step", "channels")),
        *((name, ctypes.c_void_p) for name in ("weights", "bias", "slope")),
    )


class Step(ctypes.Structure):
    _fields_ = (
        ("reduce", Dense),
        ("dense", Dense),
        *((name, ctypes.c_void_p) for name in ("depth", "depth_bias")),
        *((name, ctypes.c_int32) for name in ("depth_channels", "depth_stride")),
        *((name, ctypes.c_void_p) for name in ("seen", "out", "added", "ring", "line")),
        *((name, ctypes.c_int32) for name in ("in_row", "kernel_row", "in_height", "in_width")),
        *((name, ctypes.c_int32) for name in ("out_row", "out_height", "out_width")),
        *((name, ctypes.c_int32) for name in ("added_row", "added_channels", "pooled")),
    )


class Map(NamedTuple):
    """A picture between two steps.

    Attributes:
        whole: [rows, columns, channels] float32: with a border of zeros, for kernels that reach out of it, and with
            channels that only fill it up to eights.
        channels: how many there are without those.
    """

    whole: Array
    channels: int

    @property
    def inside(self) -> Array:
        """[height, width, channels]"""
        return self.whole[_BEFORE:-_AFTER, _BEFORE:-_AFTER, : self.channels]

    @property
    def row(self) -> int:
        """Numbers from row to row."""
        return int(self.whole.shape[1] * self.whole.shape[2])

    def address(self, above: int = 0) -> int:
        """Of the first channel of the first pixel, or of the one that lies so many pixels above and left of it."""
        return int(self.whole[_BEFORE - above :, _BEFORE - above :].ctypes.data)


class Program:
    """The steps from a network's input to some of its results. Owned by one thread at a time, for its maps.

    Args:
        asked: tensors of `graph` that are wanted.
        name: for errors.
        scale: what is given is multiplied by this first.

    Attributes:
        given: [height, width, channels] what the network sees, to be written there.
        found: for each tensor that was asked, [height, width, channels].
        steps: for the kernels.

    Raises InputError where the network is of another kind.
    """

    def __init__(self, graph: Graph, asked: tuple[int, ...], name: str, scale: float = 1.0) -> None:
        self._graph, self._name, self._scale = graph, name, scale
        self._held: list[Array] = []
        self._free: list[Array] = []
        try:
            self._maps = {graph.inputs[0]: self._map(graph.inputs[0], filled=False)}
            self.given = self._maps[graph.inputs[0]].inside
            blocks = blocks_of(graph, asked, name)
            last = {tensor: number for number, block in enumerate(blocks) for tensor in (block.seen, block.added)}
            steps = []
            for number, block in enumerate(blocks):
                done = {tensor for tensor in (block.seen, block.added) if last[tensor] == number}
                steps.append(self._step(block, {tensor for tensor in done if tensor not in (*asked, None)}))
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(
                f"{name}: its convolutions do not fit together ({error}); use --tracker openvino"
            ) from None
        self.steps = (Step * len(steps))(*steps)
        self.found = [self._maps[tensor].inside for tensor in asked]

    # --- steps ----------------------------------------------------------------------------------------------------

    def _step(self, block: Block, done: set[int | None]) -> Step:
        """`done`: tensors that nothing makes use of after it."""
        source, step = self._maps[block.seen], Step()
        scale = self._scale if block.seen in self._graph.inputs else 1.0
        seen, result = self._graph.shapes[block.seen][1:], self._graph.shapes[block.result][1:]
        first, shape, filled = block.dense, seen, source.whole.shape[2]
        if block.reduce is not None:
            step.reduce = self._dense(block.reduce, block.reduce_slope, filled, scale)
            shape, scale = self._result(block.reduce, shape), 1.0
            filled, first = _up(shape[2]), block.reduce
        if block.depthwise is not None:
            into = self._result(block.depthwise, shape)
            self._depthwise(step, block.depthwise, shape, into)
            shape, filled = into, _up(into[2])
        step.dense = self._dense(block.dense, block.slope, filled, scale)
        if self._result(block.dense, shape) != result:
            raise ValueError(f"{result} numbers where {self._result(block.dense, shape)} are made")
        plain = block.depthwise is not None and block.reduce is None
        step.seen = source.address(0 if plain else self._above(first, seen))
        step.kernel_row, step.in_row = source.row, source.row * (1 if plain else first.stride)
        if block.added is not None:
            self._add(step, block, result)
        # a row is written when the rows around it are read: what is reduced first may be written over what was seen
        over = block.reduce is not None and first.stride == 1 and not block.pooled and block.seen in done
        over = over and block.added in (None, block.seen)
        into_map = self._map(block.result, source if over else None)
        left = [self._maps[each].whole for each in done if each is not None]
        self._free += [whole for whole in left if whole is not into_map.whole]
        self._maps[block.result] = into_map
        step.out, step.out_row = into_map.address(), into_map.row
        step.out_height, step.out_width = result[:2]
        return step

    def _dense(self, convolution: Operation, slope: Array | None, filled: int, scale: float) -> Dense:
        """`filled`: channels of what it sees, up to eights."""
        weights, bias = (self._graph.constants[number] for number in convolution.inputs[1:3])
        results, rows, columns, channels = weights.shape
        if bias.shape != (results,):
            raise ValueError(f"{bias.shape} biases for {results} results")
        count = _up(results)
        packed = np.zeros((count, rows, columns, filled), np.float32)
        packed[:results, ..., :channels] = weights * np.float32(scale)
        lines = packed.reshape(count, -1).T  # [rows · span, results]
        together = [lines[:, first : first + _TOGETHER].ravel() for first in range(0, count, _TOGETHER)]
        slopes = np.broadcast_to(np.float32(1) if slope is None else slope, results)
        return Dense(
            rows,
            columns * filled,
            convolution.stride * filled,
            count,
            *(self._hold(each) for each in (np.concatenate(together), _filled(bias), _filled(slopes))),
        )

    def _depthwise(self, step: Step, depthwise: Operation, seen: Shape, result: Shape) -> None:
        weights, bias = (self._graph.constants[number] for number in depthwise.inputs[1:3])
        height, width, channels = seen
        if bias.shape != (channels,) or self._above(depthwise, seen) != (depthwise.stride == 1):
            raise ValueError(f"a depthwise kernel with {bias.shape} biases, or placed otherwise")
        step.depth = self._hold(_filled(weights.reshape(-1, channels)))
        step.depth_bias = self._hold(_filled(bias))
        step.depth_channels, step.depth_stride = _up(channels), depthwise.stride
        step.in_height, step.in_width = height, width
        step.ring = self._hold(np.zeros((_RING_ROWS, width + 2, _up(channels)), np.float32))
        step.line = self._hold(np.zeros((result[1], _up(channels)), np.float32))

    def _add(self, step: Step, block: Block, result: Shape) -> None:
        assert block.added is not None
        added, (height, width, channels) = self._maps[block.added], self._graph.shapes[block.added][1:]
        times = 2 if block.pooled else 1
        if (height, width) != (times * result[0], times * result[1]) or channels > result[2]:
            raise ValueError(f"{(height, width, channels)} numbers added to {result}")
        step.added, step.added_row, step.added_channels = added.address(), added.row, added.whole.shape[2]
        step.pooled = block.pooled

    # --- shapes ---------------------------------------------------------------------------------------------------

    def _result(self, convolution: Operation, seen: Shape) -> Shape:
        """[height, width, channels] of what it makes of such a picture."""
        shape = self._graph.constants[convolution.inputs[1]].shape
        depthwise = convolution.kind == "DEPTHWISE_CONV_2D"
        results, rows, columns, channels = shape
        if channels != seen[2] or rows != columns or rows > _LARGEST_KERNEL:
            raise ValueError(f"a kernel of {shape} for {seen}")
        if depthwise and (results != 1 or rows != _DEPTH_KERNEL or not convolution.same):
            raise ValueError(f"a depthwise kernel of {shape}")
        size = [-(-each // convolution.stride) for each in seen[:2]]
        if not convolution.same:
            size = [(each - rows) // convolution.stride + 1 for each in seen[:2]]
        if min(size) < 1:
            raise ValueError(f"a kernel of {shape} for {seen}")
        return size[0], size[1], channels if depthwise else results

    def _above(self, convolution: Operation, seen: Shape) -> int:
        """By how many pixels the first kernel reaches out of the picture, above it and left of it."""
        kernel, result = self._graph.constants[convolution.inputs[1]].shape[1], self._result(convolution, seen)
        beyond = [(result[axis] - 1) * convolution.stride + kernel - seen[axis] for axis in range(2)]
        if max(beyond) > _BEFORE + _AFTER or max(beyond[0], 0) // 2 != max(beyond[1], 0) // 2:
            raise ValueError(f"a kernel that reaches {beyond} pixels out of the picture")
        return int(max(beyond[0], 0) // 2)

    # --- places ---------------------------------------------------------------------------------------------------

    def _map(self, tensor: int, over: Map | None = None, *, filled: bool = True) -> Map:
        """For a tensor's values: over those of another one if they are as many, or where none are needed any more."""
        _, height, width, channels = self._graph.shapes[tensor]
        shape = (height + _BEFORE + _AFTER, width + _BEFORE + _AFTER, _up(channels) if filled else channels)
        if over is not None and over.whole.shape == shape:
            return Map(over.whole, channels)
        for place, whole in enumerate(self._free):
            if whole.shape == shape:
                return Map(self._free.pop(place), channels)
        return Map(np.zeros(shape, np.float32), channels)

    def _hold(self, array: Array) -> int:
        """Its address, for as long as this program is there."""
        self._held.append(np.ascontiguousarray(array, np.float32))
        return int(self._held[-1].ctypes.data)


def _up(count: int) -> int:
    return -(-count // _LANES) * _LANES


def _filled(values: NDArray[np.generic]) -> Array:
    """[..., N] with zeros up to eights."""
    count = values.shape[-1]
    padded = np.zeros((*values.shape[:-1], _up(count)), np.float32)
    padded[..., :count] = values
    return padded
