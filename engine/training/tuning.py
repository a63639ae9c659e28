"""Tunes the shipped network's generator to one avatar, on pairs rendered from that avatar's own units.

What is learned is how this head looks and moves; encoder and motion code stay as they are. Everything lies in the
avatar's folder of the cache: pairs, checkpoints that the next run goes on from, and `network.pt`, which is there only
where it beats the general network on expressions that neither has seen.
"""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.close_up import network_picture
from core.cache_folder import make_folder
from core.errors import InputError
from core.face_motion import gaze_of
from core.mesh import Mesh
from engine.expression.expression_engine import ExpressionEngine
from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.ours.shipped import COMPACT_FILE
from engine.flow.ours.tuned import tuned_file, tuned_folder
from engine.training.flow.avatar_shots import AvatarStage, already_placed, averaged
from engine.training.flow.make_pairs import acted, shoot_all
from engine.training.flow.pair_score import truth_score
from engine.training.flow.pairs import PairFolder, to_words
from engine.training.flow.stage_options import LossWeights, StageOptions
from engine.training.loop.checkpointing import latest_checkpoint
from engine.training.loop.plan import TrainingPlan
from engine.training.options import TrainOptions
from engine.training.run import train

SEEN_SEEDS: Final = tuple(range(700_000, 700_008))
HELD_OUT_SEEDS: Final = (700_100, 700_101)
"""Of what is played; `engine.training.flow.make_pairs.acted`."""
_FRAMES = 16
_SIZE = 128
_PLAN = TrainingPlan(
    batch=8, rate=2e-3, schedule="constant", optimizer="muon", ema=0.98, clip=1.0, save_every=20, keep=1, log_every=20
)
_LOSSES = LossWeights(perceptual=0.0, color_l1=1.0, depth=0.03, flow=2.0)

log = logging.getLogger(__name__)

Shares = tuple[float, float]


@dataclass(frozen=True)
class Tuned:
    """Attributes:
    general, tuned: explained shares of flow and depth on held-out expressions.
    steps: of training so far, earlier runs' included.
    kept: the tuned network's file; None where it was not better.
    """

    general: Shares
    tuned: Shares
    steps: int
    kept: Path | None


@dataclass(frozen=True, eq=False)
class PreparedActor:
    """A prepared avatar moved by its own units; `engine.training.flow.avatar_shots.Actor`, in avatar units."""

    avatar: Avatar
    engine: ExpressionEngine

    def mesh(self) -> Mesh:
        return self.avatar.display_mesh

    def vertices(self, weights: NDArray[np.float64]) -> NDArray[np.floating]:
        return self.engine.posed(weights, gaze_of(weights))


def tune(avatar: Avatar, minutes: float, cache_dir: Path, stop: Callable[[], bool] = lambda: False) -> Tuned | None:
    """Train for so long, from where an earlier run ended; None where `stop` ended it: the next run goes on from there.

    Makes OpenGL contexts. Raises InputError for heads whose own shapes were asked for.
    """
    avatar = avatar.as_bare_mesh("--tune-flow")
    folder = tuned_folder(avatar, cache_dir)
    make_folder(folder)
    _render(avatar, folder)
    ends = time.monotonic() + 60 * minutes
    checkpoints = folder / "generator"
    options = TrainOptions(
        stage="generator",
        data=folder / "seen",
        out=checkpoints,
        plan=_PLAN,
        learning=StageOptions(weights=_LOSSES, truth_code=True, freeze_encoder=True, bring_back=True),
        size="compact",
        init=COMPACT_FILE,
        resume=latest_checkpoint(checkpoints) is not None,
    )
    train(options, lambda: stop() or time.monotonic() > ends)
    return None if stop() else _judged(avatar, folder, checkpoints, cache_dir)


def _judged(avatar: Avatar, folder: Path, checkpoints: Path, cache_dir: Path) -> Tuned:
    general, latest = load_checkpoint(COMPACT_FILE), latest_checkpoint(checkpoints)
    assert latest is not None  # every run leaves one
    own = load_checkpoint(latest)
    people = [PairFolder(folder / "held-out" / str(seed)) for seed in HELD_OUT_SEEDS]
    before = truth_score(general.network, general.appearance, people)
    after = truth_score(own.network, general.appearance, people)
    path, better = tuned_file(avatar, cache_dir), sum(after) > sum(before)
    if better:
        save_checkpoint(path, own.network, step=own.step, appearance=general.appearance)
    else:
        path.unlink(missing_ok=True)
    return Tuned(before, after, own.step or 0, path if better else None)


def _render(avatar: Avatar, folder: Path) -> None:
    """What is not there yet, of what is learned from and judged by."""
    wanted = {folder / "seen" / str(seed): seed for seed in SEEN_SEEDS}
    wanted |= {folder / "held-out" / str(seed): seed for seed in HELD_OUT_SEEDS}
    missing = {path: seed for path, seed in wanted.items() if not _whole(path)}
    if not missing:
        return
    log.info("rendering %d expressions of %s", len(missing) * _FRAMES, avatar.name)
    source = averaged(network_picture(avatar, head_motion=False), _SIZE)
    with AvatarStage(PreparedActor(avatar, ExpressionEngine(avatar)), already_placed, _SIZE) as stage:
        for path, seed in missing.items():
            weights = acted(seed, "train", _FRAMES)
            arrays = shoot_all(stage, weights) | {"source": to_words(source[None])}
            PairFolder.write(path, weights=weights.astype(np.float32), **arrays)


def _whole(path: Path) -> bool:
    """Whether a folder of pairs is usable; what is left of one that is not is removed."""
    with suppress(InputError):
        PairFolder(path)
        return True
    shutil.rmtree(path, ignore_errors=True)
    return False
