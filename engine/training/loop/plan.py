"""How a training run goes on, with the help text under each field; checked when constructed."""

from dataclasses import dataclass

from core.errors import InputError
from engine.training.loop.names import OptimizerName, Precision, ScheduleName
from engine.training.loop.schedule import Schedule

_LONGEST_WARMUP, _WARMUP_SHARE = 200, 10  # steps, and at most one in ten


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How a stage is run."""

    steps: int = 800_000
    """Training steps in all, those of resumed runs included."""

    batch: int = 16
    """Samples of one step, over all processes."""

    rate: float = 2e-4
    """Learning rate."""

    schedule: ScheduleName = "published"
    """published (×0.2 every 5,000 scheduler steps), cosine or constant."""

    scheduler_every: int = 32
    """Training steps in one scheduler step of the published schedule."""

    precision: Precision = "fp32"
    """bf16 computes faster on recent GPUs."""

    ema: float = 0.999
    """Decay of the moving average of the weights; 0 keeps none."""

    optimizer: OptimizerName = "adam"
    """adam as published, or muon, with which networks that start from nothing learn faster."""

    momentum: float = 0.0
    """Adam's first decay; the published one is 0."""

    clip: float = 0.0
    """Greatest length of the gradient; 0 leaves it as it is."""

    workers: int = 0
    """Processes that prepare samples beside each training process."""

    log_every: int = 20
    """Steps between lines of curve.csv."""

    show_every: int = 1000
    """Steps between sheets of pictures."""

    save_every: int = 1000
    """Steps between checkpoints; every ten minutes there is one in any case."""

    keep: int = 3
    """Checkpoints that stay."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "scheduler_every", "log_every", "show_every", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number from 1")
        if not 0 < self.rate < 1 or not 0 <= self.ema < 1:
            raise InputError(f"--rate {self.rate:g} --ema {self.ema:g}: expected 0 < rate < 1 and 0 <= ema < 1")

    @property
    def rates(self) -> Schedule:
        """The learning rate of each step."""
        warmup = min(_LONGEST_WARMUP, self.steps // _WARMUP_SHARE) if self.schedule == "cosine" else 0
        return Schedule(self.schedule, self.rate, self.steps, warmup, self.scheduler_every)
