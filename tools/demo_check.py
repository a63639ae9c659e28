"""Run the demo as on a fresh machine, again and again, and look at what it made.

Each run has an empty cache. Its film has to show a driver and an avatar whose faces move. With a window (on a virtual
screen), that is also resized quickly while the avatar is prepared and while it is driven, and closed with Escape.
Prints a line per run; the exit status is 1 where one failed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro

from tools.film_check import check_film

TIMEOUT_S = 240.0
SIZES = ((1004, 353), (673, 569), (1200, 900), (320, 240), (960, 720))


@dataclass(frozen=True)
class DemoCheckOptions:
    """Run the demo with an empty cache and look at what it made."""

    runs: int = 3
    """Runs without a window."""

    window_runs: int = 1
    """Runs in a window on a virtual screen (needs Xvfb and xdotool)."""

    seconds: float = 6.0
    """Of streaming, each."""

    avatar: str = "realistic"
    """Which head."""


class DemoFailedError(Exception):
    """A run did not end well; says why."""


def main(options: DemoCheckOptions) -> int:
    """Run everything; returns the exit status."""
    kinds = ["headless"] * options.runs + ["window"] * options.window_runs
    failures = 0
    for number, kind in enumerate(kinds, 1):
        began_s = time.monotonic()
        try:
            found = _run(kind, options)
        except DemoFailedError as error:
            failures += 1
            found = f"FAILED: {error}"
        print(f"{number}/{len(kinds)} {kind}, {time.monotonic() - began_s:.0f} s: {found}", flush=True)
    print(f"demo on an empty cache: {len(kinds) - failures} of {len(kinds)} runs good", flush=True)
    return 1 if failures else 0


def _run(kind: str, options: DemoCheckOptions) -> str:
    with tempfile.TemporaryDirectory(prefix="vfa-demo-") as place:
        folder = Path(place)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "HOME": place}
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "realtime", "live", "--device", "demo", "--avatar", options.avatar]
        command += ["--record", str(folder / "film"), "--report", str(folder / "report.json")]
        if kind == "headless":
            _finish(_started([*command, "--headless", "--seconds", str(options.seconds)], environment, folder), folder)
        else:
            _run_in_window(command, environment, folder, options.seconds)
        if not (folder / "report.json").is_file():
            raise DemoFailedError("it wrote no report")
        try:
            return check_film(folder / "film" / "preview.mp4", side_by_side=True)
        except ValueError as error:
            raise DemoFailedError(str(error)) from error


def _started(command: list[str], environment: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _finish(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Wait for the end. Raises DemoFailedError unless it was a good one, without a traceback on the way."""
    try:
        status = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        status = -1
    log = (folder / "log").read_text(errors="replace")
    if status != 0 or "Traceback" in log or "X Error" in log:
        raise DemoFailedError(f"exit status {status}; its last words:\n{log[-2000:]}")


def _run_in_window(command: list[str], environment: dict[str, str], folder: Path, seconds: float) -> None:
    with _virtual_screen() as display:
        process = _started(command, {**environment, "DISPLAY": display}, folder)
        try:
            window = _Window(display, process)
            window.resize_quickly()  # while the avatar is prepared
            _wait_for_words("engine: ", folder, process)
            time.sleep(seconds / 2)
            window.resize_quickly()
            time.sleep(seconds / 2)
            window.press("Escape")
            _finish(process, folder)
        finally:
            process.kill()
            process.wait()


@contextmanager
def _virtual_screen() -> Iterator[str]:
    # whoever looks for a window is at first the screen's only client: without -noreset the screen starts anew when it
    # leaves, and refuses the program that comes at that moment
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1000x24", "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.kill()


class _Window:
    """The program's window, found and handled as a user's hands would."""

    def __init__(self, display: str, process: "subprocess.Popen[bytes]") -> None:
        self._environment = {**os.environ, "DISPLAY": display}
        until_s = time.monotonic() + TIMEOUT_S
        while not (found := self._do("search", "--name", "vfa-live").split()):
            if process.poll() is not None or time.monotonic() > until_s:
                raise DemoFailedError(f"no window opened (exit status {process.poll()})")
            time.sleep(0.1)
        self._name = found[-1]

    def resize_quickly(self) -> None:
        for width, height in SIZES:
            self._do("windowsize", self._name, str(width), str(height))
            time.sleep(0.03)

    def press(self, key: str) -> None:
        self._do("windowfocus", self._name, "key", key)

    def _do(self, *words: str) -> str:
        done = subprocess.run(["xdotool", *words], env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout


def _wait_for_words(words: str, folder: Path, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + TIMEOUT_S
    while words not in (folder / "log").read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > until_s:
            _finish(process, folder)
            raise DemoFailedError(f"it ended, or never said {words!r}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(DemoCheckOptions, description=__doc__)))
