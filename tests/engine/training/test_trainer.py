"""The loop: one process or two, interrupted or not, it arrives at the same weights."""

import csv
import time
from dataclasses import dataclass, replace  # noqa: F401 - the scripts below import it from here
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.flow.network.checkpoint import load_checkpoint
from engine.flow.network.checkpoint_file import CheckpointError
from engine.flow.network.config import PUBLISHED, NetworkConfig
from engine.flow.network.network import FaceNetwork
from engine.training.flow.stage_options import LossWeights, StageOptions
from engine.training.flow.stages import StageModel, is_trained
from engine.training.loop.checkpointing import checkpoint_path, latest_checkpoint
from engine.training.loop.distributed import Team
from engine.training.loop.plan import TrainingPlan
from engine.training.loop.schedule import Schedule
from engine.training.trainer import Trainer, TrainingError
from tests.fakes.forked import ROOT, run_python, started

TINY = NetworkConfig(
    image_size=16, widths={4: 8, 8: 8, 16: 8}, style_dim=8, motion_dim=4, inpaint_widths=(4, 4, 4), inpaint_blocks=1
)
PLAN = TrainingPlan(steps=6, batch=4, rate=2e-3, schedule="constant", save_every=2, log_every=1, ema=0.9, keep=2)
TWO_PROCESSES = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_trainer import *
from engine.training.loop.distributed import team
with team("cpu") as own:
    trainer = make_trainer(Path(sys.argv[1]), "generator", team=own)
    trainer.run()
"""
ENDLESS = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_trainer import *
trainer = make_trainer(Path(sys.argv[1]), "generator", plan=replace(PLAN, steps=100_000, save_every=1))
trainer.resume()
trainer.run()
"""


@dataclass
class Clips:
    """Smooth random pictures by number."""

    config: NetworkConfig
    broken_from: int = 10**9

    def __call__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng(number)
        coarse = rng.normal(size=(2, self.config.input_channels, 4, 4)).clip(-1, 1)
        source, driving = np.kron(coarse, np.ones((self.config.image_size // 4,) * 2)).astype(np.float32)
        if number >= self.broken_from:
            driving = np.full_like(driving, np.nan)
        return {"source": source, "driving": driving, "target": driving}


def make_trainer(
    out: Path,
    stage: Any,
    *,
    team: Team | None = None,
    plan: TrainingPlan = PLAN,
    samples: Clips | None = None,
    config: NetworkConfig = TINY,
    **more: Any,
) -> Trainer:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    model = StageModel(FaceNetwork(config), stage, StageOptions(weights=LossWeights(color_l1=10.0)))
    return Trainer(model, samples or Clips(config), plan, out, team or Team(), **more)


def weights_of(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint_path(folder, step), weights_only=True)["raw"]


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].float() - b[name].float()).abs().max()) for name in a)


@pytest.mark.parametrize("stage", ["generator", "distill"])
def test_a_stage_changes_its_own_weights_only(tmp_path: Path, stage: str) -> None:
    trainer = make_trainer(tmp_path, stage)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    changed = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    own = ("enc.", "dec.") if stage == "generator" else ("student_dec.",)
    assert changed
    assert all(name.startswith(own) for name in changed), changed
    trained = {name for name, p in trainer.network.named_parameters() if p.requires_grad}
    moving = {name for name in before if "norm" in name}  # running statistics are no parameters
    assert changed - moving == trained - moving


def test_lia_weights_stay_where_the_released_code_keeps_them() -> None:
    model = StageModel(FaceNetwork(TINY), "generator", StageOptions(freeze_lia=True))
    frozen = {name for name, p in model.network.named_parameters() if not p.requires_grad and name.startswith("dec.")}
    for name in ("dec.input.input", "dec.conv1.conv.weight", "dec.convs.1.conv.weight", "dec.direction.weight"):
        assert name in frozen
    for name in ("dec.convs.2.conv.weight", "dec.to_flows.1.conv.weight", "dec.to_depths.0.conv.0.weight"):
        assert name not in frozen


