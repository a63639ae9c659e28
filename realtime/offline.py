"""`vfa animate`: the live pipeline without a clock. Every frame is answered, and the result repeats."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType

from calib.avatar import Avatar
from calib.person.neutral import NeutralEstimate
from capture.face.face_tracker import FaceTracker
from core.errors import InputError
from core.frame import FaceObservation
from core.source import RgbdSource, frames_of
from realtime.live.pipeline import FramePipeline
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.preview import PreviewWriter, finish_preview
from realtime.recording.recorder import FilmName, write_pose
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME, RecordingError, partial_of
from realtime.threads.signals import InterruptedBySignalError
from realtime.threads.worker import Stop
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
    stop: Stop | None = None,
) -> int:
    """Answer every frame of `source`, each before the next is read; writes animation.npz and preview.mp4 into `out`.

    Args:
        pipeline: its engine is calibrated (`find_neutral`).
        viewer: shows `avatar`, off screen.
        film: what preview.mp4 shows, as high as the viewer's picture.
        stop: a wish to end before the source does, looked at before each frame.

    Returns the number of frames. Where the run ends early, what was made is finished under the final names, and how
    much that is is logged: on request, then `InterruptedBySignalError` is raised if a signal asked; by an InputError
    of the source (SourceError) or the disk (RecordingError), which is raised. An interrupt leaves partial files, for
    `vfa finish-recording`; any other exception leaves nothing.
    """
    stop = stop or Stop()
    ended: InputError | None = None
    kept = ""
    troubles: Counter[str] = Counter()
    with ExitStack() as undo:
        animation = AnimationWriter(out / ANIMATION_NAME, len(avatar.file_mesh.vertices))
        undo.push(_unless_interrupted(animation.discard))
        preview = PreviewWriter(out / PREVIEW_NAME, None, driver=film == "both", sound=lambda: source.sound)
        undo.push(_unless_interrupted(preview.discard))
        try:
            with closing(frames_of(source)) as frames:  # type: ignore[type-var]
                while not stop.requested and (frame := next(frames, None)) is not None:
                    pose = pipeline.process(frame).pose
                    write_pose(animation, avatar, pose)
                    troubles[pose.trouble] += 1
                    viewer.show(pose.vertices, pose.T_world_head, None, "")
                    preview.append(frame.rgb, viewer.read_rgb(), frame.timestamp_s)
                    progress("animating", animation.frames, source.frame_count)
        except InputError as error:
            ended = error
        cut = ended is not None or stop.requested
        if animation.frames or not cut:
            undo.pop_all()
            kept, failure = _finished(animation, preview, out)
            ended = ended or failure
    for trouble, count in troubles.items():
        if trouble:
            log.warning("%d of %d frames: %s", count, sum(troubles.values()), trouble)
    if kept and (cut or ended is not None):
        total = "" if source.frame_count is None else f" of {source.frame_count}"
        log.warning("ended early: %d%s frames are kept: %s", animation.frames, total, kept)
    if ended is not None:
        raise ended
    if cut and stop.signal is not None:
        raise InterruptedBySignalError(stop.signal)
    return animation.frames


def _unless_interrupted(
    discard: Callable[[], None],
) -> Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], None]:
    """For an ExitStack: gives up what was written, but not where the user interrupts, a second time even."""

    def leave(_kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            discard()

    return leave


def _finished(animation: AnimationWriter, preview: PreviewWriter, out: Path) -> tuple[str, InputError | None]:
    """Bring both files under their names, as much of them as the disk takes: which of them are, and what failed."""
    kept: list[Path] = []
    failures: list[InputError] = []
    try:
        animation.close(shorten=True)
    except InputError as error:
        failures.append(error)
    if animation.frames and not partial_of(out / ANIMATION_NAME).exists():
        kept.append(out / ANIMATION_NAME)
    try:
        preview.close()
    except InputError as error:
        failures.append(error)
        with suppress(RecordingError):  # told already
            try:
                finish_preview(out)
            except RecordingError:
                raise
            except InputError:  # too little for a film
                partial_of(out / PREVIEW_NAME).unlink(missing_ok=True)
    if preview.frames and (out / PREVIEW_NAME).exists():
        kept.append(out / PREVIEW_NAME)
    return ", ".join(map(str, kept)), failures[0] if failures else None
