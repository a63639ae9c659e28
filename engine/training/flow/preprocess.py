"""Many recordings → preprocessed clips, in parallel, on this machine or on a Ray cluster; resumable, with a report."""

import json
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Protocol

from capture.face.face_model_file import find_face_model
from core.errors import InputError, MissingExtraError
from core.untrusted import parse_json, read_bytes
from core.writable import check_writable, writing_to
from engine.training.flow.clip_writer import remove_unfinished
from engine.training.flow.preprocess_clip import ClipJob, ClipReport, preprocess_clip
from engine.training.flow.preprocess_options import PreprocessOptions

REPORT_NAME = "preprocess.jsonl"
_LARGEST_REPORTS = 1 << 28
_REPORTED = {field.name for field in fields(ClipReport)}
_RECORDINGS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".r3d")
_OURS = ("preview.mp4",)  # of a session: what was shown, not what was seen

Progress = Callable[[str, int, int | None], None]


class Executor(Protocol):
    """Runs jobs somewhere and hands their reports over as they come."""

    def run(self, jobs: list[ClipJob]) -> Iterator[ClipReport]: ...


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine; none but this one where `workers` is 1."""

    workers: int

    def run(self, jobs: list[ClipJob]) -> Iterator[ClipReport]:
        if self.workers == 1:
            yield from map(preprocess_clip, jobs)
            return
        with ProcessPoolExecutor(self.workers, get_context("spawn"), _left_to_the_parent) as pool:
            try:
                waiting = [pool.submit(preprocess_clip, job) for job in jobs]
                yield from (done.result() for done in as_completed(waiting))
            except BaseException:  # nobody waits for clips that are half done: the next run makes them
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in active_children():
                    worker.terminate()
                raise


def _left_to_the_parent() -> None:
    """Ctrl-C reaches every process of a terminal; workers leave it to the one that the user started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class RayExecutor:
    """A Ray cluster, or a Ray of this machine alone where no address is given. Recordings and `out` must be on storage
    that all of its machines see."""

    workers: int
    address: str | None = None

    def run(self, jobs: list[ClipJob]) -> Iterator[ClipReport]:
        try:
            import ray
        except ImportError:
            raise InputError("--engine ray: needs the package ray; pip install 'vfa-live[ray]'") from None
        own = {"num_cpus": self.workers, "include_dashboard": False} if self.address is None else {}
        ray.init(address=self.address, log_to_driver=False, configure_logging=False, **own)
        try:
            task = ray.remote(num_cpus=1, max_retries=2)(preprocess_clip)
            waiting = [task.remote(job) for job in jobs]
            while waiting:
                done, waiting = ray.wait(waiting)
                yield from ray.get(done)
        finally:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "--engine ray") from None
    return ray


def find_recordings(inputs: Iterable[Path]) -> Iterator[tuple[Path, str, str]]:
    """(recording, person, name) of everything that can be opened at or below the paths given.

    Of a pair of videos, the colour one stands for both. A person is the folder below the given one; "people" where
    recordings lie right in it. Raises InputError for a path that is not there.
    """
    for given in inputs:
        if not given.exists():
            raise InputError(f"{given}: expected a recording or a folder of recordings, there is no such path")
        recordings = list(_below(given)) if given.is_dir() else [given]
        root = given if given.is_dir() else given.parent
        for recording in recordings:
            yield recording, *_named(recording, root)


def _below(folder: Path) -> Iterator[Path]:
    pictures = (next((folder / name).glob("*.[jp][pn]*g"), None) for name in ("rgb", "color"))
    if any(picture is not None for picture in pictures) and (folder / "depth").is_dir():
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name != "depth" or not (folder / "color").is_dir():
                yield from _below(path)
        elif path.suffix.lower() in _RECORDINGS and path.name not in _OURS:
            yield path


