"""Reading a network's file (TensorFlow Lite): its operations, in order, and the numbers it was trained to.

Only what `native_program` makes use of, by the public schema of the format; it is a FlatBuffer: tables of offsets.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

_MOST_TENSORS = 4096
_MOST_NUMBERS = 1 << 24
_SAME_PADDING = 0
_KINDS: Final = {
    0: "ADD",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    6: "DEQUANTIZE",
    14: "LOGISTIC",
    17: "MAX_POOL_2D",
    18: "MUL",
    19: "RELU",
    22: "RESHAPE",
    34: "PAD",
    39: "TRANSPOSE",
    40: "MEAN",
    41: "SUB",
    42: "DIV",
    45: "STRIDED_SLICE",
    54: "PRELU",
    59: "NEG",
    74: "SUM",
    75: "SQRT",
    76: "RSQRT",
    99: "SQUARED_DIFFERENCE",
}
_NUMBERS: Final = {0: np.float32, 1: np.float16, 2: np.int32}


@dataclass(frozen=True)
class Operation:
    """
    Attributes:
        kind: its name in the format's schema; a number where nothing here makes use of it.
        inputs, outputs: numbers of tensors.
        same: whether a convolution's results are as many as its pixels, over its stride; else its kernel stays inside.
        stride: of a convolution or pool, the same both ways; 1 for others.
        activation: what is done with the result, as the schema counts it: 0 nothing, 1 ReLU.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    same: bool
    stride: int
    activation: int


@dataclass(frozen=True, eq=False)
class Graph:
    """
    Attributes:
        operations: in the order in which they can be run, those left out that only unpack constants.
        shapes: of all tensors.
        constants: by tensor, float32 or int32.
        outputs: numbers of the tensors that are its answer.
    """

    operations: tuple[Operation, ...]
    shapes: tuple[tuple[int, ...], ...]
    constants: dict[int, NDArray[np.float32] | NDArray[np.int32]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(content: bytes, name: str) -> Graph:
    """The network in a file's `content`. Raises InputError, which says `name`, where it is damaged or another kind."""
    try:
        return _graph(content)
    except (struct.error, IndexError, ValueError, KeyError, OverflowError) as error:
        raise InputError(
            f"{name}: expected a TensorFlow Lite network, found a damaged file or another kind ({error}); "
            "get the model again, or use --tracker mediapipe"
        ) from None


class _Table:
    """A table of a FlatBuffer; fields by their number in the schema. Raises struct.error beyond the file's end."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at
        self._fields = at - self._value("i", at)
        self._end: int = self._value("H", self._fields)

    def _value(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError("an offset leads out of it")
        found: int = struct.unpack_from(f"<{form}", self._content, at)[0]
        return found

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = self._value("H", self._fields + entry) if entry < self._end else 0
        return self._at + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """An integer of `struct`'s form; 0 where it is left out."""
        place = self._place(field)
        return 0 if place is None else self._value(form, place)

    def table(self, field: int) -> _Table | None:
        place = self._place(field)
        return None if place is None else _Table(self._content, place + self._value("I", place))

    def tables(self, field: int) -> list[_Table]:
        start, count = self._vector(field)
        if count > _MOST_TENSORS:
            raise ValueError(f"{count} entries")
        places = range(start, start + 4 * count, 4)
        return [_Table(self._content, place + self._value("I", place)) for place in places]

    def numbers(self, field: int, kind: type[np.generic]) -> NDArray[np.generic]:
        start, count = self._vector(field)
        return np.frombuffer(self._content, kind, count, start) if count else np.zeros(0, kind)

    def integers(self, field: int) -> tuple[int, ...]:
        found = self.numbers(field, np.int32)
        if len(found) > _MOST_TENSORS:
            raise ValueError(f"{len(found)} entries")
        return tuple(found.tolist())

    def _vector(self, field: int) -> tuple[int, int]:
        """Where its entries begin, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + self._value("I", place)
        return start + 4, self._value("I", start)


def _graph(content: bytes) -> Graph:
    if content[4:8] != b"TFL3":
        raise ValueError("it does not begin like one")
    model = _Table(content, struct.unpack_from("<I", content, 0)[0])
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    (graph,), buffers = model.tables(2), model.tables(4)
    tensors = graph.tables(0)
    shapes = tuple(_shape(tensor) for tensor in tensors)
    constants = {}
    for number, tensor in enumerate(tensors):
        held = buffers[tensor.number(2, "I")].numbers(0, np.uint8)
        if len(held):
            constants[number] = held.view(_NUMBERS[tensor.number(1, "b")]).reshape(shapes[number])
    operations = []
    for entry in graph.tables(3):
        operation = _operation(entry, codes[entry.number(0, "I")])
        _check(operation, len(tensors))
        if operation.kind == "DEQUANTIZE":
            unpacked = constants[operation.inputs[0]].astype(np.float32)
            if not np.isfinite(unpacked).all():
                raise ValueError("a weight is no number")
            constants[operation.outputs[0]] = unpacked
        else:
            operations.append(operation)
    ends = graph.integers(1), graph.integers(2)
    return Graph(tuple(operations), shapes, constants, *ends)


def _shape(tensor: _Table) -> tuple[int, ...]:
    shape = tensor.integers(0)
    if min(shape, default=1) < 0 or math.prod(shape) > _MOST_NUMBERS:
        raise ValueError(f"a tensor of shape {shape}")
    return shape


def _operation(entry: _Table, code: int) -> Operation:
    kind, options = _KINDS.get(code, str(code)), entry.table(4)
    inputs, outputs = (tuple(number for number in entry.integers(field) if number >= 0) for field in (1, 2))
    same, strides, activation = False, (1, 1), 0
    if options is not None and kind in _ACTIVATION:
        activation = options.number(_ACTIVATION[kind], "b")
    if options is not None and kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D"):
        same, strides = options.number(0, "b") == _SAME_PADDING, (options.number(1, "i"), options.number(2, "i"))
    if strides[0] != strides[1] or not 1 <= strides[0] <= 2:
        raise ValueError(f"{kind} with strides {strides}")
    return Operation(kind, inputs, outputs, same, strides[0], activation)


_ACTIVATION: Final = {"ADD": 0, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "MAX_POOL_2D": 5}
"""Which of an operation's options names it."""


def _check(operation: Operation, tensors: int) -> None:
    numbers = (*operation.inputs, *operation.outputs)
    if not operation.outputs or not operation.inputs or max(numbers) >= tensors or min(numbers) < 0:
        raise ValueError(f"{operation.kind} of tensors {numbers}")
