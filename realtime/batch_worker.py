"""A worker of `vfa batch`: jobs come in as lines of JSON, answers go out as such, until the first end.

    {"arguments": ["--driving", …]}  ─▶  {"event": "avatar"}, {"event": "progress", …}, then one of
                                         {"event": "done" | "failed" | "interrupted", …}

Whoever started it lets it end by closing its input: at once where it waits, after the frame at work otherwise.
"""

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import psutil

from realtime.threads.cores import share_out
from realtime.threads.signals import InterruptedBySignalError, interrupted_by_signals, stopped_by_signals

if TYPE_CHECKING:
    from calib.avatar import Avatar
    from realtime.config import AnimateOptions

_TELL_EVERY_S = 0.25
_MOST_WARNINGS = 20


class _Heard(logging.Handler):
    """Keeps the warnings of one job."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(text)


class BatchWorker:
    """Does jobs, one after the other, on the main thread."""

    def __init__(self, jobs: IO[str], answers: IO[str]) -> None:
        self._jobs, self._answers = jobs, answers
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self._busy = self._ending = False
        self._told_s = 0.0
        self._process = psutil.Process()
        self._head: tuple[object, Avatar] | None = None  # the last one
        self._at_head = False

    def run(self) -> None:
        """Until the input ends."""
        threading.Thread(target=self._listen, name="jobs", daemon=True).start()
        while (line := self._lines.get()) is not None:
            with self._lock:
                self._busy = True
            self._do(json.loads(line)["arguments"])
            with self._lock:
                self._busy = False

    def _listen(self) -> None:
        for line in self._jobs:
            self._lines.put(line)
        self._lines.put(None)
        with self._lock:
            self._ending = True
            if self._busy:
                os.kill(os.getpid(), signal.SIGTERM)

    def _do(self, arguments: list[str]) -> None:
        import tyro

        from core.errors import InputError
        from realtime.config import AnimateOptions
        from realtime.offline_commands import animated
        from realtime.progress import said_once

        heard = _Heard()
        self._at_head = False
        answer: dict[str, Any]
        options = tyro.cli(AnimateOptions, args=arguments)
        logging.getLogger().addHandler(heard)
        try:
            with interrupted_by_signals(), said_once():
                if self._ending:  # asked for before a signal could be heard
                    raise InterruptedBySignalError(signal.SIGTERM)
                made = animated(options, self._avatar, self._tell, stopped_by_signals)
            files = [path.name for path in made.files if path.is_file()]
            answer = {"event": "done", "frames": made.frames, "files": files}
        except InputError as error:
            answer = {"event": "failed", "error": str(error), "files": _there(options), "head": self._at_head}
        except InterruptedBySignalError:
            for name in _there(options):
                (options.out / name).unlink(missing_ok=True)
            answer = {"event": "interrupted", "error": "ended before it was done", "files": []}
        except Exception as error:  # of ours: the other jobs go on
            logging.getLogger(__name__).exception("%s", options.out)
            told = f"a fault of this program ({type(error).__name__}: {error}); please report it"
            answer = {"event": "failed", "error": told, "files": _there(options), "head": self._at_head}
        finally:
            logging.getLogger().removeHandler(heard)
        self._say({**answer, "warnings": heard.warnings})

    def _avatar(self, options: "AnimateOptions") -> "Avatar":
        """The one of the job before where it is the same; otherwise from the cache, or prepared now."""
        from calib.avatar import prepare_avatar
        from realtime.avatar_choice import avatar_path
        from realtime.preparing import prepared

        key = (options.avatar, options.preparation)
        if self._head is None or self._head[0] != key or options.refresh:
            self._head, path, self._at_head = None, avatar_path(options), True
            avatar = prepared(
                lambda tell: prepare_avatar(path, options.preparation, refresh=options.refresh, progress=tell),
                lambda what, done, total: self._tell(f"preparing {path.name}: {what}", done, total),
            )
            assert avatar is not None, "nobody could ask to end"
            self._head, self._at_head = (key, avatar), False
        self._say({"event": "avatar"})
        return self._head[1]

    def _tell(self, doing: str, done: int, total: int | None) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            self._say({"event": "progress", "doing": doing, "done": done, "total": total})

    def _say(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # whoever started us is gone, and our input ends as well
            told = {**message, "held_bytes": self._process.memory_info().rss}
            print(json.dumps(told), file=self._answers, flush=True)


def _there(options: "AnimateOptions") -> list[str]:
    """What stands in the job's folder under final names."""
    from realtime.recording.recording_folder import NAMES

    with suppress(OSError):
        names = {path.name for path in options.out.iterdir()}
        return sorted(name for name in names if name in NAMES or name.endswith(".png"))
    return []


def main() -> None:
    """`python -m realtime.batch_worker`, started by `vfa batch`."""
    for number in (signal.SIGINT, signal.SIGTERM):  # but while a job is at work: see `_listen`
        signal.signal(number, signal.SIG_IGN)
    share_out()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    from realtime.progress import ConsoleLog

    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleLog()])
    BatchWorker(sys.stdin, answers).run()


if __name__ == "__main__":
    main()
    logging.shutdown()
    os._exit(0)  # a preparation that was given up may still be at work
