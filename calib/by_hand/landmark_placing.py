"""Placing landmarks by clicking: what comes next, what was placed, and where on the head a click falls. No window."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calib.survey.hand_landmarks import (
    GUIDE,
    load_hand_landmarks,
    missing_points,
    save_hand_landmarks,
    symmetry_plane,
)
from core.mesh import Mesh

ORDER: Final = (*(guide.names()[0] for guide in GUIDE), *(guide.names()[1] for guide in GUIDE if guide.sided))
LEAST_POINTS: Final = sum(guide.required for guide in GUIDE)  # one side's stand for both
GUIDE_OF: Final = {name: guide for guide in GUIDE for name in guide.names()}


class LandmarkPlacing:
    """The state of one head whose landmarks are being placed. Every change is written to its file at once.

    Args:
        path: of the file; what it holds already is gone on with.
        mesh: in file coordinates.
        canonical: [478, 3] the average face.

    Raises InputError where the file is there but holds something else, or cannot be written.
    """

    def __init__(self, path: Path, mesh: Mesh, canonical: NDArray[np.float64]) -> None:
        self._path, self._canonical = path, canonical
        self.points = load_hand_landmarks(path, mesh) if path.exists() else {}
        self._skipped: set[str] = set()
        self._history = list(self.points)
        save_hand_landmarks(path, self.points)  # a place that cannot be written is told before any work

    @property
    def next(self) -> str | None:
        """Name of the point to place now; None once all are placed or skipped. First the middle and the picture's left
        side, then, for heads whose sides differ, the right one."""
        return next((name for name in ORDER if name not in self._skipped and name not in self.points), None)

    @property
    def complete(self) -> bool:
        """Whether an avatar can be made of what is there."""
        return not missing_points(self.points)

    def place(self, position: NDArray[np.float64]) -> str | None:
        """Put the next point at a position [3] in file coordinates; its name, or None where all are placed."""
        name = self.next
        if name is None:
            return None
        self.points[name] = np.asarray(position, dtype=np.float64)
        self._history.append(name)
        save_hand_landmarks(self._path, self.points)
        return name

    def undo(self) -> str | None:
        """Take back what was placed last; its name, or None where nothing was."""
        if not self._history:
            return None
        name = self._history.pop()
        self.points.pop(name, None)
        self._skipped.clear()
        save_hand_landmarks(self._path, self.points)
        return name

    def skip(self) -> bool:
        """Leave out the next point; False where it is required."""
        name = self.next
        if name is None or (GUIDE_OF[name].required and name in ORDER[: len(GUIDE)]):
            return False
        self._skipped.add(name)
        return True

    def mirrored(self) -> list[NDArray[np.float64]]:
        """Mirror images of points placed on one side, as soon as there are enough to tell the sides apart."""
        if missing_points(self.points):
            return []
        plane = symmetry_plane(self.points, self._canonical)
        given = [[name for name in guide.names() if name in self.points] for guide in GUIDE if guide.sided]
        return [plane.mirror(self.points[names[0]]) for names in given if len(names) == 1]


def pick(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], origin: NDArray[np.float64], ray: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """[3] where a ray from `origin` first meets a mesh; None where it passes by (Möller and Trumbore 1997)."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    one, other = b - a, c - a
    across = np.cross(ray, other)
    volume = np.einsum("fd,fd->f", one, across)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / volume
        start = origin - a
        u = np.einsum("fd,fd->f", start, across) * inverse
        up = np.cross(start, one)
        v = (up @ ray) * inverse
        along = np.einsum("fd,fd->f", other, up) * inverse
        hit = (np.abs(volume) > 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (along > 0) & np.isfinite(along)
    if not hit.any():
        return None
    return np.asarray(origin + ray * float(along[hit].min()))
