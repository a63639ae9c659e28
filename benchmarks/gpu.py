"""What a CUDA machine makes of this program: networks, tracker, engines, drawing, poses that it works out itself and
training, each held against the processor's results, in one JSON.

    python -m benchmarks.gpu --out DIR --budget 480
    python -m benchmarks.gpu --out DIR --device cpu        a short form of the same, on any machine

PyTorch and NumPy are enough to begin with: what else a part needs is imported by that part, and what is missing is
said at the end. Every part runs in a process of its own with its share of the time that is left, so that one which
crashes or hangs loses nothing but itself; what a part found out before is kept. The budget counts seconds, everything
included: 480 when not given, two minutes of which are training, all stages side by side; 240 with --no-training.

Training reads rendered pairs. They are rendered here where the program's own libraries are installed; elsewhere bring
them along with --pairs DIR (`python -m engine.training.flow.make_pairs`). It needs tyro and platformdirs, both plain
Python: a folder of them on PYTHONPATH does.

DIR/gpu.json holds for each part: state (done, missing, failed, crashed, timed out), seconds, what was measured, and
what was missing or went wrong. DIR/NAME.log is what the part printed; DIR/train-STAGE/ has checkpoint and curve.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts import PARTS, TRAINING
from benchmarks.gpu_setting import Setting

_ROOT = Path(__file__).parents[1]
_STARTING_S = 25.0  # of a training stage beside its own time: imports, the first step, the checkpoint
_TRAINING_S = 120.0
_BUDGET_S, _WITHOUT_TRAINING_S = 480.0, 240.0
_PATIENCE = 4.0  # with a processor that is busy with other things, too
_LEAST_S = 8.0  # that the parts after one which hangs can count on
_SHORT_TRAINING_S = 10.0
_LAST_WORDS = 600


@dataclass(frozen=True)
class Running:
    """A part at work, in a process group of its own."""

    name: str
    process: subprocess.Popen[bytes]
    since: float
    limit_s: float


def start(name: str, setting: Setting, limit_s: float) -> Running:
    """`setting.seconds` is what the part may use, `limit_s` when it is ended."""
    environment = os.environ | PARTS[name].environment
    command = [sys.executable, "-m", "benchmarks.gpu_parts", name, json.dumps(asdict(setting), default=str)]
    setting.result(name).unlink(missing_ok=True)
    with setting.log(name).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Running(name, process, time.monotonic(), limit_s)


def finish(running: Running, setting: Setting) -> dict[str, Any]:
    """Wait for it, end it where it takes too long, and read what it left."""
    left = running.limit_s - (time.monotonic() - running.since)
    try:
        status = running.process.wait(timeout=max(left, 0.1))
    except subprocess.TimeoutExpired:
        status = None
    finally:  # also where this process is told to end
        _end_group(running.process)
    try:
        found: dict[str, Any] = json.loads(setting.result(running.name).read_text())
    except (OSError, ValueError):
        found = {}
    if status is None:
        found |= {"state": "timed out", "why": f"ended after {running.limit_s:.0f} s"}
    elif "state" not in found:
        last = setting.log(running.name).read_text(errors="replace").strip()[-_LAST_WORDS:]
        found |= {"state": "crashed", "why": f"exit status {status}: {last}"}
    return found | {"seconds": round(time.monotonic() - running.since, 1)}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """The process and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def share_s(names: list[str], left_s: float, patience: float = 1.0) -> float:
    """Seconds for the first of the parts still to come: what it can use (times `patience`), as long as the others keep
    their least."""
    return max(0.0, min(patience * PARTS[names[0]].most_s, left_s - _LEAST_S * (len(names) - 1)))


