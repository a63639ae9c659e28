"""A moving mesh as Universal Scene Description without shapes: points with a sample for every frame.

For programs that know no UsdSkel. Needs the package usd-core; pictures go into a folder beside the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from render.mesh.export.gltf_new import whole
from render.mesh.export.rigged_mesh import RiggedMesh, TurningNormals
from render.mesh.export.usd_scene import add_geometry, add_materials, matrix_of, stage_of, timed, word_of, words_of

MOST_BYTES = 4 << 30  # USD keeps all samples in memory until it writes them


def save_usd_points(
    rigged: RiggedMesh,
    path: Path,
    name: str,
    frames: Iterable[tuple[NDArray[np.float32], NDArray[np.float64]]],
    times_s: NDArray[np.float64],
    fps: float,
) -> None:
    """Write `path` (.usd, .usda, .usdc). It appears when it is whole.

    Args:
        rigged: its mesh at rest; shapes are left out.
        frames: vertices [R, 3] of `rigged.mesh` in the coordinates of the head's file, before the head's motion, and
            that motion [4, 4] in the same, for each of `times_s`.
        fps: time codes a second; samples are at their own times.

    Raises OSError, and InputError where it would take too much memory, or without usd-core.
    """
    mesh = rigged.mesh
    size = 24 * len(times_s) * len(mesh.vertices)
    if size > MOST_BYTES:
        raise InputError(
            f"{path}: {len(times_s)} frames of {len(mesh.vertices)} points and normals are {size / 1e9:.0f} GB, USD "
            f"takes {MOST_BYTES / 1e9:.0f} GB at most here; use --format usd, or a shorter part"
        )
    with stage_of(path) as stage:
        from pxr import UsdGeom, Vt

        root = UsdGeom.Xform.Define(stage, f"/{word_of(name)}")
        stage.SetDefaultPrim(root.GetPrim())
        linear = np.eye(4)
        linear[:3, :3] = rigged.T_metres_file[:3, :3]
        codes = timed(stage, times_s, fps)
        operation = root.AddTransformOp()
        looks = add_materials(stage, root.GetPath(), mesh.materials, path)
        turning = TurningNormals(mesh)
        parts = [part for part in mesh.parts if part.face_count]
        words = words_of([part.name for part in parts])
        made = [
            add_geometry(stage, root.GetPath().AppendChild(word), mesh, part, looks[part.material], turning.rest)
            for part, word in zip(parts, words, strict=True)
        ]
        for code, (vertices, T_file_head) in zip(codes.tolist(), frames, strict=True):
            operation.Set(matrix_of((linear @ T_file_head).T), code)
            normals = whole(turning.at(vertices)).astype(np.float32)
            for geometry, vertex in made:
                geometry.GetPointsAttr().Set(Vt.Vec3fArray.FromNumpy(vertices[vertex]), code)
                geometry.GetNormalsAttr().Set(Vt.Vec3fArray.FromNumpy(normals[vertex]), code)
        for geometry, _ in made:
            extent = UsdGeom.PointBased.ComputeExtent(geometry.GetPointsAttr().Get(float(codes[0])))
            geometry.CreateExtentAttr(extent)
