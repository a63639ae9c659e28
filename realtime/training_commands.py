"""The commands around training: `vfa train` and `vfa preprocess`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from core.errors import InputError
from engine.training.options import TrainOptions
from realtime.threads.signals import stopped_by_signals
from realtime.threads.worker import Stop


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Turn recordings into training clips: the face cut out at 256 pixels, the background gone, bad frames left out."""

    inputs: tyro.conf.Positional[list[Path]]
    """Recordings, or folders of them: videos, color/depth pairs, RGBD folders, Kinect .mkv, Record3D .r3d."""

    out: Path
    """Folder for PERSON/color/NAME.mp4, PERSON/depth/NAME.nut and the report preprocess.jsonl."""

    workers: int = 1
    """Clips that are worked on at once."""

    engine: Literal["local", "ray"] = "local"
    """local: processes of this machine. ray: a Ray cluster, for corpora that outgrow one machine."""

    ray_address: str | None = None
    """Address of the cluster (auto: the one this machine belongs to). Without it, a Ray of this machine alone."""

    least_frames: int = 8
    """Clips with fewer usable frames are skipped."""

    retry: bool = False
    """Try again what an earlier run skipped."""

    face_model: Path | None = None
    """face_landmarker.task to use instead of the installed one."""

    def __post_init__(self) -> None:
        if not self.inputs:
            raise InputError("vfa preprocess: expected recordings or folders of them, got none")
        if self.workers < 1 or self.least_frames < 2:
            raise InputError(f"--workers {self.workers} --least-frames {self.least_frames}: expected at least 1 and 2")


def preprocess(options: Annotated[PreprocessOptions, tyro.conf.arg(name="")]) -> None:
    """Turn recordings into training clips. A run that was interrupted goes on where it stopped."""
    from engine.training.flow.preprocess import Executor, LocalExecutor, RayExecutor, summary
    from engine.training.flow.preprocess import preprocess as run
    from realtime.progress import progress_bar

    executor: Executor = LocalExecutor(options.workers)
    if options.engine == "ray":
        executor = RayExecutor(options.workers, options.ray_address)
    reports = run(
        options.inputs,
        options.out,
        executor,
        face_model=options.face_model,
        least_frames=options.least_frames,
        retry=options.retry,
        progress=progress_bar,
    )
    print("\n".join(summary(reports)))


def train(options: Annotated[TrainOptions, tyro.conf.arg(name="")]) -> None:
    """Train a flow network; torchrun -m realtime train … does so in many processes."""
    from engine.training.run import train as run

    with stopped_by_signals(Stop()) as stop:  # the run ends after its step, with a checkpoint
        path = run(options, lambda: stop.requested)
    if path is not None:
        print(f"written: {path}")
