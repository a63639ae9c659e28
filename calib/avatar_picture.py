"""A picture of a prepared avatar, for a person to see what was found on it."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.framing import avatar_view
from core.camera import look_at, transform_points
from core.errors import InputError
from core.whole_file import whole_file
from core.writable import check_writable, writing_to
from render.window.viewer import Viewer

_SIZE = 960
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_LANDMARK_BGR, _CONTROLLER_BGR = (90, 220, 90), (60, 160, 255)


def check_picture(path: Path, option: str) -> None:
    """Raises InputError, which names the option, where no picture can be written at `path`: by its place or ending."""
    check_writable(path, option)
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"{option} {path}: expected a name that ends in {', '.join(_ENDINGS)}; add one")


def save_picture(avatar: Avatar, path: Path) -> None:
    """Write the head from the front with its landmarks (green) and its controllers (orange).

    Missing folders are made. Makes an OpenGL context: main thread only. Raises InputError where the picture cannot be
    written (see `check_picture`).
    """
    with Viewer(avatar.display_mesh, (_SIZE, _SIZE), headless=True, intrinsics=avatar_view(avatar)) as viewer:
        viewer.show(avatar.display_mesh.vertices, np.eye(4), None, "")
        picture = np.ascontiguousarray(viewer.read_rgb()[..., ::-1])
        camera = viewer.intrinsics
    for points, color, radius in (
        (avatar.controllers.rest, _CONTROLLER_BGR, 4),
        (avatar.landmarks, _LANDMARK_BGR, 2),
    ):
        pixels = camera.project(transform_points(look_at((0.0, 0.0, 8.0)), points.astype(np.float64)))
        for x, y in pixels:
            cv2.circle(picture, (round(float(x)), round(float(y))), radius, color, -1, cv2.LINE_AA)
    write_picture(path, picture, str(path))


def write_picture(path: Path, bgr: NDArray[np.uint8], name: str) -> None:
    """Write a picture [H, W, 3] as the ending of `path` says, whole or not at all; missing folders are made.

    Raises InputError, which begins with `name`, where it cannot be encoded, and where the system refuses it.
    """
    encoded, content = cv2.imencode(path.suffix, bgr)
    if not encoded:
        raise InputError(f"{name}: the picture cannot be encoded; name a .png")
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(content.tobytes())
