"""PyTorch checkpoint files as plain values and tensors: today's ZIP archives, and what PyTorch wrote before 1.6.

They are untrusted: `checkpoint_pickle` looks at what a file asks for, its sizes are held against what it holds, and
only then `torch.load(weights_only=True)` loads it.
"""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from core.errors import InputError, one_line
from core.untrusted import opened_zip, zip_entry
from engine.flow.network.checkpoint_pickle import LARGEST_BYTES, RunsCodeError, Storages, load_pickle

_LARGEST_FILE = 4 << 30
_UNPACKED = 64 << 20  # more than the file's size: archives that were packed again
_OLD_MAGIC, _OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_CHUNK = 1 << 22


class CheckpointError(InputError):
    """A checkpoint file cannot be used; names the file, what differs and what to do."""


def read_checkpoint(path: Path) -> dict[Any, Any]:
    """The dictionary that was saved: plain values, and tensors on the CPU that share memory where they did so before.

    Raises CheckpointError, in one line, where the file is absent, damaged, no checkpoint, or would run code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a network checkpoint, found no such file; check --checkpoint")
    if path.stat().st_size > _LARGEST_FILE:
        raise CheckpointError(
            f"{path}: {path.stat().st_size / 2**30:.1f} GiB is more than a checkpoint's 4 GiB; check it"
        )
    try:
        _check_zip(path) if zipfile.is_zipfile(path) else _check_old_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # settings that training programs keep along
            content = torch.load(path, map_location="cpu", weights_only=True)
    except RunsCodeError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors and plain values ({one_line(error)}) and would run code when loaded; "
            "refused. Ask its author for a file that holds only weights"
        ) from None
    except pickle.UnpicklingError:  # PyTorch's words advise against caution
        raise CheckpointError(f"{path}: is not of the form that PyTorch writes; save its weights again") from None
    except Exception as error:  # on damaged bytes unpickling stumbles in every way there is
        raise CheckpointError(
            f"{path}: expected a PyTorch checkpoint, got {path.stat().st_size} bytes that are damaged or cut short "
            f"({one_line(error).removeprefix(f'{path}: ')}); copy it again"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f'{path}: expected a dictionary with "gen", got {type(content).__name__}; pass a VFA .pt')
    return content


def _check_zip(path: Path) -> None:
    """Raises ValueError where its entries are not what its table of contents describes, or are damaged."""
    storages = Storages(path.stat().st_size + _UNPACKED)
    with opened_zip(path) as archive:
        tables = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(tables) != 1 or tables[0].count("/") > 1:
            raise ValueError(f"it has {len(tables)} tables of contents, expected one")
        folder = tables[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            order = zip_entry(archive, f"{folder}byteorder", str(path), 16)
            if order != b"little":
                raise ValueError(f"its numbers are in the order {order!r}, expected little")
        load_pickle(io.BytesIO(zip_entry(archive, tables[0], str(path), LARGEST_BYTES)), storages)
        for key, flat in storages.flat.items():
            with archive.open(f"{folder}data/{key}") as file:
                _check_size(file, flat)


def _check_old_file(path: Path) -> None:
    """A run of pickles, then the numbers one after the other: how many, and they themselves. Raises ValueError."""
    storages = Storages(path.stat().st_size)
    with path.open("rb") as file:
        if load_pickle(file, storages) != _OLD_MAGIC or load_pickle(file, storages) != _OLD_PROTOCOL:
            raise ValueError("it has neither form of a checkpoint")
        if load_pickle(file, storages).get("little_endian") is not True:
            raise ValueError("its numbers are in another order than little endian")
        load_pickle(file, storages)
        keys = load_pickle(file, storages)
        if sorted(keys) != sorted(storages.flat):
            raise ValueError("its tensors are not those that follow")
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            if count != len(storages.flat[key]):
                raise ValueError(f"it holds {count} numbers for {key}, expected {len(storages.flat[key])}")
            file.seek(storages.flat[key].nbytes, io.SEEK_CUR)
        if file.tell() > path.stat().st_size:
            raise ValueError("it ends too early")


def _check_size(file: IO[bytes], flat: Tensor) -> None:
    """Read a tensor's numbers to their end, where their checksum is compared. Raises ValueError where they differ."""
    left = flat.nbytes
    while chunk := file.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            break
    if left:
        raise ValueError("it holds other tensors than it describes")
