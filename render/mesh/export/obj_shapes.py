"""A rigged mesh as a folder of OBJ files: one at rest, one for every shape, all with the same vertices in one order."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from core.mesh import Material
from render.mesh.export.rigged_mesh import RiggedMesh
from render.mesh.mesh_save import save_obj

NEUTRAL = "neutral"
_LOCK = "lock"


def save_obj_shapes(rigged: RiggedMesh, folder: Path) -> None:
    """Write `neutral.obj` with its materials and one `<name>.obj` for every shape, absolute positions, without them.

    The files appear when all of them are written. In a folder that is there they replace those of the same names; all
    others stay. What runs that were killed left beside it goes. Raises OSError.
    """
    _remove_left_behind(folder)
    partial = folder.with_name(f"{_partial_start(folder)}{secrets.token_hex(4)}")
    lock = FileLock(partial / _LOCK, thread_local=False)
    try:
        made = partial / "made"
        made.mkdir(parents=True)
        with suppress(NotImplementedError):  # a file system without locks: nobody takes it for left behind, either
            lock.acquire(timeout=0)
        _save(rigged, made)
        if folder.exists():
            for path in made.iterdir():
                os.replace(path, folder / path.name)
        else:
            os.replace(made, folder)
    finally:
        lock.release()
        shutil.rmtree(partial, ignore_errors=True)


def _save(rigged: RiggedMesh, folder: Path) -> None:
    mesh = rigged.mesh
    save_obj(mesh, folder / f"{NEUTRAL}.obj")
    plain = replace(mesh, materials=tuple(Material() for _ in mesh.materials), vertex_colors=None)
    for shape in rigged.shapes:
        moved = mesh.vertices + shape.dense(len(mesh.vertices))
        save_obj(replace(plain, vertices=moved), folder / f"{shape.name}.obj")


def _partial_start(folder: Path) -> str:
    return f".{folder.name[:100]}.partial-"


def _remove_left_behind(folder: Path) -> None:
    """Delete what was being written to `folder` by runs that are no more: the system takes their locks away."""
    for partial in folder.parent.glob(f"{glob.escape(_partial_start(folder))}*"):
        if (partial / _LOCK).is_file():
            with suppress(Timeout, OSError, NotImplementedError):
                with FileLock(partial / _LOCK, timeout=0, thread_local=False):
                    pass
                shutil.rmtree(partial)
