"""The live session: wires a capture thread, an inference thread and the picture on the main thread."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from calib.avatar import Avatar
from capture.sound.microphone import Microphone
from core.source import AnyFrame, Source
from engine.motion.protocol import MotionEngine
from realtime.live.capture_loop import CaptureLoop
from realtime.live.giving_way import GivingWay
from realtime.live.inference_loop import InferenceLoop
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import AnyPosed, Tracker
from realtime.live.report import LiveReport, peak_rss_mb
from realtime.live.show_loop import ShowLoop
from realtime.live.time_limit import FIRST_MOTION_S, FIRST_POSE_S, TimeLimit
from realtime.live.virtual_camera import VirtualCamera
from realtime.outputs.output import Output
from realtime.outputs.sender import MotionSender
from realtime.recording.recorder import FilmName
from realtime.recording.recording_folder import RecordingFolder
from realtime.recording.recordings import Recordings
from realtime.session.manifest import About
from realtime.threads.cores import return_memory
from realtime.threads.latest_slot import LatestSlot
from realtime.threads.processor import ProcessorTime, cpu_ms_per_frame, lock_ms_per_frame
from realtime.threads.timing import Rate, SectionTimes, StateClock
from realtime.threads.trace import Trace
from realtime.threads.worker import Stop, Worker
from render.window.viewer import Viewer

log = logging.getLogger(__name__)

JOIN_S = 5.0
SWITCH_INTERVAL_S = 0.0005  # after each call that let go of it, a thread asks for Python's lock again: not after 5 ms


class LiveSession:
    """Runs one device, one avatar and one window until somebody or something ends it.

        CaptureLoop ──frames──▶ InferenceLoop ──poses──▶ ShowLoop

    Capture and inference have a thread each and hand over through `LatestSlot`; whoever is late gets the newest item.
    GL stays on the thread that calls `run`. What several threads use is made here, and each loop's arguments name it.

    Args:
        source: opened, read and closed on the capture thread.
        make_tracker: called on the inference thread at once, while the avatar is still being prepared elsewhere; None
            where the source's frames bring their motion.
        make_engine: called on the inference thread as soon as the avatar is there.
        stop: shared wish to end; signal handlers may use it.
        seconds: see `TimeLimit`.
        person: neutral and gains of the driver; nothing is kept where left out.
        film: see `Recorder`.
        about: what recordings say of the session.
        microphone: is started with the others, listened to by recordings, and closed at the end.
        trace: is told of everything that happens.
        camera: is started with the others, offered every picture, and closed at the end.
        outputs: are sent every pose's motion, and closed at the end.
        full_resolution: never draw the picture smaller than it is shown.

    Attributes:
        nothing_came: its time was over before there was a single frame.
    """

    def __init__(
        self,
        source: Source[AnyFrame],
        make_tracker: Callable[[], Tracker] | None,
        make_engine: Callable[[Avatar], MotionEngine],
        stop: Stop,
        seconds: float | None = None,
        person: PersonalCalibration | None = None,
        film: FilmName | None = None,
        trace: Trace | None = None,
        camera: VirtualCamera | None = None,
        outputs: Sequence[Output] = (),
        about: About | None = None,
        microphone: Microphone | None = None,
        full_resolution: bool = False,
    ) -> None:
        self._stop = stop
        self._limit = TimeLimit(seconds, FIRST_MOTION_S if make_tracker is None else FIRST_POSE_S)
        self._person = person or PersonalCalibration()
        self._about, self._source = about or About(), source
        self._recordings = Recordings(film, lambda: source.sound, self._about_now, self._about.raw, microphone)
        self._microphone = microphone
        self._giving_way = None if full_resolution else GivingWay()
        self._frames: LatestSlot[AnyFrame] = LatestSlot()
        self._poses: LatestSlot[AnyPosed] = LatestSlot()
        self._avatar: Future[Avatar] = Future()
        self._ready = threading.Event()
        self._trace = trace
        self._camera = camera
        self._times, self._states, self._rate_shown = SectionTimes(trace), StateClock(self._note_state), Rate()
        self._sender = MotionSender(outputs, stop, self._times)
        self._capture = CaptureLoop(source, self._frames, self._ready, self._states, self._times, stop)
        self._inference = InferenceLoop(
            make_tracker,
            make_engine,
            self._avatar,
            self._person,
            frames=self._frames,
            silence_s=lambda: self._capture.silence_s,
            publish=self._publish,
            ready=self._ready,
            states=self._states,
            times=self._times,
            stop=stop,
        )
        self._workers = [
            Worker("capture", self._capture.run, stop, self._capture.end),
            Worker("inference", self._inference.run, stop, self._poses.close),
        ]
        self._status_shown, self._status_s = 0, time.monotonic()
        self._began: tuple[ProcessorTime, int] | None = None  # when pictures had begun to flow, and how many there were
        self._cpu_ms: dict[str, float] = {}
        self._lock_ms: dict[str, float] = {}
        self._picture: Viewer | None = None
        self._said, self.nothing_came = "", False
        self._switch_interval_s: float | None = None  # to put back

    def start(self) -> None:
        """Start capture and inference; they get ready while the caller prepares avatar and window."""
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        for worker in self._workers:
            worker.start()
        if self._camera is not None:
            self._camera.start()
        if self._microphone is not None:
            self._microphone.start()
        self._sender.start()

    def take(self, avatar: Avatar, record: RecordingFolder | None = None) -> None:
        """The avatar is there: its engine is made on the inference thread while the caller gets ready to show it. A
        recording begins with the first pose."""
        if record is not None:
            self._said = self._recordings.begin(record, avatar)
        self._avatar.set_result(avatar)

    def run(self, avatar: Avatar, viewer: Viewer, record: RecordingFolder | None = None) -> LiveReport:
        """Show poses until the end of the source, a quit command, the time limit or a failure (which is raised).

        To be called once, on the thread of `viewer`, before `shut_down`; `record` where `take` was not called before.
        """
        if not self._avatar.done():
            self.take(avatar, record)
        if self._said:
            viewer.notify(self._said)
        self._picture = viewer
        if viewer.takes_poses:
            self._inference.leave_vertices_out()
        show = ShowLoop(
            viewer,
            avatar,
            self._poses,
            self._ready,
            self._limit,
            status=self._status,
            inference=self._inference,
            person=self._person,
            recordings=self._recordings,
            rate=self._rate_shown,
            times=self._times,
            stop=self._stop,
            camera=self._camera,
            sender=self._sender,
            microphone=self._microphone,
            giving_way=self._giving_way,
            offered=lambda: self._capture.rate.count + self._capture.skipped,
        )
        try:
            if show.run() and not show.posed:
                self.nothing_came = True
                log.error("%s: ended before any frame came (%s)", self._capture.name, self._status())
            self._sum_up()
        except BaseException as error:
            self._stop.request(error)
        finally:
            self.shut_down()
        self._stop.raise_failure()
        return self.report()

    def shut_down(self) -> None:
        """End the threads and finish the recording. Safe to call twice, and before `run`."""
        self._stop.request()
        self._avatar.cancel()
        for worker in self._workers:
            worker.join(JOIN_S)
        if self._camera is not None:
            self._camera.close()
        self._sender.close()
        self._recordings.shut_down()
        if self._microphone is not None:
            self._microphone.close()
        if self._switch_interval_s is not None:
            sys.setswitchinterval(self._switch_interval_s)
            self._switch_interval_s = None

    @property
    def shown(self) -> int:
        """Pictures so far."""
        return self._rate_shown.count

    @property
    def given_up(self) -> bool:
        """Whether somebody ended it before there was an avatar, or by a signal before there was a picture."""
        return self._avatar.cancelled() or (self._stop.signal is not None and not self.shown)

    def report(self) -> LiveReport:
        """What happened so far."""
        rates = {"captured": self._capture.rate, "processed": self._inference.rate, "shown": self._rate_shown}
        return LiveReport(
            frames={
                **{name: rate.count for name, rate in rates.items()},
                "dropped": self._dropped,
                "skipped": self._capture.skipped,
            },
            fps={name: round(rate.per_second, 2) for name, rate in rates.items()},
            latency_ms=self._times.summary_ms(),
            cpu_ms_per_frame=self._cpu_ms,
            lock_ms_per_frame=self._lock_ms,
            startup_s=round(self._inference.startup_s, 3),
            startup_cpu_s=round(self._inference.startup_cpu_s, 3),
            peak_rss_mb=round(peak_rss_mb(), 1),
            engine=self._inference.engine_name,
            tracker=self._inference.tracker_why,
            device_states=self._states.seconds(time.monotonic()),
            recording_lost=self._recordings.lost,
            recording_problems=self._recordings.problems,
            device=self._capture.faults(),
            outputs=self._sender.report(),
            virtual_camera={} if self._camera is None else self._camera.summary(),
            microphone={} if self._microphone is None else self._microphone.summary(),
            reduced_s=0.0 if self._giving_way is None else round(self._giving_way.reduced_s, 3),
        )

    def _publish(self, posed: AnyPosed) -> None:
        """On the inference thread."""
        self._recordings.add_pose(posed)
        self._sender.put(posed.pose)
        self._poses.put(posed)

    def _about_now(self) -> About:
        """With the first pose of a recording."""
        return replace(self._about, engine=self._inference.engine_name, fps=self._source.fps)

    def _note_state(self, state: str, now_s: float) -> None:
        """On whichever thread brings it about."""
        self._recordings.note(now_s, "state", state=state)

    @property
    def _dropped(self) -> int:
        """Frames that were captured and overtaken by newer ones."""
        return self._frames.dropped + self._poses.dropped + self._inference.overtaken

    def _note_progress(self, shown: int) -> None:
        if self._began is None and shown:
            self._began = ProcessorTime.now(self._times.cpu_s()), shown
            return_memory()
        if self._trace is not None:
            self._trace.count("waiting", {"frames": self._frames.waiting, "poses": self._poses.waiting})
            self._trace.count("dropped", {"frames": self._dropped})
            if self._picture is not None:
                camera = self._picture.intrinsics
                self._trace.count("picture", {"width": camera.width, "height": camera.height})

    def _sum_up(self) -> None:
        """To be called as long as all threads are there."""
        if self._began is None:
            return
        before, shown = self._began
        after, frames = ProcessorTime.now(self._times.cpu_s()), self._rate_shown.count - shown
        self._cpu_ms, self._lock_ms = (each(before, after, frames) for each in (cpu_ms_per_frame, lock_ms_per_frame))

    def _status(self) -> str:
        """The line in the viewer."""
        now_s, shown = time.monotonic(), self._rate_shown.count
        fps = (shown - self._status_shown) / max(now_s - self._status_s, 1e-3)
        self._note_progress(shown)
        self._status_shown, self._status_s = shown, now_s
        parts = [self._states.current, self._capture.detail, self._inference.engine_name, f"{fps:.0f} fps"]
        if shown:
            newest = max(round(fps), 1)  # those of the last second; a median over the session would only creep
            parts.append(f"{self._times.newest_ms('capture_to_shown', newest):.0f} ms")
        if self._giving_way is not None and self._giving_way.scale < 1.0:
            parts.append(f"picture at {self._giving_way.scale:.0%}")
        parts += ["MediaPipe tracker"] * (self._inference.tracker == "mediapipe")  # asked for, or fallen back to
        parts += ["camera on"] * (self._camera is not None and self._camera.active)
        if self._microphone is not None:
            parts.append("mic on" if self._microphone.active else "NO SOUND" if self._microphone.problem else "")
        parts += ["PAUSED"] * self._inference.paused + [self._recordings.status]
        parts += ["NOT RECORDED"] * (bool(self._recordings.problems) and not self._recordings.active)
        return " · ".join(part for part in parts if part)
