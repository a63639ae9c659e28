"""A picture of a prepared avatar, for a person to see what was found on it."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.framing import avatar_view
from calib.survey.face_finder import FaceLookedFor
from core.camera import look_at, transform_points
from core.errors import InputError
from core.whole_file import whole_file
from core.writable import check_writable, writing_to
from render.mesh.pictures import carries_name, with_mark
from render.window.viewer import Viewer

_SIZE = 960
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_MARKED = (".png", ".jpg", ".jpeg")  # of which `with_mark` makes pictures that are no textures
_LANDMARK_BGR, _CONTROLLER_BGR, _DOUBTED_BGR = (90, 220, 90), (60, 160, 255), (60, 60, 255)
_CELL, _CELLS_A_ROW = 480, 3  # pixels; pictures in which a face was looked for


def check_picture(path: Path, option: str, head: Path) -> None:
    """Raises InputError, which names the option, where no picture can be written at `path`: by its place or ending, or
    as it would be taken for the texture of `head` the next time."""
    check_writable(path, option)
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise InputError(f"{option} {path}: expected a name that ends in {', '.join(_ENDINGS)}; add one")
    if ending not in _MARKED and carries_name(path, head) and path.absolute().parent == head.absolute().parent:
        raise InputError(
            f"{option} {path}: beside the head and with its name it would be taken for its texture; name a .png, which "
            "says that it is none, or another place"
        )


def save_picture(avatar: Avatar, path: Path) -> None:
    """Write the head from the front with its landmarks (green) and, where there are none, its controllers (orange).

    Missing folders are made. Makes an OpenGL context: main thread only. Raises InputError where the picture cannot be
    written (see `check_picture`).
    """
    with Viewer(avatar.display_mesh, (_SIZE, _SIZE), headless=True, intrinsics=avatar_view(avatar)) as viewer:
        viewer.show(avatar.display_mesh.vertices, np.eye(4), None, "")
        picture = np.ascontiguousarray(viewer.read_rgb()[..., ::-1])
        camera = viewer.intrinsics
    for points, color, radius in (
        (avatar.controllers.rest, _CONTROLLER_BGR, 1),  # small: they are many, and the skin has to be seen, too
        (avatar.landmarks, _LANDMARK_BGR, 2),
    ):
        pixels = camera.project(transform_points(look_at((0.0, 0.0, 8.0)), points.astype(np.float64)))
        for x, y in pixels:
            cv2.circle(picture, (round(float(x)), round(float(y))), radius, color, -1, cv2.LINE_AA)
    write_picture(path, picture, str(path))


def save_looked_for(seen: tuple[FaceLookedFor, ...], path: Path) -> None:
    """Write the pictures in which a face was looked for beside each other, with landmarks, red, where there were any.

    Raises InputError where the picture cannot be written (see `check_picture`).
    """
    cells = []
    for each in seen:
        cell = cv2.resize(each.rgb[..., ::-1], (_CELL, _CELL), interpolation=cv2.INTER_AREA)
        for x, y in (np.zeros((0, 2)) if each.points is None else each.points) * (_CELL / len(each.rgb)):
            cv2.circle(cell, (round(float(x)), round(float(y))), 1, _DOUBTED_BGR, -1, cv2.LINE_AA)
        if each.points is None:
            cv2.putText(cell, "no face", (12, _CELL - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.8, _DOUBTED_BGR, 2, cv2.LINE_AA)
        cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % _CELLS_A_ROW)
    rows = [np.concatenate(cells[start : start + _CELLS_A_ROW], axis=1) for start in range(0, len(cells), _CELLS_A_ROW)]
    write_picture(path, np.concatenate(rows), str(path))


def write_picture(path: Path, bgr: NDArray[np.uint8], name: str) -> None:
    """Write a picture [H, W, 3] as the ending of `path` says, whole or not at all; missing folders are made. A PNG or
    JPEG says that it is no texture (`render.mesh.pictures.with_mark`).

    Raises InputError, which begins with `name`, where it cannot be encoded, and where the system refuses it.
    """
    encoded, content = cv2.imencode(path.suffix, bgr)
    if not encoded:
        raise InputError(f"{name}: the picture cannot be encoded; name a .png")
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(with_mark(content.tobytes()))
