"""Kills training runs of every stage at random moments, again and again: every checkpoint must be whole and resuming
must work.

    python -m benchmarks.kill_training [--kills 20] [--stages generator code truth distill tune]

`generator` is the published first stage on frames of a camera; `code`, `truth` (the generator on rendered pairs, moved
by true units, the encoder left alone and avatars brought back) and `distill` train the compact network on rendered
pairs; `tune` is `vfa prepare --tune-flow` on the built-in `lowpoly`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from engine.flow.ours.shipped import COMPACT_FILE
from engine.training.loop.checkpointing import latest_checkpoint

_SMALL = "--size compact --batch 1 --perceptual 0 --save-every 1 --log-every 1 --threads 1 --resume --steps 1000000"
_ON_PAIRS = {
    "code": ("code",),
    "truth": ("generator", "--truth-code", "--freeze-encoder", "--bring-back", "--flow", "2"),
    "distill": ("distill", "--truth-code", "--flow", "2"),
}
_TUNED_MINUTES = "30"  # longer than any of its runs is let live
_WAIT_S = 900.0  # for the next checkpoint, on a busy machine


@dataclass(frozen=True)
class Case:
    """A training: the command that starts it and goes on with it, and where its checkpoints come to lie."""

    command: list[str]
    folder: Callable[[], Path]
    environment: dict[str, str]

    def step(self) -> int:
        latest = latest_checkpoint(self.folder())
        return int(latest.stem) if latest is not None else 0


def make_frames(folder: Path) -> None:
    """A few small RGBD frames to train on."""
    rng = np.random.default_rng(0)
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / "rgb" / f"{number}.png"), rng.integers(0, 255, (64, 64, 3), np.uint8))
        cv2.imwrite(str(folder / "depth" / f"{number}.png"), rng.integers(300, 500, (64, 64)).astype(np.uint16))


def make_pairs(folder: Path) -> None:
    """Rendered pairs of two people."""
    command = [sys.executable, "-m", "engine.training.flow.make_pairs", "--out", str(folder)]
    subprocess.run([*command, "--people", "2", "--frames", "2"], check=True, stdout=subprocess.DEVNULL)


def case_of(stage: str, folder: Path) -> Case:
    """Makes what the stage learns from in `folder`, where that is not there yet."""
    environment = dict(os.environ)
    vfa = [sys.executable, "-m", "realtime"]
    if stage == "tune":
        environment["XDG_CACHE_HOME"] = str(folder / "cache")
        tuned = folder / "cache"
        return Case(
            [*vfa, "prepare", "--avatar", "lowpoly", "--tune-flow", _TUNED_MINUTES],
            lambda: next(tuned.rglob("tuned/*/generator"), tuned / "none"),
            environment,
        )
    data = folder / ("clip" if stage == "generator" else "pairs")
    if not data.is_dir():
        (make_frames if stage == "generator" else make_pairs)(data)
    name, *learned = _ON_PAIRS.get(stage, ("generator",))
    started = ["--init", str(COMPACT_FILE)] if stage in ("truth", "distill") else []
    out = folder / stage
    command = [*vfa, "train", "--stage", name, "--data", str(data), "--out", str(out), *_SMALL.split()]
    return Case([*command, *learned, *started], lambda: out, environment)


def kill_once(case: Case, rng: np.random.Generator) -> int:
    """Let it resume and advance, kill it within the next second; returns the step reached. Raises when that fails."""
    before = case.step()
    process = subprocess.Popen(
        case.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=case.environment, start_new_session=True
    )
    deadline = time.monotonic() + _WAIT_S
    while case.step() <= before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(float(rng.uniform(0, 1)))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    reached = case.step()
    if reached <= before:
        raise RuntimeError(f"the run did not get past step {before}; try {' '.join(case.command)}")
    for path in case.folder().glob("*.pt"):
        torch.load(path, weights_only=True)
    return reached


def main() -> None:
    stages = ("generator", *_ON_PAIRS, "tune")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--stages", nargs="+", choices=stages, default=stages)
    arguments = parser.parse_args()
    rng = np.random.default_rng()
    with tempfile.TemporaryDirectory() as folder:
        for stage in arguments.stages:
            case, partial = case_of(stage, Path(folder)), 0
            for kill in range(arguments.kills):
                step = kill_once(case, rng)
                partial += len(list(case.folder().glob("*.partial")))
                print(f"{stage}, kill {kill + 1}: at step {step}, all checkpoints whole", flush=True)
            print(
                f"{stage}: {arguments.kills} kills, {partial} in the middle of writing: resumed every time, no "
                "half-written checkpoint",
                flush=True,
            )


if __name__ == "__main__":
    main()
