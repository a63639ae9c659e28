"""The lines of a Wavefront OBJ file as arrays, block by block, without a step in Python for each line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.mesh import MAX_FACES, MAX_PARTS, MAX_VERTICES

_BLOCK_BYTES = 8 << 20  # at a time: arrays over all lines of a file of empty lines would take eight gigabytes
_LARGEST_INDEX = 1 << 31
_SKIPPED, _POSITION, _UV, _FACE, _OTHER = range(5)
_BLANK, _LINE_END, _HASH, _SLASH = 32, 10, 35, 47
_CONTROLS_BLANKED = bytes(_BLANK if code < _BLANK and code != _LINE_END else code for code in range(256))
"""What parts corners and numbers is a blank for all who read them: not all take a vertical tab or a null for one."""


@dataclass
class ObjLines:
    """What an OBJ file states.

    Attributes:
        positions, uvs: text of the v and vt lines, their keywords blanked; how many: `position_count`, `uv_count`.
        corners: blocks [n, 2] of vertex and texture coordinate of each corner as written, 0 where there is none.
        corner_counts: blocks of how many corners each face line has.
        runs: of face lines that follow each other: how many lines, their part, positions and uvs seen before them.
        part_keys: number of each part by its group and material.
        libraries: material files.
    """

    positions: list[bytes] = field(default_factory=list)
    uvs: list[bytes] = field(default_factory=list)
    position_count: int = 0
    uv_count: int = 0
    corners: list[NDArray[np.int64]] = field(default_factory=list)
    corner_counts: list[NDArray[np.int64]] = field(default_factory=list)
    runs: list[tuple[int, int, int, int]] = field(default_factory=list)
    face_count: int = 0
    part_keys: dict[tuple[str, str], int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def read_obj_lines(path: Path, data: bytes) -> ObjLines:
    """Raises InputError where there is more than can be used, or a face corner that is none."""
    found = ObjLines()
    group, material = "", ""
    for block in _blocks(data):
        text, kinds, starts, ends = _sorted_lines(block)
        bounds = np.r_[0, np.flatnonzero(np.diff(kinds)) + 1, len(kinds)].tolist()
        for first, last in pairwise(bounds):  # lines of one kind that follow each other
            kind, count = int(kinds[first]), last - first
            if kind == _POSITION:
                found.positions.append(text[starts[first] : ends[last - 1] + 1].tobytes())
                found.position_count += count
            elif kind == _UV:
                found.uvs.append(text[starts[first] : ends[last - 1] + 1].tobytes())
                found.uv_count += count
            elif kind == _FACE:
                part = found.part_keys.setdefault((group, material), len(found.part_keys))
                found.runs.append((count, part, found.position_count, found.uv_count))
                found.face_count += count
            elif kind == _OTHER:
                for line in range(first, last):
                    group, material = _statement(block[starts[line] : ends[line]], group, material, found.libraries)
            most = max(found.position_count, found.uv_count // 2)
            if most > MAX_VERTICES or found.face_count > MAX_FACES or len(found.part_keys) > MAX_PARTS:
                raise too_many(path)
        _add_faces(path, text, starts[kinds == _FACE], ends[kinds == _FACE], found)
    return found


def too_many(path: Path) -> InputError:
    return InputError(
        f"{path}: at most {MAX_VERTICES} vertices, {MAX_FACES} faces and {MAX_PARTS} groups can be used; "
        "simplify the mesh"
    )


def _blocks(data: bytes) -> Iterator[bytes]:
    """Whole lines without control characters, continued lines joined, no blanks before keywords; a block ends with
    a line."""
    whole = data.replace(b"\r\n", b"\n").replace(b"\\\n", b" ").replace(b"\r", b"\n").translate(_CONTROLS_BLANKED)
    start = 0
    while start < len(whole):
        end = whole.find(b"\n", min(start + _BLOCK_BYTES, len(whole)))
        block = whole[start : end + 1] if end >= 0 else whole[start:] + b"\n"
        start += len(block)
        yield re.sub(rb"(?m)^ +", b"", block) if b"\n " in block or block[:1] == b" " else block


def _sorted_lines(
    block: bytes,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The block with keywords and comments of its numbers blanked, and kind, start and end of each line."""
    text = np.frombuffer(block, np.uint8).copy()
    ends = np.flatnonzero(text == _LINE_END)
    starts = np.r_[0, ends[:-1] + 1]
    one, two, three = (text[np.minimum(starts + k, ends)] for k in range(3))
    kinds = np.full(len(starts), _SKIPPED, dtype=np.int64)
    bare = two <= _BLANK
    kinds[(one == ord("v")) & bare] = _POSITION
    kinds[(one == ord("v")) & (two == ord("t")) & (three <= _BLANK)] = _UV
    kinds[(one == ord("f")) & bare] = _FACE
    kinds[np.isin(one, list(b"gomu")) & (kinds == _SKIPPED)] = _OTHER
    text[starts[(kinds != _SKIPPED) & (kinds != _OTHER)]] = _BLANK
    text[starts[kinds == _UV] + 1] = _BLANK
    if b"#" in block:
        hashes = np.flatnonzero(text == _HASH)
        line = np.searchsorted(ends, hashes)
        line, first = np.unique(line, return_index=True)
        change = np.zeros(len(text) + 1, dtype=np.int8)
        numbers = np.isin(kinds[line], (_POSITION, _UV, _FACE))
        change[hashes[first][numbers]] = 1
        change[ends[line[numbers]]] = -1
        text[np.cumsum(change[:-1], dtype=np.int8) > 0] = _BLANK
    return text, kinds, starts, ends