def _named(recording: Path, root: Path) -> tuple[str, str]:
    parts = [part for part in recording.relative_to(root).with_suffix("").parts if part not in ("color", "rgb")]
    parts = parts or [recording.stem]
    person, rest = (parts[0], parts[1:]) if len(parts) > 1 else ("people", parts)
    return _plain(person), _plain("-".join(rest))


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def preprocess(
    options: PreprocessOptions, progress: Callable[[], AbstractContextManager[Progress]] | None = None
) -> list[ClipReport]:
    """Preprocess everything not done yet; returns this run's reports, which are also appended to `preprocess.jsonl`.

    Raises InputError where there is nothing to preprocess, the face model is none, two recordings would become one
    clip, none of them became one, or `out` cannot be written.
    """
    out, model = options.out, str(options.face_model) if options.face_model is not None else None
    if options.face_model is not None:
        find_face_model(options.face_model)  # a wrong file is told once, and not for every recording
    found = find_recordings(options.inputs)
    jobs = [ClipJob(str(path), str(out), person, name, model, options.least_frames) for path, person, name in found]
    if not jobs:
        raise InputError(
            f"{', '.join(map(str, options.inputs))}: expected recordings, found none (videos, .r3d, RGBD folders)"
        )
    named: dict[tuple[str, str], str] = {}
    for job in jobs:
        other = named.setdefault((job.person, job.name), job.recording)
        if other != job.recording:
            raise InputError(
                f"{job.recording} and {other}: both would become {job.person}/{job.name}; give each a folder"
            )
    check_writable(out / REPORT_NAME, "--out")
    skipped = set() if options.retry else {report["recording"] for report in read_reports(out) if report["skipped"]}
    due = [job for job in jobs if not job.finished and job.recording not in skipped]
    executor: Executor = LocalExecutor(options.workers)
    if options.engine == "ray":
        executor = RayExecutor(options.workers, options.ray_address)
    reports: list[ClipReport] = []
    with progress() if progress is not None else nullcontext(lambda _doing, _done, _total: None) as tell:
        tell("preprocessing", len(jobs) - len(due), len(jobs))
        try:
            for report in executor.run(due):
                with writing_to(out / REPORT_NAME):
                    out.mkdir(parents=True, exist_ok=True)
                    with (out / REPORT_NAME).open("a") as file:
                        file.write(json.dumps(asdict(report)) + "\n")
                reports.append(report)
                tell("preprocessing", len(jobs) - len(due) + len(reports), len(jobs))
        except BaseException:
            for job in due:
                if not job.finished:
                    remove_unfinished(out, job.person, job.name)
            raise
    if not any(job.finished for job in jobs):
        raise InputError("; ".join([f"{out}: not one clip came of {len(jobs)} recordings", *summary(reports)[1:]]))
    return reports


def read_reports(out: Path) -> list[dict[str, Any]]:
    """All runs' reports; a line that a killed run left unfinished, or that is no report, is passed over.

    Raises InputError where the file is too large to be one of reports."""
    path = out / REPORT_NAME
    found = []
    for line in read_bytes(path, _LARGEST_REPORTS).splitlines() if path.is_file() else []:
        with suppress(InputError):
            report = parse_json(line, str(path))
            if isinstance(report, dict) and isinstance(report.get("recording"), str) and set(report) >= _REPORTED:
                found.append(report)
    return found


def summary(reports: list[ClipReport]) -> list[str]:
    """What was done, in words, the skipped ones one by one."""
    written = [report for report in reports if report.skipped is None]
    left_out: Counter[str] = Counter()
    for report in reports:
        left_out.update(report.left_out)
    lines = [f"{len(written)} clips written, {sum(report.frames for report in written)} frames"]
    if left_out:
        lines.append("frames left out: " + ", ".join(f"{count} with {why}" for why, count in left_out.most_common()))
    outlined = sum(report.background == "face" for report in written)
    if outlined:
        lines.append(f"{outlined} clips without usable depth: cut out by the face's outline")
    return lines + [f"skipped {report.recording}: {report.skipped}" for report in reports if report.skipped is not None]
