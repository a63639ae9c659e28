"""A head's file as it is to be prepared: its mesh, and the shapes of its own where these are to move it."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from calib.extent import check_extent
from calib.preparation_options import PreparationOptions
from calib.published.bfm import bfm_mesh
from calib.rig.own_shapes import LEAST_UNITS, arkit_morphs, lack_of_units, units_among, units_named
from core.errors import InputError
from core.mesh import Mesh
from render.mesh.gltf_morphs import gltf_morph_names, has_rig_mark, load_gltf_morphs
from render.mesh.mesh_io import GLTF_ENDINGS, load_mesh

_NEARLY_ALL = 45  # of the 51 units beside the tongue: a face whose artist meant it to be driven by them
_MOVES = 1e-5  # of the mesh's extent: shapes that move nothing farther are empty
_LEAST_MOTION = 0.005  # of the face's size, about a millimetre: if no shape moves farther, nobody sees them
_OF_FACE = 0.1  # of the farthest motion: what moves so far is the face that the shapes move, not the body under it
log = logging.getLogger(__name__)


def load_head(path: Path, options: PreparationOptions) -> Mesh:
    """The file's mesh, checked as far as that goes quickly, with its shapes where these are to move it.

    Raises InputError, also where shapes were asked for and the file has too few.
    """
    if options.bfm is not None:
        mesh = bfm_mesh(path, options.bfm)
    else:
        mesh = load_mesh(path, options.texture, morphs=options.morphs == "on")
    check_extent(str(path), mesh)
    if options.morphs == "on":
        arkit_morphs(str(path), mesh)  # raises where there are too few
        moving = _moving(path, mesh)
        if len(moving) < LEAST_UNITS:
            raise InputError(
                f"{path}: --morphs: {len(units_among(mesh))} morph targets with ARKit names, of which {len(moving)} "
                f"move anything, expected at least {LEAST_UNITS} that do; leave --morphs out, the head needs none"
            )
        return mesh
    if options.morphs == "off" or path.suffix.lower() not in GLTF_ENDINGS:
        return mesh
    try:
        return _with_rigged_shapes(path, mesh) if has_rig_mark(path) else _with_own_shapes(path, mesh)
    except InputError as reason:
        log.info("%s: not moved by the shapes in it: %s", path, reason)
        return mesh


def own_unit_count(path: Path) -> int:
    """How many of ARKit's shapes a head's file has; 0 where these are too few for a face. Raises InputError."""
    if path.suffix.lower() not in GLTF_ENDINGS:
        return 0
    found = units_named(gltf_morph_names(path))
    return len(found) if len(found) >= LEAST_UNITS else 0


def _with_rigged_shapes(path: Path, mesh: Mesh) -> Mesh:
    """A head of `vfa rig` with its shapes: an artist may have corrected them. Without them where they have other names
    than units."""
    rigged = replace(mesh, morphs=load_gltf_morphs(path))
    if (lack := lack_of_units(rigged)) is not None:
        log.info("%s: not moved by the shapes in it, as a head without any: %s", path, lack)
        return mesh
    log.info("%s: moved by the %d shapes that vfa rig has put into it", path, len(units_among(rigged)))
    return rigged


def _with_own_shapes(path: Path, mesh: Mesh) -> Mesh:
    """A head with its shapes where it has nearly all of ARKit's; otherwise without, and the log says how to use them
    where they are enough for a face."""
    if not own_unit_count(path):
        return mesh
    shaped = replace(mesh, morphs=load_gltf_morphs(path))
    moving = _moving(path, shaped)
    if lack_of_units(shaped) is None:
        if len(set(moving) - {"tongueOut"}) >= _NEARLY_ALL:
            log.info("%s: moved by its own %d ARKit shapes; --morphs off moves it as a bare mesh", path, len(moving))
            return shaped
        if len(moving) < LEAST_UNITS:
            return mesh
        log.info("%s: moved as a bare mesh; --morphs moves it by its own %d ARKit shapes", path, len(moving))
    return mesh


def _moving(path: Path, mesh: Mesh) -> list[str]:
    """The units among a mesh's shapes that move anything. Raises InputError where one moves something farther than the
    mesh is large, or all move next to nothing: such shapes are in another unit of length, or damaged."""
    assert mesh.morphs is not None
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    moving = []
    most = np.zeros(len(mesh.vertices), dtype=np.float32)
    for unit, number in units_among(mesh).items():
        moved = np.abs(mesh.morphs.displacement[number]).max(axis=1)
        farthest = float(moved.max())
        if not farthest <= extent:
            raise InputError(
                f"{path}: its shape {mesh.morphs.names[number]!r} moves a vertex by {farthest:.3g}, the whole mesh is "
                f"{extent:.3g} large; export it again with shapes in the head's own unit of length, or use --morphs off"
            )
        if farthest > _MOVES * extent:
            moving.append(unit)
            most = np.maximum(most, moved)
    if moving:
        face = float(np.ptp(mesh.vertices[most > _OF_FACE * most.max()], axis=0).max())
        if most.max() < _LEAST_MOTION * face:
            raise InputError(
                f"{path}: its {len(moving)} shapes move no vertex farther than {most.max():.3g} on a face that is "
                f"{face:.3g} large, as good as nothing; export it again with shapes in the head's own unit of length"
            )
    return moving
