"""Eyes and mouth of heads close up, in ten states: what an artist looks at before anything else.

    python -m benchmarks.contact_sheet AVATAR… --out FOLDER [--states shut gaze_up] [--as-shown] [--engine flow]
    python -m benchmarks.contact_sheet AVATAR… --out FOLDER --clips CLIP… [--moments 2] [--engine flow]

AVATAR is a built-in head by name or a mesh file. Every head gets one PNG, FOLDER/<name>.png, with a cell for each
state: the eyes, and the mouth beside them, four times as large as in the window of a live session. Unit weights go into
the engine that drives by default, or the one that is named, and the viewer draws its vertices, so the sheet shows what
a session would show. With --as-shown the session's own pixels are enlarged instead of drawing at that size.

With --clips real drivers move the heads: a row of each clip's most different moments, the driver, the whole face, eyes
and mouth beside each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.tearing import TrackedClip, tracked_clip
from calib.avatar import Avatar
from calib.preparation_options import PreparationOptions
from core.camera import AVATAR_VIEW, PUBLISHED_EYE, Intrinsics, look_at, transform_points
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_regions import BROWS, LOWER_LIP, UPPER_LIP, eye_corners
from core.frame import FaceObservation
from engine.expression.expression_engine import ExpressionEngine
from engine.flow.ours.compact_flow_engine import CompactFlowEngine
from realtime.api import prepare_avatar
from realtime.config import EngineName, MotionOptions
from realtime.engines import make_engine
from render.window.viewer import Viewer

MAGNIFIED = 4
WINDOW = (960, 720)
PER_ROW = 2
_GAP = 6
_LOOK_RAD = (0.45, 0.35)  # aside and up or down: as far as eyes often go
_FACE, _AROUND = 480, 1.25  # pixels of a whole face; of a driver's size, what is shown around it
_EVERY, _FRAMES = 3, 120  # each so many frames of a clip, at most so many


def both(*names: str, weight: float = 1.0) -> dict[str, float]:
    """The units of both sides of the face with one weight."""
    return {f"{name}{side}": weight for name in names for side in ("Left", "Right")}


@dataclass(frozen=True)
class State:
    """What a face does: weights of units by name, and where both eyes look, radians to picture-right and up."""

    units: Mapping[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] = (0.0, 0.0)


STATES: dict[str, State] = {
    "rest": State(),
    "half_shut": State(both("eyeBlink", weight=0.5)),
    "shut": State(both("eyeBlink")),
    "gaze_up": State(both("eyeLookUp"), (0.0, _LOOK_RAD[1])),
    "gaze_down": State(both("eyeLookDown"), (0.0, -_LOOK_RAD[1])),
    "gaze_left": State({"eyeLookOutRight": 1.0, "eyeLookInLeft": 1.0}, (-_LOOK_RAD[0], 0.0)),
    "gaze_right": State({"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}, (_LOOK_RAD[0], 0.0)),
    "jaw_open": State({"jawOpen": 1.0}),
    "smile": State(both("mouthSmile", "cheekSquint") | both("eyeSquint", weight=0.6)),
    "pucker": State({"mouthPucker": 1.0}),
}


def posed(engine: ExpressionEngine | CompactFlowEngine, state: State) -> NDArray[np.float32]:
    """[R, 3] the avatar's vertices in a state, avatar units. Raises ValueError for a unit there is none of."""
    unknown = set(state.units) - set(UNIT_NAMES)
    if unknown:
        raise ValueError(f"no such expression unit: {', '.join(sorted(unknown))}")
    weights = np.array([state.units.get(name, 0.0) for name in UNIT_NAMES])
    return engine.posed(weights, np.tile(state.gaze, (2, 1)))


def close_ups(avatar: Avatar) -> tuple[Intrinsics, Intrinsics]:
    """Cameras on the eyes and on the mouth, that many times as large as `WINDOW` shows the head."""
    shown = AVATAR_VIEW.fitted(*WINDOW)
    landmarks = avatar.landmarks.astype(np.float64)
    eyes = [*eye_corners(0), *eye_corners(1), *BROWS[0], *BROWS[1]]
    mouth = [*UPPER_LIP[0], *LOWER_LIP[0]]
    return _around(shown, landmarks[eyes], (0.06, 0.05, 0.15)), _around(shown, landmarks[mouth], (0.13, 0.10, 0.22))


def _around(shown: Intrinsics, points: NDArray[np.float64], margins: tuple[float, float, float]) -> Intrinsics:
    """The part of a camera that shows points [N, 3] with room beside, above and below them, avatar units, magnified."""
    at = shown.project(transform_points(look_at(PUBLISHED_EYE), points))
    beside, above, below = (margin * shown.fx / PUBLISHED_EYE[2] for margin in margins)
    low = np.floor(at.min(axis=0) - np.array([beside, above]))
    width, height = np.ceil(at.max(axis=0) + np.array([beside, below]) - low).astype(int).tolist()
    left, top = low.tolist()
    return shown.crop(left, top, width, height).resized(MAGNIFIED * width, MAGNIFIED * height)


