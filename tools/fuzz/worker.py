"""The process that runs the loaders: one at a time, case after case, so that a case costs no start of Python.

It says what came of each case and how much memory that took. Ending it when it hangs or takes too much is its owner's
business (`tools.fuzz.harness`).
"""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import InputError
from tools.fuzz.seeds import Seed, read_seed
from tools.fuzz.target import Target

DUMP_SIGNAL = signal.SIGUSR1  # writes where every thread is to the log
_LONGEST_LINE = 2000


@dataclass(frozen=True)
class Outcome:
    """What came of one case: "ok", "refused" or "other", the message or traceback, and the bytes that memory grew by
    at its peak."""

    verdict: str
    text: str
    grown: int


def find_targets(modules: Sequence[str]) -> dict[str, Target]:
    """Targets of the modules by name. Raises ValueError where two have the same."""
    targets: dict[str, Target] = {}
    for module in modules:
        for target in importlib.import_module(module).TARGETS:
            if target.name in targets:
                raise ValueError(f"{module}: there is another target of the name {target.name}")
            targets[target.name] = target
    return targets


def serve(connection: Connection, modules: Sequence[str], log: Path) -> None:
    """Answer ("seeds", target name) with a list of `Seed`, ("load", target name, path) with an `Outcome`, and end when
    the other side closes."""
    _settle(log)
    targets = find_targets(modules)
    connection.send(list(targets))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        target = targets[request[1]]
        connection.send(_seeds(target) if request[0] == "seeds" else _tried(target, Path(request[2])))


def _settle(log: Path) -> None:
    """A group of its own, so that programs a loader starts end with it; everything it says goes to `log`."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _seeds(target: Target) -> list[Seed] | str:
    """The seeds, every one of which has to load; a traceback where one does not."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-seeds-"))
    try:
        paths = target.make_seeds(folder)
        seeds = [read_seed(folder, path) for path in paths]  # before they are loaded, which may change them
        for path in paths:
            target.load(path)
        return seeds
    except BaseException:
        return traceback.format_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tried(target: Target, path: Path) -> Outcome:
    before = _reset_peak()
    verdict, text = _verdict(target, path)
    return Outcome(verdict, text, max(0, _status("VmHWM") - before))


def _verdict(target: Target, path: Path) -> tuple[str, str]:
    try:
        target.load(path)
    except InputError as error:
        message = str(error)
        one_line = message.strip() and message.isprintable() and len(message) <= _LONGEST_LINE
        return ("refused", message) if one_line else ("other", f"expected one line to print, got:\n{message[:9999]!r}")
    except BaseException:  # SystemExit and what extension modules derive from BaseException are faults, too
        return "other", traceback.format_exc()
    return "ok", ""


def _reset_peak() -> int:
    """Bytes of memory in use; the peak that the kernel keeps starts from there."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(key.encode()):
                return int(line.split()[1]) << 10
    sys.exit(f"/proc/self/status has no {key}: the harness needs Linux")
