"""How fast training is: steps of the published and the compact network, and how fast clips are read.

python -m benchmarks.training [--clips FOLDER] [--json FILE]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import InputError
from engine.flow.network.config import COMPACT, PUBLISHED, NetworkConfig
from engine.flow.network.network import FaceNetwork
from engine.training.flow.clip_samples import ClipSamples
from engine.training.flow.losses import PerceptualLoss
from engine.training.flow.stage_options import LossWeights, StageOptions
from engine.training.flow.stages import Batch, StageModel
from engine.training.flow.vgg import load_vgg
from engine.training.loop.names import StageName


def step_ms(config: NetworkConfig, stage: StageName, batch: int, perceptual: PerceptualLoss | None) -> float:
    """Forward, backward and Adam for one batch; best of three after one to warm up."""
    torch.manual_seed(0)
    options = StageOptions(weights=LossWeights(color_l1=1.0))
    model = StageModel(FaceNetwork(config), stage, options, perceptual).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-4, betas=(0.0, 0.99))
    shape = (batch, config.input_channels, config.image_size, config.image_size)
    pictures: Batch = {name: torch.rand(shape) * 2 - 1 for name in ("source", "driving", "target")}

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(model(pictures).values())).sum().backward()
        optimizer.step()

    return best_ms(step)


def best_ms(call: Callable[[], Any], rounds: int = 3) -> float:
    call()
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return 1e3 * min(took)


def reading_ms(clips: Path, size: int, samples: int = 40) -> float:
    """Mean time of one sample (two random frames of a clip, decoded, normalised, augmented) in one process."""
    feed = ClipSamples(clips, size=size)
    feed(0)
    start = time.perf_counter()
    for number in np.arange(1, samples + 1):
        feed(int(number))
    return 1e3 * (time.perf_counter() - start) / samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="clips made by vfa preprocess")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        perceptual: PerceptualLoss | None = PerceptualLoss(load_vgg())
    except InputError as error:
        print(f"without the perceptual loss ({error})")
        perceptual = None
    result: dict[str, Any] = {"perceptual": perceptual is not None, "threads": torch.get_num_threads()}
    sizes: tuple[tuple[str, NetworkConfig, int], ...] = (("published", PUBLISHED, 1), ("compact", COMPACT, 8))
    stages: tuple[StageName, ...] = ("generator", "distill")
    for name, config, batch in sizes:
        for stage in stages:
            ms = step_ms(config, stage, batch, perceptual)
            result[f"{name}_{stage}_ms"] = ms / batch
            print(f"{name:9} {stage:9} {ms / batch:8.0f} ms a sample (batch {batch})", flush=True)
    if arguments.clips is not None:
        for size in (128, 256):
            result[f"reading_{size}_ms"] = reading_ms(arguments.clips, size)
            print(f"reading at {size}: {result[f'reading_{size}_ms']:.1f} ms a sample in one process")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
