"""`vfa batch`: many recordings on many heads, from a list."""

import contextlib
import io
import logging
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import psutil
import tyro
from filelock import FileLock, Timeout

from capture.synthetic import BUILTIN_AVATARS
from core.errors import InputError
from core.native.cores import allowed_cores
from core.writable import writing_to
from realtime.batch.book import Book, Plan
from realtime.batch.job_list import Job, Kind, read_list
from realtime.batch.journal import Journal, made_of
from realtime.batch.results import Result, tell_results
from realtime.batch.schedule import TIMEOUT_S, Schedule, Task
from realtime.batch.workers import WorkerProcess
from realtime.config import AnimateOptions
from realtime.progress import console, job_bars
from realtime.recording.recording_folder import NAMES, POSES_NAME
from realtime.threads.signals import InterruptedBySignalError, stopped_by_signals
from realtime.threads.worker import Stop

EXIT_FAILED = 1
MOST_JOBS_AT_ONCE = 256
_LONGEST_TIMEOUT_S = 86_400
_GIGABYTE = 1 << 30
_WORKER_BYTES, _CHECKPOINT_BYTES = 1 * _GIGABYTE, 3 * _GIGABYTE
_GIVEN_BY_BATCH = ("driving", "avatar", "out", "overwrite", "refresh")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Drive many heads with many recordings, in parallel. What is finished is left alone: the same command goes on."""

    list: tyro.conf.Positional[Path]
    """A CSV file with the columns driving, avatar and any options of vfa animate, or a TOML file; docs/offline.md."""

    out: Path
    """Folder that gets one folder for each recording on each head, and results.csv and results.json."""

    jobs: int | None = None
    """How many at once, each in a process of its own. When not given: as many as there are cores, as long as the memory
    that is free has room for one more that takes what the largest has taken."""

    timeout: float = TIMEOUT_S
    """Seconds after which a job is given up that has not moved on: no frame, no step of preparing the head."""

    overwrite: bool = False
    """Do what is finished again, too, and replace recordings that are not of a batch."""

    dry_run: bool = False
    """Say what would be done, and do nothing."""

    def __post_init__(self) -> None:
        if self.jobs is not None and not 1 <= self.jobs <= MOST_JOBS_AT_ONCE:
            raise InputError(f"--jobs {self.jobs}: expected 1 to {MOST_JOBS_AT_ONCE}; leave it out to have it chosen")
        if not 1 <= self.timeout <= _LONGEST_TIMEOUT_S:
            raise InputError(f"--timeout {self.timeout:g}: expected 1 to {_LONGEST_TIMEOUT_S} seconds")


def batch(options: Annotated[BatchOptions, tyro.conf.arg(name="")]) -> None:
    """Drive many heads with many recordings, from a list: in parallel, and resumable.

    Ends with status 1 where a job failed; the others are done all the same.
    """
    jobs = read_list(options.list, option_kinds(), BUILTIN_AVATARS)
    planned = _planned(jobs, options)
    if options.dry_run:
        for plan, _ in planned:
            standing = plan.refused or ("done before" if plan.done else "to do")
            print(plan.job.name, plan.job.driving, plan.job.avatar, standing, sep="\t")
        return
    with writing_to(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    with _alone(options.out):
        results = _done(planned, options)
    tell_results(results, console)
    console.print(f"{options.out / 'results.csv'}, {options.out / 'results.json'}")
    if any(result.outcome == "failed" for result in results):
        sys.exit(EXIT_FAILED)


def option_kinds() -> dict[str, Kind]:
    """The options of `vfa animate` that a list may give, by name without dashes."""
    found = {name: kind for name, kind in _kinds(AnimateOptions) if name not in _GIVEN_BY_BATCH}
    return {**found, "start-frame": found["neutral-frame"]}


def _kinds(options: Any) -> Iterator[tuple[str, Kind]]:
    types = typing.get_type_hints(options)
    for each in fields(options):
        given = types[each.name]
        if is_dataclass(given):
            yield from _kinds(given)
        elif each.name != "cache_dir":
            choices = [given, *typing.get_args(given)]
            many = any(typing.get_origin(choice) is tuple for choice in choices)
            switch = {"on", "off"} <= set(choices)
            kind = Kind(flag=given is bool, switch=switch, path=Path in choices, many=many)
            yield each.name.replace("_", "-"), kind


def _planned(jobs: Sequence[Job], options: BatchOptions) -> list[tuple[Plan, AnimateOptions]]:
    """Raises InputError for settings that `vfa animate` would not take: before anything begins."""
    parsed: dict[str, AnimateOptions] = {}
    return [_plan(job, options, parsed) for job in jobs]


def _plan(job: Job, options: BatchOptions, parsed: dict[str, AnimateOptions]) -> tuple[Plan, AnimateOptions]:
    alike = repr((sorted(job.settings.items()), job.avatar.lower().endswith(".npy")))
    if alike not in parsed:
        parsed[alike] = _parsed(job)
    given = replace(parsed[alike], driving=job.driving, avatar=job.avatar)
    folder = options.out / job.name
    kinds = option_kinds()
    named = [Path(word) for name, words in job.settings.items() if kinds[name].path for word in words]
    inputs = [job.driving, *named]
    if job.avatar not in BUILTIN_AVATARS:
        inputs.append(Path(job.avatar))
    plan = Plan(job, folder, made_of({"driving": str(job.driving), "avatar": job.avatar, **job.settings}, inputs))
    if options.overwrite:
        return plan, given
    journal = Journal.read(folder)
    if journal is not None and journal.is_finished(folder, plan.made_of):
        plan = replace(plan, done=True)
    elif journal is None and any((folder / name).exists() for name in (*NAMES, POSES_NAME)):
        why = f"{folder}: holds a recording that is not of a batch; name another --out, or pass --overwrite"
        plan = replace(plan, refused=why)
    return plan, given


def _arguments(job: Job) -> list[str]:
    """The job's settings as they would be typed."""
    kinds, typed = option_kinds(), []
    for name, words in job.settings.items():
        if kinds[name].flag:
            typed.append(f"--{'' if words == ('true',) else 'no-'}{name}")
        elif len(words) == 1:  # tied to it: -z would be taken for an option
            typed.append(f"--{name}={words[0]}")
        else:
            typed += [f"--{name}", *words]
    return ["--driving", str(job.driving), "--avatar", job.avatar, *typed]


