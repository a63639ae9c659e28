"""A picture of a prepared avatar, for a person to see what was found on it."""

from pathlib import Path

import cv2
import numpy as np

from calib.avatar import Avatar
from calib.framing import avatar_view
from core.camera import look_at, transform_points
from core.errors import InputError
from render.window.viewer import Viewer

_SIZE = 960
_LANDMARK_BGR, _CONTROLLER_BGR = (90, 220, 90), (60, 160, 255)


def save_picture(avatar: Avatar, path: Path) -> None:
    """Write the head from the front with its landmarks (green) and its controllers (orange).

    Makes an OpenGL context: main thread only. Raises InputError where the picture cannot be written.
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
    try:
        written = cv2.imwrite(str(path), picture)
    except cv2.error:
        written = False
    if not written:
        raise InputError(f"{path}: cannot write a picture there; give a .png or .jpg in a folder that exists")
