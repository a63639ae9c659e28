"""Learning rates by step."""

import math
from dataclasses import dataclass

from engine.training.loop.names import ScheduleName

PUBLISHED_DROP, PUBLISHED_EVERY = 0.2, 5000


@dataclass(frozen=True)
class Schedule:
    """A learning rate for each step, counted from 0.

    Attributes:
        name: "published": ×0.2 after every 5,000 scheduler steps; "cosine": down to 2 % of the peak at the last step;
            "constant".
        peak: the highest rate.
        steps: length of the run.
        warmup: steps over which the rate rises linearly from 0.
        scheduler_every: training steps in one scheduler step of "published".
    """

    name: ScheduleName
    peak: float
    steps: int
    warmup: int = 0
    scheduler_every: int = 1

    def rate(self, step: int) -> float:
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        done = min(1.0, max(0.0, (step - self.warmup) / max(1, self.steps - self.warmup)))
        share = {
            "published": float(PUBLISHED_DROP ** (step // (PUBLISHED_EVERY * self.scheduler_every))),
            "cosine": 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2,
            "constant": 1.0,
        }[self.name]
        return self.peak * rise * share
