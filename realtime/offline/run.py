"""`vfa animate`: the live pipeline without a clock. Every frame is answered, and the result repeats."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from calib.avatar import Avatar
from calib.avatar_picture import write_picture
from core.errors import InputError
from core.source import AnyFrame, Source, frames_of
from realtime.live.pipeline import AnyPosed, FramePipeline
from realtime.offline.neutral import Progress
from realtime.offline.panels import GRID_HEIGHT, Panels
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.preview import PreviewWriter, finish_preview
from realtime.recording.recorded_sound import RecordedSound
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME, RecordingError, partial_of
from realtime.recording.session_writer import SessionWriter
from realtime.session.manifest import About, Event
from realtime.session.sealing import seal
from realtime.threads.signals import InterruptedBySignalError
from realtime.threads.worker import Stop

log = logging.getLogger(__name__)


def animate(
    source: Source[AnyFrame],
    pipeline: FramePipeline,
    avatar: Avatar,
    panels: Panels,
    out: Path,
    progress: Progress,
    stop: Stop | None = None,
    first: int = 0,
    lead: int = 0,
    about: Callable[[], About] = About,
) -> int:
    """Answer every frame of `source`, each before the next is read; writes a session into `out`: its animation.npz,
    preview.mp4 and all else.

    Args:
        pipeline: its engine is calibrated (`find_neutral`).
        panels: what preview.mp4 shows of `avatar`.
        first: number of the first frame that is kept.
        lead: how many frames come before it: answered, so that the avatar is on its way, and left out.
        stop: a wish to end before the source does, looked at before each frame.
        about: what the session's manifest says of it.

    Returns the number of frames. Where the run ends early, what was made is finished under the final names, and how
    much that is is logged: on request, then `InterruptedBySignalError` is raised if a signal asked; by an InputError
    of the source (SourceError) or the disk (RecordingError), which is raised. An interrupt leaves partial files, for
    `vfa session repair`; any other exception leaves nothing.
    """
    stop = stop or Stop()
    wanted = None if source.frame_count is None else source.frame_count - lead
    ended: InputError | None = None
    kept = ""
    troubles: Counter[str] = Counter()
    with ExitStack() as undo:
        session = SessionWriter(out, avatar, about)
        undo.push(_unless_interrupted(session.discard))
        sound = RecordedSound(out, None, lambda: source.sound)
        undo.push(_unless_interrupted(sound.close))
        height = GRID_HEIGHT if panels.film == "grid" else None
        preview = PreviewWriter(out / PREVIEW_NAME, height, sound=lambda: sound.finished())
        undo.push(_unless_interrupted(preview.discard))
        try:
            with closing(frames_of(source)) as frames:
                while not stop.requested and (frame := next(frames, None)) is not None:
                    posed = pipeline.answer(frame)
                    if frame.index < first:
                        continue
                    if sound.mark(posed.pose.timestamp_s):
                        for what in ("sound", "film"):
                            session.note(Event(posed.pose.timestamp_s, what))
                    session.append(posed)
                    troubles[posed.pose.trouble] += 1
                    preview.append_row(list(panels(frame, posed.pose).values()), frame.timestamp_s)
                    progress("animating", session.frames, wanted)
        except InputError as error:
            ended = error
        cut = ended is not None or stop.requested
        if session.frames or not cut:
            undo.pop_all()
            kept, failure = _finished(session, preview, sound, out)
            ended = ended or failure
    for trouble, count in troubles.items():
        if trouble:
            log.warning("%d of %d frames: %s", count, sum(troubles.values()), trouble)
    if kept and (cut or ended is not None):
        total = "" if wanted is None else f" of {wanted}"
        log.warning("ended early: %d%s frames are kept: %s", session.frames, total, kept)
    if ended is not None:
        raise ended
    if cut and stop.signal is not None:
        raise InterruptedBySignalError(stop.signal)
    return session.frames


def still(
    source: Source[AnyFrame],
    pipeline: FramePipeline,
    avatar: Avatar,
    panels: Panels,
    out: Path,
    progress: Progress,
    index: int,
    stop: Stop | None = None,
) -> list[Path]:
    """The answer to frame `index`, with which `source` ends: its pose in animation.npz, and its pictures as PNG files.

    Returns the files. Raises InputError where there is no such frame or no face in it, or where the disk takes no more;
    `InterruptedBySignalError` where a signal asked to end. Nothing is left then.
    """
    posed: AnyPosed | None = None
    with closing(frames_of(source)) as frames:
        for number, frame in enumerate(frames):
            posed = pipeline.answer(frame)
            progress("leading up to the frame", number + 1, source.frame_count)
            if stop is not None and stop.signal is not None:
                raise InterruptedBySignalError(stop.signal)
    if posed is None or posed.frame.index != index:
        raise InputError(f"{source.name}: there is no frame {index} that can be read; give another --target-frame")
    if not posed.pose.tracked:
        raise InputError(f"{source.name}: no face was found in frame {index}; give another --target-frame")
    if posed.pose.trouble:
        log.warning("frame %d: %s", index, posed.pose.trouble)
    pictures = {f"{index}_{name}.png": rgb for name, rgb in panels(posed.frame, posed.pose).items()}
    written = [out / ANIMATION_NAME, *(out / name for name in pictures)]
    with ExitStack() as undo:
        for path in written:
            undo.callback(path.unlink, missing_ok=True)
        with closing(AnimationWriter(out / ANIMATION_NAME, len(avatar.file_mesh.vertices))) as animation:
            pose = posed.pose
            T_file_head = avatar.motion_to_file(pose.T_world_head)
            animation.append(avatar.to_file(pose.vertices), T_file_head, pose.timestamp_s, pose.tracked)
        for name, rgb in pictures.items():
            write_picture(out / name, np.ascontiguousarray(rgb[..., ::-1]), str(out / name))
        undo.pop_all()
    return written


def _unless_interrupted(
    discard: Callable[[], None],
) -> Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], None]:
    """For an ExitStack: gives up what was written, but not where the user interrupts, a second time even."""

    def leave(_kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            discard()

    return leave


def _finished(
    session: SessionWriter, preview: PreviewWriter, sound: RecordedSound, out: Path
) -> tuple[str, InputError | None]:
    """Bring all files under their names, as much of them as the disk takes: which of the two that count are, and what
    failed."""
    kept: list[Path] = []
    failures: list[InputError] = []
    try:
        session.close(shorten=True)
    except InputError as error:
        failures.append(error)
    if session.frames and not partial_of(out / ANIMATION_NAME).exists():
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
    sound.close()
    if isinstance(sound.failure, InputError):
        failures.append(sound.failure)
    if preview.frames and (out / PREVIEW_NAME).exists():
        kept.append(out / PREVIEW_NAME)
    try:
        seal(out)
    except InputError as error:
        failures.append(error)
    return ", ".join(map(str, kept)), failures[0] if failures else None
