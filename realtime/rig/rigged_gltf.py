"""A rigged head as a glTF document: its own file with the shapes in it where that can be, a new one else."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.gltf_in_place import rig_gltf
from render.mesh.export.gltf_new import new_gltf
from render.mesh.export.rigged_mesh import RiggedMesh

log = logging.getLogger(__name__)

GLTF = (".glb", ".gltf", ".vrm")


def written_anew(path: Path, avatar: Avatar, rigged: RiggedMesh) -> bool:
    """Whether the head's file cannot take the shapes: it is no glTF, or too large to be cut open as it has to be."""
    return path.suffix.lower() not in GLTF or (avatar.binding is not None and bool(rigged.altered))


def rigged_document(path: Path, avatar: Avatar, rigged: RiggedMesh, made_by: str) -> GltfDocument:
    """`path` is the head's file, `made_by` stands in new documents. Raises InputError where the file is damaged."""
    if not written_anew(path, avatar, rigged):
        return rig_gltf(path, rigged)
    if path.suffix.lower() in GLTF:
        log.warning("%s has too many triangles to be cut open: written anew, without its nodes and joints", path)
    return new_gltf(rigged, path.stem, made_by)


def linear_to_scene(path: Path, avatar: Avatar, rigged: RiggedMesh) -> NDArray[np.float64]:
    """[3, 3] from the coordinates that the head's file is loaded in to those of the document's scene: metres, upright,
    where it is written anew."""
    return rigged.T_metres_file[:3, :3] if written_anew(path, avatar, rigged) else np.eye(3)
