"""Where the commands `vfa-live` and `vfa` start: able to be interrupted before anything that takes time is imported."""

import gc
import sys

from realtime.threads.cores import share_out
from realtime.threads.signals import ended_at_once


def live_main() -> None:
    """`vfa-live`: drive a head live."""
    _start("vfa-live", "live_main")


def main() -> None:
    """`vfa`: everything else, each as a subcommand."""
    _start("vfa", "main")


def _start(program: str, entry: str) -> None:
    ended_at_once()
    share_out()
    gc.disable()  # what modules are made of stays: looking through it for what does not takes a tenth of the start
    from realtime import cli

    gc.freeze()
    gc.enable()

    if sys.argv[1:] == ["--version"]:
        cli.tell_version(program)
    getattr(cli, entry)()
