"""Where a head stands in its file: axes of the file, and the similarity that puts it before the published camera.

`calib.survey.placing` finds it by looking at the head.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.face_regions import FACE_LANDMARKS, FACE_OVAL

FACE_HEIGHT = 1.27  # avatar units from brow line of the hair to chin: 62 % of the published picture
STRAIGHTEN_RAD = np.radians(6.0)  # a head that stands more crooked is straightened, unless its axes are stated
AXES = {"x": (0, 1), "-x": (0, -1), "y": (1, 1), "-y": (1, -1), "z": (2, 1), "-z": (2, -1)}
_GLTF_AXES = ("y", "z")  # its specification, 3.4: +y is up, the front of an asset faces +z


@dataclass(frozen=True, eq=False)
class Placement:
    """How a file's head is put before the camera.

    Attributes:
        T_world_file: [4, 4] similarity from file coordinates to avatar units.
        up, front: axes of the file, such as "y" and "-z".
        guessed: whether they were guessed.
        straightened_deg: extra rotation that made the face upright and frontal.
    """

    T_world_file: NDArray[np.float64]
    up: str
    front: str
    guessed: bool
    straightened_deg: float

    def describe(self) -> str:
        how = "guessed" if self.guessed else "as stated"
        scale = float(np.cbrt(np.linalg.det(self.T_world_file[:3, :3])))
        straight = f", straightened by {self.straightened_deg:.0f}°" if self.straightened_deg else ""
        return f"up {self.up}, facing {self.front} ({how}){straight}, scale {scale:.4g}"


def axis_rotation(up: str, front: str) -> NDArray[np.float64]:
    """[3, 3] rotation from file to world axes; `up` and `front` such as "z" and "-y"."""
    rows = np.zeros((3, 3))
    for row, name in ((1, up), (2, front)):
        axis, sign = AXES[name]
        rows[row, axis] = sign
    rows[0] = np.cross(rows[1], rows[2])
    return rows


def check_axes(up: str | None, front: str | None) -> None:
    """Raises InputError for an axis there is none of, or two on one line."""
    for option, name in (("--up", up), ("--front", front)):
        if name is not None and name not in AXES:
            raise InputError(f"{option} {name}: expected one of {', '.join(AXES)}")
    if up is not None and front is not None and up[-1] == front[-1]:
        raise InputError(f"--up {up} --front {front}: expected two different axes; the face cannot look along up")


def usual_axes(name: str, up: str | None = None, front: str | None = None) -> tuple[str, str] | None:
    """Axes that point up and out of the face in files of this name's format, where it has such a rule and what the user
    stated goes with it; None otherwise."""
    fits = up in (None, _GLTF_AXES[0]) and front in (None, _GLTF_AXES[1])
    return _GLTF_AXES if fits and name.lower().endswith((".glb", ".gltf")) else None


def scaled_about(middle: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """[4, 4] that puts `middle` at the origin and makes everything so much larger."""
    T = np.eye(4)
    T[:3, :3] *= scale
    T[:3, 3] = -scale * middle
    return T


def moved(points: NDArray[np.float64], T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [N, 3] under a similarity [4, 4]."""
    return np.asarray(points @ T[:3, :3].T + T[:3, 3])


def centring(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] scale and shift that give the face its height and put the middle of its oval at the origin."""
    oval = landmarks[list(FACE_OVAL)]
    middle = (oval.min(axis=0) + oval.max(axis=0)) / 2
    middle[2] = landmarks[:FACE_LANDMARKS, 2].mean()
    return scaled_about(middle, FACE_HEIGHT / max(float(np.ptp(oval[:, 1])), 1e-12))


def homogeneous(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] of a rotation [3, 3]."""
    T = np.eye(4)
    T[:3, :3] = rotation
    return T


def axis_names(rotation: NDArray[np.float64]) -> tuple[str, str]:
    """The file's axes that point up and to the front, or nearly so, under a rotation [3, 3] from file to world."""

    def name(row: NDArray[np.float64]) -> str:
        axis = int(np.abs(row).argmax())
        return ("-" if row[axis] < 0 else "") + "xyz"[axis]

    return name(rotation[1]), name(rotation[2])
