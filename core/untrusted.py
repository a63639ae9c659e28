"""Files that come from anywhere, read with their size checked before anything large is allocated.

Every reader of a file goes through here for the part that can be attacked: JSON, NumPy archives, ZIP entries and
pictures. All raise `InputError` (one line naming the file and what is wrong with it) and nothing else.
"""

from __future__ import annotations

import io
import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, one_line

if TYPE_CHECKING:
    from PIL import Image

LARGEST_JSON_BYTES = 64 << 20
LARGEST_JSON_ITEMS = 4_000_000  # values in all: each takes up to 100 bytes once it is a Python object
LARGEST_PIXELS = 8192 * 8192
_LONGEST_INTEGER = 20  # digits: what 64 bits can hold
_LARGEST_NPY_HEADER = 4096
_CHUNK = 1 << 20
_END_OF_DIRECTORY = (1 << 16) + 128  # bytes at the end of an archive in which its last records lie
_LARGEST_DIRECTORY = 32 << 20  # some 500,000 entries
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # bzip2 and LZMA are unpacked whole, whatever is asked for

T = TypeVar("T")


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of an ordinary file of at most `largest` bytes. Pipes and devices, which may never end, are refused.

    Raises InputError where it cannot be read or is larger.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: expected a file, found a {'folder' if path.is_dir() else 'device or pipe'}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > largest:
                raise InputError(f"{path}: has {size} bytes, expected {largest} at most")
            return file.read(largest)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", "check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({one_line(error)})", "check the path") from None


def read_json(path: Path, largest: int = LARGEST_JSON_BYTES) -> Any:
    """The content of a JSON file; see `parse_json`. Raises InputError."""
    return parse_json(read_bytes(path, largest), str(path))


def parse_json(content: bytes | str, name: str, largest: int = LARGEST_JSON_BYTES) -> Any:
    """JSON (UTF-8) without numbers that no double can hold, of bounded depth and count. Raises InputError.

    A caller may still find any JSON type in any place.
    """
    if len(content) > largest:
        raise InputError(f"{name}: has {len(content)} bytes of JSON, expected {largest} at most")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        items = sum(text.count(mark) for mark in ",[{")
        if items > LARGEST_JSON_ITEMS:
            raise ValueError(f"has {items} values, expected {LARGEST_JSON_ITEMS} at most")
        return json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError(f"{name}: expected JSON, its brackets are nested too deep") from None
    except ValueError as error:
        raise InputError(f"{name}: expected JSON, {one_line(error)}") from None


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError(f"got the number {digits[:12]}… of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"got the number {digits[:24]}, which is too large")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"got {name}, which is no JSON number")


@contextmanager
def opened_picture(
    source: Path | bytes, name: str, formats: Collection[str], largest_pixels: int = LARGEST_PIXELS
) -> Iterator[Image.Image]:
    """A picture whose header was read: its size is known to be sane, its pixels are decoded when they are first used.

    What goes wrong inside the block, decoding included, becomes an InputError too.

    Args:
        formats: Pillow's names of those that are tried, such as ("PNG", "JPEG"). None of the formats that start other
            programs (EPS) or contain programs may be among them.
    """
    from PIL import Image, UnidentifiedImageError  # here, since the Kinect's second environment has none

    # Pillow warns of large pictures on standard error; those are refused below, in a line of ours
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    try:
        content = read_bytes(source, 1 << 30) if isinstance(source, Path) else source
        with Image.open(io.BytesIO(content), formats=list(formats)) as picture:
            if picture.width * picture.height > largest_pixels:
                raise InputError(
                    f"{name}: the picture is {picture.width}x{picture.height}, expected {largest_pixels} pixels at most"
                )
            yield picture
    except UnidentifiedImageError:
        known = ", ".join(formats)
        raise InputError(f"{name}: expected a picture ({known}), found something else; save it again") from None
    except InputError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged data, struct.error among them
        raise InputError(f"{name}: the picture cannot be read ({one_line(error)}); save it again") from None


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive; `zip_entry` reads from it. Raises InputError where the file is none."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: expected a file, found a {'folder' if path.is_dir() else 'device or pipe'}")
        _check_directory(path)
        archive = zipfile.ZipFile(path)
    except InputError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
        raise InputError(f"{path}: expected a ZIP archive ({one_line(error)})") from None
    with archive:
        yield archive


