"""Which worker does which job when. Each head is prepared once: the first job of a head prepares it, and those after it
are handed out once it is there. What fails, fails alone."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from core.errors import InputError
from realtime.batch.workers import Message
from realtime.threads.worker import Stop

POLL_S = 0.2
TIMEOUT_S = 600.0  # a frame takes milliseconds, the longest silent step of preparing a head some tens of seconds
PATIENCE_S = 30.0  # for a worker that was asked to end: the frame at work, or a step of preparing a head

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A job as a worker is handed it.

    Attributes:
        name: of the job.
        head: jobs of one head have the same.
        message: what the worker is sent.
    """

    name: str
    head: str
    message: Message


@dataclass(frozen=True)
class Answer:
    """What a worker says at the end of a job. `error` is empty where it is done; `interrupted` where it was ended."""

    task: Task
    error: str = ""
    frames: int = 0
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False


class Worker(Protocol):
    """As `realtime.batch.workers.WorkerProcess`."""

    def send(self, job: Message) -> None: ...
    def end_soon(self) -> None: ...
    def close(self, patience_s: float) -> None: ...
    def last_words(self) -> str: ...


StartWorker = Callable[[Callable[[Worker, Message | None], None]], Worker]


class Observer(Protocol):
    """Told of what happens, on the thread that runs the jobs."""

    def begins(self, task: Task) -> None:
        """A job is about to be handed out. An InputError from here is why it failed."""

    def goes_on(self, task: Task, doing: str, done: int, total: int | None) -> None:
        """How far a job is."""

    def ended(self, answer: Answer) -> None:
        """A job is done, failed or was interrupted."""


@dataclass(eq=False)
class _Employee:
    worker: Worker
    task: Task | None = None
    head: str = ""  # the one it has in memory
    since_s: float = 0.0
    heard_s: float = 0.0  # when it last said anything
    held_bytes: int = 0  # memory, as it last said


@dataclass(eq=False)
class _Heads:
    ready: set[str] = field(default_factory=set)
    preparing: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


