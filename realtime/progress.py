"""The console that the commands speak on, their log, and their progress bars."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from core.writable import lead_nowhere

_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def seen(text: str) -> str:
    """With control characters spelled out: a name in somebody else's file gives no orders to our terminal."""
    return text.translate(_UNSEEN)


class PlainConsole(Console):
    """A console that prints what it is given, as it is: a path is neither broken nor searched for markup or emoji.
    Control characters in text are spelled out.

    Nobody may be listening to it: a closed terminal or a log on a full disk ends no session.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        with suppress(OSError):
            words = (seen(each) if isinstance(each, str) else each for each in objects)
            super().print(*words, **{"soft_wrap": True, **options})

    def on_broken_pipe(self) -> None:
        """Whoever listened has enough: what is said from here on leads nowhere, and the work goes on."""
        lead_nowhere(self.file.fileno())

    def say(self, words: str, style: str, rest: str) -> None:
        """A line whose first words are in a style of Rich's."""
        self.print(Text.assemble((words, style), " ", seen(rest)))


console = PlainConsole(stderr=True)
_OWN = ("core", "render", "capture", "calib", "engine", "realtime", "tools", "benchmarks", "__main__")

Tell = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is behind, and of how much."""


class ConsoleLog(logging.Handler):
    """The log as lines on the console, beside whatever bar is there: warnings and errors say that they are. Libraries
    are heard only when they speak of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(lambda record: record.name.partition(".")[0] in _OWN or record.levelno >= logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if record.levelno >= logging.ERROR:
            console.say("error:", "red", text)
        elif record.levelno >= logging.WARNING:
            console.say("warning:", "yellow", text)
        else:
            console.print(text)


@contextmanager
def said_once() -> Iterator[None]:
    """Within the block no line is logged a second time: a recording that is read in two passes has the same faults in
    both."""

    def once() -> Callable[[logging.LogRecord], bool]:
        said: set[str] = set()

        def is_new(record: logging.LogRecord) -> bool:
            text = record.getMessage()
            repeated = text in said
            said.add(text)
            return not repeated

        return is_new

    filters = [(handler, once()) for handler in logging.getLogger().handlers]
    for handler, is_new in filters:
        handler.addFilter(is_new)
    try:
        yield
    finally:
        for handler, is_new in filters:
            handler.removeFilter(is_new)


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """A bar on the terminal for each thing that is done; where it cannot redraw (a file, a pipe), a line."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {}

        def tell(doing: str, done: int, total: int | None) -> None:
            if doing not in tasks:
                tasks[doing] = bar.add_task(doing, total=total)
                if not console.is_terminal:
                    console.print(f"{doing} ({total} in all)" if total else doing)
            bar.update(tasks[doing], completed=done)

        yield tell


@contextmanager
def step_bar(title: str) -> Iterator[Tell]:
    """One bar for a job of a few different steps, which shows up with its first one.

    Where the terminal cannot redraw (a file, a pipe), each step is a line.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None, visible=False)

        def tell(doing: str, done: int, total: int | None) -> None:
            if console.is_terminal:
                bar.update(task, description=f"{title}: {doing}", completed=done, total=total, visible=True)
            else:
                console.print(f"{title}: {doing}" + ("" if total is None else f" ({done + 1} of {total})"))

        yield tell


class JobBars:
    """A bar for all jobs, and one for each that is at work."""

    def __init__(self, bar: Progress, jobs: int) -> None:
        self._bar = bar
        self._all = bar.add_task("jobs", total=jobs)
        self._tasks: dict[str, TaskID] = {}

    def begin(self, job: str) -> None:
        self._tasks[job] = self._bar.add_task(f"  {job}", total=None)

    def tell(self, job: str, doing: str, done: int, total: int | None) -> None:
        if job in self._tasks:
            self._bar.update(self._tasks[job], description=f"  {job}: {doing}", completed=done, total=total)

    def end(self, job: str) -> None:
        if (task := self._tasks.pop(job, None)) is not None:
            self._bar.remove_task(task)

    def advance(self) -> None:
        """One more job is behind."""
        self._bar.advance(self._all)


@contextmanager
def job_bars(jobs: int) -> Iterator[JobBars]:
    """Bars on the terminal for so many jobs; nothing where it cannot redraw."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield JobBars(bar, jobs)