def _parsed(job: Job) -> AnimateOptions:
    """Raises InputError where `vfa animate` would not take the job's settings."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(AnimateOptions, args=[*_arguments(job), "--out", job.name], prog="vfa animate")
    except SystemExit:
        told = re.split(r"Argument helptext:|For full helptext", said.getvalue())[0]
        words = " ".join(line.strip(" -─│╭╮╰╯") for line in told.splitlines()).split()
        raise InputError(f"{job.where}: {' '.join(words)[:300]}") from None
    except InputError as error:
        raise InputError(f"{job.where}: {error}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises InputError where another process is at the same batch."""
    lock = FileLock(folder / ".batch.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: another vfa batch is at work here; wait for its end, or name another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{folder}: cannot be written ({error}); name another --out") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _done(planned: Sequence[tuple[Plan, AnimateOptions]], options: BatchOptions) -> list[Result]:
    """What came of all. Raises `InterruptedBySignalError`; what was done until then is in the results' files."""
    with job_bars(len(planned)) as bars:
        book = Book([plan for plan, _ in planned], options.out, bars)
        to_do = [(plan, given) for plan, given in planned if plan.to_do]
        tasks = [_task(plan, given) for plan, given in to_do]
        workers = min(len(tasks), options.jobs or len(allowed_cores()))
        if workers:
            console.print(f"{len(tasks)} to do of {len(planned)}, {'up to ' * (options.jobs is None)}{workers} at once")
        threads = max(1, len(allowed_cores()) // max(workers, 1))
        room = _always if options.jobs is not None else Room(_supposed_bytes([given for _, given in to_do]))
        with stopped_by_signals(Stop()) as stop:
            start = partial(WorkerProcess, threads=threads)
            Schedule(tasks, workers, start, book, options.timeout, room).run(stop)
    book.write()
    if stop.signal is not None:
        tell_results(book.results, console)
        raise InterruptedBySignalError(stop.signal)
    return book.results


def _task(plan: Plan, given: AnimateOptions) -> Task:
    head = repr((given.avatar, given.preparation))
    arguments = [*_arguments(plan.job), "--out", str(plan.folder), "--overwrite"]
    return Task(plan.job.name, head, {"arguments": arguments})


def _always(_held: Sequence[int], _most: int) -> bool:
    return True


def _supposed_bytes(options: Sequence[AnimateOptions]) -> int:
    """What a worker takes of memory, as long as none has said what it does take."""
    checkpoints = any(each.checkpoint is not None for each in options)
    return _CHECKPOINT_BYTES if checkpoints else _WORKER_BYTES


@dataclass(frozen=True)
class Room:
    """Whether the memory that is free has room for another worker.

    Attributes:
        supposed: bytes that a worker takes, as long as none has said what it does take.
        free: bytes that may be used now.
    """

    supposed: int
    free: Callable[[], int] = field(default=lambda: free_bytes())

    def __call__(self, held: Sequence[int], most: int) -> bool:
        """`held`: bytes of each worker now; `most`: that any has held. Those that began a moment ago will grow."""
        each = most or self.supposed
        to_come = sum(max(each - now, 0) for now in held)
        return self.free() - to_come >= each


def free_bytes() -> int:
    """Memory that may be used: what the system has, or a container's share of it (Linux, cgroup 2)."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        free = min(free, max(int(most) - int(used), 0))
    return free
