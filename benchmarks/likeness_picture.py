"""Driver, avatar and truth side by side, at the worst, the median and the best moment of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.likeness_cases import Driver, Head
from benchmarks.likeness_metrics import Take, explained_per_frame
from render.camera import Intrinsics, look_at
from render.gl_context import create_context
from render.mesh import Mesh
from render.mesh_renderer import MeshRenderer
from render.render_target import RenderTarget

SIDE = 360
_DISTANCE_M = 0.9


@dataclass(frozen=True, eq=False)
class _Moment:
    explained: float
    label: str
    driver_rgb: NDArray[np.uint8]
    mesh: Mesh
    metres: float
    judged: NDArray[np.int64]
    predicted: NDArray[np.float32]
    true: NDArray[np.float32]


class PictureBook:
    """Collects moments and prints three of them."""

    def __init__(self) -> None:
        self._moments: list[_Moment] = []

    def offer(self, head: Head, driver: Driver, take: Take) -> None:
        """Keep the worst, the median and the best frame of a take."""
        error = np.linalg.norm(take.predicted - take.true, axis=2)
        scores = explained_per_frame(error, np.linalg.norm(take.true, axis=2))
        order = np.argsort(scores)
        order = order[np.isfinite(scores[order])]
        for frame in {int(order[place]) for place in (0, len(order) // 2, len(order) - 1)} if len(order) else set():
            self._moments.append(
                _Moment(
                    float(scores[frame]),
                    f"{head.kind}, {driver.condition.sensor}",
                    driver.observations[frame].frame.rgb,
                    head.mesh,
                    head.metres,
                    head.judged,
                    take.predicted[frame],
                    take.true[frame],
                )
            )

    def save(self, path: Path) -> None:
        """Rows: worst, median, best; columns: driver, avatar, truth. Only the judged skin moves in the pictures."""
        ordered = sorted(self._moments, key=lambda moment: moment.explained)
        chosen = [ordered[0], ordered[len(ordered) // 2], ordered[-1]]
        rows = [
            np.concatenate([_fitted(m.driver_rgb), _drawn(m, m.predicted), _drawn(m, m.true)], axis=1) for m in chosen
        ]
        for row, moment in zip(rows, chosen, strict=True):
            text = f"{moment.explained:.2f}  {moment.label}"
            cv2.putText(row, text, (8, SIDE - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        Image.fromarray(np.concatenate(rows)).save(path)


def _fitted(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _drawn(moment: _Moment, displacement: NDArray[np.float32]) -> NDArray[np.uint8]:
    vertices = (moment.mesh.vertices * np.float32(moment.metres)).astype(np.float32)
    mesh = replace(moment.mesh, vertices=vertices)
    moved = vertices.copy()
    moved[moment.judged] += displacement
    camera = Intrinsics(
        1.25 * SIDE / 0.3 * _DISTANCE_M, 1.25 * SIDE / 0.3 * _DISTANCE_M, SIDE / 2, SIDE / 2, SIDE, SIDE
    )
    ctx = create_context()
    try:
        renderer = MeshRenderer(ctx, mesh, soft_shadows=False)
        target = RenderTarget(ctx, SIDE, SIDE, samples=4)
        renderer.set_vertices(moved)
        renderer.render(target, look_at((0.0, -0.02, _DISTANCE_M), (0.0, -0.02, 0.0)), camera)
        content = target.framebuffer.read(components=3, alignment=1)
    finally:
        ctx.release()
    return np.frombuffer(content, dtype=np.uint8).reshape(SIDE, SIDE, 3).copy()
