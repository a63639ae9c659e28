"""Heads whose files bring ARKit's shapes along, as artists make them; and such in which no landmarker finds a face."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.head_model import HeadModel
from core.expression_units import UNIT_NAMES
from core.mesh import Mesh
from render.mesh.export.gltf_new import new_gltf
from render.mesh.export.rigged_mesh import RiggedMesh, Shape

Warp = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Points [N, 3] in metres, y up, z out of the face → where they go instead."""


def write_shaped_head(
    path: Path,
    units: Collection[str] = UNIT_NAMES,
    *,
    still: Collection[str] = (),
    warp: Warp = np.asarray,
    paint: Callable[[Mesh], NDArray[np.float32]] | None = None,
) -> HeadModel:
    """Write the parametric head as a .glb with a morph target for each of the `units`, those of `still` without motion.

    `warp` bends rest and shapes alike; `paint` gives the vertices' colours [V, 3].
    """
    model = HeadModel()
    mesh = model.mesh()
    rest = warp(model.vertices())
    shapes = []
    for unit in units:
        moved = np.zeros_like(rest) if unit in still else warp(model.vertices({unit: 1.0})) - rest
        shapes.append(Shape.of(unit, moved.astype(np.float32), 1e-7))
    mesh = replace(mesh, vertices=rest.astype(np.float32))
    if paint is not None:
        mesh = replace(mesh, vertex_colors=paint(mesh))
    firsts = tuple(part.first_face for part in mesh.parts)
    rigged = RiggedMesh(mesh, mesh.vertices, mesh.faces, firsts, tuple(shapes), frozenset(), 1e-7, np.eye(4))
    path.write_bytes(new_gltf(rigged, path.stem, "test").to_glb())
    return model
