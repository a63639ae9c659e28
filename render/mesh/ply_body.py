"""The body of a PLY file, text or binary, as columns. Nothing is made that the file does not hold."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from render.mesh.ply_header import PlyElement, PlyHeader

# A column is [count] for a plain property; for a list it is (values one after another, lengths [count]).
Plain = dict[str, NDArray[Any]]
Lists = dict[str, tuple[NDArray[Any], NDArray[np.int64]]]

_MOST_CELLS_ONE_BY_ONE = 40_000_000  # numbers and lists in rows of varying length: some ten seconds
_GATHERED_AT_ONCE = 1 << 20


def read_ply_body(path: Path, header: PlyHeader, data: bytes) -> tuple[dict[str, Plain], dict[str, Lists]]:
    """Columns of every element by its name, in the file's own number types (text: float64).

    Raises InputError where the body is shorter than announced or holds something else than numbers.
    """
    plain: dict[str, Plain] = {}
    lists: dict[str, Lists] = {}
    body: _Body = _Binary(path, data, header) if header.byte_order else _Text(path, data[header.size :])
    for element in header.elements:
        plain[element.name], lists[element.name] = _read_element(body, element)
    return plain, lists


class _Body:
    """What is left to read of a body. Places are bytes in a binary one, numbers in text."""

    path: Path
    at: int
    end: int

    def width(self, dtype: str) -> int:
        """Places that a number takes."""
        raise NotImplementedError

    def table(self, element: PlyElement, lengths: dict[str, int]) -> dict[str, NDArray[Any]]:
        """Columns by name, and counts of lists by "#name", of rows whose lists all have `lengths`. Does not move on."""
        raise NotImplementedError

    def count_at(self, dtype: str) -> Callable[[int], int]:
        """Reads the length of a list at a place; -1 for what is none."""
        raise NotImplementedError

    def gather(self, places: NDArray[np.int64], dtype: str) -> NDArray[Any]:
        """Numbers at these places."""
        raise NotImplementedError

    def truncated(self, element: PlyElement) -> InputError:
        return InputError(
            f"{self.path}: cut short: it ends before its {element.count} {element.name} elements do; "
            "copy or export it again"
        )


class _Binary(_Body):
    def __init__(self, path: Path, data: bytes, header: PlyHeader) -> None:
        self.path, self._data, self._order = path, data, header.byte_order
        self.at, self.end = header.size, len(data)

    def width(self, dtype: str) -> int:
        return int(dtype[1])

    def table(self, element: PlyElement, lengths: dict[str, int]) -> dict[str, NDArray[Any]]:
        fields: list[Any] = []
        for item in element.properties:
            if item.count_dtype is not None:
                fields.append((f"#{item.name}", self._order + item.count_dtype))
                fields.append((f" {item.name}", self._order + item.dtype, (lengths[item.name],)))
            else:
                fields.append((f" {item.name}", self._order + item.dtype))
        table = np.frombuffer(self._data, np.dtype(fields), count=element.count, offset=self.at)
        return {name.removeprefix(" "): table[name] for name in table.dtype.names or ()}

    def count_at(self, dtype: str) -> Callable[[int], int]:
        data, size, signed = self._data, self.width(dtype), dtype[0] == "i"
        order: Any = "little" if self._order == "<" else "big"
        return lambda at: int.from_bytes(data[at : at + size], order, signed=signed)

    def gather(self, places: NDArray[np.int64], dtype: str) -> NDArray[Any]:
        data, size = np.frombuffer(self._data, np.uint8), self.width(dtype)
        values = np.empty((len(places), size), np.uint8)
        for start in range(0, len(places), _GATHERED_AT_ONCE):
            chunk = places[start : start + _GATHERED_AT_ONCE]
            values[start : start + len(chunk)] = data[chunk[:, None] + np.arange(size)]
        return values.reshape(-1).view(self._order + dtype)


class _Text(_Body):
    def __init__(self, path: Path, text: bytes) -> None:
        self.path, self._numbers = path, _numbers(path, text)
        self.at, self.end = 0, len(self._numbers)

    def width(self, dtype: str) -> int:  # noqa: ARG002
        return 1

    def table(self, element: PlyElement, lengths: dict[str, int]) -> dict[str, NDArray[Any]]:
        width = sum(1 + lengths.get(item.name, 0) for item in element.properties)
        table = self._numbers[self.at : self.at + element.count * width].reshape(element.count, width)
        columns: dict[str, NDArray[Any]] = {}
        column = 0
        for item in element.properties:
            columns[f"#{item.name}" if item.count_dtype else item.name] = table[:, column]
            column += 1
            if item.count_dtype:
                columns[item.name] = table[:, column : column + lengths[item.name]]
                column += lengths[item.name]
        return columns

    def count_at(self, dtype: str) -> Callable[[int], int]:  # noqa: ARG002
        numbers = self._numbers
        return lambda at: int(numbers[at]) if 0 <= numbers[at] < len(numbers) else -1

    def gather(self, places: NDArray[np.int64], dtype: str) -> NDArray[Any]:  # noqa: ARG002
        return self._numbers[places]


def _numbers(path: Path, text: bytes) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # older numpy only warns
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            raise InputError(f"{path}: expected nothing but numbers after its header; export it again") from None


def _read_element(body: _Body, element: PlyElement) -> tuple[Plain, Lists]:
    if not element.properties or not element.count:
        empty = np.zeros(0)
        lists = {item.name: (empty, np.zeros(0, np.int64)) for item in element.properties if item.count_dtype}
        return {item.name: empty for item in element.properties if not item.count_dtype}, lists
    lengths = _lengths_of_first_row(body, element)
    width = sum(
        body.width(item.count_dtype or item.dtype) + lengths.get(item.name, 0) * body.width(item.dtype)
        for item in element.properties
    )
    if width * element.count <= body.end - body.at:
        columns = body.table(element, lengths)
        if all((columns[f"#{name}"] == length).all() for name, length in lengths.items()):
            body.at += width * element.count
            plain = {item.name: columns[item.name] for item in element.properties if item.count_dtype is None}
            tables = {item.name: columns[item.name] for item in element.properties if item.count_dtype is not None}
            rows = {name: np.full(len(table), table.shape[1], np.int64) for name, table in tables.items()}
            return plain, {name: (table.reshape(-1), rows[name]) for name, table in tables.items()}
    if not lengths:
        raise body.truncated(element)
    return _read_one_by_one(body, element)


def _lengths_of_first_row(body: _Body, element: PlyElement) -> dict[str, int]:
    """Nearly every file has lists of the same lengths in every row."""
    lengths: dict[str, int] = {}
    at = body.at
    for item in element.properties:
        at += body.width(item.count_dtype or item.dtype)
        if at > body.end:
            raise body.truncated(element)
        if item.count_dtype is not None:
            lengths[item.name] = body.count_at(item.count_dtype)(at - body.width(item.count_dtype))
            at += lengths[item.name] * body.width(item.dtype)
            if lengths[item.name] < 0 or at > body.end:
                raise body.truncated(element)
    return lengths


def _read_one_by_one(body: _Body, element: PlyElement) -> tuple[Plain, Lists]:
    """Rows of varying length, such as triangles mixed with quads."""
    if element.count * len(element.properties) > _MOST_CELLS_ONE_BY_ONE:
        raise InputError(f"{body.path}: too many {element.name} elements of varying length; export it as triangles")
    starts = {item.name: array("q") for item in element.properties}
    lengths = {item.name: array("q") for item in element.properties}
    _walk(body, element, starts, lengths)
    plain: Plain = {}
    lists: Lists = {}
    for item in element.properties:
        first, length = np.array(starts[item.name], np.int64), np.array(lengths[item.name], np.int64)
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        values = body.gather(np.repeat(first, length) + within * body.width(item.dtype), item.dtype)
        if item.count_dtype is None:
            plain[item.name] = values
        else:
            lists[item.name] = (values, length)
    return plain, lists


def _walk(body: _Body, element: PlyElement, starts: dict[str, array[int]], lengths: dict[str, array[int]]) -> None:
    """Note where the values of every row begin and how many there are; moves on behind the last row."""
    kinds = [
        (
            starts[item.name].append,
            lengths[item.name].append,
            body.width(item.dtype),
            body.count_at(item.count_dtype) if item.count_dtype else None,
            body.width(item.count_dtype) if item.count_dtype else 0,
        )
        for item in element.properties
    ]
    at, end = body.at, body.end
    for _ in range(element.count):
        for add_start, add_length, width, count_at, count_width in kinds:
            length = 1
            if count_at is not None:
                if at + count_width > end:
                    raise body.truncated(element)
                length = count_at(at)
                at += count_width
            add_start(at)
            add_length(length)
            at += length * width
            if length < 0 or at > end:
                raise body.truncated(element)
    body.at = at
