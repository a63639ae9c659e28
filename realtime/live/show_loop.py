"""The main thread's loop: shows poses, obeys commands, tells the user what happens."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from capture.sound.microphone import Microphone
from core.spans import measured_by
from core.writable import reason_of
from realtime.live.giving_way import GivingWay
from realtime.live.inference_loop import InferenceLoop
from realtime.live.person import PersonalCalibration
from realtime.live.pipeline import AnyPosed, PosedFrame
from realtime.live.time_limit import TimeLimit
from realtime.live.virtual_camera import VirtualCamera
from realtime.outputs.sender import MotionSender
from realtime.recording.recordings import Recordings
from realtime.threads.cores import give_way
from realtime.threads.latest_slot import LatestSlot, SlotClosedError
from realtime.threads.timing import Rate, SectionTimes
from realtime.threads.worker import Stop
from render.native.spare_core import SpareCore
from render.skin.moving_skin import SkinPose
from render.window.viewer import Viewer, ViewerCommand

log = logging.getLogger(__name__)

REDRAW_S = 1 / 60
STATUS_S = 0.5
FLOWING_S = 0.1  # while poses come closer than this, the next one brings the words along


class ShowLoop:
    """Owns the viewer, and with it OpenGL: `run` is called on the thread that made both.

    Args:
        avatar: shown at rest until the first pose comes.
        poses: to be shown; closed at their end.
        ready: set once frames are answered; a limited session's time counts from then.
        limit: when to end.
        status: the line about the session, made anew twice a second.
        inference: is asked to pause and to keep the head still.
        person: is asked for a neutral and for the range of motion, and tells what the user should do.
        recordings: are begun and ended by command, and given every picture shown.
        rate: of the frames shown.
        times: is told how long drawing and recording took.
        camera: is offered every picture drawn.
        sender: tells what is wrong with outputs.
        microphone: tells what is wrong with it.
        giving_way: decides how large the picture is drawn, given how many frames were `offered` so far; None: in full.
    """

    def __init__(
        self,
        viewer: Viewer,
        avatar: Avatar,
        poses: LatestSlot[AnyPosed],
        ready: threading.Event,
        limit: TimeLimit,
        *,
        status: Callable[[], str],
        inference: InferenceLoop,
        person: PersonalCalibration,
        recordings: Recordings,
        rate: Rate,
        times: SectionTimes,
        stop: Stop,
        camera: VirtualCamera | None = None,
        sender: MotionSender | None = None,
        microphone: Microphone | None = None,
        giving_way: GivingWay | None = None,
        offered: Callable[[], int] = lambda: 0,
    ) -> None:
        self._viewer = viewer
        self._avatar = avatar
        self._poses = poses
        self._ready = ready
        self._limit = limit
        self._make_status = status
        self._inference = inference
        self._person = person
        self._recordings = recordings
        self._rate = rate
        self._times = times
        self._stop = stop
        self._camera, self._sender, self._microphone = camera, sender, microphone
        self._giving_way, self._offered, self._core_free = giving_way, offered, SpareCore()
        self._latest: AnyPosed | None = None
        self._files = ThreadPoolExecutor(1, "screenshot", initializer=give_way)
        self._screenshots: deque[Future[str]] = deque()
        self._status, self._status_due_s = "starting", 0.0
        self._drawn_status, self._shown_s = "", float("-inf")

    def run(self) -> bool:
        """Show poses until they end, somebody asks to stop, or the time is over; whether it was the time."""
        self._viewer.notify("H shows all keys")
        with self._files:  # what is being saved is waited for
            return self._run()

    def _run(self) -> bool:
        while not self._stop.requested:
            if self._limit.is_over(time.monotonic(), ready=self._ready.is_set(), posed=self.posed):
                return True
            for command in self._viewer.poll():
                self._obey(command)
            for notice in self._notices():
                if notice is not None:
                    self._viewer.notify(notice)
            self._viewer.prompt(self._person.prompt)
            try:
                with self._times.waiting("wait for a pose"):
                    posed = self._poses.take(REDRAW_S)
            except SlotClosedError:
                return False
            now_s = time.monotonic()
            if now_s >= self._status_due_s:
                self._status, self._status_due_s = self._make_status(), now_s + STATUS_S
            if posed is not None:
                self._show(posed)
            elif self._viewer.needs_redraw or self._words_wait(now_s):
                self._redraw()
        return False

    def _words_wait(self, now_s: float) -> bool:
        """Whether new words are worth a picture of their own: one drawn between two poses makes the second late."""
        return self._status != self._drawn_status and now_s - self._shown_s > FLOWING_S

    def _notices(self) -> list[str | None]:
        told = [self._person.take_notice(), self._recordings.take_notice(), self._take_saved()]
        return [
            *told,
            *(each.take_notice() for each in (self._camera, self._sender, self._microphone) if each is not None),
        ]

    @property
    def posed(self) -> bool:
        """Whether there was anything to show."""
        return self._latest is not None

    def _show(self, posed: AnyPosed) -> None:
        fresh = self._latest is None or posed.pose.index != self._latest.pose.index
        self._latest = posed
        self._draw(posed)
        self._shown_s = time.monotonic()
        if fresh:  # and not the easing between two frames
            now_s = time.monotonic()
            self._times.add("capture_to_shown", now_s - posed.frame.timestamp_s)
            self._rate.tick(now_s)
            if self._giving_way is not None:
                done = self._offered(), self._rate.count, self._times.wall_s("upload", "draw")
                self._viewer.scale = self._giving_way(
                    now_s, *done, core_free=self._core_free(), scales=self._viewer.scales
                )
        if self._recordings.active:
            with self._times.section("record", posed.pose.index):
                self._recordings.add_picture(_driver_rgb(posed), self._viewer.read_rgb(), posed.frame.timestamp_s)

    def _draw(self, posed: AnyPosed) -> None:
        with self._times.section("render", posed.pose.index), measured_by(self._times.section):
            pose = posed.pose
            shape = pose.skin if pose.skin is not None and self._viewer.takes_poses else pose.vertices
            self._picture(shape, pose.T_world_head, _driver_rgb(posed))
        self._offer()

    def _redraw(self) -> None:
        if self._latest is not None:
            self._draw(self._latest)
        else:  # at rest, while the engine is being made
            self._picture(self._avatar.display_mesh.vertices, np.eye(4), None)
            self._offer()

    def _picture(
        self,
        shape: NDArray[np.float32] | SkinPose,
        T_world_head: NDArray[np.float64],
        driver_rgb: NDArray[np.uint8] | None,
    ) -> None:
        """Draw a pose with the words of now."""
        self._viewer.show(shape, T_world_head, driver_rgb, self._status)
        self._drawn_status = self._status

    def _offer(self) -> None:
        if self._camera is not None:
            with self._times.section("virtual camera"):
                self._camera.offer(self._viewer)

    def _obey(self, command: ViewerCommand) -> None:
        if command is ViewerCommand.QUIT:
            self._stop.request()
        elif command is ViewerCommand.NEUTRAL:
            self._person.request_neutral()
            self._viewer.notify("taking your face as neutral")
        elif command is ViewerCommand.RANGE:
            self._person.request_range()
            self._viewer.notify("your range of motion: G again stops it")
        elif command is ViewerCommand.NEXT_FACE:
            self._inference.follow_next_face()
            self._viewer.notify("following another face, if there is one")
        elif command is ViewerCommand.PAUSE:
            paused = self._inference.toggle_pause()
            self._recordings.note(time.monotonic(), "pause" if paused else "going on")
            self._viewer.notify("paused" if paused else "going on")
            self._status_due_s = 0.0
        elif command is ViewerCommand.HEAD_POSE:
            self._viewer.notify("the head follows you" if self._inference.toggle_head_pose() else "the head stays")
        elif command is ViewerCommand.MIRROR:
            self._viewer.notify("mirrored" if self._viewer.controls.mirror else "not mirrored")
        elif command is ViewerCommand.RECORD:
            self._viewer.notify(self._recordings.toggle(self._avatar))
        elif command is ViewerCommand.SCREENSHOT:
            self._screenshots.append(self._files.submit(_save_screenshot, self._viewer.read_still()))

    def _take_saved(self) -> str | None:
        """What became of a screenshot."""
        if self._screenshots and self._screenshots[0].done():
            return self._screenshots.popleft().result()
        return None


def _driver_rgb(posed: AnyPosed) -> NDArray[np.uint8] | None:
    """[H, W, 3] the driver's picture, where there is one."""
    return posed.frame.picture if isinstance(posed, PosedFrame) else None


def _save_screenshot(picture: NDArray[np.uint8]) -> str:
    """Save [H, W, 3] or [H, W, 4]: packing a picture takes a tenth of a second and a disk may take any time, so it
    is no work for the thread that shows. Returns what the user is told."""
    from PIL import Image

    path = Path(f"vfa-{datetime.now():%Y%m%d-%H%M%S-%f}.png")
    try:
        Image.fromarray(np.ascontiguousarray(picture)).save(path)
    except OSError as error:
        log.error("%s: the screenshot cannot be saved (%s)", path, reason_of(error))
        return f"{path} cannot be saved: {reason_of(error)}"
    log.info("screenshot: %s", path)
    return f"saved {path}"
