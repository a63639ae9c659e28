"""Feed damaged and hostile files to every loader:  python -m tools.fuzz --cases 3000 --json fuzz.json

A loader has to read a file or to refuse it with one clear line, within 10 s of processor time and 1 GB of memory above
the file's own size. Whatever else happens is a fault, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.fuzz.harness import Counts, Harness, Limits, SeedError

MODULES = (
    "tools.fuzz.media_targets",
    "tools.fuzz.data_targets",
    "tools.fuzz.recording_targets",
    "tools.fuzz.session_targets",
)
_COLUMNS = ("cases", "ok", "refused", "other", "hang", "too_big")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with Harness(MODULES, Limits(options.seconds, options.megabytes << 20), options.keep) as harness:
            names = options.only or harness.names
            if unknown := sorted(set(names) - set(harness.names)):
                sys.exit(f"--only {' '.join(unknown)}: expected some of {', '.join(harness.names)}")
            found = _run(harness, names, options)
    except SeedError as error:
        sys.exit(str(error))
    if options.json is not None:
        options.json.write_text(json.dumps({name: counts.as_dict() for name, counts in found.items()}, indent=1) + "\n")
    return 1 if any(counts.faults for counts in found.values()) else 0


def _run(harness: Harness, names: list[str], options: argparse.Namespace) -> dict[str, Counts]:
    found = {}
    print(f"{'loader':24}" + "".join(f"{column:>9}" for column in _COLUMNS))
    for name in names:
        found[name] = counts = harness.run(name, options.cases, options.seed)
        print(f"{name:24}" + "".join(f"{counts.as_dict()[column]:9}" for column in _COLUMNS), flush=True)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="damaged files per loader")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files")
    parser.add_argument("--json", type=Path, help="write the counts of every loader to this file")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these loaders alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the files that show faults, with tracebacks")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="processor time that a case may take")
    parser.add_argument("--megabytes", type=int, default=Limits.memory >> 20, help="memory that a case may take")
    return parser


if __name__ == "__main__":
    sys.exit(main())
