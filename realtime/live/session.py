"""The live session: a capture thread, an inference thread, and the picture on the main thread."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from calib.avatar import Avatar
from capture.face.face_tracker import FaceTracker
from core.frame import RgbdFrame
from core.source import DeviceState, RgbdSource
from engine.motion.protocol import MotionEngine
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import FramePipeline, PosedFrame
from realtime.live.report import LiveReport, peak_rss_mb, seconds_since_process_start
from realtime.live.time_limit import TimeLimit
from realtime.recording.recording_folder import RecordingFolder, reason_of
from realtime.recording.recordings import Recordings
from realtime.threads.latest_slot import LatestSlot, SlotClosedError
from realtime.threads.timing import Rate, SectionTimes, StateClock
from realtime.threads.worker import Stop, Worker
from render.window.viewer import Viewer, ViewerCommand

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.1
REDRAW_S = 1 / 60
STATUS_S = 0.5
JOIN_S = 5.0
EASE_STEP_S = 1 / 30
SILENCE_S, SILENT_FRAMES = 0.15, 3  # how long, and how many frames of a slow source, may be missing unnoticed
EASED_AFTER_S = 2.0  # by then the avatar is at rest
SWITCH_INTERVAL_S = 0.0005  # after each call that let go of it, a thread asks for Python's lock again: not after 5 ms
NO_FACE = "no face"


class LiveSession:
    """Runs one device, one avatar and one window until somebody or something ends it.

    Capture and inference have a thread each and hand over through `LatestSlot`; whoever is late gets the newest item.
    GL stays on the thread that calls `run`.

    Args:
        source: opened, read and closed on the capture thread.
        make_tracker: called on the inference thread at once, while the avatar is still being prepared elsewhere.
        make_engine: called on the inference thread as soon as the avatar is there.
        stop: shared wish to end; signal handlers may use it.
        person: neutral and gains of the driver; nothing is kept where left out.
    """

    def __init__(
        self,
        source: RgbdSource,
        make_tracker: Callable[[], FaceTracker],
        make_engine: Callable[[Avatar], MotionEngine],
        stop: Stop,
        seconds: float | None = None,
        person: PersonalCalibration | None = None,
    ) -> None:
        self._source = source
        self._make_tracker = make_tracker
        self._make_engine = make_engine
        self._times = SectionTimes()
        self._stop = stop
        self._seconds = seconds
        self._person = person or PersonalCalibration()
        self._frames: LatestSlot[RgbdFrame] = LatestSlot()
        self._poses: LatestSlot[PosedFrame] = LatestSlot()
        self._avatar: Avatar | None = None
        self._avatar_ready = threading.Event()
        self._pipeline: FramePipeline | None = None
        self._pipeline_ready = threading.Event()
        self._paused = threading.Event()
        self._recordings = Recordings()
        self._states = StateClock()
        self._state = ""
        self._rates = {name: Rate() for name in ("captured", "processed", "shown")}
        self._status_shown, self._status_s = 0, time.monotonic()
        self._eased_until_s, self._overtaken = float("-inf"), 0
        self._startup_s = 0.0
        self._engine_name = ""
        self._workers = [
            Worker("capture", self._capture, stop, self._end_capture),
            Worker("inference", self._infer, stop, self._poses.close),
        ]

    def start(self) -> None:
        """Start capture and inference; they get ready while the caller prepares avatar and window."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        for worker in self._workers:
            worker.start()

    def run(self, avatar: Avatar, viewer: Viewer, record: RecordingFolder | None = None) -> LiveReport:
        """Show poses until the end of the source, a quit command, the time limit or a failure (which is raised)."""
        self._avatar = avatar
        if record is not None:
            viewer.notify(self._recordings.begin(record, avatar))
        self._avatar_ready.set()
        try:
            self._show_until_end(viewer)
        except BaseException as error:
            self._stop.request(error)
        finally:
            self.shut_down()
        self._stop.raise_failure()
        return self.report()

    def shut_down(self) -> None:
        """End the threads and finish the recording. Safe to call twice, and before `run`."""
        self._stop.request()
        self._avatar_ready.set()
        for worker in self._workers:
            worker.join(JOIN_S)
        self._recordings.shut_down()

    # --- capture thread -------------------------------------------------------------------------------------------

    def _capture(self) -> None:
        self._enter(DeviceState.WAITING_FIRST_FRAME.value)
        self._source.open()
        while not self._pipeline_ready.wait(READ_TIMEOUT_S):
            if self._stop.requested:
                return
        while not self._stop.requested:
            try:
                frame = self._source.read(READ_TIMEOUT_S)
            except EOFError:
                return
            if frame is None:
                self._enter(self._source.state.value)
                continue
            self._rates["captured"].tick(time.monotonic())
            self._frames.put(frame)

    def _end_capture(self) -> None:
        self._frames.close()
        self._source.close()
        self._states.enter(DeviceState.ENDED.value, time.monotonic())

    # --- inference thread -----------------------------------------------------------------------------------------

    def _infer(self) -> None:
        with self._make_tracker() as tracker:
            self._avatar_ready.wait()
            if self._avatar is None:
                return
            engine = self._make_engine(self._avatar)
            self._engine_name = engine.name
            self._pipeline = FramePipeline(tracker, engine, self._person, self._times)
            self._pipeline_ready.set()
            self._answer_frames(self._pipeline)

    def _answer_frames(self, pipeline: FramePipeline) -> None:
        last, arrived_s = None, 0.0
        while not self._stop.requested:
            try:
                frame = self._frames.take(EASE_STEP_S)
            except SlotClosedError:
                return
            if frame is not None:
                last, arrived_s = frame, time.monotonic()
            if self._paused.is_set():
                continue
            if frame is not None and frame.timestamp_s <= self._eased_until_s:
                self._overtaken += 1  # it was on its way while the avatar had begun to ease: time never runs back
            elif frame is not None:
                self._answer(pipeline, frame)
            elif last is not None:
                self._bridge(pipeline, last, time.monotonic() - arrived_s)

    def _bridge(self, pipeline: FramePipeline, last: RgbdFrame, silent_s: float) -> None:
        """Ease the avatar to rest while no frames come. The recording shows the gap as untracked poses."""
        begins_s = max(SILENCE_S, SILENT_FRAMES / self._source.fps if self._source.fps > 0 else 0.0)
        until_s = last.timestamp_s + silent_s
        if begins_s < silent_s < begins_s + EASED_AFTER_S and until_s > self._eased_until_s:
            self._eased_until_s = until_s
            self._publish(pipeline.ease(last, until_s))

    def _answer(self, pipeline: FramePipeline, frame: RgbdFrame) -> None:
        posed = pipeline.process(frame)
        now_s = time.monotonic()
        self._times.add("capture_to_pose", now_s - frame.timestamp_s)
        if self._rates["processed"].count == 0:
            self._startup_s = seconds_since_process_start()
        self._rates["processed"].tick(now_s)
        self._enter(DeviceState.STREAMING.value if posed.pose.tracked else NO_FACE)
        self._publish(posed)

    def _publish(self, posed: PosedFrame) -> None:
        self._recordings.add_pose(posed.pose)
        self._poses.put(posed)

    # --- main thread ----------------------------------------------------------------------------------------------

    def _show_until_end(self, viewer: Viewer) -> None:
        latest: PosedFrame | None = None
        limit = TimeLimit(self._seconds)
        status, status_due_s = "starting", 0.0
        while not self._stop.requested:
            if limit.is_over(time.monotonic(), ready=self._pipeline_ready.is_set(), posed=latest is not None):
                if latest is None:
                    log.warning("%s: ended before any frame came (%s)", self._source.name, self._status())
                return
            for command in viewer.poll():
                self._obey(command, viewer)
            for notice in (self._person.take_notice(), self._recordings.take_notice()):
                if notice is not None:
                    viewer.notify(notice)
            try:
                posed = self._poses.take(REDRAW_S)
            except SlotClosedError:
                return
            now_s = time.monotonic()
            if now_s >= status_due_s:
                status, status_due_s = self._status(), now_s + STATUS_S
            if posed is not None:
                fresh = latest is None or posed.pose.index != latest.pose.index
                latest = posed
                self._show(viewer, posed, status, fresh)
            elif viewer.needs_redraw and latest is not None:
                self._draw(viewer, latest, status)
            elif viewer.needs_redraw and self._avatar is not None:  # at rest, while the engine is being made
                viewer.show(self._avatar.display_mesh.vertices, np.eye(4), None, status)

    def _draw(self, viewer: Viewer, posed: PosedFrame, status: str) -> None:
        with self._times.section("render"):
            viewer.show(posed.pose.vertices, posed.pose.T_world_head, posed.frame.rgb, status)

    def _show(self, viewer: Viewer, posed: PosedFrame, status: str, fresh: bool) -> None:
        self._draw(viewer, posed, status)
        if fresh:  # and not the easing between two frames
            now_s = time.monotonic()
            self._times.add("capture_to_shown", now_s - posed.frame.timestamp_s)
            self._rates["shown"].tick(now_s)
        if self._recordings.active:
            with self._times.section("record"):
                self._recordings.add_picture(posed.frame.rgb, viewer.read_rgb(), posed.frame.timestamp_s)

    def _obey(self, command: ViewerCommand, viewer: Viewer) -> None:
        if command is ViewerCommand.QUIT:
            self._stop.request()
        elif command is ViewerCommand.NEUTRAL:
            self._person.request_neutral()
        elif command is ViewerCommand.RANGE:
            self._person.request_range()
        elif command is ViewerCommand.PAUSE:
            self._paused.clear() if self._paused.is_set() else self._paused.set()
        elif command is ViewerCommand.HEAD_POSE and self._pipeline is not None:
            self._pipeline.toggle_head_pose()
        elif command is ViewerCommand.RECORD:
            assert self._avatar is not None
            viewer.notify(self._recordings.toggle(self._avatar))
        elif command is ViewerCommand.SCREENSHOT:
            viewer.notify(self._save_screenshot(viewer))

    def _save_screenshot(self, viewer: Viewer) -> str:
        """What the user is told."""
        from PIL import Image

        path = Path(f"vfa-{datetime.now():%Y%m%d-%H%M%S-%f}.png")
        try:
            Image.fromarray(np.ascontiguousarray(viewer.read_rgb())).save(path)
        except OSError as error:
            log.error("%s: the screenshot cannot be saved (%s)", path, reason_of(error))
            return f"{path} cannot be saved: {reason_of(error)}"
        log.info("screenshot: %s", path)
        return f"saved {path}"

    # --- figures --------------------------------------------------------------------------------------------------

    def _enter(self, state: str) -> None:
        self._state = state
        self._states.enter(state, time.monotonic())

    def _status(self) -> str:
        now_s, shown = time.monotonic(), self._rates["shown"].count
        fps = (shown - self._status_shown) / max(now_s - self._status_s, 1e-3)
        self._status_shown, self._status_s = shown, now_s
        parts = [self._state, self._source.detail, self._engine_name, f"{fps:.0f} fps"]
        if shown:
            parts.append(f"{self._times.of('capture_to_shown')['p50']:.0f} ms")
        parts += ["PAUSED"] * self._paused.is_set() + ["REC"] * self._recordings.active
        parts += ["NOT RECORDED"] * (bool(self._recordings.problems) and not self._recordings.active)
        return " · ".join(part for part in parts if part)

    def report(self) -> LiveReport:
        """What happened so far."""
        counts = {name: rate.count for name, rate in self._rates.items()}
        dropped = self._frames.dropped + self._poses.dropped + self._source.skipped + self._overtaken
        return LiveReport(
            frames={**counts, "dropped": dropped},
            fps={name: round(rate.per_second, 2) for name, rate in self._rates.items()},
            latency_ms=self._times.summary_ms(),
            startup_s=round(self._startup_s, 3),
            peak_rss_mb=round(peak_rss_mb(), 1),
            engine=self._engine_name,
            device_states=self._states.seconds(time.monotonic()),
            recording_lost=self._recordings.lost,
            recording_problems=self._recordings.problems,
            device=self._device_faults(),
        )

    def _device_faults(self) -> dict[str, float]:
        latency_s = self._source.device_latency_s
        return {**self._source.faults, **({} if latency_s is None else {"latency_ms": latency_s * 1e3})}
