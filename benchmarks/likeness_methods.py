"""Ways of driving a head: the program's engines, and what they are measured against."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import trimesh
from numpy.typing import NDArray

from benchmarks.likeness_cases import NEUTRAL_FRAME, Driver
from benchmarks.likeness_heads import Head
from calib.avatar import Avatar
from calib.rig.controllers import Role
from core.camera import transform_points
from core.expression_units import SCORE_NAMES
from core.face_regions import FACE_LANDMARKS
from engine.flow.published.flow_options import FlowOptions
from engine.motion.retarget import Retargeter
from realtime.config import EngineName, MotionOptions
from realtime.engines import make_engine

Motion = NDArray[np.float32]
Poses = list[NDArray[np.float32]]
FLOW_CODES = ("encoder", "prior")
_GAZE_RAD = {"Up": 0.290, "Down": 0.339, "In": 0.454, "Out": 0.445}  # of the gaze units at weight 1


@dataclass(frozen=True)
class Method:
    """One row of the table. `run` gives [T, E, 3] displacements of the head's judged vertices, metres; engines put
    their poses ([R, 3] each, avatar units) into the list where one is given."""

    engine: str
    avatar_rig: str
    run: Callable[[Head, Avatar, Driver, Poses | None], Motion]


def engine_names() -> list[str]:
    """Engines that need no file of the user's; "flow" is the compact network that comes with the program."""
    return [name for name in get_args(EngineName) if name != "auto"]


def methods(engines: Sequence[str], checkpoint: Path | None, codes: Sequence[str] = FLOW_CODES) -> list[Method]:
    """Those asked for, then what they are compared with."""
    flows = flow_options(checkpoint, codes) if "flow" in engines or checkpoint is not None else {}
    driven = {name: MotionOptions(engine=name) for name in engines if name != "flow"} | flows  # type: ignore[arg-type]
    return [
        *(Method(label, "none", _driven_by(options)) for label, options in driven.items()),
        Method("webcam coefficients", "52 true units", _by_scores),
        Method("oracle controllers", "none", _by_true_controllers),
        Method("nothing", "none", _nothing),
    ]


def flow_options(checkpoint: Path | None, codes: Sequence[str] = FLOW_CODES) -> dict[str, MotionOptions]:
    """The flow engine by the shipped network, and by this one where there is one: with its encoder's code, and with the
    prior's."""
    networks = {"flow": None} | ({} if checkpoint is None else {f"flow {checkpoint.parent.name}": checkpoint})
    return {
        f"{label}, {code}": MotionOptions(
            engine="flow",
            checkpoint=path,
            head_pose="fixed",
            flow=FlowOptions(code=code),  # type: ignore[arg-type]
        )
        for label, path in networks.items()
        for code in codes
    }


def tuned_flow(avatar: Avatar, minutes: float | None, cache: Path) -> dict[str, MotionOptions]:
    """The flow engine by the shipped network once that was tuned to the avatar, for so long and from where the last run
    ended; nothing where no minutes are given."""
    if minutes is None:
        return {}
    from engine.training.tuning import tune  # PyTorch and the studio, which the other rows do without

    tuned = tune(avatar, minutes, cache)
    assert tuned is not None  # nobody stops it
    before, after = (sum(shares) / 2 for shares in (tuned.general, tuned.tuned))
    worse = "" if tuned.kept else ", not kept: the general network plays"
    print(f"{avatar.name}: tuned, {tuned.steps} steps, held-out {before:.2f} → {after:.2f}{worse}", file=sys.stderr)
    options = MotionOptions(engine="flow", head_pose="fixed", flow=FlowOptions(code="prior"))
    return {"flow tuned, prior": replace(options, flow=replace(options.flow, cache_dir=cache))}


