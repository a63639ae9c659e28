"""`vfa train` from options to a network that loads: the compact one, for a few steps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import tyro

from core.errors import InputError
from engine.flow.network.checkpoint import load_checkpoint
from engine.flow.network.config import COMPACT
from engine.flow.network.layers import identity_grid
from engine.flow.network.network import FaceNetwork
from engine.flow.ours.shipped import COMPACT_FILE
from engine.training.find_batch import find_batch
from engine.training.flow.clip_samples import ClipSamples
from engine.training.flow.sample_options import SampleOptions
from engine.training.flow.stage_options import LossWeights, StageOptions
from engine.training.flow.stages import StageModel, offset_of
from engine.training.loop.checkpointing import latest_checkpoint
from engine.training.loop.distributed import Team
from engine.training.loop.plan import TrainingPlan
from engine.training.options import TrainOptions
from engine.training.run import start_at_rest, train


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four smooth RGBD frames."""
    folder, rng = tmp_path_factory.mktemp("data") / "clip", np.random.default_rng(0)
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        rgb = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (128, 128))
        depth = cv2.resize(rng.integers(300, 500, (6, 6)).astype(np.float32), (128, 128))
        cv2.imwrite(str(folder / "rgb" / f"{number}.png"), rgb)
        cv2.imwrite(str(folder / "depth" / f"{number}.png"), depth.astype(np.uint16))
    return folder.parent


LEARNING = StageOptions(weights=LossWeights(perceptual=0.0, color_l1=1.0))


def options(
    stage: Any, data: Path, out: Path, *, steps: int = 2, learning: StageOptions = LEARNING, **more: Any
) -> TrainOptions:
    plan = TrainingPlan(steps=steps, batch=1)
    return TrainOptions(
        stage=stage, data=data, out=out, plan=plan, learning=learning, size="compact", threads=1, **more
    )


def test_both_stages_end_in_a_network(clip: Path, tmp_path: Path) -> None:
    first = train(options("generator", clip, tmp_path / "generator"))
    assert first == tmp_path / "generator" / "network.pt"
    second = train(options("distill", clip, tmp_path / "distill", init=first))
    assert second is not None
    loaded, before = load_checkpoint(second), load_checkpoint(first)
    assert loaded.network.config == COMPACT
    assert not loaded.released
    own, other = loaded.network.state_dict(), before.network.state_dict()
    changed = {name for name in own if not torch.equal(own[name], other[name])}
    assert changed
    assert all(name.startswith("student_dec.") for name in changed)


def test_a_network_that_brought_avatars_back_knows_where_to(clip: Path, tmp_path: Path) -> None:
    """A session brings them back to the same place, which the finished file must say, and any on the way to it."""
    learning = replace(LEARNING, bring_back=True, freeze_encoder=True)
    done = train(options("generator", clip, tmp_path / "out", steps=1, learning=learning, init=COMPACT_FILE))
    assert done is not None
    on_the_way = latest_checkpoint(tmp_path / "out")
    assert on_the_way is not None
    other = load_checkpoint(COMPACT_FILE).appearance
    assert other is not None
    for path in (done, on_the_way):
        own = load_checkpoint(path).appearance
        assert own is not None
        assert own.reach == other.reach
        assert torch.equal(own.usual, other.usual)


def test_a_run_is_not_overwritten_by_accident(clip: Path, tmp_path: Path) -> None:
    train(options("generator", clip, tmp_path, steps=1))
    with pytest.raises(InputError, match="--resume"):
        train(options("generator", clip, tmp_path, steps=2))
    assert train(options("generator", clip, tmp_path, steps=2, resume=True)) is not None


def test_what_needs_truth_says_so(clip: Path, tmp_path: Path) -> None:
    flow = replace(LEARNING, weights=replace(LEARNING.weights, flow=1.0))
    for stage, learning in (
        ("code", LEARNING),
        ("generator", flow),
        ("generator", replace(LEARNING, truth_code=True)),
    ):
        with pytest.raises(InputError, match="holds no truth"):
            train(options(stage, clip, tmp_path / "x", learning=learning))


def test_every_option_of_the_command_reaches_the_run(clip: Path) -> None:
    given = tyro.cli(TrainOptions, args=[
        "--stage", "generator", "--data", str(clip), "--out", "o", "--steps", "100", "--rate", "0.01", "--schedule",
        "cosine", "--momentum", "0.5", "--keep", "7", "--depth", "2", "--code", "3", "--freeze-encoder",
    ])  # fmt: skip
    assert given.plan == TrainingPlan(steps=100, rate=0.01, schedule="cosine", momentum=0.5, keep=7)
    assert given.learning == StageOptions(weights=LossWeights(depth=2, code=3), freeze_encoder=True)
    assert given.plan.rates.rate(9) == pytest.approx(0.01), "the warm-up of a short run ends with its tenth step"
    assert given.plan.rates.rate(4) == pytest.approx(0.005)


def test_options_that_make_no_sense_are_told(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--steps 0"):
        options("generator", clip, tmp_path, steps=0)
    with pytest.raises(InputError, match="leave one out"):
        options("generator", clip, tmp_path, init=tmp_path / "a.pt", lia=tmp_path / "b.pt")
    with pytest.raises(InputError, match="found none"):
        options("generator", tmp_path / "missing", tmp_path)
    with pytest.raises(InputError, match="takes 4 channels"):
        path = train(options("generator", clip, tmp_path / "four", steps=1))
        train(options("generator", clip, tmp_path / "three", init=path, samples=SampleOptions(channels=3)))


def test_it_starts_at_rest() -> None:
    torch.manual_seed(0)
    network = FaceNetwork(COMPACT).eval()
    start_at_rest(network)
    pictures = torch.rand(2, 4, 128, 128) * 2 - 1
    with torch.no_grad():
        output = network(*pictures[:, None].expand(2, 1, -1, -1, -1), pictures[:1])
    assert float(offset_of(output.rgbd.flow_logits).abs().mean()) * 64 < 2  # pixels
    logits = output.rgbd.flow_logits
    student, _ = network.student_dec.motion(logits, output.rgbd.latent)
    teacher = offset_of(logits)
    assert torch.allclose(student - identity_grid(128), teacher, atol=1e-5)


def test_a_batch_is_found(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.find_batch._TRIES", (1, 2))
    model = StageModel(FaceNetwork(COMPACT), "distill", StageOptions())
    found = find_batch(model, ClipSamples(clip, size=128), "fp32", Team())
    assert found.batch >= 1
    assert found.samples_per_s > 0
