"""What came of each job: on the terminal, and as files for other programs."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from core.whole_file import whole_file
from core.writable import writing_to

CSV_NAME, JSON_NAME = "results.csv", "results.json"

Outcome = Literal["done", "done before", "failed", "not done"]


@dataclass(frozen=True)
class Result:
    """Of one job.

    Attributes:
        job: name of its folder.
        driving, avatar: what of.
        outcome: "done before" by an earlier run; "not done" where this one was ended first.
        frames, seconds: how many, and how long that took.
        error: why it failed; else empty.
        warnings: what was told on the way.
    """

    job: str
    driving: str
    avatar: str
    outcome: Outcome
    frames: int = 0
    seconds: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = ()


def write_results(results: Sequence[Result], folder: Path) -> None:
    """results.csv and results.json. Raises InputError."""
    rows = [asdict(result) for result in results]
    with writing_to(folder / CSV_NAME):
        with whole_file(folder / JSON_NAME) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        with whole_file(folder / CSV_NAME) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(Result.__dataclass_fields__))
            writer.writeheader()
            writer.writerows({**row, "warnings": "; ".join(row["warnings"])} for row in rows)


def tell_results(results: Sequence[Result], console: Console) -> None:
    """The failures as a table, and how many there are of each outcome."""
    failed = [result for result in results if result.outcome == "failed"]
    if failed and console.is_terminal:
        table = Table("job", "recording", "head", "why it failed")
        for result in failed:
            table.add_row(result.job, Path(result.driving).name, Path(result.avatar).name, result.error)
        console.print(table, soft_wrap=False)
    else:
        for result in failed:
            console.print(f"failed\t{result.job}\t{result.driving}\t{result.avatar}\t{result.error}")
    counts = Counter(result.outcome for result in results)
    words = [f"{counts[outcome]} {outcome}" for outcome in ("done", "done before", "failed", "not done")]
    console.print(", ".join(word for word in words if not word.startswith("0 ")))
