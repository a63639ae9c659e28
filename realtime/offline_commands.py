"""`vfa animate`, `prepare` and `export-network`."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from core.errors import InputError
from core.writable import check_writable
from realtime.avatar_choice import avatar_path, prepared_avatar
from realtime.config import AnimateOptions, AvatarOptions, ExportOptions, PrepareOptions
from realtime.live_command import about_session, check_paths
from realtime.progress import Tell, console, progress_bar, said_once
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME
from realtime.threads.worker import Stop
from realtime.view_options import ViewOptions

if TYPE_CHECKING:
    from calib.avatar import Avatar
    from calib.by_hand.landmark_placing import LandmarkPlacing
    from capture.recordings.playback import Excerpt
    from core.source import AnyFrame, Source
    from realtime.live.pipeline import Tracker
    from realtime.session.manifest import About


LEAD_FRAMES = 30  # answered before the first that is kept: the avatar has then reached the driver's face


@said_once()
def animate(options: Annotated[AnimateOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head with a recording, offline: every frame, and the same result every time.

    What was made is kept where Ctrl-C, a damaged recording or a full disk ends it early.
    """
    from realtime.threads.signals import stopped_by_signals

    with progress_bar() as progress:
        made = animated(options, prepared_avatar, progress, stopped_by_signals)
    console.print(made.told)


@dataclass(frozen=True)
class Made:
    """What a run made: how many frames, and the files."""

    frames: int
    files: tuple[Path, ...]

    @property
    def told(self) -> str:
        return f"{self.frames} frame{'s' * (self.frames != 1)}: {', '.join(map(str, self.files))}"


def animated(
    options: AnimateOptions,
    avatar_for: Callable[[AnimateOptions], "Avatar"],
    progress: Tell,
    stopping: Callable[[Stop], AbstractContextManager[Stop]],
) -> Made:
    """What `vfa animate` does, for it and for `vfa batch`.

    Args:
        avatar_for: prepares the avatar, or has it already; called once all else that can be wrong has been looked at.
        stopping: entered while frames are animated; what it enters may ask for an end after the frame at work.

    Raises InputError and `InterruptedBySignalError`; see `realtime.offline.run`.
    """
    from calib.framing import avatar_view
    from capture.face.face_tracker import FaceTracker
    from capture.recordings.playback import Excerpt
    from core.camera import AVATAR_VIEW
    from realtime.engines import make_engine, painter_of
    from realtime.live.driving import tracker_for
    from realtime.live.person import PersonalCalibration
    from realtime.live.pipeline import FramePipeline
    from realtime.live.replayed_person import ReplayedPerson
    from realtime.offline import run
    from realtime.offline.neutral import find_neutral
    from realtime.offline.panels import Panels
    from realtime.recording.recording_folder import RecordingFolder
    from realtime.threads.timing import SectionTimes
    from render.window.viewer import Viewer

    def make_tracker() -> "Tracker":
        return tracker_for(looked, lambda: FaceTracker(options.face_model, options.tracker))

    if not (options.driving.exists() or options.performer_drives):
        raise InputError(f"--driving {options.driving}: there is no such recording; check the path, or try demo")
    check_paths(options)
    avatar_path(options)
    clip = partial(_clip, options)
    looked = clip(Excerpt())  # a wrong file is told before minutes are spent on the avatar
    replayed = looked.seen and options.profile is None
    person = ReplayedPerson() if replayed else PersonalCalibration(profile=options.profile)
    view, target = options.view, options.target_frame
    looked_at = Excerpt(options.offset, options.length)
    first, count = (options.offset, options.length) if target is None else (target, 1)
    lead = min(first, LEAD_FRAMES)
    if looked.frame_count is not None and first >= looked.frame_count:
        option = "--offset" if target is None else "--target-frame"
        raise InputError(f"{option} {first}: {options.driving} has {looked.frame_count} frames; give a smaller number")
    with RecordingFolder.claim(options.out, overwrite=options.overwrite, driving=options.driving) as folder:
        out = folder.path
        avatar = avatar_for(options)
        engine = make_engine(options, avatar)
        if not (replayed and options.neutral_frame == "auto"):
            person.adopt(engine, find_neutral(clip, make_tracker, options.neutral_frame, progress, looked_at, avatar))
        with (
            make_tracker() as tracker,
            Viewer(
                None,
                view.size,
                headless=True,
                camera=view.camera(),
                intrinsics=AVATAR_VIEW,
                background=view.backdrop(),
            ) as viewer,
        ):
            viewer.set_mesh(avatar.display_mesh, framing=avatar_view(avatar))
            painter = painter_of(options, avatar, engine) if options.film == "grid" else None
            panels = Panels(avatar, viewer, options.film, painter)
            pipeline = FramePipeline(tracker, engine, SectionTimes(), person if replayed else None, person.neutral)
            told = about_session(options, str(options.driving), "off")

            def about() -> "About":
                return replace(told, engine=engine.name, fps=looked.fps)

            driving = clip(Excerpt(first - lead, None if count is None else lead + count))
            with stopping(Stop()) as stop:  # it ends after its frame, and what was made is kept
                if target is not None:
                    files = run.still(driving, pipeline, avatar, panels, out, progress, target, stop)
                    return Made(1, tuple(files))
                frames = run.animate(driving, pipeline, avatar, panels, out, progress, stop, first, lead, about)
    if not frames and not stop.requested:
        raise InputError(f"--offset {first}: {options.driving} has no frame from there on; give a smaller number")
    return Made(frames, (out / ANIMATION_NAME, out / PREVIEW_NAME))