class Schedule:
    """Hands tasks to workers until all are answered.

    Args:
        tasks: in the order of the list, which is kept where nothing is gained by another.
        workers: how many at most.
        start: makes one, which calls what it is given with everything it hears; may raise OSError.
        observer: told of everything.
        timeout_s: a job that has not moved on for so long is given up, and its process ended.
        room: whether another worker may be started, by what each that runs holds of memory (bytes; 0 where it has not
            said yet) and the most that any has held.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        workers: int,
        start: StartWorker,
        observer: Observer,
        timeout_s: float = TIMEOUT_S,
        room: Callable[[list[int], int], bool] = lambda _held, _most: True,
    ) -> None:
        self._waiting = list(tasks)
        self._most = workers
        self._timeout_s, self._room = timeout_s, room
        self._most_bytes = 0
        self._start, self._observer = start, observer
        self._employees: dict[Worker, _Employee] = {}
        self._heads = _Heads()
        self._ending = False
        self._heard: queue.Queue[tuple[Worker, Message | None]] = queue.Queue()

    def run(self, stop: Stop) -> None:
        """Do all of them, or those that are done when `stop` is requested. Whatever is raised, no process is left."""
        try:
            while (self._waiting or self._at_work()) and not stop.requested:
                self._hand_out()
                self._hear(POLL_S)
                self._give_up()
            if stop.requested:
                self._ending = True  # every worker ends after its frame; what it was at is interrupted
                for employee in self._employees.values():
                    employee.worker.end_soon()
                until_s = time.monotonic() + PATIENCE_S
                while self._employees and time.monotonic() < until_s:
                    self._hear(POLL_S)
        finally:
            for employee in self._employees.values():
                employee.worker.end_soon()
            for employee in list(self._employees.values()):
                employee.worker.close(0.0 if stop.requested else PATIENCE_S)

    def _at_work(self) -> bool:
        return any(employee.task is not None for employee in self._employees.values())

    def _hand_out(self) -> None:
        """Give every worker that waits a task, and start more of them where there is more to do."""
        for employee in list(self._employees.values()):
            if employee.task is None and (task := self._next(employee.head)) is not None:
                self._give(employee, task)
        while self._may_start() and (task := self._next("")) is not None:
            try:
                worker = self._start(lambda worker, message: self._heard.put((worker, message)))
            except OSError as error:
                if not self._employees:
                    raise
                log.warning("no more than %d workers can be started (%s)", len(self._employees), error.strerror)
                self._most = len(self._employees)
                self._waiting.insert(0, task)
                return
            employee = self._employees[worker] = _Employee(worker)
            self._give(employee, task)

    def _may_start(self) -> bool:
        if len(self._employees) >= self._most:
            return False
        held = [employee.held_bytes for employee in self._employees.values()]
        return not held or self._room(held, self._most_bytes)

    def _give_up(self) -> None:
        """End the processes whose job has not moved on for too long; the others go on."""
        late_s = time.monotonic() - self._timeout_s
        for employee in [each for each in self._employees.values() if each.task is not None and each.heard_s < late_s]:
            task = employee.task
            assert task is not None, "those at work"
            del self._employees[employee.worker]
            employee.worker.close(0.0)
            words = (
                f"did not move on for {self._timeout_s:g} s and was ended; give --timeout more, or leave the clip out"
            )
            if task.head in self._heads.preparing:
                self._heads.preparing.discard(task.head)
                self._heads.failed[task.head] = words
            self._finish(employee, Answer(task, words))

    def _next(self, head: str) -> Task | None:
        """Take the task that is best for a worker with this head in memory out of those that wait."""
        usable = [task for task in self._waiting if task.head not in self._heads.preparing]
        if not usable:
            return None
        best = min(usable, key=lambda task: (task.head != head, task.head not in self._heads.ready))
        self._waiting.remove(best)
        return best

    def _give(self, employee: _Employee, task: Task) -> None:
        if (reason := self._heads.failed.get(task.head)) is not None:
            self._observer.ended(Answer(task, reason))
            return
        try:
            self._observer.begins(task)
        except InputError as error:
            self._observer.ended(Answer(task, str(error)))
            return
        if task.head not in self._heads.ready:
            self._heads.preparing.add(task.head)
        employee.task, employee.head, employee.since_s = task, task.head, time.monotonic()
        employee.heard_s = employee.since_s
        employee.worker.send(task.message)

    def _hear(self, timeout_s: float) -> None:
        """Take in what workers say, all that is there after the first."""
        try:
            worker, message = self._heard.get(timeout=timeout_s)
            while True:
                if (employee := self._employees.get(worker)) is not None:  # else it was given up
                    self._understand(employee, message)
                worker, message = self._heard.get_nowait()
        except queue.Empty:
            return

    def _understand(self, employee: _Employee, message: Message | None) -> None:
        task = employee.task
        if message is None:
            del self._employees[employee.worker]
            if task is not None:
                self._heads.preparing.discard(task.head)
                words = f"its process {employee.worker.last_words()}"
                self._finish(employee, Answer(task, words, interrupted=self._ending))
            employee.worker.close(PATIENCE_S)
            return
        if task is None:
            return
        employee.heard_s = time.monotonic()
        employee.held_bytes = int(message.get("held_bytes", employee.held_bytes))
        self._most_bytes = max(self._most_bytes, employee.held_bytes)
        event = message.get("event")
        if event == "avatar":
            self._heads.preparing.discard(task.head)
            self._heads.ready.add(task.head)
        elif event == "progress":
            self._observer.goes_on(task, str(message["doing"]), int(message["done"]), message["total"])
        elif event == "done":
            files, warnings = tuple(message["files"]), tuple(message["warnings"])
            self._finish(employee, Answer(task, "", int(message["frames"]), files, warnings))
        elif event in ("failed", "interrupted"):
            error = str(message["error"])
            if message.get("head"):
                self._heads.failed[task.head] = error
            self._heads.preparing.discard(task.head)
            files, warnings = tuple(message["files"]), tuple(message["warnings"])
            self._finish(employee, Answer(task, error, 0, files, warnings, interrupted=event == "interrupted"))

    def _finish(self, employee: _Employee, answer: Answer) -> None:
        seconds = time.monotonic() - employee.since_s
        employee.task = None
        self._observer.ended(replace(answer, seconds=seconds))
