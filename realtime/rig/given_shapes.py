"""Shapes that an artist corrected in another program and gives back: a folder of OBJ files, or a rigged .glb.

A folder is as `--format obj-per-shape` writes it; what is in it counts, what is not keeps the shape worked out here.
Nothing of it is relied on unchecked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calib.rig.own_shapes import unit_of
from core.errors import InputError
from core.mesh import Mesh
from render.mesh.export.obj_shapes import NEUTRAL
from render.mesh.export.rigged_mesh import RiggedMesh, Shape
from render.mesh.mesh_io import load_mesh

log = logging.getLogger(__name__)

_GLTF = (".glb", ".gltf", ".vrm")
_SAME = 1e-3  # of the mesh's size: a vertex so near to where it was is the same one
_FARTHEST = 0.6  # of the mesh's size: no shape of a face goes farther
_MOST_FAR = 0.5  # of the vertices: where more of them have moved far, it is the axes or the scale
_FAR = 0.1


def with_given(rigged: RiggedMesh, source: Path) -> tuple[RiggedMesh, tuple[str, ...]]:
    """The mesh with shapes taken from `source` instead of its own of that name, and their names.

    Raises InputError, which names the file, where vertices are others, in another order, no numbers, or far off; where
    a name is no shape's; and where there are none at all.
    """
    given = _from_gltf(rigged, source) if source.suffix.lower() in _GLTF else _from_folder(rigged, source)
    if not given:
        raise InputError(
            f"--use-shapes {source}: expected shapes named as those of the rig ({', '.join(rigged.names[:3])}, …), "
            "found none; write them with --format obj-per-shape and correct those"
        )
    shapes = tuple(Shape.of(s.name, given[s.name], rigged.least) if s.name in given else s for s in rigged.shapes)
    return replace(rigged, shapes=shapes), tuple(given)


def check_source(source: Path) -> None:
    """Raises InputError where nothing can be read there, before anything takes long."""
    if source.suffix.lower() in _GLTF and source.is_file():
        return
    if not source.exists():
        raise InputError(f"--use-shapes {source}: there is no such folder or file; check the path")
    if not source.is_dir():
        raise InputError(
            f"--use-shapes {source}: expected a folder of one OBJ per shape, or a rigged .glb; got '{source.suffix}'"
        )
    if not any(source.glob("*.obj")):
        raise InputError(f"--use-shapes {source}: no .obj files in it; export one for each shape, named after it")


def _names(rigged: RiggedMesh) -> dict[str, str]:
    """Names of the rig's shapes by what they may be called: their own names, and ARKit's for what they stand for."""
    known = {name.lower(): name for name in rigged.names}
    units = {unit: name for name in rigged.names if (unit := unit_of(name)) is not None}
    return known | {unit.lower(): name for unit, name in units.items()}


def _named(known: Mapping[str, str], name: str) -> str | None:
    unit = unit_of(name)
    return known.get(name.lower()) or (known.get(unit.lower()) if unit is not None else None)


def _from_folder(rigged: RiggedMesh, folder: Path) -> dict[str, NDArray[np.float32]]:
    check_source(folder)
    known, given = _names(rigged), {}
    files = sorted(folder.glob("*.obj"))
    reference = rigged.mesh.vertices
    for path in files:
        if path.stem.lower() == NEUTRAL:
            mesh = load_mesh(path)
            _check_topology(path, mesh, rigged)
            _check_near(path, mesh.vertices - rigged.mesh.vertices, rigged, "at rest")
            reference = mesh.vertices
    for path in files:
        if path.stem.lower() == NEUTRAL:
            continue
        name = _named(known, path.stem)
        if name is None:
            raise InputError(
                f"{path}: no shape of this rig is called '{path.stem}'; name it as --format obj-per-shape does, or "
                "take the file out of the folder"
            )
        mesh = load_mesh(path)  # refuses numbers that are none
        _check_topology(path, mesh, rigged)
        moved = mesh.vertices - reference
        _check_near(path, moved, rigged, "in this shape")
        given[name] = moved
    return given


def _check_topology(path: Path, mesh: Mesh, rigged: RiggedMesh) -> None:
    expected = rigged.mesh
    again = "export it with the vertex order kept, nothing merged, split or triangulated anew"
    if len(mesh.vertices) != len(expected.vertices):
        raise InputError(
            f"{path}: expected the {len(expected.vertices)} vertices of this rig, got {len(mesh.vertices)}; {again}"
        )
    if len(mesh.faces) != len(expected.faces) or not np.array_equal(_sorted(mesh.faces), _sorted(expected.faces)):
        raise InputError(f"{path}: its triangles are not this rig's, the order of vertices has changed; {again}")


def _sorted(faces: NDArray[np.int32]) -> NDArray[np.int32]:
    rows = np.sort(faces, axis=1)
    return rows[np.lexsort(rows.T[::-1])]


def _check_near(path: Path, moved: NDArray[np.float32], rigged: RiggedMesh, when: str) -> None:
    size = float(np.ptp(rigged.mesh.vertices[rigged.mesh.faces.reshape(-1)], axis=0).max())
    far = np.linalg.norm(moved, axis=1)
    if not np.isfinite(far).all():
        raise InputError(f"{path}: it holds numbers that are none; export it again")
    if float((far > _FAR * size).mean()) > _MOST_FAR or far.max(initial=0.0) > _FARTHEST * size:
        raise InputError(
            f"{path}: {when} its vertices lie up to {far.max() / size:.1f} times the head's size from where they "
            "belong; export with the axes and the scale it was imported with"
        )


def _from_gltf(rigged: RiggedMesh, path: Path) -> dict[str, NDArray[np.float32]]:
    """From a rigged file: programs split and sort vertices as they like, so they are known by where they rest."""
    mesh = load_mesh(path, morphs=True)
    known = _names(rigged)
    morphs = mesh.morphs
    found = [] if morphs is None else [(n, i) for i, name in enumerate(morphs.names) if (n := _named(known, name))]
    if morphs is None or not found:
        return {}
    used = np.unique(rigged.mesh.faces)
    size = float(np.ptp(rigged.mesh.vertices[used], axis=0).max())
    theirs = np.unique(mesh.faces)
    distance, nearest = cKDTree(mesh.vertices[theirs]).query(rigged.mesh.vertices[used])
    lost = int((distance > _SAME * size).sum())
    if lost:
        raise InputError(
            f"{path}: {lost} of the {len(used)} vertices of this rig are not in it; export the rigged head at "
            "rest, with its vertices, axes and scale as they were"
        )
    given = {}
    for name, index in found:
        moved = np.zeros_like(rigged.mesh.vertices)
        moved[used] = morphs.displacement[index][theirs[nearest]]
        _check_near(path, moved, rigged, f"in {name}")
        given[name] = moved
    return given
