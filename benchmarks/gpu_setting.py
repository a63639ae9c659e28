"""What every part of `benchmarks.gpu` is given and gives: where and how long it runs, what it tells, how calls are
timed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Telling = Callable[..., None]


@dataclass(frozen=True)
class Setting:
    """Where and how long parts run. `short`: few rounds, for trying everything out on a processor."""

    device: str
    short: bool
    seconds: float
    out: Path
    pairs: Path

    @staticmethod
    def read(text: str) -> Setting:
        values = json.loads(text)
        return Setting(**values | {"out": Path(values["out"]), "pairs": Path(values["pairs"])})

    def lasting(self, seconds: float) -> Setting:
        return replace(self, seconds=seconds)

    def result(self, name: str) -> Path:
        return self.out / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.out / f"{name}.log"

    @property
    def rounds(self) -> int:
        return 5 if self.short else 100


class MissingError(Exception):
    """Something the part needs is not on this machine."""


@dataclass(frozen=True)
class Part:
    """most_s: more time it never takes."""

    run: Callable[[Setting, Telling], None]
    most_s: float
    environment: dict[str, str] = field(default_factory=dict)


def importable(name: str) -> bool:
    return find_spec(name) is not None


def nvidia_smi() -> str:
    """Driver, clocks, power, temperature at this moment."""
    query = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu,pstate"
    if shutil.which("nvidia-smi") is None:
        return "no nvidia-smi"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"


def call_ms(call: Callable[[], object], setting: Setting) -> dict[str, float]:
    """Milliseconds of calls that return when they are done: the middle one, and of which one in twenty takes longer."""
    took: list[float] = []
    until = time.perf_counter() + max(1.0, 0.3 * setting.seconds)
    for _ in range(3):
        call()
    while len(took) < setting.rounds and (len(took) < 3 or time.perf_counter() < until):
        start = time.perf_counter()
        call()
        took.append((time.perf_counter() - start) * 1e3)
    return {"ms": float(np.median(took)), "ms_p95": float(np.quantile(took, 0.95))}
