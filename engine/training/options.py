"""What a user can set about training, with the help text under each field; checked when constructed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import InputError
from engine.training.loop.names import Normalisation, OptimizerName, Precision, ScheduleName, SizeName, StageName


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a flow network: alone, or in many processes with torchrun -m realtime train …"""

    stage: StageName
    """code (encoder on rendered pairs), generator (published stage 1) or distill (published stage 2)."""

    data: Path
    """Folder of clips as vfa preprocess writes them, of RGBD or colour frames, or of rendered pairs."""

    out: Path
    """Folder for checkpoints, curve.csv and TensorBoard's files."""

    steps: int = 800_000
    """Training steps in all, those of resumed runs included."""

    batch: int = 16
    """Samples of one step, over all processes."""

    find_batch: bool = False
    """Only find out which batch is fastest and fits, print it, and end."""

    rate: float = 2e-4
    """Learning rate."""

    schedule: ScheduleName = "published"
    """published (×0.2 every 5,000 scheduler steps), cosine or constant."""

    scheduler_every: int = 32
    """Training steps in one scheduler step of the published schedule."""

    size: SizeName = "published"
    """Sizes of a network that starts from nothing."""

    init: Path | None = None
    """Start from these weights: a VFA checkpoint or one of ours."""

    lia: Path | None = None
    """Start from LIA's RGB weights, and keep frozen what the released code then keeps frozen."""

    resume: bool = False
    """Go on from the latest checkpoint in --out."""

    perceptual: float = 1.0
    """Weight of the perceptual loss; 0 leaves it out, and needs no VGG weights."""

    vgg: Path | None = None
    """torchvision's VGG19 state dict for the perceptual loss. Without it: VGG16 of the package stlpips-pytorch."""

    color_l1: float = 0.0
    """Weight of the absolute colour difference beside the perceptual loss."""

    depth: float = 1.0
    """Factor on all three depth losses."""

    flow: float = 0.0
    """Weight of the flow error in pixels; needs rendered pairs."""

    code: float = 0.0
    """Weight of the motion code's error in the generator stage; needs rendered pairs."""

    truth_code: bool = False
    """Move the avatar by the true units instead of the encoder's code, in the generator stage; needs rendered pairs."""

    freeze_encoder: bool = False
    """Leave the encoder as it is, in the generator stage."""

    normalisation: Normalisation = "live"
    """How colours reach the network: as when it runs live, or as the released training code has them."""

    channels: Literal[3, 4] = 4
    """3 for clips without depth."""

    static_source: Path | None = None
    """One picture folder whose first frame is the source of every sample, instead of each clip's own first frame."""

    augment: bool = True
    """Vary colours, place and side, alike for both pictures of a sample."""

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

    seed: int = 0
    """Of the weights and of everything that is drawn."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    threads: int | None = None
    """Processor threads of each process."""

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
        if self.init is not None and self.lia is not None:
            raise InputError("--init and --lia: each says what to start from; leave one out")
        if not self.data.is_dir():
            raise InputError(f"{self.data}: expected a folder with training data, found none; see docs/training.md")
