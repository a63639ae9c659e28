"""The commands `vfa-live` and `vfa`."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from threadpoolctl import threadpool_limits

from core.camera import AVATAR_VIEW, OrbitCamera
from core.errors import InputError
from realtime.config import AnimateOptions, AvatarOptions, ExportOptions, LiveOptions, PrepareOptions
from realtime.live.report import check_report_path
from realtime.progress import Tell, console, progress_bar, step_bar
from realtime.synth_command import synth
from realtime.threads.signals import stopped_by_signals
from realtime.threads.worker import Stop
from realtime.training_commands import preprocess, train

if TYPE_CHECKING:
    from calib.avatar import Avatar
    from core.source import RgbdSource
    from realtime.live.session import LiveSession
    from render.window.viewer import Viewer

log = logging.getLogger(__name__)

EXIT_INPUT = 2


def live_main() -> None:
    """`vfa-live`: drive a head live."""
    _run(lambda: live(tyro.cli(LiveOptions, prog="vfa-live", description=LiveOptions.__doc__)))


def main() -> None:
    """`vfa`: everything else, each as a subcommand."""
    commands: dict[str, Callable[..., None]] = {
        "live": live,
        "animate": animate,
        "prepare": prepare,
        "devices": devices,
        "export-network": export_network,
        "finish-recording": finish_recording,
        "synth": synth,
        "preprocess": preprocess,
        "train": train,
    }
    _run(lambda: tyro.extras.subcommand_cli_from_dict(commands, prog="vfa", description="Face animator tools."))


def live(options: Annotated[LiveOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head live: capture, track, animate, show, record."""
    from capture.face.face_tracker import FaceTracker
    from capture.open_source import open_source
    from realtime.engines import make_engine
    from realtime.live.person import PersonalCalibration
    from realtime.live.session import LiveSession
    from realtime.recording.recording_folder import RecordingFolder

    stop = Stop()
    source = open_source(
        options.device,
        realtime=True,
        fov_deg=options.fov,
        face_model=options.face_model,
        layout=options.layout,
        rotate=options.rotate,
    )
    person = PersonalCalibration(profile=options.profile, show_range=options.calibrate_range)
    session = LiveSession(
        source,
        lambda: FaceTracker(options.face_model),
        lambda avatar: make_engine(options, avatar),
        stop,
        options.seconds,
        person,
    )
    _check_paths(options)
    with ExitStack() as resources:
        record = RecordingFolder.claim(options.record, overwrite=options.overwrite) if options.record else None
        if record is not None:
            resources.enter_context(record)
        resources.enter_context(stopped_by_signals(stop))
        resources.callback(_tell_report, session, options.report)
        resources.callback(session.shut_down)
        session.start()
        viewer = resources.enter_context(_viewer(options, headless=options.headless, mirror=options.mirror))
        avatar = _prepared_for(options, viewer, stop)
        if avatar is not None:
            viewer.set_mesh(avatar.display_mesh)
            session.run(avatar, viewer, record)


def _check_paths(options: LiveOptions | AnimateOptions) -> None:
    """Raises InputError for paths that cannot be used, before anything that takes long."""
    if isinstance(options, LiveOptions) and options.report is not None:
        check_report_path(options.report)
    if options.checkpoint is not None and not options.checkpoint.is_file():
        raise InputError(f"--checkpoint {options.checkpoint}: there is no such file; check the path")


def _tell_report(session: "LiveSession", path: Path | None) -> None:
    """Write and print what happened, however the session ended."""
    report, failing = session.report(), sys.exception() is not None
    try:
        if path is not None:
            report.write(path)
    except InputError as error:
        if not failing:
            raise
        log.error("%s", error)  # what ended the session matters more
    finally:
        if report.frames["captured"]:
            report.print(console)


