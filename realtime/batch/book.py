"""What happens to each job, written down as it happens: in its journal, in the results' files, and told."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from core.errors import InputError
from realtime.batch.job_list import Job
from realtime.batch.journal import Journal
from realtime.batch.results import Outcome, Result, write_results
from realtime.batch.schedule import Answer, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is to be done with a job.

    Attributes:
        folder: gets what it makes.
        made_of: see `Journal`.
        done: by an earlier run.
        refused: why it cannot be done, known before it is begun; else empty.
    """

    job: Job
    folder: Path
    made_of: str
    done: bool = False
    refused: str = ""

    @property
    def to_do(self) -> bool:
        return not self.done and not self.refused


class Bars(Protocol):
    """Shows how far jobs are (`realtime.progress.JobBars`)."""

    def begin(self, job: str) -> None: ...
    def tell(self, job: str, doing: str, done: int, total: int | None) -> None: ...
    def end(self, job: str) -> None: ...
    def advance(self) -> None: ...


class Book:
    """Keeps the journals and the results, and tells of them. An `Observer`."""

    def __init__(self, planned: Sequence[Plan], folder: Path, bars: Bars) -> None:
        self._plans = {plan.job.name: plan for plan in planned}
        self._results = {plan.job.name: _before(plan) for plan in planned}
        self._folder, self._bars = folder, bars
        for result in self.results:
            if result.outcome != "not done":
                bars.advance()
            if result.outcome == "failed":
                log.error("%s: %s", result.job, result.error)
        self.write()

    @property
    def results(self) -> list[Result]:
        """In the order of the list."""
        return list(self._results.values())

    def write(self) -> None:
        """Raises InputError."""
        write_results(self.results, self._folder)

    def begins(self, task: Task) -> None:
        plan, folder = self._plans[task.name], self._plans[task.name].folder
        earlier = Journal.read(folder) or Journal("begun", plan.made_of)
        earlier.emptied(folder)
        Journal("begun", plan.made_of).write(folder)
        self._bars.begin(task.name)

    def goes_on(self, task: Task, doing: str, done: int, total: int | None) -> None:
        self._bars.tell(task.name, doing, done, total)

    def ended(self, answer: Answer) -> None:
        name = answer.task.name
        self._bars.end(name)
        if answer.interrupted:
            return
        outcome: Outcome = "failed" if answer.error else "done"
        self._results[name] = replace(
            self._results[name],
            outcome=outcome,
            frames=answer.frames,
            seconds=round(answer.seconds, 2),
            error=answer.error,
            warnings=answer.warnings,
        )
        self._keep(answer, outcome)
        self._bars.advance()
        if answer.error:
            log.error("%s: %s", name, answer.error)
        else:
            log.info("%s: %d frames, %.0f s", name, answer.frames, answer.seconds)

    def _keep(self, answer: Answer, outcome: Outcome) -> None:
        """Where the disk takes no more the job is told of all the same, and done again another time."""
        journal = Journal(
            "failed" if outcome == "failed" else "done",
            self._plans[answer.task.name].made_of,
            answer.files,
            answer.frames,
            round(answer.seconds, 2),
            answer.error,
            answer.warnings,
        )
        try:
            journal.write(self._folder / answer.task.name)
            self.write()
        except InputError as error:
            log.warning("%s", error)


def _before(plan: Plan) -> Result:
    """How a job stands before anything is done."""
    result = Result(plan.job.name, str(plan.job.driving), plan.job.avatar, "not done")
    if plan.refused:
        return replace(result, outcome="failed", error=plan.refused)
    journal = Journal.read(plan.folder) if plan.done else None
    if journal is None:
        return result
    return replace(
        result,
        outcome="done before",
        frames=journal.frames,
        seconds=journal.seconds,
        warnings=journal.warnings,
    )
