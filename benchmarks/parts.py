"""Processor time of lifting and engines for one frame, by parts, beside MediaPipe's own landmarker in the same run.

    python -m benchmarks.parts [--device CLIP] [--avatar HEAD] [--engine flow] [--frames 90] [--rounds 3] [--json FILE]

Every part takes every frame in turn with the bare landmarker, on one thread, so that a busy machine slows all of them
alike; of several rounds the least time of each frame counts. Per part: `ms`, the mean over the frames, and
`of_mediapipe`, the same in times of the landmarker. Lifting and engines never let others hold the interpreter for
longer than these times, and for less: large products release it.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from calib.avatar import Avatar, prepare_avatar
from calib.rig.expression_basis import ExpressionUnits
from capture.face.face_landmarker import FaceLandmarks, Landmarker
from capture.face.face_lifting import FaceLifter
from capture.face.face_model_file import find_face_model
from capture.face.face_tracker import FaceTracker
from capture.face.networks.select import face_networks
from capture.open_source import open_source
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from core.canonical_face import load_canonical_face
from core.expression_units import UNIT_COUNT
from core.frame import FaceObservation, RgbdFrame
from core.source import frames_of
from engine.expression.expression_engine import ExpressionEngine
from engine.expression.expression_features import ExpressionNeutral
from engine.expression.expression_prior import ExpressionPrior
from engine.expression.unit_skin import UnitSkin
from engine.flow.network.config import COMPACT
from engine.flow.ours.compact_flow_engine import CompactFlowEngine
from engine.flow.published.flow_options import FlowOptions
from engine.landmark.landmark_engine import LandmarkEngine
from engine.motion.closing import LipClosing
from engine.motion.driver_face import make_neutral, measure
from engine.motion.neck_bend import NeckBend
from engine.motion.retarget import Retargeter
from realtime.config import MotionOptions
from realtime.engines import make_engine

LANDMARKER = "MediaPipe's landmarker"
Part = Callable[[int], Any]
"""Takes the frame of a number."""


def lifting(frames: list[RgbdFrame]) -> Part:
    """From landmarks found beforehand to metres and pose."""
    path = find_face_model()
    lifter, landmarker = FaceLifter(load_canonical_face(path)), Landmarker(face_networks(path, "auto"))
    found = [landmarker.detect(frame.rgb, frame.timestamp_s) for frame in frames]
    landmarker.close()

    def lift(number: int) -> None:
        frame, seen = frames[number], found[number]
        if isinstance(seen, FaceLandmarks):
            lifter.lift(seen, frame.intrinsics, frame.depth_m)

    return lift


def flow_engines(avatar: Avatar, seen: list[FaceObservation]) -> dict[str, Part]:
    """The flow engine by the compact network, for either source of its motion code: as a whole, and its network."""
    parts: dict[str, Part] = {}
    pictures = {"prior": (1, 4, 1, 1), "encoder": (1, 4, COMPACT.picture_size, COMPACT.picture_size)}
    for code, shape in pictures.items():
        options = MotionOptions(engine="flow", flow=FlowOptions(code=code))  # type: ignore[arg-type]
        engine = make_engine(options, avatar)
        assert isinstance(engine, CompactFlowEngine)
        engine.calibrate(seen[0])
        given = np.zeros(shape, np.float32), np.zeros((1, UNIT_COUNT), np.float32)
        parts[f"flow engine, code by the {code}"] = partial(_animate, engine, seen)
        parts[f"· its network, code by the {code}"] = partial(_run, engine, given)
    return parts


def _animate(engine: CompactFlowEngine, seen: list[FaceObservation], number: int) -> None:
    engine.animate(seen[number])


def _run(engine: CompactFlowEngine, given: tuple[NDArray[np.float32], NDArray[np.float32]], _number: int) -> None:
    engine.backend.run(*given)


def engines(avatar: Avatar, seen: list[FaceObservation]) -> dict[str, Part]:
    """Both engines as a whole, then what the first one consists of."""
    expression, landmark = ExpressionEngine(avatar), LandmarkEngine(avatar)
    for engine in (expression, landmark):
        engine.calibrate(seen[0])
    rig, prior = avatar.rig, ExpressionPrior.load()
    retargeter, units = Retargeter(rig), ExpressionUnits(rig.basis)
    skin, neck = UnitSkin(rig, units, LipClosing(rig), retargeter), NeckBend(rig.neck, rig.rest)
    neutral, own = make_neutral(seen[0]), ExpressionNeutral.of(seen[0])
    motions = [measure(each, neutral) for each in seen]
    weights = [prior.estimate(each, own, motion) for each, motion in zip(seen, motions, strict=True)]
    poses = [expression.animate(each) for each in seen]
    jaw = retargeter.jaw_and_eyes(np.zeros(rig.controllers.rest.shape), motions[0].gaze)
    lids = np.array([[0.3, 0.0]] * 2)
    kept = rig.rest.copy()
    return {
        "expression engine": lambda n: expression.animate(seen[n]),
        "landmark engine": lambda n: landmark.animate(seen[n]),
        "· motion against the neutral": lambda n: measure(seen[n], neutral),
        "· prior": lambda n: prior.estimate(seen[n], own, motions[n]),
        "· skin, lids and eyes": lambda n: skin.vertices(weights[n], motions[n].gaze, lids),
        "· of that lids and eyes": lambda n: retargeter.finish(kept, jaw, motions[n].gaze, lids, evened=True),
        "· neck": lambda n: neck.apply(kept, poses[n].T_world_head),
    }


@contextmanager
def bare_landmarker(frames: list[RgbdFrame]) -> Iterator[Part]:
    """MediaPipe's, in video mode and with coefficients."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=find_face_model().read_bytes()),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
    )
    clock = iter(range(0, 1 << 40, 33))
    with vision.FaceLandmarker.create_from_options(options) as landmarker:

        def detect(number: int) -> None:
            landmarker.detect_for_video(Image(image_format=ImageFormat.SRGB, data=frames[number].rgb), next(clock))

        yield detect