def animate(options: Annotated[AnimateOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head with a recording, offline: every frame, and the same result every time."""
    from capture.face.face_tracker import FaceTracker
    from capture.open_source import open_source
    from realtime import offline
    from realtime.engines import make_engine
    from realtime.live.person import PersonalCalibration
    from realtime.live.pipeline import FramePipeline
    from realtime.recording.recording_folder import RecordingFolder
    from realtime.threads.timing import SectionTimes

    def make_source() -> "RgbdSource":
        return open_source(
            os.path.join(".", options.driving),
            realtime=False,
            fov_deg=options.fov,
            face_model=options.face_model,
            layout=options.layout,
            rotate=options.rotate,
        )

    def make_tracker() -> FaceTracker:
        return FaceTracker(options.face_model)

    _check_paths(options)
    source = make_source()  # a wrong path is told before minutes are spent on the avatar
    person = PersonalCalibration(profile=options.profile)
    with RecordingFolder.claim(options.out, overwrite=options.overwrite) as folder:
        out = folder.path
        avatar = _prepared(options)
        with progress_bar() as progress:
            engine = make_engine(options, avatar)
            person.adopt(engine, offline.find_neutral(source, make_tracker, options.neutral_frame, progress))
            with make_tracker() as tracker, _viewer(options, headless=True) as viewer:
                viewer.set_mesh(avatar.display_mesh)
                pipeline = FramePipeline(tracker, engine, SectionTimes())
                frames = offline.animate(make_source(), pipeline, avatar, viewer, out, progress)
    console.print(f"{frames} frames: {out / 'animation.npz'}, {out / 'preview.mp4'}")


def devices() -> None:
    """List the cameras that are connected, with serial numbers and what to do about the rest."""
    from rich.table import Table

    from capture.cameras.devices import list_devices

    table = Table("kind", "serial", "state", "next step")
    for row in list_devices():
        table.add_row(row.kind, row.identity, row.state, escape(row.hint))
    Console().print(table)


def export_network(options: Annotated[ExportOptions, tyro.conf.arg(name="")]) -> None:
    """Write the network's live graph for one avatar as ONNX."""
    from calib.close_up import network_picture
    from engine.flow.backends.onnx_export import export_onnx
    from engine.flow.flow_network import live_network
    from engine.flow.network.checkpoint import load_checkpoint
    from realtime.engines import with_source

    checkpoint = load_checkpoint(options.checkpoint)  # a wrong file is told before the avatar is prepared
    avatar = with_source(_prepared(options), options.source)
    source = network_picture(avatar, head_motion=checkpoint.network.config.head_motion)
    export_onnx(live_network(source, checkpoint), options.out)
    console.print(f"written: {options.out}")


def finish_recording(folder: tyro.conf.Positional[Path]) -> None:
    """Complete the recording that a killed process left in FOLDER."""
    from realtime.recording.recorder import finish_recording as finish

    console.print(finish(folder), highlight=False, soft_wrap=True)


def prepare(options: Annotated[PrepareOptions, tyro.conf.arg(name="")]) -> None:
    """Prepare an avatar ahead of time and show what was found on it."""
    from calib.avatar_picture import save_picture

    if options.place_landmarks is not None:
        if not _landmarks_placed(options, options.place_landmarks):
            console.print(f"kept so far: {options.place_landmarks}; the same command goes on with it")
            return
        options = replace(options, preparation=replace(options.preparation, landmarks=options.place_landmarks))
    avatar = _prepared(options)
    console.print(avatar.description)
    if options.weights.given():
        from engine.flow.published.flow_engine import flow_rig

        rig = flow_rig(avatar, options.weights)
        console.print(f"flow engine: {len(rig.controllers.depth)} controllers, {rig.weights.nnz} weights")
    if options.picture:
        save_picture(avatar, options.picture)
        console.print(f"picture: {options.picture}")


def _viewer(options: LiveOptions | AnimateOptions, *, headless: bool, mirror: bool = False) -> "Viewer":
    """A viewer that has no avatar yet."""
    from render.window.viewer import Viewer

    view = options.preparation
    given = {name: np.array(value) for name in ("eye", "translation") if (value := getattr(view, name)) is not None}
    camera = OrbitCamera(**given)
    return Viewer(None, options.size, headless=headless, mirror=mirror, camera=camera, intrinsics=AVATAR_VIEW)


def _landmarks_placed(options: AvatarOptions, path: Path) -> bool:
    """Let the user place landmarks in a window; whether there are enough of them."""
    from calib.by_hand.placing_window import place_landmarks
    from capture.face.face_model_file import find_face_model
    from core.canonical_face import load_canonical_face
    from render.mesh.mesh_io import load_mesh

    how = options.preparation
    mesh = load_mesh(_avatar_path(options), how.texture)
    return place_landmarks(mesh, path, load_canonical_face(find_face_model()), how.up, how.front)


def _avatar_path(options: AvatarOptions) -> Path:
    from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path

    if options.avatar in BUILTIN_AVATARS:
        return builtin_avatar_path(options.avatar)
    path = Path(options.avatar)
    if not path.exists():
        known = ", ".join(BUILTIN_AVATARS)
        raise InputError(f"--avatar {path}: there is no such file, nor a built-in head of that name ({known})")
    return path


def _prepared(options: AvatarOptions) -> "Avatar":
    """The avatar, from the cache or made now, with progress on the terminal."""
    with step_bar(_preparing(options)) as tell:
        return _prepare(options, tell)


def _prepared_for(options: AvatarOptions, viewer: "Viewer", stop: Stop) -> "Avatar | None":
    """The same with progress in the viewer's window as well; None where the user closed it meanwhile."""
    from realtime.preparing import prepared_in_window

    with step_bar(_preparing(options)) as tell:
        return prepared_in_window(lambda progress: _prepare(options, progress), viewer, stop, tell)


def _preparing(options: AvatarOptions) -> str:
    return f"preparing {Path(options.avatar).name}"


def _prepare(options: AvatarOptions, progress: Tell) -> "Avatar":
    from calib.avatar import prepare_avatar

    return prepare_avatar(_avatar_path(options), options.preparation, refresh=options.refresh, progress=progress)


def _open_standard_streams() -> None:
    """Give what a parent closed something to lead to. Otherwise the next file that is opened takes the number of the
    standard error, and what a native library prints goes into that file."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _run(command: Callable[[], None]) -> None:
    """Run a command; what the user can act on becomes one line and exit status 2."""
    _open_standard_streams()
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    try:
        with threadpool_limits(1, user_api="blas"):  # threads that share out a millisecond's work wait for each other
            command()
    except InputError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_INPUT)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read our words has enough of them
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
