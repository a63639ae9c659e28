"""The console that the commands speak on, and their progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


class LenientConsole(Console):
    """A console that nobody may be listening to: a closed terminal or a log on a full disk ends no session."""

    def print(self, *objects: Any, **options: Any) -> None:
        with suppress(OSError):
            super().print(*objects, **options)


console = LenientConsole(stderr=True)

Tell = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is behind, and of how much."""


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """A bar on the terminal for each thing that is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {}

        def tell(doing: str, done: int, total: int | None) -> None:
            if doing not in tasks:
                tasks[doing] = bar.add_task(doing, total=total)
            bar.update(tasks[doing], completed=done)

        yield tell


@contextmanager
def step_bar(title: str) -> Iterator[Tell]:
    """One bar for a job of a few different steps, which shows up with its first one.

    Where the terminal cannot redraw (a file, a pipe), each step is a line.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, visible=False)

        def tell(doing: str, done: int, total: int | None) -> None:
            if console.is_terminal:
                bar.update(task, description=f"{title}: {doing}", completed=done, total=total, visible=True)
            else:
                console.print(f"{title}: {doing} ({done + 1} of {total})", highlight=False, soft_wrap=True)

        yield tell