def measured(parts: dict[str, Part], frames: int, rounds: int) -> dict[str, float]:
    """Milliseconds of processor time, of all threads, per frame and part."""
    least = {name: np.full(frames, np.inf) for name in parts}
    for number in list(range(frames)) * rounds:
        for name, part in parts.items():
            started = time.process_time()
            part(number)
            least[name][number] = min(least[name][number], time.process_time() - started)
    return {name: float(values.mean()) * 1e3 for name, values in least.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="demo")
    parser.add_argument("--avatar", default="realistic")
    parser.add_argument("--engine", choices=("all", "flow"), default="all", help="flow: its parts alone")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = builtin_avatar_path(options.avatar) if options.avatar in BUILTIN_AVATARS else options.avatar
    avatar = prepare_avatar(head)
    with FaceTracker() as tracker, threadpool_limits(1, user_api="blas"):
        watched = islice(frames_of(open_source(options.device, realtime=False)), options.frames)
        pairs = [(frame, face) for frame in watched if (face := tracker.track(frame)).tracked]
        if not pairs:
            parser.error(f"{options.device}: no face in its first {options.frames} frames; choose another clip")
        frames, seen = [frame for frame, _ in pairs], [each for _, each in pairs]
        with bare_landmarker(frames) as landmarker:
            parts = {LANDMARKER: landmarker}
            if options.engine == "all":
                parts |= {"lifting": lifting(frames), **engines(avatar, seen)}
            parts |= flow_engines(avatar, seen)
            ms = measured(parts, len(frames), options.rounds)
    depth = frames[0].depth_m is not None
    rows = {name: {"ms": round(each, 3), "of_mediapipe": round(each / ms[LANDMARKER], 3)} for name, each in ms.items()}
    table = Table(
        "part", "ms", "of MediaPipe", title=f"{options.device} ({'with' if depth else 'without'} depth), {head}"
    )
    for name, row in rows.items():
        table.add_row(name, f"{row['ms']:.2f}", f"{row['of_mediapipe']:.3f}")
    Console().print(table)
    if options.json is not None:
        found = {"device": options.device, "avatar": str(options.avatar), "frames": len(frames), "depth": depth}
        options.json.write_text(json.dumps({**found, "parts": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
