"""`vfa-live`: a session from its options to its report."""

import logging
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.errors import InputError
from core.untrusted import opened_zip
from core.writable import check_writable
from realtime.avatar_choice import avatar_path, prepared_for
from realtime.config import AnimateOptions, LiveOptions, MotionOptions
from realtime.progress import console
from realtime.threads.signals import InterruptedBySignalError, stopped_by_signals
from realtime.threads.worker import Stop

if TYPE_CHECKING:
    from calib.avatar import Avatar, Progress
    from core.source import AnyFrame, RgbdSource, Source
    from engine.motion.protocol import MotionEngine
    from realtime.live.session import LiveSession
    from realtime.session.folder_names import RawName
    from realtime.session.manifest import About
    from realtime.threads.trace import Trace

EXIT_NOT_RECORDED = EXIT_NOTHING_CAME = 1
EXIT_NO_CAMERA = 2  # as of whatever is given and cannot be used
_OLD_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # as checkpoints before PyTorch 1.6 begin

log = logging.getLogger(__name__)


def live(options: LiveOptions) -> None:
    """Drive a head live: capture, track, animate, show, record. `vfa-live clip.mp4` is short for --device clip.mp4.

    Ends with status 1 where the recording that --record asked for broke off, and where --seconds were over before
    anything came; with 2 where there was no --virtual-camera to be opened, though the show went on without it.
    """
    from calib.framing import avatar_view
    from capture.face.face_tracker import FaceTracker
    from capture.open_source import brings_motion, is_camera
    from capture.sound.microphone import Microphone
    from core.camera import AVATAR_VIEW
    from realtime.live.circumstances import circumstances
    from realtime.live.driving import tracker_for
    from realtime.live.person import PersonalCalibration
    from realtime.live.replayed_person import ReplayedPerson
    from realtime.live.session import LiveSession
    from realtime.live.virtual_camera import VirtualCamera
    from realtime.outputs.address import Address
    from realtime.outputs.output import open_output
    from realtime.recording.recording_folder import RecordingFolder
    from realtime.threads.trace import Trace
    from render.window.viewer import Viewer

    stop = Stop()
    check_paths(options)
    source = _source(options)
    if _runs_unseen(options, source):
        log.info(
            "headless: nothing is shown, recorded or sent, until Ctrl-C ends it; --record, --send, --virtual-camera or "
            "--report give it a use, --seconds an end"
        )
    person = (
        ReplayedPerson()
        if source.seen and options.person is None and not options.calibrate_range
        else PersonalCalibration(
            profile=options.person,
            show_range=options.calibrate_range,
            offer_range=is_camera(options.driving) and not options.window.headless,
        )
    )
    kept, window = options.recording, options.window
    avatar_path(options)
    if kept.report is not None:
        check_writable(kept.report, "--report")
    trace = None if options.trace_file is None else Trace()
    if options.trace_file is not None:
        check_writable(options.trace_file, "--profile" if options.trace is None else "--trace")
    asked, backdrop = options.virtual_camera, window.backdrop()
    camera: VirtualCamera | None = None
    if asked.virtual_camera is not None:
        behind, size = asked.backdrop(backdrop), asked.size(window.size)
        rate, same = asked.virtual_camera_fps, behind is backdrop
        camera = VirtualCamera(asked.virtual_camera, size, rate, behind, shares_background=same)
    outputs = [open_output(Address.parse(given), options.face_model) for given in options.send]
    for output in outputs:
        log.info("sending to %s", output.name)
    made: list[MotionEngine] = []
    session = LiveSession(
        source,
        (
            None
            if brings_motion(options.driving)
            else lambda: tracker_for(source, lambda: FaceTracker(options.face_model, options.tracker))
        ),
        lambda avatar: made[0] if made else _engine(options, avatar),
        stop,
        options.seconds,
        person,
        film=kept.film,
        about=about_session(options, options.driving, kept.record_raw),
        microphone=None if kept.audio is None else Microphone(kept.audio),
        trace=trace,
        camera=camera,
        outputs=outputs,
        full_resolution=window.full_resolution,
    )

    def ready(avatar: "Avatar", tell: "Progress") -> "Avatar":
        if options.engine == "flow" or options.checkpoint is not None:
            tell("the flow engine's network, compiled once", 0, 1)
            made.append(_engine(options, avatar))
        viewer.prepare_drawing()
        return avatar

    with ExitStack() as resources:
        record = None
        if kept.record is not None:
            record = RecordingFolder.claim(kept.record, overwrite=kept.overwrite, driving=options.driving)
        if record is not None:
            resources.enter_context(record)
        resources.enter_context(stopped_by_signals(stop))
        resources.callback(_tell_report, session, kept.report)
        about = circumstances(options.driving, options.avatar)
        if trace is not None and options.trace_file is not None:
            resources.callback(_write_trace, trace, options.trace_file, session, about)
        resources.callback(session.shut_down)
        session.start()
        viewer = resources.enter_context(
            Viewer(
                None,
                window.size,
                headless=window.headless,
                mirror=window.mirror,
                camera=window.camera(),
                intrinsics=AVATAR_VIEW,
                background=backdrop,
                style=window.style,
            )
        )
        about["renderer"] = viewer.graphics
        avatar = prepared_for(options, ready, stop, viewer)
        if avatar is not None:
            session.take(avatar, record)
            about["avatar"] |= {"vertices": len(avatar.display_mesh.vertices), "faces": len(avatar.display_mesh.faces)}
            viewer.set_mesh(avatar.display_mesh, framing=avatar_view(avatar))
            for line in viewer.refused():
                log.warning("%s", line)
            if window.style.bare:
                log.info("the window shows the avatar alone: key I shows status and messages, H all keys")
            session.run(avatar, viewer)
        elif stop.signal is None:  # what fails after a signal is a consequence of ending
            stop.raise_failure()
    if stop.signal is not None and not session.shown:
        raise InterruptedBySignalError(stop.signal)
    if record is not None and session.report().recording_problems:
        sys.exit(EXIT_NOT_RECORDED)
    if session.nothing_came:
        sys.exit(EXIT_NOTHING_CAME)
    if camera is not None and camera.unusable:
        sys.exit(EXIT_NO_CAMERA)


