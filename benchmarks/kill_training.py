"""Kills a training run at random moments, again and again: every checkpoint must be whole and resuming must work.

python -m benchmarks.kill_training --kills 20
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from engine.training.loop.checkpointing import latest_checkpoint


def make_clips(folder: Path) -> None:
    """A few small RGBD frames to train on."""
    rng = np.random.default_rng(0)
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / "rgb" / f"{number}.png"), rng.integers(0, 255, (64, 64, 3), np.uint8))
        cv2.imwrite(str(folder / "depth" / f"{number}.png"), rng.integers(300, 500, (64, 64)).astype(np.uint16))


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    options = [
        "--stage",
        "generator",
        "--data",
        data,
        "--out",
        out,
        "--size",
        "compact",
        "--batch",
        "1",
        "--perceptual",
        "0",
    ]
    options += ["--save-every", "1", "--log-every", "1", "--threads", "1", "--resume", "--steps", "1000000"]
    command = [sys.executable, "-m", "realtime", "train", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)


def step_of(out: Path) -> int:
    latest = latest_checkpoint(out)
    return int(latest.stem) if latest is not None else 0


def kill_once(data: Path, out: Path, rng: np.random.Generator) -> int:
    """Let it resume and advance, kill it within the next second; returns the step reached. Raises when that fails."""
    before = step_of(out)
    process = start(data, out)
    deadline = time.monotonic() + 300
    while step_of(out) <= before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(float(rng.uniform(0, 1)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = step_of(out)
    if reached <= before:
        raise RuntimeError(f"the run did not get past step {before}")
    for path in out.glob("*.pt"):
        torch.load(path, weights_only=True)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    rng = np.random.default_rng()
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "clip", Path(folder) / "run"
        make_clips(data)
        partial = 0
        for kill in range(arguments.kills):
            step = kill_once(data, out, rng)
            partial += len(list(out.glob("*.partial")))
            print(f"kill {kill + 1}: at step {step}, all checkpoints whole", flush=True)
    print(
        f"{arguments.kills} kills, {partial} in the middle of writing: resumed every time, no half-written checkpoint"
    )


if __name__ == "__main__":
    main()
