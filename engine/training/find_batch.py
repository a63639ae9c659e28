"""Which batch is fastest and fits into memory."""

import logging
import time
from dataclasses import dataclass

import torch

from engine.training.flow.stages import StageModel
from engine.training.loop.distributed import Team
from engine.training.loop.feed import Samples, batches
from engine.training.loop.names import Precision

_TRIES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_STEPS = 2
_WORTHWHILE = 1.05  # a larger batch must be so much faster to be tried on a processor, where memory sets no clear end
_MEMORY_SHARE = 0.7  # of what is free, for the next larger batch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchSpeed:
    batch: int
    samples_per_s: float


def find_batch(model: StageModel, samples: Samples, precision: Precision, own: Team) -> BatchSpeed:
    """Try ever larger batches until memory ends or none is faster; returns (and logs) the fastest, per process."""
    best = BatchSpeed(0, 0.0)
    for batch in _TRIES:
        try:
            speed = _speed(model, samples, precision, Team(0, 1, own.device), batch)
        except torch.OutOfMemoryError:
            log.info("batch %d does not fit into memory", batch)
            break
        log.info("batch %d: %.2f samples a second", batch, speed)
        slower = speed < best.samples_per_s * _WORTHWHILE
        if speed > best.samples_per_s:
            best = BatchSpeed(batch, speed)
        if own.device.type == "cpu" and (slower or not _fits_twice()):
            break
    log.info("fastest: --batch %d (for each process), %.2f samples a second", best.batch, best.samples_per_s)
    return best


def _speed(model: StageModel, samples: Samples, precision: Precision, alone: Team, batch: int) -> float:
    feed = batches(samples, alone, batch=batch, first_step=0, steps=_STEPS)
    took = []
    for content in feed:
        start = time.perf_counter()
        with torch.autocast(alone.device.type, torch.bfloat16, enabled=precision == "bf16"):
            total = torch.stack([term.float() for term in model(content).values()]).sum()
        total.backward()
        model.zero_grad(set_to_none=True)
        if alone.device.type == "cuda":
            torch.cuda.synchronize(alone.device)
        took.append(time.perf_counter() - start)
    return batch / min(took)


def _fits_twice() -> bool:
    """Whether a batch twice as large would leave the machine some memory."""
    import psutil

    used = psutil.Process().memory_info().rss
    return bool(used < _MEMORY_SHARE * psutil.virtual_memory().available)
