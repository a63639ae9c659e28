"""`animation.npz`: every pose of a session, written while it happens."""

import json
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from render.errors import InputError

COPY_CHUNK_BYTES = 1 << 22


class AnimationWriter:
    """Streams poses to disk and turns them into one `.npz` when closed.

    While running, the arrays grow in a folder `<name>.partial` beside the target, so memory stays flat and a killed
    process leaves what it had, plainly marked as unfinished (`finish_partial` completes it). `close` assembles the
    archive under a temporary name and renames it: the target either is whole or does not exist.

    Arrays: `vertices` [T, V, 3] float32 in the file's coordinates, expression only; `T_world_head` [T, 4, 4] float64,
    the rigid head motion in the same coordinates (apply it to the vertices; identity at neutral); `timestamps_s` [T]
    float64 at capture; `tracked` [T] bool.
    """

    def __init__(self, path: Path, vertex_count: int) -> None:
        self.path = path
        self._folder = path.with_name(path.name + ".partial")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._shapes: dict[str, tuple[str, list[int]]] = {
            "vertices": ("<f4", [vertex_count, 3]),
            "T_world_head": ("<f8", [4, 4]),
            "timestamps_s": ("<f8", []),
            "tracked": ("|b1", []),
        }
        (self._folder / "arrays.json").write_text(json.dumps(self._shapes))
        self._files: dict[str, IO[bytes]] = {name: (self._folder / name).open("wb") for name in self._shapes}
        self.frames = 0

    def append(
        self,
        vertices: NDArray[np.float32],  # [V, 3]
        T_world_head: NDArray[np.float64],  # [4, 4]
        timestamp_s: float,
        tracked: bool,
    ) -> None:
        """Add one pose. Raises ValueError when the vertex count differs from the one given at construction."""
        values: dict[str, Any] = {
            "vertices": vertices,
            "T_world_head": T_world_head,
            "timestamps_s": timestamp_s,
            "tracked": tracked,
        }
        for name, (dtype, shape) in self._shapes.items():
            array = np.asarray(values[name], dtype=dtype)
            if list(array.shape) != shape:
                raise ValueError(f"{self.path}: expected {name} of shape {shape}, got {list(array.shape)}")
            self._files[name].write(array.tobytes())
        self.frames += 1

    def close(self) -> None:
        """Assemble the archive. A session without a single pose leaves no file."""
        if not self._files:
            return
        for file in self._files.values():
            file.close()
        self._files = {}
        if self.frames:
            finish_partial(self.path)
        else:
            _remove(self._folder)

    def discard(self) -> None:
        """Give up: nothing is left on disk."""
        if not self._files:
            return
        for file in self._files.values():
            file.close()
        self._files = {}
        _remove(self._folder)


def finish_partial(path: Path) -> int:
    """Turn `<path>.partial` into the archive `path`, also after the writing process was killed.

    Returns the number of frames: those that all arrays hold in full. Raises InputError if there is nothing to finish.
    """
    folder = path.with_name(path.name + ".partial")
    description = folder / "arrays.json"
    if not description.is_file():
        raise InputError(f"{folder}: expected an unfinished recording, found none; give the recording's folder")
    shapes: dict[str, tuple[str, list[int]]] = json.loads(description.read_text())
    frames = min((folder / name).stat().st_size // _frame_bytes(*spec) for name, spec in shapes.items())
    temporary = path.with_name(path.name + ".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, (dtype, shape) in shapes.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_npy(member, folder / name, np.dtype(dtype), (frames, *shape))
    temporary.replace(path)
    _remove(folder)
    return frames


def _frame_bytes(dtype: str, shape: list[int]) -> int:
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))


def _write_npy(member: IO[bytes], raw: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    remaining = int(dtype.itemsize * np.prod(shape, dtype=np.int64))
    with raw.open("rb") as source:
        while remaining:
            chunk = source.read(min(COPY_CHUNK_BYTES, remaining))
            member.write(chunk)
            remaining -= len(chunk)


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