def _runs_unseen(options: LiveOptions, source: "Source[AnyFrame]") -> bool:
    """Whether it goes on until somebody ends it, and nobody gets to see what it does."""
    endless = options.seconds is None and (source.frame_count is None or options.repeated)
    kept = options.recording
    used = kept.record or kept.report or options.trace_file or options.send
    return endless and options.window.headless and not used and options.virtual_camera.virtual_camera is None


def about_session(options: "LiveOptions | AnimateOptions", driving: str, raw: "RawName") -> "About":
    """What a recording says of the session it belongs to."""
    from capture.synthetic import BUILTIN_AVATARS
    from realtime.live.circumstances import circumstances
    from realtime.session.manifest import About

    settings = {}
    for name in ("engine", "head_pose", "profile", "tracker", "fov", "rotate", "layout", "checkpoint", "retrack"):
        value = getattr(options, name)
        settings[name] = str(value) if isinstance(value, Path) else value
    return About(
        device=Path(driving).name,
        avatar=options.avatar if options.avatar in BUILTIN_AVATARS else str(Path(options.avatar).resolve()),
        settings=settings,
        programs=circumstances(driving, options.avatar)["versions"],
        raw=raw,
    )


def check_paths(options: MotionOptions) -> None:
    """Raises InputError for paths that cannot be used, before anything that takes long."""
    if options.checkpoint is not None and not options.checkpoint.is_file():
        raise InputError(f"--checkpoint {options.checkpoint}: there is no such file; check the path")
    if options.checkpoint is not None and not _looks_like_a_checkpoint(options.checkpoint):
        raise InputError(
            f"--checkpoint {options.checkpoint}: expected a network checkpoint (.pt), found another kind of file or a "
            "damaged one; check the path"
        )
    if options.face_model is not None:
        from capture.face.face_model_file import find_face_model

        find_face_model(options.face_model)


def _looks_like_a_checkpoint(path: Path) -> bool:
    """Whether it begins like one: a ZIP archive with one table of contents, or PyTorch's mark before 1.6. What it holds
    is checked when it is loaded; this look needs no torch, which takes seconds to import."""
    try:
        with path.open("rb") as file:
            if _OLD_MAGIC in file.read(64):
                return True
    except OSError as error:
        raise InputError(f"--checkpoint {path}: cannot be read ({error.strerror}); check who may read it") from None
    try:
        with opened_zip(path) as archive:
            return sum(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist()) == 1
    except InputError:
        return False


def _source(options: LiveOptions) -> "Source[AnyFrame]":
    from capture.open_source import brings_motion, open_motion_source
    from capture.repeated_source import RepeatedSource
    from realtime.live.driving import open_driving

    if brings_motion(options.driving):
        _check_followed(options)
        return open_motion_source(options.driving)
    source = open_driving(
        options.driving,
        realtime=True,
        fov_deg=options.fov,
        face_model=options.face_model,
        layout=options.layout,
        rotate=options.rotate,
        retrack=options.retrack,
        pictures=options.looks_at_pictures,
    )
    if options.repeated and source.frame_count is not None:
        return RepeatedSource(cast("RgbdSource", source))  # whatever its frames bring
    return source


def _check_followed(options: LiveOptions) -> None:
    """Raises InputError for options that are of use with pictures alone."""
    given = {
        f"--engine {options.engine}": options.engine in ("landmark", "flow"),
        f"--checkpoint {options.checkpoint}": options.checkpoint is not None,
        "--calibrate-range": options.calibrate_range,
        f"--profile {options.profile}": options.person is not None,
        f"--rotate {options.rotate}": options.rotate != "0",
    }
    for option, is_given in given.items():
        if is_given:
            raise InputError(f"{option}: is about pictures, and {options.driving} sends none; leave it out")


def _engine(options: LiveOptions, avatar: "Avatar") -> "MotionEngine":
    from realtime.engines import make_engine

    return make_engine(options, avatar)


def _write_trace(trace: "Trace", path: Path, session: "LiveSession", about: dict[str, Any]) -> None:
    """However the session ended; what ended it matters more than a trace that cannot be written."""
    try:
        trace.write(path, {**about, "report": asdict(session.report())})
    except InputError as error:
        if sys.exception() is None:
            raise
        log.error("%s", error)
    else:
        log.info("trace: %s opens in https://ui.perfetto.dev", path)


def _tell_report(session: "LiveSession", path: Path | None) -> None:
    """Write and print what happened, however the session ended; nothing where the user ended it before it began."""
    report, failing = session.report(), sys.exception() is not None
    if not failing and session.given_up:
        return
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