def _driven_by(given: MotionOptions) -> Callable[[Head, Avatar, Driver, Poses | None], Motion]:
    """The public path: what `vfa animate --head-pose fixed --neutral-frame N` does with every frame."""

    def run(head: Head, avatar: Avatar, driver: Driver, keep: Poses | None) -> Motion:
        engine = make_engine(replace(given, head_pose="fixed"), avatar)
        engine.calibrate(driver.observations[NEUTRAL_FRAME])
        judged = []
        for observation in driver.observations:
            pose = engine.animate(observation)
            judged.append(_judged(head, avatar, pose.vertices))
            if keep is not None:
                keep.append(pose.vertices)
        return np.stack(judged)

    return run


def _judged(head: Head, avatar: Avatar, vertices: NDArray[np.float32]) -> Motion:
    """[E, 3] displacement in metres of the avatar's vertices, which are in avatar units."""
    moved = avatar.to_file(vertices)[head.judged] - head.mesh.vertices[head.judged]
    return np.asarray(moved * np.float32(head.metres))


def _by_scores(head: Head, _avatar: Avatar, driver: Driver, _keep: Poses | None) -> Motion:
    """The tracker's own 52 coefficients on the head's true units: a webcam puppet with a perfect rig."""
    columns = [SCORE_NAMES.index(name) if name in SCORE_NAMES else -1 for name in head.unit_names]
    scores = np.stack([np.append(each.scores, 0.0)[columns] for each in driver.observations])
    return head.displacement_m(scores.astype(np.float64))


def _nothing(head: Head, _avatar: Avatar, driver: Driver, _keep: Poses | None) -> Motion:
    return np.zeros((len(driver.times_s), len(head.judged), 3), dtype=np.float32)


def _by_true_controllers(head: Head, avatar: Avatar, driver: Driver, _keep: Poses | None) -> Motion:
    """The truth at every controller that follows the face, carried by the avatar's own weights."""
    retargeter, controllers = Retargeter(avatar.rig), avatar.rig.controllers
    followed = np.isin(
        controllers.role, [Role.LANDMARK, Role.UPPER_LID, Role.LOWER_LID, Role.UPPER_LIP, Role.LOWER_LIP]
    )
    followed[:FACE_LANDMARKS] = True
    corners, shares = _on_surface(head, avatar, tuple(np.flatnonzero(followed).tolist()))
    out = []
    for weights in driver.weights:
        moved_file = head.truth(weights) - head.mesh.vertices
        at = np.einsum("kc,kcd->kd", shares, moved_file[corners])
        moved = np.zeros((len(controllers.rest), 3))
        moved[followed] = at @ avatar.T_world_file[:3, :3].T
        out.append(_judged(head, avatar, retargeter.vertices(moved, _gaze(head, weights))))
    return np.stack(out)


@functools.lru_cache(maxsize=64)
def _on_surface(
    head: Head, avatar: Avatar, controllers: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest place on the judged skin to each of these controllers: vertices [k, 3] and their shares."""
    judged = np.zeros(len(head.mesh.vertices), dtype=bool)
    judged[head.judged] = True
    faces = head.mesh.faces[judged[head.mesh.faces].any(axis=1)]
    T_file_world = np.asarray(np.linalg.inv(avatar.T_world_file), np.float64)
    at = transform_points(T_file_world, avatar.rig.controllers.rest[list(controllers)])
    surface = trimesh.Trimesh(head.mesh.vertices, faces, process=False)
    nearest, _, which = trimesh.proximity.closest_point_naive(surface, at)
    shares = trimesh.triangles.points_to_barycentric(surface.triangles[which], nearest)
    return faces[which].astype(np.int64), np.asarray(shares)


def _gaze(head: Head, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, 2] yaw and pitch of the eyes that the units turn, picture-left eye (the person's right) first."""
    value = dict(zip(head.unit_names, weights.tolist(), strict=True))
    angle = {
        f"{way}{side}": _GAZE_RAD[way] * value[f"eyeLook{way}{side}"] for way in _GAZE_RAD for side in ("Left", "Right")
    }
    right = (angle["InRight"] - angle["OutRight"], angle["UpRight"] - angle["DownRight"])
    left = (angle["OutLeft"] - angle["InLeft"], angle["UpLeft"] - angle["DownLeft"])
    return np.array([right, left])
