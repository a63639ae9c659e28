"""What belongs together in a network of convolutions: its blocks, in the order in which they are run.

Networks of the face landmarker's kind consist of convolutions, and of blocks: a convolution that reduces the channels
(or none), a depthwise one, one that widens them again, and what went in added to that (Sandler et al., "MobileNetV2:
inverted residuals and linear bottlenecks", CVPR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.tflite import Graph, Operation
from core.errors import InputError

_ACTIVATIONS = ("PRELU", "RELU")


@dataclass(frozen=True, eq=False)
class Block:
    """One convolution, and what goes before it and after it.

    Attributes:
        seen: the tensor that goes in.
        reduce, depthwise: the convolutions before the last one, or None.
        reduce_slope: below zero, of what is done with the first one's result; one number or one for each channel.
        dense: the last convolution.
        added: the tensor that is added to its result, or None; of pooled ones, the greatest of four pixels.
        slope: below zero, of what is done with the sum; None where it stays as it is.
        result: the tensor that comes out.
    """

    seen: int
    reduce: Operation | None
    reduce_slope: NDArray[np.float32] | None
    depthwise: Operation | None
    dense: Operation
    added: int | None
    pooled: bool
    slope: NDArray[np.float32] | None
    result: int


def blocks_of(graph: Graph, asked: tuple[int, ...], name: str) -> list[Block]:
    """All that is needed for the tensors `asked`. Raises InputError, which says `name`, where an operation is none of
    those a block consists of."""
    return _Blocks(graph, asked, name).blocks()


class _Blocks:
    def __init__(self, graph: Graph, asked: tuple[int, ...], name: str) -> None:
        self._graph, self._asked, self._name = graph, asked, name
        self._producers = {output: each for each in graph.operations for output in each.outputs}
        self._needed = self._reached(asked)
        self._users: dict[int, list[Operation]] = {}
        for each in self._needed:
            for tensor in each.inputs:
                self._users.setdefault(tensor, []).append(each)

    def _reached(self, asked: tuple[int, ...]) -> list[Operation]:
        """The operations that these tensors depend on, in order."""
        wanted, needed = set(asked), []
        for each in reversed(self._graph.operations):
            if wanted & set(each.outputs):
                wanted |= set(each.inputs)
                needed.append(each)
        return needed[::-1]

    def blocks(self) -> list[Block]:
        inner = {reduce for each in self._needed if each.kind == "DEPTHWISE_CONV_2D" and (reduce := self._reduce(each))}
        dense = [each for each in self._needed if each.kind == "CONV_2D" and each not in inner]
        blocks = [self._block(each) for each in dense]
        made = {self._graph.inputs[0], *(block.result for block in blocks)}
        for block in blocks:
            if block.seen not in made or (block.added is not None and block.added not in made):
                raise self._refused(block.dense)
        if not set(self._asked) <= made:
            raise InputError(f"{self._name}: what is asked of it is no result of a convolution; use --tracker openvino")
        return blocks

    def _block(self, dense: Operation) -> Block:
        depthwise = self._producers.get(dense.inputs[0])
        if depthwise is not None and depthwise.kind != "DEPTHWISE_CONV_2D":
            depthwise = None
        reduce = None if depthwise is None else self._reduce(depthwise)
        first = reduce or depthwise or dense
        result, added, pooled = dense.outputs[0], None, False
        sum_ = self._only_user(result)
        if sum_ is not None and sum_.kind == "ADD":
            added, pooled = self._added(sum_, result)
            result = sum_.outputs[0]
        result, slope = self._activated(result)
        reduce_slope = None if reduce is None else self._activated(reduce.outputs[0])[1]
        if any(each is not None and each.activation for each in (reduce, depthwise, dense, sum_)):
            raise self._refused(dense)
        return Block(first.inputs[0], reduce, reduce_slope, depthwise, dense, added, pooled, slope, result)

    def _reduce(self, depthwise: Operation) -> Operation | None:
        """The convolution whose activated result nothing but a depthwise one makes use of."""
        seen = depthwise.inputs[0]
        activation = self._producers.get(seen)
        if activation is None or activation.kind not in _ACTIVATIONS or self._only_user(seen) is not depthwise:
            return None
        before = self._producers.get(activation.inputs[0])
        return before if before is not None and before.kind == "CONV_2D" else None

    def _added(self, sum_: Operation, result: int) -> tuple[int, bool]:
        """The tensor that is added to a result, with fewer channels perhaps, and whether it is pooled for that."""
        own = [tensor for tensor in sum_.inputs if tensor != result]
        if len(own) != 1:
            raise self._refused(sum_)
        tensor, pooled = own[0], False
        while (before := self._producers.get(tensor)) is not None and before.kind in ("PAD", "MAX_POOL_2D"):
            if before.kind == "MAX_POOL_2D":
                (_, height, width, _), (_, rows, columns, _) = (
                    self._graph.shapes[each] for each in (before.inputs[0], tensor)
                )
                if pooled or before.stride != 2 or (2 * rows, 2 * columns) != (height, width):
                    raise self._refused(before)
                pooled = True
            tensor = before.inputs[0]
        return tensor, pooled

    def _activated(self, tensor: int) -> tuple[int, NDArray[np.float32] | None]:
        """The tensor after a ReLU of any kind that follows, and its slope below zero."""
        activation = self._only_user(tensor)
        if activation is None or activation.kind not in _ACTIVATIONS:
            return tensor, None
        if activation.kind == "RELU":
            return activation.outputs[0], np.zeros(1, np.float32)
        return activation.outputs[0], np.asarray(self._graph.constants[activation.inputs[1]], np.float32).ravel()

    def _only_user(self, tensor: int) -> Operation | None:
        users = self._users.get(tensor, [])
        return users[0] if len(users) == 1 else None

    def _refused(self, operation: Operation) -> InputError:
        shapes = [self._graph.shapes[each] for each in operation.inputs]
        return InputError(
            f"{self._name}: expected convolutions and residual blocks, found {operation.kind} of {shapes} otherwise; "
            "use --tracker openvino"
        )
