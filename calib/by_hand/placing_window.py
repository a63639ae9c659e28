"""The window in which landmarks are placed on a head by clicking, with a picture that shows which comes next."""

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calib.by_hand.landmark_placing import GUIDE_OF, LEAST_POINTS, ORDER, LandmarkPlacing, pick
from calib.survey.hand_landmarks import GUIDE, LANDMARK_OF, missing_points
from calib.survey.placement import AXES, axis_rotation
from core.canonical_face import CanonicalFace
from core.mesh import Material, Mesh, MeshPart
from render.window.viewer import Viewer, ViewerCommand

_SIZE = 1.7  # of the head's largest side, in avatar units
_MARK = 0.012  # avatar units: radius of a marker
_MOST_MARKS = 2 * len(GUIDE)
_PLACED, _MIRRORED = (0.15, 0.85, 0.35, 1.0), (0.25, 0.55, 1.0, 1.0)
_GUIDE_PX = 480
_WAIT_S = 1 / 60
_SIDE = {"left": "left in the picture", "right": "right in the picture"}
_OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64)
_OCTAHEDRON_FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], dtype=np.int32
)


class PlacingScene:
    """A head with markers, in the viewer's coordinates.

    Args:
        mesh: in file coordinates; up, front: axes of the file that are shown upwards and to the front.
    """

    def __init__(self, mesh: Mesh, up: str, front: str) -> None:
        used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
        self._middle = (used.min(axis=0) + used.max(axis=0)) / 2
        self._scale = _SIZE / max(float(np.ptp(used, axis=0).max()), 1e-30)
        self._turn = axis_rotation(up, front)
        self.vertices = self.to_view(mesh.vertices.astype(np.float64))
        self._faces = mesh.faces
        self.mesh = _with_markers(replace(mesh, vertices=self.vertices.astype(np.float32)))

    def to_view(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """File coordinates [N, 3] → the viewer's."""
        return np.asarray(self._scale * (points - self._middle) @ self._turn.T)

    def to_file(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(point @ self._turn / self._scale + self._middle)

    def under(self, viewer: Viewer, click: tuple[float, float]) -> NDArray[np.float64] | None:
        """[3] in file coordinates what is seen under a click; None beside the head."""
        intrinsics, T = viewer.intrinsics, viewer.controls.camera.T_camera_world()
        pixel = np.array([click[0] * intrinsics.width, click[1] * intrinsics.height])
        ray = intrinsics.unproject(pixel, np.array(1.0)) @ T[:3, :3]
        hit = pick(self.vertices, self._faces, -T[:3, :3].T @ T[:3, 3], ray)
        return None if hit is None else self.to_file(hit)

    def shown(self, placed: list[NDArray[np.float64]], mirrored: list[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Vertices of `mesh` with a marker at each of these points [3] in file coordinates."""
        marks = np.zeros((2 * _MOST_MARKS, len(_OCTAHEDRON), 3))
        for first, points in ((0, placed), (_MOST_MARKS, mirrored)):
            for index, point in enumerate(points[:_MOST_MARKS]):
                marks[first + index] = self.to_view(point[None]) + _MARK * _OCTAHEDRON
        return np.concatenate([self.vertices, marks.reshape(-1, 3)]).astype(np.float32)


def _with_markers(mesh: Mesh) -> Mesh:
    """The mesh with markers of two colours after it, in a wide ring around it: in the light, as it is baked."""
    count, total = len(_OCTAHEDRON), 2 * _MOST_MARKS
    angle = np.linspace(0, 2 * np.pi, total, endpoint=False)
    ring = _SIZE * np.stack([np.cos(angle), np.sin(angle), np.zeros(total)], axis=1)
    marks = (ring[:, None] + _MARK * _OCTAHEDRON).reshape(-1, 3).astype(np.float32)
    offsets = len(mesh.vertices) + count * np.arange(total, dtype=np.int32)
    faces = (_OCTAHEDRON_FACES[None] + offsets[:, None, None]).reshape(-1, 3).astype(np.int32)
    half, before = len(faces) // 2, len(mesh.faces)
    parts = [MeshPart(f"marks_{index}", before + index * half, half, len(mesh.materials) + index) for index in range(2)]
    materials = [Material(f"marks_{index}", color) for index, color in enumerate((_PLACED, _MIRRORED))]
    uvs, faces_uv = mesh.uvs, mesh.faces_uv
    if uvs is not None and faces_uv is not None:
        faces_uv = np.concatenate([faces_uv, np.full((len(faces), 3), len(uvs), dtype=np.int32)])
        uvs = np.concatenate([uvs, np.zeros((1, 2), dtype=np.float32)])
    colors = mesh.vertex_colors
    if colors is not None:
        colors = np.concatenate([colors, np.ones((count * total, 3), dtype=np.float32)])
    return Mesh(
        np.concatenate([mesh.vertices, marks]),
        np.concatenate([mesh.faces, faces]),
        uvs,
        faces_uv,
        colors,
        (*mesh.parts, *parts),
        (*mesh.materials, *materials),
    )


def guide_picture(face: CanonicalFace, placed: set[str], following: str | None) -> NDArray[np.uint8]:
    """[h, w, 3] uint8: a face with all points of the guide; green ones are placed, the large one comes next."""
    picture = np.full((_GUIDE_PX, _GUIDE_PX, 3), 34, dtype=np.uint8)
    span = float(np.ptp(face.points[:, :2], axis=0).max()) * 1.12
    middle = (face.points[:, :2].min(axis=0) + face.points[:, :2].max(axis=0)) / 2

    def at(points: NDArray[np.float64]) -> NDArray[np.int32]:
        flat = (points[..., :2] - middle) * [1, -1] / span * _GUIDE_PX + _GUIDE_PX / 2
        return np.asarray(np.rint(flat), dtype=np.int32)

    for triangle in face.triangles:
        cv2.polylines(picture, [at(face.points[triangle])], True, (86, 90, 98), 1, cv2.LINE_AA)
    for name, number in LANDMARK_OF.items():
        x, y = at(face.points[number]).tolist()
        color = (70, 210, 110) if name in placed else (150, 155, 165)
        cv2.circle(picture, (x, y), 5, color, -1, cv2.LINE_AA)
        if name == following:
            cv2.circle(picture, (x, y), 9, (255, 170, 40), -1, cv2.LINE_AA)
            cv2.circle(picture, (x, y), 17, (255, 170, 40), 2, cv2.LINE_AA)
    return picture


class PlacingWindow:
    """Clicks and keys of one viewer, turned into placed landmarks. `step` until `finished`."""

    def __init__(self, viewer: Viewer, scene: PlacingScene, placing: LandmarkPlacing, face: CanonicalFace) -> None:
        self._viewer, self._scene, self._placing, self._face = viewer, scene, placing, face
        self._stale = True
        self.finished = False

    def step(self) -> None:
        """Take in what happened at the window, and draw if something changed."""
        if ViewerCommand.QUIT in self._viewer.poll():
            self.finished = True
        controls = self._viewer.controls
        while controls.clicks:
            point = self._scene.under(self._viewer, controls.clicks.popleft())
            if point is None:
                self._viewer.notify("that was beside the head")
            elif (name := self._placing.place(point)) is None:
                self._viewer.notify("all points are placed: Enter ends, Backspace takes one back")
            else:
                self._viewer.notify(f"placed: {_words(name)}; Backspace takes it back")
            self._stale = True
        while controls.keys:
            self._key(controls.keys.popleft())
        if self._stale or self._viewer.needs_redraw:
            self._stale = False
            points, following = self._placing.points, self._placing.next
            vertices = self._scene.shown(list(points.values()), self._placing.mirrored())
            guide = guide_picture(self._face, set(points), following)
            self._viewer.show(vertices, np.eye(4), guide, self._status(following))

    def _key(self, key: str) -> None:
        placing = self._placing
        if key == "BACKSPACE":
            name = placing.undo()
            self._viewer.notify(f"taken back: {_words(name)}" if name else "nothing to take back")
        elif key == "TAB" and not placing.skip():
            self._viewer.notify("this point is needed")
        elif key == "ENTER":
            if placing.complete:
                self.finished = True
            else:
                names = ", ".join(missing_points(placing.points)).replace("_", " ")
                self._viewer.notify(f"still needed: {names}")
        self._stale = True

    def _status(self, following: str | None) -> str:
        ends = "Enter ends" if self._placing.complete else "Esc ends later"
        if following is None:
            return f"all placed · {ends} · Backspace takes back"
        hint = GUIDE_OF[following].hint
        skip = " · Tab skips" if not GUIDE_OF[following].required or following.startswith("right_") else ""
        side = ", " + _SIDE[following.partition("_")[0]] if GUIDE_OF[following].sided else ""
        enough = "" if self._placing.complete else f", {LEAST_POINTS} are enough"
        place = f"point {ORDER.index(following) + 1} of {len(ORDER)}{enough}"
        return f"{place} · click {_words(following)} · {hint}{side}{skip} · {ends}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def other_fronts(up: str, front: str) -> str:
    """The sides that a head which stands like this may be looked at from but for `front`, the opposite one first."""
    others = [axis for axis in AXES if axis[-1] != up[-1] and axis != front]
    others.sort(key=lambda axis: axis[-1] != front[-1])
    return f"{', '.join(others[:-1])} or {others[-1]}"


def place_landmarks(mesh: Mesh, path: Path, face: CanonicalFace, up: str | None, front: str | None) -> LandmarkPlacing:
    """Show the head until its landmarks are placed or the window is closed; what was placed, which may not be complete.

    Every click is kept in the file `path` at once. Main thread only. Raises InputError without a display.
    """
    up = up or ("z" if front in ("y", "-y") else "y")
    front = front or ("-y" if up[-1] == "z" else "z")
    scene = PlacingScene(mesh, up, front)
    placing = LandmarkPlacing(path, mesh, face.points)
    with Viewer(scene.mesh, title=f"landmarks: {path.name}", otherwise="landmarks are placed in a window: ") as viewer:
        window = PlacingWindow(viewer, scene, placing, face)
        others = other_fronts(up, front)
        viewer.notify(f"dragging turns the head; where this is not its face, start again with --front {others}")
        while not window.finished:
            window.step()
            time.sleep(_WAIT_S)
    return placing
