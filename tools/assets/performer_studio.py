"""The virtual RGBD camera in front of the performer (generator and tests only; needs OpenGL)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.geometry import fractal_noise
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.paint import shirt_cover
from capture.synthetic.head.posing import NeckPose
from capture.synthetic.performer.performance import Performance
from capture.synthetic.performer.performer import INTRINSICS, WALL_DEPTH_M
from core.camera import look_at
from core.closeable import Closeable
from core.mesh import Mesh, MeshPart
from render.gl.gl_context import create_context, release_context
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget
from tools.assets.avatar_files import textured_mesh
from tools.assets.characters import CHARACTERS

CAMERA_M = (0.0, 0.010, 0.60)  # the face is about 0.57 m away
SUPERSAMPLING = 2  # along each side, and SAMPLES in every pixel of that: lashes are finer than a pixel
SAMPLES = 4


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame: rgb [H, W, 3] uint8 and exact depth_m [H, W] float32 of head and wall."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]


class Studio(Closeable):
    """The performer before a wall. A context manager; its OpenGL context belongs to the thread that made it."""

    def __init__(self, texture_size: int = 1024) -> None:
        self.model = CHARACTERS["performer"].model()
        mesh = _with_shirt(textured_mesh(self.model, texture_size), self.model)
        self._neck = NeckPose(self.model)
        self._ctx = create_context(headless=True)
        self.mesh: Mesh = mesh  # the performer at rest, as drawn
        self._renderer = MeshRenderer(self._ctx, mesh)
        width, height = INTRINSICS.width, INTRINSICS.height
        self._large = INTRINSICS.resized(width * SUPERSAMPLING, height * SUPERSAMPLING)
        self._picture = RenderTarget(self._ctx, self._large.width, self._large.height, samples=SAMPLES)
        self._geometry = RenderTarget(self._ctx, width, height, geometry=True)
        self._wall = wall_picture()
        self._view = look_at(CAMERA_M, (CAMERA_M[0], CAMERA_M[1], 0.0))

    def shoot(self, performance: Performance, frame: int) -> Shot:
        """Draw one frame of the performance."""
        vertices = self.posed(performance, frame)
        self._renderer.set_vertices(vertices)
        self._renderer.render(self._picture, self._view, self._large)
        rgb = _over(self._rgba(), self._wall)
        self._renderer.render_flat(self._geometry, self._view, INTRINSICS)
        depth = self._geometry.depth()
        return Shot(rgb, np.where(depth > 0, depth, np.float32(WALL_DEPTH_M)).astype(np.float32))

    def posed(self, performance: Performance, frame: int) -> NDArray[np.float32]:
        """[n, 3] the performer's vertices in the studio's world, metres."""
        vertices = self.model.vertices(performance.weights[frame])
        posed = self._neck.posed(vertices, performance.head_deg[frame], float(performance.breath[frame]))
        return posed.astype(np.float32)

    def shoot_all(self, performance: Performance) -> Iterator[Shot]:
        for frame in range(len(performance.times_s)):
            yield self.shoot(performance, frame)

    def _rgba(self) -> NDArray[np.uint8]:
        framebuffer: moderngl.Framebuffer = self._picture.framebuffer
        content = framebuffer.read(components=4, alignment=1)
        large = np.frombuffer(content, dtype=np.uint8).reshape(self._large.height, self._large.width, 4)
        size = (INTRINSICS.width, INTRINSICS.height)
        return np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def close(self) -> None:
        self._renderer.release()
        self._picture.release()
        self._geometry.release()
        release_context(self._ctx)


def _with_shirt(mesh: Mesh, model: HeadModel) -> Mesh:
    """The same mesh with the clothed faces of the skin as a part of their own, so that they do not shine like skin."""
    skin = mesh.parts[0]
    cloth = shirt_cover(model.skin_fields.position[mesh.faces[: skin.face_count]].mean(axis=1)) > 0.5
    order = np.concatenate([np.argsort(cloth, kind="stable"), np.arange(skin.face_count, len(mesh.faces))])
    bare = int((~cloth).sum())
    shirt = MeshPart("shirt", bare, skin.face_count - bare, skin.material)
    parts = (replace(skin, face_count=bare), shirt, *mesh.parts[1:])
    assert mesh.faces_uv is not None
    return replace(mesh, faces=mesh.faces[order], faces_uv=mesh.faces_uv[order], parts=parts)


def _over(rgba: NDArray[np.uint8], behind: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Picture with (premultiplied) alpha over another."""
    clear = 255 - rgba[..., 3:].astype(np.uint16)
    return np.asarray(rgba[..., :3] + ((behind * clear + 127) // 255).astype(np.uint8), dtype=np.uint8)


def wall_picture() -> NDArray[np.uint8]:
    """[H, W, 3] an out-of-focus room: a plaster wall in window light, a shelf, a plant."""
    height, width = INTRINSICS.height, INTRINSICS.width
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    light = np.exp(-(((x - 90) / 330) ** 2 + ((y - 60) / 330) ** 2))
    picture = np.array([0.40, 0.41, 0.42]) + light[..., None] * np.array([0.22, 0.20, 0.16])
    grain = fractal_noise(np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1), 90.0, 5).reshape(height, width)
    picture *= 1 + 0.025 * grain[..., None]
    canvas = np.ascontiguousarray(np.clip(picture * 255, 0, 255).astype(np.uint8))
    cv2.rectangle(canvas, (455, 118), (660, 130), (96, 72, 52), -1)
    for left, wide, tall, color in (
        (470, 15, 62, (112, 60, 52)), (487, 20, 74, (70, 88, 104)), (509, 13, 55, (150, 132, 96)),
        (524, 18, 68, (62, 84, 70)), (545, 12, 60, (128, 96, 66)),
    ):  # fmt: skip
        cv2.rectangle(canvas, (left, 118 - tall), (left + wide, 118), color, -1)
    for angle in range(-70, 71, 20):
        tip = (610 + round(46 * np.sin(np.radians(angle))), 84 - round(52 * np.cos(np.radians(angle))))
        cv2.ellipse(canvas, ((610 + tip[0]) // 2, (92 + tip[1]) // 2), (30, 9), angle - 90, 0, 360, (58, 92, 56), -1)
    cv2.rectangle(canvas, (594, 88), (626, 118), (168, 150, 132), -1)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 6.0), dtype=np.uint8)