@contextmanager
def _pictures(avatar: Avatar, camera: Intrinsics, as_shown: bool) -> Iterator[Viewer]:
    size = (camera.width // MAGNIFIED, camera.height // MAGNIFIED) if as_shown else (camera.width, camera.height)
    with Viewer(avatar.display_mesh, size, headless=True, intrinsics=camera) as viewer:
        yield viewer


def draw_sheet(
    avatar: Avatar, states: Mapping[str, State], *, as_shown: bool = False, engine: EngineName = "expression"
) -> NDArray[np.uint8]:
    """[H, W, 3] the cells of all states, `PER_ROW` beside each other. Makes OpenGL contexts: main thread only.

    Raises InputError for engines that are not moved by units.
    """
    made = make_engine(MotionOptions(engine=engine), avatar)
    if not isinstance(made, ExpressionEngine | CompactFlowEngine):
        raise InputError(f"--engine {engine}: not moved by units; give expression or flow, or --clips")
    vertices = [posed(made, state) for state in states.values()]
    columns = [_drawn(avatar, camera, vertices, as_shown) for camera in close_ups(avatar)]
    return _grid([_cell(name, pair) for name, pair in zip(states, zip(*columns, strict=True), strict=True)], PER_ROW)


def moments(clip: TrackedClip, count: int) -> list[int]:
    """Numbers of the observations that differ most, by the tracker's coefficients, from the neutral and each other."""
    scores = np.stack([each.scores if each.tracked else clip.neutral.scores for each in clip.observations])
    apart = np.linalg.norm(scores - clip.neutral.scores, axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(scores))):
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(scores - scores[chosen[-1]], axis=1))
    return sorted(chosen)


def draw_moments(
    avatar: Avatar, clips: Sequence[TrackedClip], count: int, engine: EngineName = "expression"
) -> NDArray[np.uint8]:
    """[H, W, 3] a row for each clip: so many moments of its driver and of the head that follows. Makes OpenGL
    contexts: main thread only."""
    names: list[str] = []
    drivers: list[NDArray[np.uint8]] = []
    vertices: list[NDArray[np.float32]] = []
    for clip in clips:
        made = make_engine(MotionOptions(engine=engine, head_pose="fixed"), avatar)
        made.calibrate(clip.neutral)
        chosen = moments(clip, count)
        for number, observation in enumerate(clip.observations):
            pose = made.animate(observation)
            if number in chosen:
                names.append(f"{clip.name} {observation.timestamp_s:.1f} s")
                drivers.append(_driver(observation))
                vertices.append(pose.vertices)
    face = AVATAR_VIEW.resized(_FACE, _FACE)
    columns = [_drawn(avatar, camera, vertices, False) for camera in (face, *close_ups(avatar))]
    cells = [_cell(name, cell) for name, *cell in zip(names, drivers, *columns, strict=True)]
    return _grid(cells, count)


def _driver(observation: FaceObservation) -> NDArray[np.uint8]:
    """[_FACE, _FACE, 3] the driver's face; black where none is tracked."""
    picture = np.zeros((_FACE, _FACE, 3), np.uint8)
    if observation.tracked:
        points = observation.landmarks_px
        low, high = points.min(axis=0), points.max(axis=0)
        side = _AROUND * float((high - low).max())
        scale = _FACE / side
        shift = _FACE / 2 - scale * (low + high) / 2
        to = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        picture = np.asarray(cv2.warpAffine(observation.frame.rgb, to, (_FACE, _FACE), flags=cv2.INTER_AREA), np.uint8)
    return picture


def _drawn(
    avatar: Avatar, camera: Intrinsics, vertices: Sequence[NDArray[np.float32]], as_shown: bool
) -> list[NDArray[np.uint8]]:
    """The head with each of these vertices [R, 3]."""
    pictures = []
    with _pictures(avatar, camera, as_shown) as viewer:
        for each in vertices:
            viewer.show(each, np.eye(4), None, "")
            picture = viewer.read_rgb()
            if as_shown:
                picture = np.repeat(np.repeat(picture, MAGNIFIED, axis=0), MAGNIFIED, axis=1)
            pictures.append(picture)
    return pictures


def _cell(name: str, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(len(picture) for picture in pictures)
    padded = [np.pad(p, ((0, height - len(p)), (0, _GAP), (0, 0))) for p in pictures]
    cell = np.ascontiguousarray(np.concatenate(padded, axis=1))
    cv2.putText(cell, name, (10, height - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.putText(cell, name, (10, height - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    return cell


def _grid(cells: list[NDArray[np.uint8]], per_row: int) -> NDArray[np.uint8]:
    cells = cells + [np.zeros_like(cells[0])] * (-len(cells) % per_row)
    rows = [np.concatenate(cells[start : start + per_row], axis=1) for start in range(0, len(cells), per_row)]
    return np.concatenate([np.pad(row, ((0, _GAP), (0, 0), (0, 0))) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatars", nargs="+", metavar="AVATAR")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--states", nargs="+", choices=list(STATES), default=list(STATES))
    parser.add_argument("--landmarks", type=Path, metavar="FILE", help="landmarks placed by hand, for every AVATAR")
    parser.add_argument("--as-shown", action="store_true")
    parser.add_argument("--engine", choices=["expression", "flow", "landmark"], default="expression")
    parser.add_argument("--clips", type=Path, nargs="+", metavar="CLIP", help="who drives, instead of states")
    parser.add_argument("--moments", type=int, default=2, help="so many of each clip (default 2)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    clips = [tracked_clip(path, _EVERY, _FRAMES) for path in options.clips or ()]
    for name in options.avatars:
        try:
            avatar = prepare_avatar(name, PreparationOptions(landmarks=options.landmarks))
        except InputError as error:  # the other heads get their sheets
            print(f"{name}: no sheet, {error}")
            continue
        if clips:
            sheet = draw_moments(avatar, clips, options.moments, options.engine)
        else:
            states = {state: STATES[state] for state in options.states}
            sheet = draw_sheet(avatar, states, as_shown=options.as_shown, engine=options.engine)
        path = options.out / f"{Path(name).stem}.png"
        Image.fromarray(sheet).save(path)
        print(path)


if __name__ == "__main__":
    main()
