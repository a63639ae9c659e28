"""A picture of all shapes of a head, each with its name: what an artist looks at first."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.camera import PUBLISHED_EYE, PUBLISHED_INTRINSICS, Intrinsics, look_at, transform_points
from realtime.rig.head_shapes import HeadShapes
from render.window.viewer import Viewer

_CELL, _COLUMNS = 300, 8
_HEADROOM = 26
_ROOM, _BELOW = 0.14, 0.08  # of the face's height: around it, and shifted down
_INK, _DOUBT = (235, 235, 235), (255, 170, 60)


def draw_sheet(shapes: HeadShapes, doubtful: frozenset[str] = frozenset()) -> NDArray[np.uint8]:
    """[H, W, 3] the head at rest and in every shape, as live shows it; names of doubtful ones are orange. A shape that
    is meant to be added to another is shown with that. Makes an OpenGL context: main thread only."""
    avatar = shapes.avatar
    cells = []
    with Viewer(avatar.display_mesh, (_CELL, _CELL), headless=True, intrinsics=_face_view(avatar.landmarks)) as viewer:
        rest = [("rest", shapes.neutral, False)]
        for target, posed in zip(shapes.targets, shapes.posed, strict=True):
            name = target.name + "".join(f" (with {other})" for other in target.over)
            rest.append((name, posed + shapes.under(target), target.name in doubtful))
        for name, vertices, doubt in rest:
            viewer.show(vertices, np.eye(4), None, "")
            cells.append(_cell(viewer.read_rgb(), name, _DOUBT if doubt else _INK))
    blank = np.full_like(cells[0], 32)
    cells += [blank] * (-len(cells) % _COLUMNS)
    rows = [np.concatenate(cells[start : start + _COLUMNS], axis=1) for start in range(0, len(cells), _COLUMNS)]
    return np.concatenate(rows)


def _face_view(landmarks: NDArray[np.float32]) -> Intrinsics:
    """The published camera on a face of landmarks [478, 3], with room for a jaw that opens."""
    at = PUBLISHED_INTRINSICS.project(transform_points(look_at(PUBLISHED_EYE), landmarks.astype(np.float64)))
    low, high = at.min(axis=0), at.max(axis=0)
    side = round(float((high - low).max()) * (1 + 2 * _ROOM))
    corner = np.rint((low + high) / 2 - [side / 2, side * (0.5 - _BELOW)]).astype(int)
    return PUBLISHED_INTRINSICS.crop(int(corner[0]), int(corner[1]), side, side).resized(_CELL, _CELL)


def _cell(picture: NDArray[np.uint8], name: str, ink: tuple[int, int, int]) -> NDArray[np.uint8]:
    cell = np.full((_CELL + _HEADROOM, _CELL, 3), 32, dtype=np.uint8)
    cell[_HEADROOM:] = picture
    scale = 0.5 if len(name) <= 24 else 0.5 * 24 / len(name)
    cv2.putText(cell, name, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    cell[:, -1] = cell[-1] = 16
    return cell