def measure(names: list[str], setting: Setting, until: float, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """The parts one after the other, until that time of `time.monotonic`."""
    for number, name in enumerate(names):
        patience = _PATIENCE if setting.short else 1.0
        seconds = share_s(names[number:], until - time.monotonic(), patience)
        keep(name, finish(start(name, setting.lasting(0.8 * seconds), seconds), setting))


def train(names: list[str], setting: Setting, seconds: float, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """The stages side by side: each starts from the network that comes with this program."""
    starting = _STARTING_S * (_PATIENCE if setting.short else 1.0)
    running = [start(name, setting.lasting(seconds), seconds + starting) for name in names]
    try:
        for each in running:
            keep(each.name, finish(each, setting))
    finally:
        for each in running:
            if each.process.poll() is None:
                _end_group(each.process)


def compare(parts: dict[str, dict[str, Any]], setting: Setting) -> dict[str, Any]:
    """What two parts say together: the picture drawn by the GPU against Mesa's."""
    pictures = [setting.out / f"{name}.npy" for name in ("drawing", "drawing-software")]
    if not all(path.is_file() for path in pictures):
        return {}
    from benchmarks.gpu_program import pictures_agree

    return pictures_agree(*pictures, same_renderer=len({parts[p.stem].get("renderer") for p in pictures}) == 1)


def run(options: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    pairs = (options.pairs or out / "pairs").resolve()
    setting = Setting(device=options.device, short=options.device == "cpu", seconds=0.0, out=out, pairs=pairs)
    chosen = [name for name in PARTS if name in options.parts]
    measured = [name for name in chosen if name not in TRAINING and not (name == "pairs" and options.pairs)]
    stages = [name for name in chosen if name in TRAINING and not options.no_training]
    if not stages and "pairs" in measured:
        measured.remove("pairs")
    budget = options.budget or (_BUDGET_S if stages else _WITHOUT_TRAINING_S)
    training_s = min(_SHORT_TRAINING_S if setting.short else _TRAINING_S, budget / 2) if stages else 0.0
    starting = _STARTING_S * (_PATIENCE if setting.short else 1.0)
    reserve = training_s + 2 * starting if stages else 0.0
    result: dict[str, Any] = {"device": options.device, "budget_s": budget, "parts": {}}

    def keep(name: str, found: dict[str, Any]) -> None:
        result["parts"][name] = found
        (out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name:26} {found['state']:10} {found['seconds']:6.1f} s  {_figures(found)}", flush=True)

    measure(measured, setting, began + max(0.0, budget - reserve), keep)
    if stages:
        train(stages, setting, min(training_s, began + budget - time.monotonic() - starting), keep)
    result["pictures"] = compare(result["parts"], setting)
    result["missing"] = missing(result["parts"])
    result["unequal"] = [name for name, part in result["parts"].items() if part.get("equal") is False]
    result["seconds"] = round(time.monotonic() - began, 1)
    (out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def missing(parts: dict[str, dict[str, Any]]) -> list[str]:
    """What kept parts from running, each with the parts that lack it."""
    lacking: dict[str, list[str]] = {}
    for name, part in parts.items():
        if part["state"] != "done":
            lacking.setdefault(f"{part['state']}: {part.get('why', '')}", []).append(name)
    return [f"{', '.join(names)}: {what}" for what, names in lacking.items()]


def _figures(found: dict[str, Any]) -> str:
    numbers = [
        f"{name} {value:.4g}" for name, value in found.items() if type(value) in (int, float) and name != "seconds"
    ]
    said = [f"{name} {value}" for name, value in found.items() if name in ("renderer", "gpu", "equal", "why")]
    return ", ".join([*said, *numbers])[:220]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json, logs, checkpoints and curves")
    parser.add_argument("--budget", type=float, help="seconds for everything")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--parts", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="PART", help=" ".join(PARTS)
    )
    parser.add_argument("--pairs", type=Path, help="rendered pairs to train on; rendered here when not given")
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # parts at work are ended, too
    result = run(options)
    print(f"{result['seconds']:.0f} s; {options.out / 'gpu.json'}")
    for title in ("missing", "unequal"):
        for line in result[title]:
            print(f"{title}: {line}")


if __name__ == "__main__":
    main()
