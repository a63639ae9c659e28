"""Feeds damaged files to loaders in a worker process and counts what comes of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.fuzz.mutations import mutate
from tools.fuzz.seeds import Seed, write_case
from tools.fuzz.worker import DUMP_SIGNAL, Outcome, serve

_POLL_S = 0.02  # between looks at a worker that has not answered yet; memory grows by some 60 MB in that time
_START_S = 300.0  # for importing everything and making seeds, on a slow machine
_PATIENCE = 6.0  # a case that waits rather than works is one that hangs after so many times the limit


@dataclass(frozen=True)
class Limits:
    """What one case may take: seconds of processor time, and bytes above those in use before and the files' own."""

    seconds: float = 10.0
    memory: int = 1 << 30


@dataclass
class Counts:
    """Of one loader: `ok` were read, `refused` got one clear line; the rest are faults."""

    cases: int = 0
    ok: int = 0
    refused: int = 0
    other: int = 0
    hang: int = 0
    too_big: int = 0

    @property
    def faults(self) -> int:
        return self.other + self.hang + self.too_big

    def add(self, verdict: str) -> None:
        self.cases += 1
        setattr(self, verdict, getattr(self, verdict) + 1)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class SeedError(RuntimeError):
    """A target's own good files could not be made or read."""


class Harness:
    """Runs targets. A context manager: the worker ends with it.

    Args:
        modules: that define `TARGETS`.
        keep: folder for the files that show faults, each with its traceback; None keeps none.
    """

    def __init__(self, modules: Sequence[str], limits: Limits | None = None, keep: Path | None = None) -> None:
        self._limits, self._keep = limits or Limits(), keep
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._tried = 0
        self._worker = _Worker(modules, self._folder / "log")

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def names(self) -> list[str]:
        """Of the targets."""
        return self._worker.names

    def run(self, name: str, cases: int, seed: int) -> Counts:
        """Try so many damaged files on one target. The same seed gives the same files. Raises SeedError."""
        seeds = self._worker.seeds(name)
        counts = Counts()
        for number in range(cases):
            # A generator per case, so that one case can be had again without those before it
            case = mutate(random.Random(f"{seed} {name} {number}"), seeds)
            outcome = self._try(name, case)
            counts.add(outcome.verdict)
            if outcome.verdict not in ("ok", "refused") and self._keep is not None:
                _keep_case(self._keep / name / f"{number:05}-{outcome.verdict}", case, outcome)
        return counts

    def _try(self, name: str, case: Seed) -> Outcome:
        self._tried += 1  # a name of its own for each: some readers keep what they read, by path
        folder = self._folder / f"case{self._tried}"
        try:
            write_case(folder, case.files)
            size = sum(len(content or b"") for content in case.files.values())
            return self._worker.load(name, folder / case.entry, self._limits.seconds, self._limits.memory + size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """The process, started again whenever it has to be ended."""

    def __init__(self, modules: Sequence[str], log: Path) -> None:
        self._modules, self._log = tuple(modules), log
        self.names: list[str] = []
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._modules, self._log), daemon=True)
        self._process.start()
        theirs.close()
        self.names = self._answer(_START_S)

    def stop(self) -> None:
        self._connection.close()
        self._process.join(1.0)
        self._kill()

    def seeds(self, name: str) -> list[Seed]:
        self._connection.send(("seeds", name))
        seeds = self._answer(_START_S)
        if isinstance(seeds, str) or not seeds:
            raise SeedError(f"{name}: its own good files cannot be read:\n{seeds or 'there are none'}")
        return list(seeds)

    def load(self, name: str, path: Path, seconds: float, memory: int) -> Outcome:
        watch = _Watch(self._process.pid or 0, seconds, memory)
        try:
            self._connection.send(("load", name, str(path)))
            while not self._connection.poll(_POLL_S):
                if verdict := watch.verdict():
                    return self._ended(verdict)
            outcome: Outcome = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            return self._ended("other")
        return Outcome("too_big", outcome.text, outcome.grown) if outcome.grown > memory else outcome

    def _ended(self, verdict: str) -> Outcome:
        """What the worker was about when it had to be ended, or what ended it; a new one takes its place."""
        if self._process.is_alive():
            os.kill(self._process.pid or 0, DUMP_SIGNAL)
            self._process.join(0.5)
        self._kill()
        said = self._log.read_text("utf-8", "replace")[-20_000:]
        text = f"the worker ended with status {self._process.exitcode}; it said:\n{said}"
        self._log.unlink()
        self._start()
        return Outcome(verdict, text, 0)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)  # with whatever programs a loader has started
        self._process.kill()
        self._process.join()

    def _answer(self, timeout_s: float) -> Any:
        if not self._connection.poll(timeout_s):
            raise SeedError(f"the worker did not answer within {timeout_s:.0f} s")
        try:
            return self._connection.recv()
        except EOFError:
            said = self._log.read_text("utf-8", "replace") if self._log.exists() else ""
            raise SeedError(f"the worker ended unasked; it said:\n{said}") from None


class _Watch:
    """Time and memory of a worker since the case began: what it worked, and how long it was seen waiting."""

    def __init__(self, process: int, seconds: float, memory: int) -> None:
        self._process, self._seconds, self._memory = psutil.Process(process), seconds, memory
        self._worked_s, self._waited_s = self._processor_s(), 0.0
        self._base = self._process.memory_info().rss

    def verdict(self) -> str | None:
        """ "hang" or "too_big" once it is one."""
        try:
            if self._process.memory_info().rss - self._base > self._memory:
                return "too_big"
            if self._process.status() == psutil.STATUS_SLEEPING:
                self._waited_s += _POLL_S  # by looks rather than by the clock: it may be the machine that is busy
            worked_s = self._processor_s() - self._worked_s
        except psutil.Error:
            return None  # it has ended, which the connection tells
        return "hang" if worked_s > self._seconds or self._waited_s > _PATIENCE * self._seconds else None

    def _processor_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)


def _keep_case(folder: Path, case: Seed, outcome: Outcome) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write_case(folder / "files", case.files)
    grown = f"{outcome.grown / 1e6:.0f} MB more than before"
    (folder / "why.txt").write_text(f"{outcome.verdict}: {case.entry}, {grown}\n{outcome.text}\n", encoding="utf-8")
