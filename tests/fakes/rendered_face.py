"""A rendered face with exact depth, for simulated cameras and as the truth for depth cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics

KINECT_NFOV = Intrinsics(504.6, 504.7, 333.3, 349.3, 640, 576)
TRUEDEPTH = Intrinsics(570.0, 570.0, 321.0, 238.0, 640, 480)
EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.7},
    {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.2},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "browInnerUp": 0.6},
)


@dataclass(frozen=True, eq=False)
class RenderedFace:
    """rgb [H, W, 3] uint8, depth_m [H, W] float32 (0 = nothing there), face [H, W] bool, seen by `intrinsics`."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    face: NDArray[np.bool_]
    intrinsics: Intrinsics


def rendered_faces(
    intrinsics: Intrinsics,
    distance_m: float = 0.5,
    wall_m: float = 1.3,
    turn_deg: float = 12.0,
    T_camera_first: NDArray[np.float64] | None = None,
    expressions: Sequence[dict[str, float]] = EXPRESSIONS,
) -> list[RenderedFace]:
    """The built-in head with each of the expressions, turned a little, before a wall (0: before nothing).

    `T_camera_first` [4, 4] places this camera beside the one the face is straight in front of.
    """
    from capture.synthetic.head.head_model import HeadModel
    from render.gl.gl_context import create_context, release_context
    from render.gl.mesh_renderer import MeshRenderer
    from render.gl.render_target import RenderTarget

    model = HeadModel()
    context = create_context(headless=True)
    try:
        renderer = MeshRenderer(context, model.mesh())
        size = (intrinsics.width, intrinsics.height)
        picture, geometry = RenderTarget(context, *size), RenderTarget(context, *size, geometry=True)
        pose = _pose(distance_m, turn_deg)
        if T_camera_first is not None:
            pose = T_camera_first @ pose
        faces = []
        for weights in expressions:
            renderer.set_vertices(model.vertices(weights).astype(np.float32))
            renderer.render(picture, pose, intrinsics)
            renderer.render_flat(geometry, pose, intrinsics)
            depth = geometry.depth()
            face = depth > 0
            faces.append(RenderedFace(picture.rgb(), np.where(face, depth, np.float32(wall_m)), face, intrinsics))
        return faces
    finally:
        release_context(context)


def talk(frames: int) -> list[dict[str, float]]:
    """A mouth that opens and smiles and comes back, over and over without a jump; at rest in the first frame."""
    phase = np.arange(frames) / frames * 2 * np.pi
    opened, smile = 0.3 * (1 - np.cos(phase)), 0.35 * (1 - np.cos(2 * phase))
    return [
        {"jawOpen": float(jaw), "mouthSmileLeft": float(mouth), "mouthSmileRight": float(mouth)}
        for jaw, mouth in zip(opened, smile, strict=True)
    ]


def eye_distance_m() -> float:
    """Between the middles of the head's two eyeballs."""
    from capture.synthetic.head.head_model import HeadModel

    eyes = HeadModel().eyeballs
    return float(np.linalg.norm(eyes["left"].centre - eyes["right"].centre))


def _pose(distance_m: float, turn_deg: float) -> NDArray[np.float64]:
    """T_camera_world of a camera straight in front of the eyes; the head's frame has y up and looks along +z."""
    turn = np.radians(turn_deg)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ rotation
    pose[:3, 3] = (0.0, 0.0, distance_m)
    return pose