def _statement(line: bytes, group: str, material: str, libraries: list[str]) -> tuple[str, str]:
    """The group and material that hold after a line that is no number."""
    keyword, _, rest = line.partition(b" ")
    name = rest.strip().decode("utf-8", "replace")
    if keyword in (b"g", b"o"):
        return name, material
    if keyword == b"usemtl":
        return group, name
    if keyword == b"mtllib":
        libraries.append(name)
    return group, material


def _add_faces(
    path: Path, text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], found: ObjLines
) -> None:
    """Read the corners of the face lines of a block."""
    if not len(starts):
        return
    inside = np.zeros(len(text) + 1, dtype=np.int8)
    inside[starts] += 1
    inside[ends + 1] -= 1
    faces = text[np.cumsum(inside[:-1], dtype=np.int8) > 0]
    blank = faces <= _BLANK
    first = np.flatnonzero(~blank & np.r_[True, blank[:-1]])  # of each corner
    counts = np.bincount(np.searchsorted(np.flatnonzero(faces == _LINE_END), first), minlength=len(starts))
    if counts.min() < 3:
        line = text[starts[counts.argmin()] : ends[counts.argmin()]].tobytes().decode("utf-8", "replace").strip()
        raise InputError(f"{path}: a face needs at least three corners, got 'f {line[:40]}'; export the mesh again")
    found.corner_counts.append(counts)
    found.corners.append(_corner_table(path, faces.tobytes()))


def _corner_table(path: Path, text: bytes) -> NDArray[np.int64]:
    """[n, 2] vertex and texture coordinate of corners such as 7, 7/3, 7//9 or 7/3/9, mixed as they may be."""
    text = text.replace(b"//", b"/0/")
    letters = np.frombuffer(text, np.uint8)
    blank = letters <= _BLANK
    first = np.flatnonzero(~blank & np.r_[True, blank[:-1]])
    slashes = np.add.reduceat((letters == _SLASH).astype(np.int64), first)
    values = read_text_numbers(text.replace(b"/", b" "))
    if slashes.max() > 2 or len(values) != int((slashes + 1).sum()) or not (np.abs(values) < _LARGEST_INDEX).all():
        return np.array([_corner(path, token) for token in text.split()], dtype=np.int64)
    at = np.cumsum(slashes + 1) - (slashes + 1)
    uv = np.where(slashes > 0, values[np.minimum(at + 1, len(values) - 1)], 0)
    return np.stack([values[at], uv], axis=1).astype(np.int64)


def _corner(path: Path, token: bytes) -> tuple[int, int]:
    numbers = token.split(b"/")
    try:
        vertex, uv = int(numbers[0]), int(numbers[1]) if len(numbers) > 1 and numbers[1] else 0
        if max(abs(vertex), abs(uv)) > _LARGEST_INDEX:
            raise ValueError
        return vertex, uv
    except ValueError:
        written = token.decode("utf-8", "replace")[:40]
        raise InputError(
            f"{path}: face corner '{written}': expected indices such as 7 or 7/3 or 7/3/9; "
            "the file is damaged, export it again"
        ) from None


def read_text_numbers(text: bytes) -> NDArray[np.float64]:
    """Numbers separated by blanks; none at all where something else stands between them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # older numpy only warns
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            return np.zeros(0)


def number_table(path: Path, kind: str, blocks: list[bytes], count: int, least: int) -> NDArray[np.float64]:
    """[count, at least `least`] float64: the numbers of each line, or the first ones where lines differ."""
    text = b"".join(blocks)
    values = read_text_numbers(text)
    per_line = len(text.partition(b"\n")[0].split())
    if per_line >= least and len(values) == per_line * count:
        return values.reshape(count, per_line)
    rows = np.empty((count, least))
    for number, line in enumerate(text.split(b"\n")[:count]):
        row = read_text_numbers(line)
        if len(row) < least:
            raise InputError(
                f"{path}: '{kind}' line {number + 1} of its kind: expected at least {least} numbers, "
                f"got '{line.decode('utf-8', 'replace').strip()[:40]}'; the file is damaged, export it again"
            )
        rows[number] = row[:least]
    return rows
