"""Driver, avatar and truth side by side, at the worst, the median and the best moment of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.likeness_cases import Driver
from benchmarks.likeness_heads import Head
from benchmarks.likeness_methods import Poses
from benchmarks.likeness_metrics import Take, explained_per_frame
from calib.avatar import Avatar
from core.camera import PUBLISHED_INTRINSICS, transform_points
from core.mesh import Mesh
from render.gl.gl_context import create_context, release_context
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget

SIDE = 360


@dataclass(frozen=True, eq=False)
class _Moment:
    explained: float
    label: str
    driver_rgb: NDArray[np.uint8]
    avatar: Avatar
    predicted: NDArray[np.float32]  # [R, 3] avatar units
    true: NDArray[np.float32]  # [V, 3] avatar units


class PictureBook:
    """Collects moments and prints three of them."""

    def __init__(self) -> None:
        self._moments: list[_Moment] = []

    def offer(self, head: Head, avatar: Avatar, driver: Driver, take: Take, poses: Poses) -> None:
        """Keep the worst, the median and the best frame of a take."""
        error = np.linalg.norm(take.predicted - take.true, axis=2)
        scores = explained_per_frame(error, np.linalg.norm(take.true, axis=2))
        order = [int(frame) for frame in np.argsort(scores) if np.isfinite(scores[frame])]
        for frame in {order[0], order[len(order) // 2], order[-1]} if order else set():
            true = head.truth(driver.weights[frame]).astype(np.float32)
            self._moments.append(
                _Moment(
                    float(scores[frame]),
                    f"{head.kind}, {driver.condition.sensor}",
                    driver.observations[frame].frame.rgb,
                    avatar,
                    poses[frame],
                    transform_points(avatar.T_world_file, true),
                )
            )

    def save(self, path: Path) -> None:
        """Rows: worst, median, best; columns: driver, avatar, truth."""
        ordered = sorted(self._moments, key=lambda moment: moment.explained)
        chosen = [ordered[0], ordered[len(ordered) // 2], ordered[-1]]
        Image.fromarray(np.concatenate([_row(moment) for moment in chosen])).save(path)


def _row(moment: _Moment) -> NDArray[np.uint8]:
    avatar = moment.avatar
    driver = cv2.resize(moment.driver_rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    drawn = _drawn(avatar, avatar.display_mesh, moment.predicted)
    row = np.concatenate([driver, drawn, _drawn(avatar, avatar.file_mesh, moment.true)], axis=1)
    text = f"{moment.explained:.2f}  {moment.label}"
    cv2.putText(row, text, (8, SIDE - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(row, dtype=np.uint8)


def _drawn(avatar: Avatar, mesh: Mesh, vertices: NDArray[np.float32]) -> NDArray[np.uint8]:
    camera = PUBLISHED_INTRINSICS.crop(-8, -8, 272, 272).resized(SIDE, SIDE)
    ctx = create_context()
    try:
        renderer = MeshRenderer(ctx, mesh, soft_shadows=False)
        target = RenderTarget(ctx, SIDE, SIDE, samples=4)
        renderer.set_vertices(vertices)
        renderer.render(target, avatar.T_camera_world, camera)
        content = target.framebuffer.read(components=3, alignment=1)
    finally:
        release_context(ctx)
    return np.frombuffer(content, dtype=np.uint8).reshape(SIDE, SIDE, 3)
