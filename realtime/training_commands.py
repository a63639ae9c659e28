"""The commands around training: `vfa train` and `vfa preprocess`."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import tyro

from engine.training.options import TrainOptions


def train(options: Annotated[TrainOptions, tyro.conf.arg(name="")]) -> None:
    """Train a flow network; torchrun -m realtime train … does so in many processes."""
    from engine.training.run import train as run

    with _asked_to_stop() as stop:
        path = run(options, stop)
    if path is not None:
        print(f"written: {path}")


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM end the run after its step, with a checkpoint; a second Ctrl-C at once."""
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
