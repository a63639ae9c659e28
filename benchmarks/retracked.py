"""Does the avatar show what a real driver does? Both are tracked, and the curves compared.

    python -m benchmarks.retracked CLIP [CLIP ...] --avatar HEAD [--avatar HEAD ...] [--json FILE] [--picture FILE.png]

No truth is known of real clips. So the avatar is drawn from the front, its head held still, the same tracker looks at
it, and the apertures of mouth and eyelids of both faces are correlated over time. The driver's are the tracker's, too:
what it cannot see in the driver (the lids of a face turned away) no avatar can be asked to show. What the second
tracking loses is told apart: `lids_surface_r` correlates the driver's lids with the rims of the avatar's own, which
nobody has to track.

JSON: `rows` of {clip, avatar, engine, frames, mouth_r, lids_r, lids_surface_r}.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calib.avatar import Avatar, prepare_avatar
from calib.rig.face_rig import FaceRig
from calib.rig.lid_rig import RIM_COLUMNS
from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from core.camera import AVATAR_VIEW
from core.frame import FaceObservation, RgbdFrame
from core.source import frames_of
from realtime.config import EngineName, MotionOptions
from realtime.engines import make_engine
from realtime.offline.neutral import find_neutral
from render.window.viewer import Viewer

PICTURE = 512
MOUTH, MOUTH_CORNERS = (13, 14), (61, 291)
LIDS, EYE_CORNERS = ((159, 145), (386, 374)), ((33, 133), (362, 263))
_MIDDLE = slice(RIM_COLUMNS // 4, RIM_COLUMNS - RIM_COLUMNS // 4)
PLOT = (1500, 150)  # pixels of one strip
DRIVER_COLOR, AVATAR_COLOR, INK = (60, 60, 60), (30, 110, 220), (120, 120, 120)

Curve = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Apertures over T frames: of the mouth over the distance of the eyes, of the lids over the eyes' width."""

    mouth: Curve
    lids: Curve


@dataclass(frozen=True, eq=False)
class Comparison:
    """One clip on one avatar."""

    clip: str
    avatar: str
    driver: Curves
    shown: Curves
    surface_lids: Curve

    def row(self, engine: str) -> dict[str, object]:
        return {
            "clip": self.clip,
            "avatar": self.avatar,
            "engine": engine,
            "frames": len(self.driver.mouth),
            "mouth_r": _correlation(self.driver.mouth, self.shown.mouth),
            "lids_r": _correlation(self.driver.lids, self.shown.lids),
            "lids_surface_r": _correlation(self.driver.lids, self.surface_lids),
        }


def apertures(observations: list[FaceObservation]) -> Curves:
    """Of tracked faces; NaN where there was none."""
    mouth, lids = np.full(len(observations), np.nan), np.full(len(observations), np.nan)
    for number, seen in enumerate(observations):
        if seen.tracked:
            points = seen.landmarks_head_m().astype(np.float64)
            apart = np.linalg.norm(points[EYE_CORNERS[0][0]] - points[EYE_CORNERS[1][1]])
            mouth[number] = np.linalg.norm(points[MOUTH[0]] - points[MOUTH[1]]) / apart
            ratios = [_between(points, lid) / _between(points, eye) for lid, eye in zip(LIDS, EYE_CORNERS, strict=True)]
            lids[number] = np.mean(ratios)
    return Curves(mouth, lids)


def rim_aperture(rig: FaceRig, vertices: NDArray[np.floating]) -> float:
    """Aperture of the lids over the eyes' width, mean of both eyes and of the middle half of each, of an avatar whose
    vertices [R, 3] stand like this; NaN where it has no lids."""
    apertures = []
    for eye, lid in zip(rig.eyes, rig.lids, strict=True):
        if len(lid.vertices):
            one, other = vertices[lid.rims[:2, _MIDDLE]].astype(np.float64).transpose(2, 0, 1, 3)
            upper, lower = one + lid.rim_share[:2, _MIDDLE, None] * (other - one)
            apertures.append(((upper - lower) @ eye.frame[1]).mean() / eye.width)
    return float(np.mean(apertures)) if apertures else math.nan


def compare(clip: Path, observations: list[FaceObservation], avatar: Avatar, engine: EngineName) -> Comparison:
    """Drive the avatar with a tracked clip and track the pictures of it."""
    moved = make_engine(MotionOptions(engine=engine, head_pose="fixed"), avatar)
    neutral = find_neutral(lambda _: open_source(str(clip), realtime=False), FaceTracker, "auto", lambda *_: None)
    moved.calibrate(neutral)
    shown, surface_lids = [], []
    with (
        Viewer(avatar.display_mesh, (PICTURE, PICTURE), headless=True, intrinsics=AVATAR_VIEW) as viewer,
        FaceTracker() as eye,
    ):
        for seen in observations:
            pose = moved.animate(seen)
            surface_lids.append(rim_aperture(avatar.rig, pose.vertices))
            viewer.show(pose.vertices, pose.T_world_head, None, "")
            shown.append(eye.track(_frame(viewer.read_rgb(), seen)))
    return Comparison(clip.stem, avatar.name, apertures(observations), apertures(shown), np.array(surface_lids))


def plot(comparisons: list[Comparison]) -> NDArray[np.uint8]:
    """Driver (grey) and avatar (blue), mouth over lids, clip by clip; each curve spans its own range."""
    strips = []
    for each in comparisons:
        for name, driver, shown in (
            ("mouth", each.driver.mouth, each.shown.mouth),
            ("lids", each.driver.lids, each.shown.lids),
        ):
            strip = np.full((PLOT[1], PLOT[0], 3), 255, np.uint8)
            for curve, color in ((driver, DRIVER_COLOR), (shown, AVATAR_COLOR)):
                cv2.polylines(strip, [_polyline(curve)], False, color, 2, cv2.LINE_AA)
            title = f"{name}, {each.clip} on {each.avatar}: r = {_correlation(driver, shown):.2f}"
            cv2.putText(strip, title, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
            strips.append(strip)
    return np.asarray(np.concatenate(strips), dtype=np.uint8)


def _between(points: NDArray[np.float64], pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))


def _frame(rgb: NDArray[np.uint8], seen: FaceObservation) -> RgbdFrame:
    intrinsics = AVATAR_VIEW.resized(PICTURE, PICTURE)
    return RgbdFrame(np.ascontiguousarray(rgb), None, intrinsics, seen.timestamp_s, seen.frame.index)


def _correlation(one: Curve, other: Curve) -> float:
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _polyline(curve: Curve) -> NDArray[np.int32]:
    known = np.flatnonzero(np.isfinite(curve))
    low, high = np.quantile(curve[known], [0.01, 0.99])
    height = (curve[known] - low) / max(high - low, 1e-9)
    x = known * (PLOT[0] - 1) / max(len(curve) - 1, 1)
    y = PLOT[1] - 12 - height.clip(-0.1, 1.1) * (PLOT[1] - 40)
    return np.stack([x, y], axis=1).round().astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--avatar", action="append", required=True, help="built-in name or file; may be repeated")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    heads = [prepare_avatar(builtin_avatar_path(n) if n in BUILTIN_AVATARS else Path(n)) for n in options.avatar]
    comparisons = []
    for clip in options.clips:
        with FaceTracker() as tracker:
            seen = [tracker.track(frame) for frame in frames_of(open_source(str(clip), realtime=False))]
        comparisons += [compare(clip, seen, head, options.engine) for head in heads]
    rows = [each.row(options.engine) for each in comparisons]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    if options.picture:
        cv2.imwrite(str(options.picture), plot(comparisons)[..., ::-1])
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