def _check_directory(path: Path) -> None:
    """`zipfile` reads the directory at once, and makes ten times its size of Python objects from it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_OF_DIRECTORY))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    length = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if length == 0xFFFFFFFF:  # the real number stands in another record before this one
        far = tail.rfind(b"PK\6\6", 0, at)
        length = int.from_bytes(tail[far + 40 : far + 48], "little") if far >= 0 else length
    if length > _LARGEST_DIRECTORY:
        raise InputError(f"{path}: lists its entries in {length} bytes, expected {_LARGEST_DIRECTORY} at most")


def zip_entry(archive: zipfile.ZipFile, entry: str, name: str, largest: int) -> bytes:
    """One entry, of at most `largest` bytes once unpacked, whatever the archive's directory says. Raises InputError."""
    return _read_entry(archive, entry, name, lambda file: _bounded(file, largest, f"{name}: {entry}"))


def _bounded(file: IO[bytes], largest: int, label: str) -> bytes:
    content = bytearray()
    while chunk := file.read(min(_CHUNK, largest + 1 - len(content))):
        content += chunk
        if len(content) > largest:
            raise InputError(f"{label} unpacks to more than {largest} bytes")
    return bytes(content)


def _read_entry(archive: zipfile.ZipFile, entry: str, name: str, read: Callable[[IO[bytes]], T]) -> T:
    try:
        if archive.getinfo(entry).compress_type not in _COMPRESSIONS:
            raise InputError(f"{name}: {entry} is compressed in a way that is not supported; write it again")
        with archive.open(entry) as file:
            return read(file)
    except InputError:
        raise
    except KeyError:
        raise InputError(f"{name}: {entry} is missing") from None
    except Exception as error:  # zipfile and the decompressors behind it raise their own kinds, zlib.error among them
        raise InputError(f"{name}: {entry} is damaged ({one_line(error)})") from None


def read_arrays(path: Path, largest: int, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of a `.npz` by name: numbers, truth values and plain text only, never pickled objects.

    Args:
        largest: bytes of all arrays together, checked against their headers before anything is allocated.
        names: those wanted (each must be there); all where None.

    Raises InputError where the file is no such archive, larger, or lacks one.
    """
    with opened_zip(path) as archive:
        listed = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
        left, arrays = largest, {}
        for name in listed if names is None else names:
            if name in arrays:
                raise InputError(f"{path}: holds {name} twice")
            read = partial(_array, name=name, path=path, largest=left)
            arrays[name] = _read_entry(archive, f"{name}.npy", str(path), read)
            left -= arrays[name].nbytes
    return arrays


def read_array(path: Path, largest: int) -> NDArray[Any]:
    """The array of a `.npy` file of at most `largest` bytes; see `read_arrays`. Raises InputError."""
    try:
        with io.BytesIO(read_bytes(path, largest + _LARGEST_NPY_HEADER)) as file:
            return _array(file, "the array", path, largest)
    except InputError:
        raise
    except Exception as error:  # NumPy's reader of headers raises what Python's own parser does
        raise InputError(f"{path}: expected a .npy file of plain numbers, cannot read it ({one_line(error)})") from None


def mapped_array(path: Path) -> NDArray[Any]:
    """The array of a `.npy` file, left on disk until it is looked at. Raises InputError."""
    try:
        if not path.is_file():
            raise ValueError("there is no such file")
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=_LARGEST_NPY_HEADER)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"it is of type {array.dtype}")
    except Exception as error:  # NumPy's reader of headers raises what Python's own parser does
        raise InputError(f"{path}: expected a .npy file of plain numbers, cannot read it ({one_line(error)})") from None
    return array


def _array(file: IO[bytes], name: str, path: Path, largest: int) -> NDArray[Any]:
    if np.lib.format.read_magic(file) != (1, 0):  # later versions have headers of up to 4 GB, which NumPy reads whole
        raise InputError(f"{path}: {name} is of a later version of .npy than plain numbers need")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_LARGEST_NPY_HEADER)
    if dtype.kind not in "biufUS" or dtype.subdtype is not None:
        raise InputError(f"{path}: {name} is of type {dtype}, expected plain numbers or text")
    count = math.prod(shape)
    if count < 0 or count * dtype.itemsize > largest:
        raise InputError(f"{path}: {name} has the shape {shape}, more than the {largest} bytes that are expected")
    content = _bounded(file, count * dtype.itemsize, f"{path}: {name}")
    if len(content) != count * dtype.itemsize:
        raise InputError(f"{path}: {name} ends too early")
    flat = np.frombuffer(bytearray(content), dtype=dtype, count=count)
    return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)
