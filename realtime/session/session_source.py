"""A session as a source: the same frames at the same times, or as fast as they are read."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capture.cameras.depth_alignment import DepthAlignment
from capture.recordings.playback import WHOLE, Excerpt, PastEndError
from core.camera import Intrinsics, assumed_intrinsics
from core.errors import InputError
from core.face_motion import MotionFrame, MotionTrack
from core.picture_limits import check_picture_size, stated_intrinsics
from core.source import AnyFrame, DeviceState, Sound, Source, SourceError
from engine.motion.posed_frame import UNTOLD, Calibration
from realtime.session.kept_pictures import KeptPictures, Pixels
from realtime.session.manifest import Event
from realtime.session.observation_records import Kind, motion_of, observation_of
from realtime.session.reader import SessionReader
from realtime.session.seen_frame import SeenFrame

_UNKNOWN_SIZE = (640, 480)  # of pictures nobody has a word about
_WHOLE_STEP_S = 1 / 1024  # a shift by a multiple of this keeps the differences of times to the last digit
_GAP_S = 0.25  # without a frame for so long, a source says what it was doing


class SessionSource(Source[AnyFrame]):
    """Plays a session. Its frames are `SeenFrame`s, or `MotionFrame`s where a phone drove, numbered from 0;
    `SeenTracker` and `ReplayedPerson` go with them.

    Args:
        session: what is played.
        realtime: hand every frame over when it is due, on the monotonic clock, in which its timestamp then is; those a
            late reader can no longer get in time are passed over and counted in `skipped`. Otherwise every frame is
            handed over at once, with the very timestamp it had.
        pictures: whether only frames with their picture are wanted.
        excerpt: the frames that are played.
        edited: the session's motion with its edits, played in place of what the tracker saw, and with it what is heard.
        clock, sleep: for tests.

    Raises InputError where the session holds no frames, or no pictures though they are wanted.
    """

    def __init__(
        self,
        session: SessionReader,
        *,
        realtime: bool,
        pictures: bool = False,
        excerpt: Excerpt = WHOLE,
        edited: tuple[MotionTrack, Sound | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.skipped = str(session.folder), 0
        self.fps = _rate_of(session)
        self._session, self._excerpt, self._realtime, self._pictures = session, excerpt, realtime, pictures
        self._clock, self._sleep = clock, sleep
        self._edited: MotionTrack | None
        self._edited, self._sound = edited if edited is not None else (None, session.sound)
        kinds = session.observations["kind"]
        count = int((kinds != Kind.NEUTRAL).sum()) if self._edited is None else len(self._edited)
        if not count:
            raise SourceError(f"{self.name}: expected a session, found no frame in it; record it again")
        if pictures and not KeptPictures.there(session.folder):
            raise InputError(
                f"{self.name}: holds no pictures of the driver, which the flow engine and --retrack need; record with  "
                "--record-raw colour"
            )
        self.frame_count: int | None = excerpt.of(count)
        self._states = [event for event in session.events if event.what == "state"]
        self._cameras = sorted((event for event in session.events if event.what == "camera"), key=_time_of)
        self._frames: Generator[AnyFrame, None, None] | None = None
        self._next: AnyFrame | None = None
        self._shift_s: float | None = None  # from the session's clock to ours
        self._last_s = -math.inf
        self._ended = False
        self._camera: tuple[Event, Intrinsics, DepthAlignment | None] | None = None  # the last one asked for

    @property
    def seen(self) -> bool:
        """Its frames bring along what was seen in them."""
        return True

    @property
    def sound(self) -> Sound | None:
        """What was heard; None where edits have changed its speed."""
        shift_s = self._shift_s if self._realtime else 0.0
        return None if self._sound is None or shift_s is None else self._sound.later(shift_s)

    @property
    def state(self) -> DeviceState:
        """What the source was doing at this moment of the session; edits have changed its times."""
        if self._ended or self._frames is None:
            return DeviceState.ENDED
        if self._shift_s is None or not self._realtime or self._edited is not None:
            return DeviceState.STREAMING
        told, time_s = DeviceState.STREAMING, self._clock() - self._shift_s
        for event in self._states:
            if event.time_s > time_s:
                break
            told = next((state for state in DeviceState if state.value == event.details.get("state")), told)
        return told

    def open(self) -> None:
        self.close()
        self.skipped, self._shift_s, self._ended = 0, None, False
        self._frames = self._all_frames() if self._edited is None else self._edited_frames(self._edited)
        try:
            if self._peek() is None and self._excerpt.first:
                raise PastEndError(f"{self.name}: has no frame {self._excerpt.first}; give a smaller number")
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> AnyFrame | None:
        """The next frame; None when it is not due within `timeout_s`. Raises EOFError after the last one."""
        if self._frames is None:
            raise SourceError(f"{self.name}: is not open")
        frame = self._peek()
        if frame is None:
            self._ended = True
            raise EOFError(f"{self.name}: end of the session")
        if not self._realtime:
            self._next = None
            return frame
        if (wait_s := -self._late_s(frame)) > 0:
            self._sleep(min(wait_s, timeout_s))
            if wait_s > timeout_s:
                return None
        self._next = None
        while self._late_s(frame) > 1 / (self.fps or 30.0):
            following = self._peek()
            if following is None or self._late_s(following) < 0:
                break
            frame, self._next = following, None
            self.skipped += 1
        assert self._shift_s is not None
        self._last_s = frame.timestamp_s + self._shift_s
        return replace(frame, timestamp_s=self._last_s)

    def close(self) -> None:
        frames, self._frames, self._next = self._frames, None, None
        if frames is not None:
            frames.close()

    def _late_s(self, frame: AnyFrame) -> float:
        now_s = self._clock()
        if self._shift_s is None:  # in another round, after the last frame of the one before
            begins_s = max(now_s, self._last_s + 1 / (self.fps or 30.0))
            self._shift_s = math.ceil((begins_s - frame.timestamp_s) / _WHOLE_STEP_S) * _WHOLE_STEP_S
        return now_s - self._shift_s - frame.timestamp_s

    def _peek(self) -> AnyFrame | None:
        if self._next is None and self._frames is not None:
            self._next = next(self._frames, None)
        return self._next

    def _edited_frames(self, track: MotionTrack) -> Generator[AnyFrame, None, None]:
        end = len(track) if self._excerpt.count is None else self._excerpt.first + self._excerpt.count
        for index in range(self._excerpt.first, min(end, len(track))):
            yield MotionFrame(track[index], bool(track.tracked[index]), float(track.timestamps_s[index]), index)

    def _all_frames(self) -> Generator[AnyFrame, None, None]:
        """Those of the excerpt. What came before is passed over, but its neutral holds."""
        pictures = KeptPictures(self._session.folder) if KeptPictures.there(self._session.folder) else None
        calibration, index, last = UNTOLD, -1, None
        black: dict[tuple[int, int], NDArray[np.uint8]] = {}
        try:
            for number in range(len(self._session.observations)):
                record = np.array(self._session.observations[number])
                camera, align = self._camera_at(float(record["timestamp_s"]))
                if record["kind"] == Kind.NEUTRAL:
                    frame = _frame(record, int(record["index"]), camera, None, UNTOLD, black)
                    calibration = replace(calibration, neutral=observation_of(record, frame))
                    continue
                index += 1
                if self._excerpt.ends_before(index):
                    return
                if record["kind"] == Kind.MOTION:
                    if index >= self._excerpt.first and not self._pictures:
                        yield MotionFrame(
                            motion_of(record), bool(record["tracked"]), float(record["timestamp_s"]), index
                        )
                    continue
                silence = record["kind"] == Kind.SILENCE
                picture = None if pictures is None or silence else pictures.at(float(record["timestamp_s"]))
                last = picture if picture is not None else last if silence else None
                if index < self._excerpt.first or (self._pictures and last is None):
                    continue
                calibration = _told(calibration, record)
                pixels = None if last is None else last.pixels(camera, align)
                yield _frame(record, index, camera, pixels, calibration, black)
        finally:
            if pictures is not None:
                pictures.close()

    def _camera_at(self, time_s: float) -> tuple[Intrinsics, DepthAlignment | None]:
        """And how its depth was brought to its colour, where that was kept."""
        if not self._cameras:
            return assumed_intrinsics(*_UNKNOWN_SIZE), None
        event = self._cameras[max(bisect_right(self._cameras, time_s, key=_time_of), 1) - 1]
        if self._camera is None or self._camera[0] is not event:
            camera = camera_of(event, self.name)
            self._camera = event, camera, alignment_of(event, camera, self.name)
        return self._camera[1:]


def _time_of(event: Event) -> float:
    return event.time_s


def _rate_of(session: SessionReader) -> float:
    """Frames a second as they were kept, fewer than the source's where the machine had no time for all: what is late by
    its own measure is none by this."""
    observations = session.observations
    times_s = observations["timestamp_s"][np.isin(observations["kind"], (Kind.FRAME, Kind.MOTION))]
    usual_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    fps = session.manifest.fps
    return min(fps or math.inf, 1 / usual_s) if usual_s > 0 else fps


def camera_of(event: Event, name: str) -> Intrinsics:
    """The camera that an event tells of. Raises InputError where it is none."""
    try:
        numbers = [event.details[key] for key in ("fx", "fy", "cx", "cy", "width", "height")]
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("expected numbers")
        camera = stated_intrinsics(*numbers)
        check_picture_size(name, camera.width, camera.height)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{name}: tells of a camera that cannot be ({error}); record it again") from None
    return camera


def alignment_of(event: Event, camera: Intrinsics, name: str) -> DepthAlignment | None:
    """How depth that a camera beside this one saw is brought to its pictures; None where it came so. Raises
    InputError."""
    if "depth_kind" not in event.details:
        return None
    try:
        return DepthAlignment.of(event.details, camera, name)
    except ValueError as error:
        raise InputError(f"{name}: tells of a depth camera that cannot be ({error}); record it again") from None


def _told(before: Calibration, record: NDArray[Any]) -> Calibration:
    follows, gains = bool(record["head_follows"]), np.array(record["gains"])
    if follows == before.head_follows and gains.shape == before.gains.shape and (gains == before.gains).all():
        return before
    return Calibration(before.neutral, gains, follows)


def _frame(
    record: NDArray[Any],
    index: int,
    camera: Intrinsics,
    pixels: Pixels | None,
    calibration: Calibration,
    black: dict[tuple[int, int], NDArray[np.uint8]],
) -> SeenFrame:
    size = camera.height, camera.width
    if pixels is None and size not in black:
        black[size] = np.zeros((*size, 3), np.uint8)
    rgb, depth_m = (black[size], None) if pixels is None else pixels
    time_s = float(record["timestamp_s"])
    return SeenFrame(rgb, depth_m, camera, time_s, index, record, calibration, pictured=pixels is not None)
