"""Does anything tear? How far the edges of drawn heads are stretched while real clips drive them.

    python -m benchmarks.tearing CLIP [CLIP ...] --avatar HEAD [--avatar HEAD ...] [--engine flow] [--code encoder]
        [--checkpoint FILE] [--every 3] [--frames 120] [--json FILE] [--pictures FOLDER]

No truth is known of real clips, but skin that grows to several times its length is torn whatever it should show. For
each clip and head: how far edges grow at most, in how many frames one grows beyond `TORN`, how far the head moves at
all (what never moves never tears), and what the engine said. Edges shorter than `SHORT` count as that long: less cannot
be seen. Where single expression units at full weight already stretch an edge beyond `TORN` (corners of mouths and eyes,
sheets between lips that a scan left), that is the preparation's doing: such edges count in `growth_all` alone.

JSON: `rows` of {clip, avatar, engine, frames, growth, growth_all, torn_frames, moved, ms_per_frame, trouble_frames,
troubles}; `moved` is how far moving vertices are from rest, avatar units: their 95th percentile, mean over frames.
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calib.avatar import Avatar
from calib.rig.expression_basis import ExpressionUnits
from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from core.camera import AVATAR_VIEW
from core.frame import FaceObservation
from core.source import frames_of
from engine.flow.edge_limit import SHORT, TORN
from engine.flow.published.flow_options import FlowOptions
from engine.motion.retarget import Retargeter
from realtime.api import prepare_avatar
from realtime.config import EngineName, MotionOptions
from realtime.engines import make_engine
from realtime.offline.neutral import find_neutral
from render.window.viewer import Viewer

PICTURE = 960


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """A driver, tracked once for all heads."""

    name: str
    neutral: FaceObservation
    observations: list[FaceObservation]


class EdgeGrowth:
    """Growth of the edges of a mesh with vertices at rest [V, 3] and triangles [F, 3]."""

    def __init__(self, rest: NDArray[np.float32], faces: NDArray[np.int32]) -> None:
        sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        self.edges = np.unique(sides, axis=0)
        self._rest = np.maximum(self._lengths(rest), SHORT)

    def __call__(self, vertices: NDArray[np.float32]) -> NDArray[np.float64]:
        """[E] length of each edge over its length at rest."""
        return np.asarray(self._lengths(vertices) / self._rest)

    def _lengths(self, vertices: NDArray[np.float32]) -> NDArray[np.float64]:
        apart = vertices[self.edges[:, 0]].astype(np.float64) - vertices[self.edges[:, 1]]
        return np.asarray(np.sqrt(np.einsum("ed,ed->e", apart, apart)))


def stretched_by_units(avatar: Avatar, growth: EdgeGrowth) -> NDArray[np.bool_]:
    """[E] edges that one of the avatar's own expression units alone stretches beyond TORN, whatever engine shows it."""
    units, retargeter = ExpressionUnits(avatar.rig.basis), Retargeter(avatar.rig)
    stretched = np.zeros(len(growth.edges), bool)
    for weights in np.eye(len(units.names)):
        moved = units.displacement(weights)
        shape = retargeter.vertices(moved[1].astype(np.float64), np.zeros((2, 2)), moved)
        stretched |= growth(shape) > TORN
    return stretched


def tracked_clip(path: Path, every: int, most: int) -> TrackedClip:
    """Every so many frames of a clip, at most so many, with the frame that `vfa animate` would take as neutral."""
    neutral = find_neutral(lambda _: open_source(str(path), realtime=False), FaceTracker, "auto", lambda *_: None)
    seen: list[FaceObservation] = []
    with FaceTracker() as tracker:
        for frame in frames_of(open_source(str(path), realtime=False)):
            observation = tracker.track(frame)  # each of them: trackers follow
            if frame.index % every == 0:
                seen.append(observation)
                if len(seen) == most:
                    break
    return TrackedClip(path.stem, neutral, seen)


def measure(clip: TrackedClip, avatar: Avatar, options: MotionOptions, pictures: Path | None) -> dict[str, object]:
    """One row, see the top."""
    engine = make_engine(options, avatar)
    engine.calibrate(clip.neutral)
    growth = EdgeGrowth(avatar.display_mesh.vertices, avatar.display_mesh.faces)
    counts = ~stretched_by_units(avatar, growth)
    followed = avatar.rig.rest[np.unique(avatar.weights.nonzero()[0])]
    rows = np.flatnonzero(np.diff(avatar.weights.indptr) > 0)
    largest, overall, moved, took, troubles = [], [], [], [], Counter[str]()
    worst = (0.0, avatar.display_mesh.vertices)
    for observation in clip.observations:
        started = time.perf_counter()
        pose = engine.animate(observation)
        took.append(time.perf_counter() - started)
        grown = growth(pose.vertices)
        largest.append(float(grown[counts].max()))
        overall.append(float(grown.max()))
        moved.append(float(np.quantile(np.linalg.norm(pose.vertices[rows] - followed, axis=1), 0.95)))
        if pose.trouble:
            troubles[pose.trouble] += 1
        if largest[-1] >= worst[0]:
            worst = largest[-1], pose.vertices
    if pictures is not None:
        _draw(avatar, worst[1], pictures / f"{clip.name}_{avatar.name}.png")
    return {
        "clip": clip.name,
        "avatar": avatar.name,
        "engine": engine.name,
        "frames": len(largest),
        "growth": max(largest),
        "growth_all": max(overall),
        "torn_frames": sum(each > TORN for each in largest),
        "moved": float(np.mean(moved)),
        "ms_per_frame": 1e3 * float(np.median(took)),
        "trouble_frames": sum(troubles.values()),
        "troubles": dict(troubles),
    }


def _draw(avatar: Avatar, vertices: NDArray[np.float32], path: Path) -> None:
    """The head from the front with these vertices."""
    with Viewer(avatar.display_mesh, (PICTURE, PICTURE), headless=True, intrinsics=AVATAR_VIEW) as viewer:
        viewer.show(vertices, np.eye(4), None, "")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.ascontiguousarray(viewer.read_rgb()[..., ::-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--avatar", action="append", required=True, help="built-in name or file; may be repeated")
    parser.add_argument("--engine", default="flow", choices=["flow", "expression", "landmark"])
    parser.add_argument("--code", choices=["encoder", "prior"], help="what names the flow engine's motion code")
    parser.add_argument("--checkpoint", type=Path, help="a network of your own")
    parser.add_argument("--every", type=int, default=3, help="take each so many frames (default 3)")
    parser.add_argument("--frames", type=int, default=120, help="of each clip at most (default 120)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for a picture of the worst moment of each row")
    options = parser.parse_args()
    engine: EngineName = options.engine
    chosen = MotionOptions(engine=engine, checkpoint=options.checkpoint, flow=FlowOptions(code=options.code))
    rows = []
    for path in options.clips:
        clip = tracked_clip(path, options.every, options.frames)
        for head in options.avatar:
            rows.append(measure(clip, prepare_avatar(head), chosen, options.pictures))
            print(*(f"{v:.2f}" if isinstance(v, float) else v for v in rows[-1].values()), flush=True)
    table = Table(*(name for name in rows[0] if name != "troubles"))
    for row in rows:
        table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for n, v in row.items() if n != "troubles"))
    Console(width=160).print(table)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
