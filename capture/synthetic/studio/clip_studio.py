"""Shoots ground-truth clips: colour and depth as a camera would see them, and what was really there. Needs OpenGL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.posing import NeckPose
from capture.synthetic.studio.clip_plan import ClipPlan
from capture.synthetic.studio.clip_renderer import ClipRenderer
from capture.synthetic.studio.sensor_noise import DepthSensor, SurfaceView
from core.camera import transform_points
from core.closeable import Closeable
from core.frame import RgbdFrame


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame and its truth.

    Attributes:
        plan: of its clip; number: of the frame within it.
        frame: what the camera hands over, sensor noise included.
        weights: [52] of `plan.person.unit_names`.
        T_camera_head: [4, 4] the rigid pose of the `HeadModel`'s frame.
        vertices: [n, 3] head frame, metres, before the neck bends.
        camera_m: [n, 3] camera frame, metres, as drawn: the neck bent, the shoulders still.
        depth_true_m: [H, W] exact depth of head and wall.
        face_id: [H, W] int32 face of `plan.person.mesh()` under the pixel's centre, −1 on the wall.
    """

    plan: ClipPlan
    number: int
    frame: RgbdFrame
    weights: NDArray[np.float64]
    T_camera_head: NDArray[np.float64]
    vertices: NDArray[np.float64]
    camera_m: NDArray[np.float32]
    depth_true_m: NDArray[np.float32]
    face_id: NDArray[np.int32]


class ClipStudio(Closeable):
    """A context manager; its OpenGL context belongs to the thread that made it. Raises InputError without OpenGL."""

    def __init__(self) -> None:
        self._renderer = ClipRenderer()

    def shoot(self, plan: ClipPlan) -> Iterator[ClipFrame]:
        """Every frame of the clip in order; the same plan gives the same frames."""
        self._renderer.take_person(plan.person)
        self._renderer.take_light(plan.light)
        neck = NeckPose(plan.person.model)
        sensor = DepthSensor(plan.sensor, plan.intrinsics, plan.seed)
        for number in range(len(plan)):
            yield self._shoot(plan, number, neck, sensor)

    def _shoot(self, plan: ClipPlan, number: int, neck: NeckPose, sensor: DepthSensor) -> ClipFrame:
        vertices = plan.person.vertices(plan.weights[number])
        camera_m = posed_in_camera(plan, number, neck, vertices)
        shot = self._renderer.draw(camera_m, plan.intrinsics)
        clear = 255 - shot.rgba[..., 3:].astype(np.uint16)  # colours are premultiplied
        rgb = shot.rgba[..., :3] + ((plan.background * clear + 127) // 255).astype(np.uint8)
        rgb = _with_noise(rgb, plan.light.noise, plan.seed, number)
        wall = shot.depth_m <= 0
        depth = np.where(wall, np.float32(plan.background_m), shot.depth_m).astype(np.float32)
        view = SurfaceView(depth, np.where(wall, 0.9, shot.cosine), np.where(wall, 0.5, shot.reflectivity))
        frame = RgbdFrame(rgb, sensor.measure(view, number), plan.intrinsics, float(plan.times_s[number]), number)
        return ClipFrame(
            plan,
            number,
            frame,
            plan.weights[number],
            plan.T_camera_head(number),
            vertices,
            camera_m,
            depth,
            shot.face_id,
        )

    def close(self) -> None:
        self._renderer.release()


def posed_in_camera(plan: ClipPlan, number: int, neck: NeckPose, vertices: NDArray[np.float64]) -> NDArray[np.float32]:
    """[n, 3] camera frame: a face's vertices (head frame) with the head turned as in frame `number` of the plan."""
    posed = neck.posed(vertices, plan.head_deg[number]) + plan.shift_m[number]
    return transform_points(plan.T_camera_body, posed).astype(np.float32)


def _with_noise(rgb: NDArray[np.uint8], spread: float, seed: int, number: int) -> NDArray[np.uint8]:
    if spread <= 0:
        return rgb
    rng = np.random.default_rng([seed, 3, number])
    noise = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(spread)
    return np.asarray(np.clip(rgb + noise + np.float32(0.5), 0, 255), dtype=np.uint8)