def _clip(options: AnimateOptions, excerpt: "Excerpt") -> "Source[AnyFrame]":
    """So much of the recording that drives, not opened yet."""
    from realtime.live.driving import open_driving

    return open_driving(
        "demo" if options.performer_drives else os.path.join(".", options.driving),
        realtime=False,
        fov_deg=options.fov,
        face_model=options.face_model,
        layout=options.layout,
        rotate=options.rotate,
        excerpt=excerpt,
        retrack=options.retrack,
        pictures=options.looks_at_pictures,
    )


def export_network(options: Annotated[ExportOptions, tyro.conf.arg(name="")]) -> None:
    """Write the network's live graph for one avatar as ONNX."""
    from calib.close_up import network_picture
    from engine.flow.backends.onnx_export import export_onnx
    from engine.flow.flow_network import live_network
    from engine.flow.network.checkpoint import load_checkpoint
    from realtime.engines import with_source

    check_writable(options.out, "--out")
    checkpoint = load_checkpoint(options.checkpoint)  # a wrong file is told before the avatar is prepared
    avatar = with_source(prepared_avatar(options), options.source)
    source = network_picture(avatar, head_motion=checkpoint.network.config.head_motion)
    export_onnx(live_network(source, checkpoint), options.out)
    console.print(f"written: {options.out}")


def prepare(options: Annotated[PrepareOptions, tyro.conf.arg(name="")]) -> None:
    """Prepare an avatar ahead of time and show what was found on it."""
    from calib.avatar_picture import check_picture, save_looked_for, save_picture
    from calib.survey.face_finder import NoFaceError

    path = avatar_path(options)
    for option, picture in (("--picture", options.picture), ("--view-picture", options.view_picture)):
        if picture is not None:
            check_picture(picture, option, path)
    if options.place_landmarks is not None:
        check_writable(options.place_landmarks, "--place-landmarks")
        placed = _placed_landmarks(options, path, options.place_landmarks)
        if not placed.complete:
            console.print(kept_so_far(options.place_landmarks, len(placed.points)))
            return
        options = replace(options, preparation=replace(options.preparation, landmarks=options.place_landmarks))
    try:
        avatar = prepared_avatar(options, describe=False)
    except NoFaceError as refusal:
        if options.picture is None:
            raise InputError(f"{refusal}; --picture FILE.png shows what was looked at") from refusal
        save_looked_for(refusal.seen, options.picture)
        raise InputError(f"{refusal}; what was looked at: {options.picture}") from refusal
    console.print(f"{options.avatar} is ready: {avatar.description}")
    if options.weights.given():
        from engine.flow.published.flow_engine import flow_rig

        rig = flow_rig(avatar.as_bare_mesh("--weights"), options.weights)
        console.print(f"flow engine: {len(rig.controllers.depth)} controllers, {rig.weights.nnz} weights")
    if options.tune_flow is not None:
        _tune_flow(avatar, options.tune_flow)
    if options.picture:
        save_picture(avatar, options.picture)
        console.print(
            f"picture: {options.picture} (green dots: landmarks; small orange ones between them: controllers, which "
            "move the skin)"
        )
    if options.view_picture:
        _save_view(options.view_picture, avatar, options.view)
        console.print(f"picture: {options.view_picture}")


def _tune_flow(avatar: "Avatar", minutes: float) -> None:
    from core.cache_folder import cache_folder
    from engine.training.tuning import tune
    from realtime.threads.signals import stopped_by_signals

    with stopped_by_signals(Stop()) as stop:
        tuned = tune(avatar, minutes, cache_folder("flow"), lambda: stop.requested)
    if tuned is None:
        console.print("tuning stopped; the same command goes on from there")
        return
    flow, depth = (f"{before:.2f} → {after:.2f}" for before, after in zip(tuned.general, tuned.tuned, strict=True))
    told = f"held-out expressions after {tuned.steps} steps: flow {flow}, depth {depth}"
    if tuned.kept is None:
        console.print(f"{told}; no better than the general network, which stays; more minutes may help")
    else:
        console.print(f"{told}; --engine flow uses it for this head from now on")


def _save_view(path: Path, avatar: "Avatar", view: ViewOptions) -> None:
    from calib.avatar_picture import write_picture
    from calib.framing import avatar_view
    from render.window.viewer import Viewer

    mesh, camera = avatar.display_mesh, view.camera()
    with Viewer(mesh, view.size, headless=True, camera=camera, intrinsics=avatar_view(avatar)) as viewer:
        write_picture(path, viewer.read_rgb()[..., ::-1], str(path))


def kept_so_far(path: Path, count: int) -> str:
    """What is told where fewer landmarks were placed than are needed."""
    if not count:
        return "no point was placed; the same command begins again"
    return f"kept so far: {count} point{'s' * (count != 1)} in {path}; the same command goes on with them"


def _placed_landmarks(options: AvatarOptions, avatar: Path, path: Path) -> "LandmarkPlacing":
    """Let the user place landmarks in a window; there may be too few of them."""
    from calib.by_hand.placing_window import place_landmarks
    from capture.face.face_model_file import find_face_model
    from core.canonical_face import load_canonical_face
    from render.mesh.mesh_io import load_mesh

    how = options.preparation
    mesh = load_mesh(avatar, how.texture)
    return place_landmarks(mesh, path, load_canonical_face(find_face_model()), how.up, how.front)
