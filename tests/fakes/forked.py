"""Python programs in processes of their own that start at once: forked from one that has imported everything already.

Importing takes far longer than most of what tests start processes for. The server has neither threads nor graphics.
"""

import atexit
import contextlib
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
LIMIT_S = 240
_LIBRARIES = ("torch", "av", "mediapipe")
_FOLDERS = ("core", "render", "capture", "calib", "engine", "realtime")
_server: subprocess.Popen[str] | None = None


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """As `python -c CODE ARGUMENTS` would, in this environment and folder; killed where it takes longer than 240 s."""
    with tempfile.TemporaryDirectory() as folder:
        told = [Path(folder) / name for name in ("stdout", "stderr")]
        with started(code, *arguments, told=told) as program:
            status = program.wait()
        return subprocess.CompletedProcess([code, *arguments], status, *(path.read_text() for path in told))


class Program:
    """One that runs. `pid` is its process's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, negative where a signal ended it."""
        if self.returncode is None:
            self.returncode = int(_answer())
        return self.returncode


@contextlib.contextmanager
def started(code: str, *arguments: object, told: list[Path] | None = None) -> Iterator[Program]:
    """The same without waiting for it; killed at the end where it has not ended. One at a time."""
    global _server
    if _server is None:
        command = [sys.executable, "-m", "tests.fakes.forked"]
        _server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert _server.stdin is not None
    request = {
        "code": code,
        "arguments": [*map(str, arguments)],
        "told": [*map(str, told or (os.devnull, os.devnull))],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
    }
    print(json.dumps(request), file=_server.stdin, flush=True)
    program = Program(int(_answer()))
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
            program.wait()


def stop() -> None:
    """End the server, where one was started."""
    if _server is not None:
        _server.communicate()


def _answer() -> str:
    assert _server is not None
    assert _server.stdout is not None
    line = _server.stdout.readline()
    assert line, f"the server of forks ended with status {_server.wait()}"
    return line


def _serve() -> None:
    """Read requests and fork for each, until there are no more."""
    answers, requests = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _import_all()
    for line in requests:
        child = os.fork()
        if child == 0:
            answers.close()
            requests.close()
            _run(**json.loads(line))
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _import_all() -> None:
    for name in (*_LIBRARIES, *_FOLDERS):
        module = importlib.import_module(name)
        if name in _FOLDERS:
            for each in pkgutil.walk_packages(module.__path__, f"{name}."):
                if not each.name.endswith("__main__"):
                    importlib.import_module(each.name)
    assert threading.active_count() == 1, "a fork has its first thread only"


def _run(code: str, arguments: list[str], told: list[str], environment: Mapping[str, str], folder: str) -> NoReturn:
    for stream, path in zip((1, 2), told, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    signal.alarm(LIMIT_S)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    status: object = 0
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit as ended:
        status = ended.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # what the interpreter does at its end, but for taking all modules down, which takes a second
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    _serve()
