"""`vfa synth`, `preprocess` and `train`: commands for those who train networks."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from capture.synthetic.studio.clip_options import ClipOptions
from core.errors import InputError
from core.writable import check_writable, writing_to
from engine.training.flow.preprocess_options import PreprocessOptions
from engine.training.options import TrainOptions
from realtime.threads.signals import stopped_by_signals
from realtime.threads.worker import Stop

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """Film synthetic people whose motion is known: RGBD clips with weights, head pose, vertices and flow."""

    out: Path
    """Folder that gets one folder per clip."""

    clips: int = 1
    """How many clips."""

    seed: int = 0
    """Number of the first clip; the same numbers give the same clips."""

    clip: tyro.conf.OmitArgPrefixes[ClipOptions] = field(default_factory=ClipOptions)

    layout: Literal["folder", "pair"] = "folder"
    """folder: color/N.jpg and depth/N.png or .exr; pair: color/X.mp4 and depth/X.nut, as published data has them."""

    flow: bool = False
    """Write flow/N.npz, too: dense flow to the neutral face."""

    overwrite: bool = False
    """Replace clips that are already there."""

    def __post_init__(self) -> None:
        if self.clips < 1 or self.seed < 0:
            raise InputError(f"--clips {self.clips} --seed {self.seed}: expected at least 1 and 0")
        width, height = self.clip.size
        if self.layout == "pair" and (width % 2 or height % 2):
            raise InputError(f"--size {width} {height}: expected even numbers for --layout pair")


def synth(options: Annotated[SynthOptions, tyro.conf.arg(name="")]) -> None:
    """Film synthetic people whose motion is known, for training and judging."""
    from capture.synthetic.studio.clip_files import write_clip
    from capture.synthetic.studio.clip_plan import plan_clip
    from capture.synthetic.studio.clip_studio import ClipStudio

    check_writable(options.out / "clip", "--out")
    made = [folder for folder in (options.out, *options.out.parents) if not folder.exists()]
    try:
        with writing_to(options.out), ClipStudio() as studio:
            for seed in range(options.seed, options.seed + options.clips):
                plan = plan_clip(seed, options.clip)
                folder = write_clip(
                    plan, options.out, studio, layout=options.layout, flow=options.flow, overwrite=options.overwrite
                )
                log.info("%s: %d frames, %s", folder, len(plan), plan.sensor)
    finally:
        with suppress(OSError):  # there are clips in it
            for folder in made:
                folder.rmdir()


def preprocess(options: Annotated[PreprocessOptions, tyro.conf.arg(name="")]) -> None:
    """Turn recordings into training clips. A run that was interrupted goes on where it stopped."""
    from engine.training.flow.preprocess import preprocess as run
    from engine.training.flow.preprocess import summary
    from realtime.progress import progress_bar

    reports = run(options, progress_bar)
    print("\n".join(summary(reports)))


def train(options: Annotated[TrainOptions, tyro.conf.arg(name="")]) -> None:
    """Train a flow network; torchrun -m realtime train … does so in many processes."""
    from engine.training.run import train as run

    check_writable(options.out / "checkpoint", "--out")
    with stopped_by_signals(Stop()) as stop:  # the run ends after its step, with a checkpoint
        path = run(options, lambda: stop.requested)
    if path is not None:
        print(f"written: {path}")
