"""`vfa animate`: the live pipeline without a clock. Every frame is answered, and the result repeats."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from calib.avatar import Avatar
from calib.person.neutral import NeutralEstimate
from capture.face.face_tracker import FaceTracker
from core.errors import InputError
from core.frame import FaceObservation
from core.source import RgbdSource, frames_of
from realtime.live.pipeline import FramePipeline
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.preview import PreviewWriter
from realtime.recording.recorder import FilmName, write_pose
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME
from render.window.viewer import Viewer

log = logging.getLogger(__name__)

NEUTRAL_CANDIDATES = 300  # frames looked at for a neutral one, spread over the clip


Progress = Callable[[str, int, int | None], None]
"""Told how far a run is: what it does, frames done, frames in all (None when unknown)."""


def find_neutral(
    source: RgbdSource,
    make_tracker: Callable[[], FaceTracker],
    neutral_frame: str,
    progress: Progress,
) -> FaceObservation:
    """The observation to calibrate with: frame N, or for "auto" an estimate out of a sample of the clip.

    Raises InputError when there is no such frame or no face in what was looked at.
    """
    if neutral_frame != "auto":
        return _observe_frame(source, make_tracker, int(neutral_frame))
    step = max(1, (source.frame_count or 0) // NEUTRAL_CANDIDATES)
    estimate = NeutralEstimate()
    with make_tracker() as tracker:
        for frame in frames_of(source):
            if frame.index % step == 0:
                estimate.offer(tracker.track(frame))
            progress("looking for a neutral face", frame.index + 1, source.frame_count)
    neutral = estimate.neutral()
    if neutral is None:
        raise InputError(f"{source.name}: expected a face, found none in any frame looked at; check that it shows one")
    if reason := estimate.poor_because.replace("your ", "the driver's "):
        log.warning("%s: shows no neutral face (%s); --neutral-frame N names one", source.name, reason)
    return neutral


def _observe_frame(source: RgbdSource, make_tracker: Callable[[], FaceTracker], index: int) -> FaceObservation:
    """Frame `index`, tracked after the few frames before it so that the tracker has settled."""
    observation: FaceObservation | None = None
    with make_tracker() as tracker:
        for frame in frames_of(source):
            if frame.index > index:
                break
            if frame.index > index - 10:
                observation = tracker.track(frame)
    if observation is None or observation.frame.index != index:
        raise InputError(f"{source.name}: --neutral-frame {index} is past its end; give a smaller number or auto")
    if not observation.tracked:
        raise InputError(f"{source.name}: no face was found in --neutral-frame {index}; give another frame or auto")
    return observation


def animate(
    source: RgbdSource,
    pipeline: FramePipeline,
    avatar: Avatar,
    viewer: Viewer,
    out: Path,
    progress: Progress,
    film: FilmName = "both",
) -> int:
    """Answer every frame of `source`, each before the next is read; writes animation.npz and preview.mp4 into `out`.

    Args:
        pipeline: its engine is calibrated (`find_neutral`).
        viewer: shows `avatar`, off screen.
        film: what preview.mp4 shows, as high as the viewer's picture.

    Returns the number of frames. A failure on the way leaves neither file under its final name.
    """
    troubles: Counter[str] = Counter()
    with ExitStack() as undo:
        animation = AnimationWriter(out / ANIMATION_NAME, len(avatar.file_mesh.vertices))
        undo.callback(animation.discard)
        preview = PreviewWriter(out / PREVIEW_NAME, None, driver=film == "both", sound=lambda: source.sound)
        undo.callback(preview.discard)
        for frame in frames_of(source):
            pose = pipeline.process(frame).pose
            troubles[pose.trouble] += 1
            write_pose(animation, avatar, pose)
            viewer.show(pose.vertices, pose.T_world_head, None, "")
            preview.append(frame.rgb, viewer.read_rgb(), frame.timestamp_s)
            progress("animating", animation.frames, source.frame_count)
        undo.pop_all()
    animation.close()
    preview.close()
    for trouble, frames in troubles.items():
        if trouble:
            log.warning("%d of %d frames: %s", frames, animation.frames, trouble)
    return animation.frames
