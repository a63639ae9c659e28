"""Parts of `benchmarks.gpu`: the program around the networks: tracker, engines, a head prepared and drawn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gpu_setting import Setting, Telling, call_ms

if TYPE_CHECKING:
    from core.frame import FaceObservation

_FRAMES = 60  # of the built-in performer
_WINDOW = (960, 720)
_PIXEL, _FEW = 24, 0.01  # levels of 255 by which pixels may differ at edges, and how many of them may differ by more
_MEAN = 1.0  # level by which pictures may differ on average
_VERTEX = 2e-3  # avatar units (a head is about 2 high): what flow engines on two backends may differ by


def tracker(setting: Setting, tell: Telling) -> None:
    """The face tracker on the built-in performer, as the live program calls it."""
    observations, ms = _tracked(setting)
    tell(ms=float(np.median(ms)), ms_p95=float(np.quantile(ms, 0.95)), frames=len(ms))
    tell(tracked_share=float(np.mean([observation.tracked for observation in observations])))


def _tracked(setting: Setting) -> tuple[list[FaceObservation], list[float]]:
    from itertools import islice

    from capture.open_source import open_source
    from core.source import frames_of
    from realtime.api import FaceTracker

    observations, ms = [], []
    with FaceTracker(None) as tracking:
        for frame in islice(frames_of(open_source("demo", realtime=False)), 15 if setting.short else _FRAMES):
            start = time.perf_counter()
            observations.append(tracking.track(frame))
            ms.append((time.perf_counter() - start) * 1e3)
    return observations, ms[3:]


def engines(setting: Setting, tell: Telling) -> None:
    """Every engine on a built-in head; the flow engine's backend against eager, in vertices."""
    from engine.flow.ours.compact_flow_engine import CompactFlowEngine
    from engine.flow.published.flow_options import FlowOptions
    from realtime.api import MotionOptions, make_engine, prepare_avatar

    avatar = prepare_avatar("realistic")
    observations, _ = _tracked(setting)
    observations = [observation for observation in observations if observation.tracked]
    moved = {}
    ways = {
        "expression": MotionOptions(engine="expression"),
        "landmark": MotionOptions(engine="landmark"),
        "flow": MotionOptions(engine="flow"),
        "flow_eager": MotionOptions(engine="flow", flow=FlowOptions(backend="eager")),
    }
    for name, options in ways.items():
        engine = make_engine(options, avatar)
        engine.calibrate(observations[0])
        ms, shown = [], []
        for observation in observations[: 6 if setting.short else None]:
            start = time.perf_counter()
            shown.append(engine.animate(observation).vertices.copy())
            ms.append((time.perf_counter() - start) * 1e3)
        moved[name] = np.stack(shown)
        tell(**{f"{name}_ms": float(np.median(ms))})
        if isinstance(engine, CompactFlowEngine):
            tell(**{f"{name}_backend": engine.backend.why})
    apart = float(np.abs(moved["flow"] - moved["flow_eager"]).max())
    tell(flow_vertices_apart=apart, allowed_vertices_apart=_VERTEX, equal=apart <= _VERTEX)


def head(_: Setting, tell: Telling) -> None:
    """A built-in head prepared, which the parts after this one find in the cache."""
    from realtime.api import prepare_avatar

    start = time.perf_counter()
    avatar = prepare_avatar("realistic")
    tell(prepared_s=round(time.perf_counter() - start, 2), vertices=len(avatar.display_mesh.vertices))


def drawing(name: str, setting: Setting, tell: Telling) -> None:
    """A built-in head in the window's size, drawn and read back; the picture is kept for comparison."""
    from realtime.api import AvatarPictures, AvatarPose, prepare_avatar
    from render.gl.gl_context import create_context, is_software, release_context

    context = create_context()
    tell(
        renderer=str(context.info["GL_RENDERER"]),
        version=str(context.info["GL_VERSION"]),
        software=is_software(context),
    )
    release_context(context)
    avatar = prepare_avatar("realistic")
    rest = np.asarray(avatar.display_mesh.vertices, np.float32)
    pose = AvatarPose(rest, np.eye(4), 0.0, 0, True)
    with AvatarPictures(avatar, _WINDOW) as pictures:
        np.save(setting.out / f"{name}.npy", pictures.take(pose))
        tell(**call_ms(lambda: pictures.take(pose), setting))


def posing(setting: Setting, tell: Telling) -> None:
    """Poses that go up as numbers, beside the same as vertices; see there."""
    from benchmarks.gpu_posing import compare_posing

    observations = [each for each in _tracked(setting)[0] if each.tracked]
    compare_posing(observations[: 4 if setting.short else None], _WINDOW, tell)


def pictures_agree(first: Path, second: Path, *, same_renderer: bool) -> dict[str, Any]:
    """How far two pictures are apart; `equal` within what rasterisers may differ by at edges."""
    a, b = (np.load(path).astype(np.float64) for path in (first, second))
    apart = np.abs(a - b).max(axis=2)
    mean, many = float(apart.mean()), float((apart > _PIXEL).mean())
    return {
        "mean_levels": mean,
        "share_beyond": many,
        "allowed": f"{_MEAN:g} levels of 255 on average, {_FEW:.0%} of the pixels by more than {_PIXEL}",
        "equal": mean <= _MEAN and many <= _FEW,
        "same_renderer": same_renderer,
    }
