"""The commands `vfa-live` and `vfa`."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realtime.config import AnimateOptions, AvatarOptions, LiveOptions, PrepareOptions
from realtime.worker import Stop
from render.errors import InputError

EXIT_INPUT = 2
console = Console(stderr=True)


def live_main() -> None:
    """`vfa-live`: drive a head live."""
    _run(lambda: live(tyro.cli(LiveOptions, prog="vfa-live", description=LiveOptions.__doc__)))


def main() -> None:
    """`vfa`: everything else, each as a subcommand."""
    commands = {"live": live, "animate": animate, "prepare": prepare}
    _run(lambda: tyro.extras.subcommand_cli_from_dict(commands, prog="vfa", description="Face animator tools."))


def live(options: Annotated[LiveOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head live: capture, track, animate, show, record."""
    from capture.face_tracker import FaceTracker
    from capture.open_source import open_source
    from realtime.engines import make_engine
    from realtime.live import LiveSession
    from realtime.recorder import claim_folder
    from render.viewer import Viewer

    stop = Stop()
    source = open_source(options.device, realtime=True, fov_deg=options.fov)
    record = claim_folder(options.record, options.overwrite) if options.record else None
    session = LiveSession(
        source,
        lambda: FaceTracker(options.face_model),
        lambda avatar: make_engine(options, avatar),
        stop,
        options.seconds,
    )
    with _stopped_by_signals(stop):
        session.start()
        try:
            avatar = _prepared(options)
            with Viewer(avatar.display_mesh, options.size, headless=options.headless, mirror=options.mirror) as viewer:
                report = session.run(avatar, viewer, record)
        finally:
            session.shut_down()
    if options.report:
        report.write(options.report)
    report.print(console)


def animate(options: Annotated[AnimateOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head with a recording, offline: every frame, and the same result every time."""
    from capture.face_tracker import FaceTracker
    from capture.open_source import open_source
    from realtime import offline
    from realtime.engines import make_engine
    from realtime.recorder import claim_folder
    from render.viewer import Viewer

    def make_source():  # type: ignore[no-untyped-def]
        return open_source(str(options.driving), realtime=False, fov_deg=options.fov)

    def make_tracker() -> FaceTracker:
        return FaceTracker(options.face_model)

    make_source()  # a wrong path is told before minutes are spent on the avatar
    out = claim_folder(options.out, options.overwrite)
    avatar = _prepared(options)
    with _progress() as progress:
        engine = make_engine(options, avatar)
        engine.calibrate(offline.find_neutral(make_source, make_tracker, options.neutral_frame, progress))
        with make_tracker() as tracker, Viewer(avatar.display_mesh, options.size, headless=True) as viewer:
            frames = offline.animate(make_source(), tracker, engine, avatar, viewer, out, progress)
    console.print(f"{frames} frames: {out / 'animation.npz'}, {out / 'preview.mp4'}")


def prepare(options: Annotated[PrepareOptions, tyro.conf.arg(name="")]) -> None:
    """Prepare an avatar ahead of time and show what was found on it."""
    from calib.avatar_picture import save_picture

    avatar = _prepared(options)
    console.print(avatar.description)
    if options.picture:
        save_picture(avatar, options.picture)
        console.print(f"picture: {options.picture}")


def _prepared(options: AvatarOptions):  # type: ignore[no-untyped-def]
    from calib.avatar import prepare_avatar
    from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path

    path = builtin_avatar_path(options.avatar) if options.avatar in BUILTIN_AVATARS else Path(options.avatar)
    return prepare_avatar(
        path,
        texture=options.texture,
        up=options.up,
        front=options.front,
        eye=options.eye,
        translation=options.translation,
        refresh=options.refresh,
    )


@contextmanager
def _stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask for an orderly end; a second Ctrl-C interrupts at once."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar on the terminal, told by (what, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {}

        def tell(doing: str, done: int, total: int | None) -> None:
            if doing not in tasks:
                tasks[doing] = bar.add_task(doing, total=total)
            bar.update(tasks[doing], completed=done)

        yield tell


def _run(command: Callable[[], None]) -> None:
    """Run a command; what the user can act on becomes one line and exit status 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    try:
        command()
    except InputError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_INPUT)
    except KeyboardInterrupt:
        sys.exit(130)
