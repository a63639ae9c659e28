"""What a user can set about training, with the help text under each field; checked when constructed."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from core.errors import InputError
from engine.training.flow.sample_options import SampleOptions
from engine.training.flow.stage_options import StageOptions
from engine.training.loop.names import SizeName, StageName
from engine.training.loop.plan import TrainingPlan


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a flow network: alone, or in many processes with torchrun -m realtime train …"""

    stage: StageName
    """code (encoder on rendered pairs), generator (published stage 1) or distill (published stage 2)."""

    data: Path
    """Folder of clips as vfa preprocess writes them, of RGBD or colour frames, or of rendered pairs."""

    out: Path
    """Folder for checkpoints, curve.csv and TensorBoard's files."""

    plan: tyro.conf.OmitArgPrefixes[TrainingPlan] = field(default_factory=TrainingPlan)

    learning: tyro.conf.OmitArgPrefixes[StageOptions] = field(default_factory=StageOptions)

    find_batch: bool = False
    """Only find out which batch is fastest and fits, print it, and end."""

    size: SizeName = "published"
    """Sizes of a network that starts from nothing."""

    init: Path | None = None
    """Start from these weights: a VFA checkpoint or one of ours."""

    lia: Path | None = None
    """Start from LIA's RGB weights, and keep frozen what the released code then keeps frozen."""

    resume: bool = False
    """Go on from the latest checkpoint in --out."""

    vgg: Path | None = None
    """torchvision's VGG19 state dict for the perceptual loss. Without it: VGG16 of the package stlpips-pytorch."""

    samples: tyro.conf.OmitArgPrefixes[SampleOptions] = field(default_factory=SampleOptions)

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    threads: int | None = None
    """Processor threads of each process."""

    def __post_init__(self) -> None:
        if self.init is not None and self.lia is not None:
            raise InputError("--init and --lia: each says what to start from; leave one out")
        if not self.data.is_dir():
            raise InputError(f"{self.data}: expected a folder with training data, found none; see docs/training.md")
