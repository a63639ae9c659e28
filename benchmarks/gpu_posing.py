"""Poses that go to the graphics card as numbers, beside the same as vertices.

Found are the milliseconds of a picture until it is drawn and read back, and those of the engine, the bytes of both, and
how far apart vertices and pictures are. Without a graphics card the processor does what one would, which says nothing
of speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np

from calib.framing import avatar_view
from core.errors import InputError
from core.frame import FaceObservation
from engine.expression.expression_engine import ExpressionEngine
from realtime.api import prepare_avatar
from render.gl.gl_context import create_context, is_software, release_context
from render.gl.gpu_mesh import GpuMesh
from render.window.viewer import Viewer

_VERTEX = 4e-4  # avatar units, 0.05 mm of a head
_MEAN = 1.0  # level by which pictures may differ on average


def compare_posing(observations: list[FaceObservation], size: tuple[int, int], tell: Callable[..., None]) -> None:
    """On a built-in head driven by observations that are tracked; `tell` is given what is found as it is found."""
    avatar = prepare_avatar("realistic")
    usual, deferring = ExpressionEngine(avatar), ExpressionEngine(avatar)
    deferring.defers = True
    poses = {}
    for name, engine in (("vertices", usual), ("numbers", deferring)):
        engine.calibrate(observations[0])
        engine.animate(observations[0])
        start = time.perf_counter()
        poses[name] = [engine.animate(each) for each in observations]
        tell(**{f"engine_{name}_ms": (time.perf_counter() - start) * 1e3 / len(observations)})
    context = create_context()
    software = is_software(context)
    tell(renderer=str(context.info["GL_RENDERER"]), software=software)
    mesh, apart = GpuMesh(context, avatar.display_mesh, None, False, None), 0.0
    pairs = list(zip(poses["vertices"], (pose.skin for pose in poses["numbers"]), strict=True))
    for pose, skin in pairs:
        assert skin is not None
        mesh.set_pose(skin)
        apart = max(apart, float(np.linalg.norm(mesh.posed_vertices() - pose.vertices, axis=1).max()))
    mesh.release()
    release_context(context)
    tell(vertices_apart=apart, allowed_vertices_apart=_VERTEX, pose_bytes=pairs[0][1].skin.pose_bytes)  # type: ignore[union-attr]
    tell(vertices_bytes=avatar.display_mesh.vertices.nbytes)
    with (
        patch("render.window.viewer.is_software", lambda _: False),
        patch("render.gl.mesh_renderer.is_software", lambda _: False),
        Viewer(avatar.display_mesh, size, headless=True, intrinsics=avatar_view(avatar)) as viewer,
    ):
        if not viewer.takes_poses:
            raise InputError("OpenGL without multisampling: it draws no poses that are told as numbers")
        took: dict[str, list[float]] = {"vertices": [], "numbers": []}
        levels = 0.0
        for pose, skin in pairs:
            seen = []
            for name, shape in (("vertices", pose.vertices), ("numbers", skin)):
                start = time.perf_counter()
                viewer.show(shape, pose.T_world_head, None, "")  # type: ignore[arg-type]
                seen.append(viewer.read_rgb().astype(np.float64))
                took[name].append((time.perf_counter() - start) * 1e3)
            levels = max(levels, float(np.abs(seen[0] - seen[1]).mean()))
    tell(**{f"picture_{name}_ms": float(np.median(ms[1:])) for name, ms in took.items()})
    tell(mean_levels=levels, allowed_mean_levels=_MEAN, equal=apart <= _VERTEX and levels <= _MEAN)