def test_two_processes_arrive_at_the_weights_of_one(tmp_path: Path) -> None:
    """Gradients are summed in another order, which Adam's division may enlarge: 2e-5 of weights of about 1."""
    alone = make_trainer(tmp_path / "one", "generator")
    alone.run()
    code = TWO_PROCESSES.format(tests=str(Path(__file__).parent), root=str(ROOT))
    script = tmp_path / "two.py"
    script.write_text(code)
    launch = "from torch.distributed.run import main; main()"
    done = run_python(launch, "--standalone", "--nproc-per-node", "2", script, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    assert furthest(weights_of(tmp_path / "one", 6), weights_of(tmp_path / "two", 6)) < 2e-5
    start = make_trainer(tmp_path / "none", "generator").network.state_dict()
    assert furthest(weights_of(tmp_path / "one", 6), dict(start)) > 5e-3


def test_a_resumed_run_arrives_at_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    make_trainer(tmp_path / "whole", "generator").run()
    asked = iter([False, False, True])
    first = make_trainer(tmp_path / "parts", "generator", stop=lambda: next(asked))
    assert first.run() == 3
    second = make_trainer(tmp_path / "parts", "generator")
    assert second.resume()
    assert second.run() == 6
    whole, parts = (torch.load(checkpoint_path(tmp_path / name, 6), weights_only=True) for name in ("whole", "parts"))
    assert furthest(whole["raw"], parts["raw"]) == 0
    assert furthest(whole["gen"], parts["gen"]) == 0
    with (tmp_path / "parts" / "curve.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]


def test_checkpoints_load_as_networks_and_old_ones_go(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, "generator")
    trainer.run()
    assert sorted(path.name for path in tmp_path.glob("*.pt*")) == ["000004.pt", "000006.pt"]
    loaded = load_checkpoint(checkpoint_path(tmp_path, 6))
    assert loaded.step == 6
    assert trainer.average is not None
    assert furthest(dict(loaded.network.state_dict()), trainer.average.values) == 0
    assert furthest(trainer.average.values, dict(trainer.network.state_dict())) > 0


def test_a_published_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    """Only "gen", "g_optim" and "args" are in it; the step is in its name."""
    make_trainer(tmp_path, "generator").run()
    content = torch.load(checkpoint_path(tmp_path, 6), weights_only=True)
    published = {"gen": content["raw"], "g_optim": content["g_optim"], "args": {}}
    other = tmp_path / "published"
    other.mkdir()
    torch.save(published, checkpoint_path(other, 123_456))
    trainer = make_trainer(other, "generator")
    assert trainer.resume()
    assert trainer.step == 123_456
    assert furthest(dict(trainer.network.state_dict()), content["raw"]) == 0


def _nan(value: torch.Tensor) -> torch.Tensor:
    return torch.full_like(value, float("nan"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("gen"),
        lambda content: content["raw"].popitem(),
        lambda content: content["gen"].update({"enc.fc.0.bias": _nan(content["gen"]["enc.fc.0.bias"])}),
        lambda content: content["g_optim"]["param_groups"].clear(),
        lambda content: content["g_optim"]["param_groups"][0]["params"].pop(),
        lambda content: content["g_optim"]["state"][0].pop("exp_avg"),
        lambda content: content["g_optim"]["state"][0]["exp_avg_sq"].fill_(-1),
        lambda content: content["g_optim"]["state"][0].update(step=torch.tensor(-1e20)),
        lambda content: content["g_optim"]["state"][0].update(step=torch.ones(2)),
        lambda content: content["g_optim"]["state"][0].update(step=10**400),
        lambda content: content["g_optim"]["state"].update({0: {"a\nb": 1}}),
        lambda content: content["g_optim"]["state"].update({0: {"exp_avg": torch.zeros(5)}}),
        lambda content: content["g_optim"]["state"].update({0: {"exp_avg": [1, 2]}}),
        lambda content: content["g_optim"]["state"].update({10**6: {}}),
        lambda content: content["g_optim"]["state"][0].update(step=torch.tensor(float("nan"))),
        lambda content: content.update(g_optim=3),
    ],
)
def test_a_damaged_checkpoint_is_one_line_and_changes_nothing(damage: Any, tmp_path: Path) -> None:
    first = make_trainer(tmp_path, "generator")
    path = first.save()
    content = torch.load(path, weights_only=True)
    state = {"step": torch.tensor(1.0)} | {
        name: torch.zeros_like(first._trained[0]) for name in ("exp_avg", "exp_avg_sq")
    }
    content["g_optim"]["state"] = {0: state}
    torch.save(content, path)
    second = make_trainer(tmp_path, "generator")
    assert second.resume(), "it is good before"
    before = {name: value.clone() for name, value in second.network.state_dict().items()}
    damage(content)
    for value in content.get("raw", {}).values():
        value.add_(1)
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        second.resume()
    assert "\n" not in str(caught.value)
    assert furthest(before, dict(second.network.state_dict())) == 0


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, "generator", samples=Clips(TINY, broken_from=12))
    with pytest.raises(TrainingError, match=r"step 3: the loss .*depth_l1.* --resume .*--rate"):
        trainer.run()
    assert latest_checkpoint(tmp_path) == checkpoint_path(tmp_path, 2)  # the last good one stays
    state = weights_of(tmp_path, 2)
    assert all(bool(torch.isfinite(value.float()).all()) for value in state.values())


def test_a_killed_run_leaves_whole_checkpoints(tmp_path: Path) -> None:
    """kill -9 at random moments (benchmarks/kill_training.py does it twenty times)."""
    rng = np.random.default_rng(0)
    code = ENDLESS.format(tests=str(Path(__file__).parent), root=str(ROOT))
    out, reached = tmp_path / "run", 0
    for _ in range(2):
        with started(code, out) as process:
            deadline = time.monotonic() + 120
            while _step(out) <= reached and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(float(rng.uniform(0, 0.3)))
            process.kill()
            process.wait()
        for path in out.glob("*.pt"):
            torch.load(path, weights_only=True)
        assert _step(out) > reached
        reached = _step(out)


def _step(folder: Path) -> int:
    latest = latest_checkpoint(folder)
    return int(latest.stem) if latest is not None else 0


def test_published_rates_drop_to_a_fifth() -> None:
    schedule = Schedule("published", 2e-4, 800_000, scheduler_every=2)
    assert schedule.rate(0) == schedule.rate(9_999) == 2e-4
    assert schedule.rate(10_000) == pytest.approx(4e-5)
    assert schedule.rate(20_000) == pytest.approx(8e-6)


def test_a_cosine_rises_and_falls() -> None:
    schedule = Schedule("cosine", 1.0, 100, warmup=10)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.025
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_a_published_network_has_the_published_stages() -> None:
    """Which weights each stage trains; that a step of this size runs is measured by benchmarks/training.py."""
    with torch.device("meta"):
        network = FaceNetwork(PUBLISHED)
    counts = {
        stage: sum(p.numel() for name, p in network.named_parameters() if is_trained(name, stage, StageOptions()))
        for stage in ("generator", "distill")
    }
    total = sum(p.numel() for p in network.parameters())
    assert counts["generator"] + counts["distill"] > 0.99 * total
