"""The training loop: one stage of one network, alone or in a team, interrupted and resumed at will."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from core.errors import InputError
from engine.flow.network.network import FaceNetwork
from engine.training.flow.stages import Batch, StageModel
from engine.training.loop.board import Board
from engine.training.loop.checkpointing import (
    MovingAverage,
    checkpoint_path,
    latest_checkpoint,
    load_training,
    prune,
    save_training,
)
from engine.training.loop.distributed import Team
from engine.training.loop.feed import Samples, batches
from engine.training.loop.muon import Muon
from engine.training.loop.plan import TrainingPlan
from engine.training.show import sheet

_SECOND_DECAY = 0.99  # Adam's, as published
_SAVE_MINUTES = 10.0  # a checkpoint is due after so long at the latest

log = logging.getLogger(__name__)


class TrainingError(InputError):
    """Training cannot go on; says why and what to do."""


class Trainer:
    """Trains one stage into a folder.

    Args:
        model: the stage with its network, on any device; it is moved to the team's.
        settings: kept with every checkpoint, as plain values.
        stop: asked after every step; true ends the run in order.
    """

    def __init__(
        self,
        model: StageModel,
        samples: Samples,
        plan: TrainingPlan,
        out: Path,
        team: Team,
        *,
        settings: dict[str, Any] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model, self.plan, self.out, self.team = model.to(team.device), plan, out, team
        self._samples, self._stop = samples, stop
        self._settings = _plain({**(settings or {}), "stage": model.stage, "plan": asdict(plan)})
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if plan.optimizer == "muon":
            self.optimizer: torch.optim.Optimizer = Muon(self._trained, lr=plan.rate)
        else:
            self.optimizer = torch.optim.Adam(self._trained, lr=plan.rate, betas=(plan.momentum, _SECOND_DECAY))
        self.average = MovingAverage.of(model.network, plan.ema) if plan.ema else None
        self.step = 0

    @property
    def network(self) -> FaceNetwork:
        return self.model.network

    def resume(self) -> bool:
        """Go on from the folder's latest checkpoint; False where there is none. Raises CheckpointError."""
        path = latest_checkpoint(self.out)
        if path is None:
            return False
        self.step = load_training(path, self.network, self.optimizer, self.average)
        log.info("resumed at step %d from %s", self.step, path)
        return True

    def run(self) -> int:
        """Train to the planned step or until asked to stop; returns the steps done. The last state is always saved.

        Raises TrainingError when a loss is no longer a number.
        """
        with contextlib.ExitStack() as stack:
            board = stack.enter_context(Board(self.out)) if self.team.leads else None
            self._loop(board)
        return self.step

    def _loop(self, board: Board | None) -> None:
        plan, module = self.plan, self.team.wrapped(self.model)
        module.train()
        saved_at, tick = time.monotonic(), _Stopwatch()
        for batch in self._timed(tick):
            terms = self._advance(module, batch)
            self.step += 1
            if self.step % plan.log_every == 0 or self.step == 1:
                values = self.team.mean(terms)
                self._check(values)
                if board is not None:
                    board.scalars(self.step, values | tick.report(self.step, plan.batch) | {"rate": self._rate()})
                    log.info(
                        "step %d: %s", self.step, ", ".join(f"{name} {value:.4g}" for name, value in values.items())
                    )
            if board is not None and self.step % plan.show_every == 0:
                board.picture(self.step, "samples", sheet(self.model, batch))
            ends = self.team.any(self._stop())
            due = self.step % plan.save_every == 0 or time.monotonic() - saved_at > 60 * _SAVE_MINUTES
            if (due or ends) and self.team.leads:
                self.save()
                saved_at = time.monotonic()
            if ends:
                log.info("stopped at step %d; --resume goes on from here", self.step)
                return
        if self.team.leads:
            self.save()

    def _timed(self, tick: "_Stopwatch") -> Iterator[Batch]:
        plan = self.plan
        feed = batches(
            self._samples, self.team, batch=plan.batch, first_step=self.step, steps=plan.steps, workers=plan.workers
        )
        while True:
            with tick.waiting():
                batch = next(feed, None)
            if batch is None:
                return
            yield batch

    def _advance(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.team.device.type, torch.bfloat16, enabled=self.plan.precision == "bf16"):
            terms = cast(dict[str, Tensor], module(batch))
            total = torch.stack([term.float() for term in terms.values()]).sum()
        if not bool(torch.isfinite(total)):
            self._check({name: float(term.detach()) for name, term in terms.items()})
        total.backward()
        if self.plan.clip:
            nn.utils.clip_grad_norm_(self._trained, self.plan.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network, self.step)
        return terms

    def _rate(self) -> float:
        return self.plan.rates.rate(self.step)

    def _check(self, values: dict[str, float]) -> None:
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"step {self.step}: the loss {', '.join(broken)} is no longer a number (learning rate "
                f"{self._rate():.2g}, {self.plan.precision}); go on from the last checkpoint with --resume and a lower "
                "--rate, --clip 1, or --precision fp32"
            )

    def save(self) -> Path:
        path = checkpoint_path(self.out, self.step)
        save_training(
            path, self.network, self.optimizer, self.average, self.step, self._settings, self.model.appearance
        )
        prune(self.out, self.plan.keep)
        return path


class _Stopwatch:
    """Time of a step, and how much of it went into waiting for samples."""

    def __init__(self) -> None:
        self._waited, self._since = 0.0, time.perf_counter()
        self._step: int | None = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def report(self, step: int, batch: int) -> dict[str, float]:
        now = time.perf_counter()
        steps = step - self._step if self._step is not None else 1
        elapsed = max(now - self._since, 1e-9)
        values = {"samples_per_s": steps * batch / elapsed, "waiting_share": self._waited / elapsed}
        self._waited, self._since, self._step = 0.0, now, step
        return values


def _plain(values: Any) -> Any:
    """Nested dictionaries and lists of numbers, strings and None: what checkpoints may hold beside tensors."""
    if isinstance(values, dict):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values if isinstance(values, int | float | str | bool) or values is None else str(values)
