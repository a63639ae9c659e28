"""Processes that do jobs one after the other. A crash in one, or what it takes of memory, is its own; a head that it
has loaded serves its next job. Messages are lines of JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

MODULE = "realtime.batch_worker"
_TOLD_BYTES = 4000

Message = dict[str, Any]


class WorkerProcess:
    """One worker. Owned by one thread; its messages come on another.

    Args:
        heard: called with every message, and with None once the process has ended.
        threads: how many its libraries may use beside each other, where they ask.
        command: what is started instead of a worker of this program, for tests.

    Raises OSError where no process can be started.
    """

    def __init__(
        self,
        heard: Callable[[WorkerProcess, Message | None], None],
        threads: int,
        command: tuple[str, ...] = (sys.executable, "-m", MODULE),
    ) -> None:
        self._heard = heard
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the worker
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "VFA_FLOW_THREADS"):
            environment.setdefault(name, str(threads))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C at the terminal is for whoever started us; we tell it then
        )
        self._listener = threading.Thread(target=self._listen, name="batch-worker", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        out = self._process.stdout
        assert out is not None
        for line in out:
            with suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    self._heard(self, message)
        self._process.wait()
        self._heard(self, None)

    def send(self, job: Message) -> None:
        """Hand it a job. Of a worker that has died, its end is heard."""
        stdin = self._stdin
        with suppress(BrokenPipeError, ValueError):
            stdin.write(json.dumps(job).encode() + b"\n")
            stdin.flush()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def end_soon(self) -> None:
        """Let it end: at once where it waits, after the frame at work otherwise."""
        with suppress(BrokenPipeError, ValueError):
            self._stdin.close()

    def close(self, patience_s: float) -> None:
        """Wait for its end, and bring it about where that takes longer. May be called twice."""
        self.end_soon()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        self._listener.join(patience_s)
        self._said.close()

    def last_words(self) -> str:
        """How the process ended, and the last line it left; once it has."""
        status = self._process.wait()
        how = f"ended with status {status}"
        if status < 0:
            with suppress(ValueError):
                how = f"was ended by {signal.Signals(-status).name}"
        if status == -getattr(signal, "SIGKILL", 9):
            how += ", perhaps as the memory was used up: try fewer --jobs"
        with suppress(OSError, ValueError):
            self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _TOLD_BYTES))
            lines = [line for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                how += f" ({lines[-1].strip()[:200]})"
        return how
