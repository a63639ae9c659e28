"""`vfa animate`, `prepare`, `export-network` and `finish-recording`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from core.errors import InputError
from core.writable import check_writable
from realtime.avatar_choice import avatar_path, prepared_avatar
from realtime.config import AnimateOptions, AvatarOptions, ExportOptions, PrepareOptions
from realtime.live_command import check_paths
from realtime.progress import console, progress_bar, said_once

if TYPE_CHECKING:
    from core.source import RgbdSource


@said_once()
def animate(options: Annotated[AnimateOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head with a recording, offline: every frame, and the same result every time.

    What was made is kept where Ctrl-C, a damaged recording or a full disk ends it early.
    """
    from calib.framing import avatar_view
    from capture.face.face_tracker import FaceTracker
    from capture.open_source import open_source
    from core.camera import AVATAR_VIEW
    from realtime import offline
    from realtime.engines import make_engine
    from realtime.live.person import PersonalCalibration
    from realtime.live.pipeline import FramePipeline
    from realtime.recording.recording_folder import RecordingFolder
    from realtime.threads.signals import stopped_by_signals
    from realtime.threads.timing import SectionTimes
    from realtime.threads.worker import Stop
    from render.window.viewer import Viewer

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
        return FaceTracker(options.face_model, options.tracker)

    if not options.driving.exists():
        raise InputError(f"--driving {options.driving}: there is no such recording; check the path")
    check_paths(options)
    avatar_path(options)
    source = make_source()  # a wrong file is told before minutes are spent on the avatar
    person = PersonalCalibration(profile=options.profile)
    view = options.view
    with RecordingFolder.claim(options.out, overwrite=options.overwrite) as folder:
        out = folder.path
        avatar = prepared_avatar(options)
        with progress_bar() as progress:
            engine = make_engine(options, avatar)
            person.adopt(engine, offline.find_neutral(source, make_tracker, options.neutral_frame, progress))
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
                pipeline = FramePipeline(tracker, engine, SectionTimes())
                driving = make_source()
                with stopped_by_signals(Stop()) as stop:  # it ends after its frame, and what was made is kept
                    frames = offline.animate(driving, pipeline, avatar, viewer, out, progress, options.film, stop)
    console.print(f"{frames} frames: {out / 'animation.npz'}, {out / 'preview.mp4'}")


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


def finish_recording(folder: tyro.conf.Positional[Path]) -> None:
    """Complete the recording that a killed process left in FOLDER."""
    from realtime.recording.recorder import finish_recording as finish

    console.print(finish(folder))


def prepare(options: Annotated[PrepareOptions, tyro.conf.arg(name="")]) -> None:
    """Prepare an avatar ahead of time and show what was found on it."""
    from calib.avatar_picture import check_picture, save_picture

    path = avatar_path(options)
    if options.picture is not None:
        check_picture(options.picture, "--picture")
    if options.place_landmarks is not None:
        check_writable(options.place_landmarks, "--place-landmarks")
        if not _landmarks_placed(options, path, options.place_landmarks):
            console.print(f"kept so far: {options.place_landmarks}; the same command goes on with it")
            return
        options = replace(options, preparation=replace(options.preparation, landmarks=options.place_landmarks))
    avatar = prepared_avatar(options, describe=False)
    console.print(f"{options.avatar} is ready: {avatar.description}")
    if options.weights.given():
        from engine.flow.published.flow_engine import flow_rig

        rig = flow_rig(avatar, options.weights)
        console.print(f"flow engine: {len(rig.controllers.depth)} controllers, {rig.weights.nnz} weights")
    if options.picture:
        save_picture(avatar, options.picture)
        console.print(
            f"picture: {options.picture} (green dots: landmarks; orange dots: controllers, which move the skin)"
        )


def _landmarks_placed(options: AvatarOptions, avatar: Path, path: Path) -> bool:
    """Let the user place landmarks in a window; whether there are enough of them."""
    from calib.by_hand.placing_window import place_landmarks
    from capture.face.face_model_file import find_face_model
    from core.canonical_face import load_canonical_face
    from render.mesh.mesh_io import load_mesh

    how = options.preparation
    mesh = load_mesh(avatar, how.texture)
    return place_landmarks(mesh, path, load_canonical_face(find_face_model()), how.up, how.front)
