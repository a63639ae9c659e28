"""The commands around training: `vfa train` and `vfa preprocess`."""

from typing import Annotated

import tyro

from core.writable import check_writable
from engine.training.flow.preprocess_options import PreprocessOptions
from engine.training.options import TrainOptions
from realtime.threads.signals import stopped_by_signals
from realtime.threads.worker import Stop


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
