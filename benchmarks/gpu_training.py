"""Parts of `benchmarks.gpu`: pairs rendered to train on, and the stages of training."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_setting import MissingError, Setting, Telling, importable

_NO_LOSS = ("step", "samples_per_s", "waiting_share", "rate")


def pairs(setting: Setting, tell: Telling) -> None:
    """Render people to train on until the time is over; whole ones stay."""
    import threading

    from engine.training.flow.make_pairs import main as make_pairs

    people, frames = (1, 4) if setting.short else (64, 16)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Timer(setting.seconds, lambda: os._exit(0)).start()  # a person is written whole or not at all
    tell(state="done", why="as many as there was time for")
    sys.argv = ["make_pairs", "--out", str(setting.pairs), "--people", str(people), "--frames", str(frames)]
    make_pairs()
    os._exit(0)


def training(stage: Any, setting: Setting, tell: Telling) -> None:
    """A stage of the compact network as `vfa train` runs it, from the shipped weights, for the time given."""
    from engine.flow.ours.shipped import COMPACT_FILE
    from engine.training.flow.sample_options import SampleOptions
    from engine.training.flow.stage_options import LossWeights, StageOptions
    from engine.training.loop.plan import TrainingPlan
    from engine.training.options import TrainOptions
    from engine.training.run import train

    if not any(setting.pairs.glob("*/driver.npy")):
        raise MissingError(f"no rendered pairs in {setting.pairs}; give --pairs")
    out = setting.out / f"train-{stage}"
    shutil.rmtree(out, ignore_errors=True)
    augment = importable("cv2")
    batch = 2 if setting.short else 32
    plan = TrainingPlan(
        steps=1_000_000, batch=batch, rate=2e-4, schedule="constant", ema=0.99, clip=1.0, keep=1,
        log_every=1 if setting.short else 10, show_every=1_000_000, workers=0 if setting.short or not augment else 4,
    )  # fmt: skip
    learning = StageOptions(
        weights=LossWeights(perceptual=0.0, color_l1=1.0, depth=0.03, flow=0.0 if stage == "code" else 2.0),
        truth_code=stage != "code",
        freeze_encoder=stage == "generator",
    )
    options = TrainOptions(
        stage=stage, data=setting.pairs, out=out, plan=plan, learning=learning, size="compact", init=COMPACT_FILE,
        samples=SampleOptions(augment=augment), device=setting.device, threads=1 if setting.short else 4,
    )  # fmt: skip
    until = time.monotonic() + setting.seconds
    tell(batch=batch, augmented=augment)
    train(options, stop=lambda: time.monotonic() > until)
    tell(**_curve(out / "curve.csv"), checkpoints=[path.name for path in sorted(out.glob("*.pt"))])


def _curve(path: Path) -> dict[str, float]:
    """Steps, speed, and the sum of the losses over the first and the last tenth of the logged steps."""
    import csv

    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    losses = [sum(value for name, value in row.items() if name not in _NO_LOSS) for row in rows]
    tenth = max(1, len(rows) // 10)
    return {
        "steps": rows[-1]["step"],
        "samples_per_s": float(np.median([row["samples_per_s"] for row in rows])),
        "waiting_share": float(np.median([row["waiting_share"] for row in rows])),
        "loss_first": float(np.mean(losses[:tenth])),
        "loss_last": float(np.mean(losses[-tenth:])),
    }
