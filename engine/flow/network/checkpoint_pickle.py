"""What the table of contents of a checkpoint asks for, looked at before PyTorch loads it.

PyTorch's own `weights_only` reader runs no code, but it makes `bytearray(10**12)` when a file says so, lets tensors
grow beyond what the file holds, and hashes nested keys that take longer than the universe has. This look at it knows
plain values, dictionaries and descriptions of stored tensors, makes tensors without memory (device "meta"), and refuses
everything else.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar

import torch
from torch import Tensor

LARGEST_BYTES = 2 << 20  # the published network with its optimiser takes a tenth; each byte can become a small object
_MOST_AXES = 8
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
}


class RunsCodeError(ValueError):
    """The pickle names something to be called that no weights need."""


class Storages:
    """Runs of numbers that tensors show, by key, as tensors without memory.

    Args:
        largest: bytes of all together.
    """

    def __init__(self, largest: int) -> None:
        self._left = largest
        self.flat: dict[str, Tensor] = {}

    def reserve(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """[count] numbers, the same for the same key. Raises ValueError where they are too many or of another kind."""
        if key not in self.flat:
            self._left -= count * dtype.itemsize
            if self._left < 0:
                raise ValueError("its tensors are larger than the file")
            self.flat[key] = torch.empty(count, dtype=dtype, device="meta")
        if self.flat[key].dtype != dtype or len(self.flat[key]) != count:
            raise ValueError(f"it tells two things of the numbers {key}")
        return self.flat[key]


@dataclass(eq=False)
class Settings:
    """Attributes of an object that is of no interest here (argparse.Namespace)."""

    values: dict[str, Any] = field(default_factory=dict)


def load_pickle(file: IO[bytes], storages: Storages) -> Any:
    """The next pickle of a file: nested dictionaries, lists, tuples, plain values and tensors without memory. The file
    stands right behind it afterwards.

    Raises RunsCodeError where it would run code; any other exception where it is damaged.
    """
    return _Unpickler(_Bounded(file), storages).load()


class _Bounded:
    """What a pickle may take of a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, LARGEST_BYTES

    def read(self, size: int) -> bytes:
        return self._taken(self._file.read(min(size, self._left + 1)), size)

    def readline(self) -> bytes:
        return self._taken(self._file.readline(self._left + 1), 0)

    def _taken(self, content: bytes, wanted: int) -> bytes:
        self._left -= len(content)
        if self._left < 0 or len(content) < wanted:
            raise ValueError("its table of contents is cut short or too large")
        return content


def _tensor(numbers: object, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> object:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(numbers, Tensor) or len(shape) != len(stride) or len(shape) > _MOST_AXES:
        raise ValueError("a tensor is described in a way that makes no sense")
    if any(type(number) is not int or number < 0 for number in (offset, *shape, *stride)):
        raise ValueError("a tensor has a shape that makes no sense")
    last = offset + sum(max(length - 1, 0) * step for length, step in zip(shape, stride, strict=True))
    size = math.prod(shape)
    if size > len(numbers) or (size and last >= len(numbers)):
        raise ValueError("a tensor is larger than the numbers that the file holds")
    return numbers.as_strided(shape, stride, offset if size else 0)


def _parameter(tensor: object, *_: Any) -> object:
    return tensor


def _dictionary(items: object = ()) -> dict[Any, Any]:
    """An OrderedDict; Python 2 wrote its items as one list."""
    if not isinstance(items, list | tuple) or not all(isinstance(i, list | tuple) and len(i) == 2 for i in items):
        raise ValueError("a dictionary has no pairs")
    return {_key(key): value for key, value in items}


def _key(key: object) -> object:
    if type(key) not in (str, int):
        raise ValueError(f"a dictionary has a {type(key).__name__} as a key, expected texts and whole numbers")
    return key


def _size(values: object = ()) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError("a size is no list")
    return tuple(values)


_KNOWN: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _dictionary,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "argparse.Namespace": Settings,
}
_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK EMPTY_DICT EMPTY_LIST EMPTY_TUPLE LIST TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 FLOAT BINFLOAT BINUNICODE SHORT_BINUNICODE SHORT_BINSTRING
    BINSTRING BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID
"""
_DISPATCH: dict[int, Any] = pickle._Unpickler.dispatch


class _Unpickler(pickle._Unpickler):
    """The one written in Python, whose memory follows the file: that in C reserves what a single number asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        found = _KNOWN.get(f"{module}.{name}") or _known_dtype(module, name)
        if found is None:
            raise RunsCodeError(f"{module}.{name}"[:80])
        return found

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: _Bounded, storages: Storages) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count, *views = pid
        plain = kind == "storage" and isinstance(dtype, torch.dtype) and isinstance(key, str) and views in ([], [None])
        if not plain or type(count) is not int or count < 0:
            raise ValueError("it refers to something other than stored numbers")
        return self._storages.reserve(key, dtype, count)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if function not in _KNOWN.values() or not isinstance(arguments, tuple):
            raise ValueError("it calls something that is no function")
        self.stack[-1] = function(*arguments)

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Settings) and isinstance(state, dict):
            made.values.update(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_key(key)] = value

    dispatch: ClassVar[dict[int, Any]] = {
        **{getattr(pickle, name)[0]: _DISPATCH[getattr(pickle, name)[0]] for name in _OPCODES.split()},
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


def _known_dtype(module: str, name: str) -> Any:
    """Number types as such, which optimisers may keep."""
    found = getattr(torch, name, None) if module == "torch" and name in _DTYPES else None
    return found if isinstance(found, torch.dtype) else None


_DTYPES = {str(dtype).removeprefix("torch.") for dtype in _STORAGES.values()}
