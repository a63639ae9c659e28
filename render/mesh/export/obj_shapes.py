"""A rigged mesh as a folder of OBJ files: one at rest, one for every shape, all with the same vertices in one order."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core.mesh import Material
from render.mesh.export.rigged_mesh import RiggedMesh
from render.mesh.mesh_save import save_obj

NEUTRAL = "neutral"


def save_obj_shapes(rigged: RiggedMesh, folder: Path) -> None:
    """Write `neutral.obj` with its materials and one `<name>.obj` for every shape, absolute positions, without them.

    The folder appears when all of it is written; one that is there is replaced. Raises OSError.
    """
    partial = folder.with_name(f".{folder.name[:100]}.partial-{secrets.token_hex(4)}")
    mesh = rigged.mesh
    try:
        partial.mkdir(parents=True)
        save_obj(mesh, partial / f"{NEUTRAL}.obj")
        plain = replace(mesh, materials=tuple(Material() for _ in mesh.materials), vertex_colors=None)
        for shape in rigged.shapes:
            moved = mesh.vertices + shape.dense(len(mesh.vertices))
            save_obj(replace(plain, vertices=moved), partial / f"{shape.name}.obj")
        if folder.exists():
            old = folder.with_name(f".{folder.name[:100]}.old-{secrets.token_hex(4)}")
            os.replace(folder, old)
            os.replace(partial, folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(partial, folder)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(partial)
        raise
