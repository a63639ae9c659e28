"""The sending thread: takes the newest moment of a session and serves every output with it."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from core.face_motion import FaceMotion
from engine.motion.protocol import AvatarPose
from realtime.outputs.moment import Moment
from realtime.outputs.output import Output, OutputReport
from realtime.threads.latest_slot import LatestSlot, SlotClosedError
from realtime.threads.timing import SectionTimes
from realtime.threads.worker import Stop, Worker

log = logging.getLogger(__name__)

REPEAT_S = 0.25  # without anything new for so long, the last moment is sent again: receivers see that we are there
_JOIN_S = 3.0


class MotionSender:
    """Sends what the avatar does to any number of outputs, on a thread of its own.

    `put` costs whoever calls it a few microseconds and never waits: the newest moment wins. An output that fails is
    tried again with every moment, and told of once; the others and the session go on. The last thing that is sent is a
    face at rest, so that no other program is left with a grimace.

    Args:
        stop: asked to end the session where the thread itself breaks.
        times: is told what a moment costs, as "send".
    """

    def __init__(self, outputs: Sequence[Output], stop: Stop, times: SectionTimes | None = None) -> None:
        self._outputs = list(outputs)
        self._times = times or SectionTimes()
        self._moments: LatestSlot[Moment] = LatestSlot()
        self._notices: deque[str] = deque(maxlen=8)
        self._worker = Worker("send", self._run, stop, self._end)

    def start(self) -> None:
        """Begin to send; without outputs there is nothing to begin."""
        if self._outputs:
            self._worker.start()

    def put(self, pose: AvatarPose) -> None:
        """Offer a pose. Any thread may."""
        if self._outputs:
            self._moments.put(Moment(pose.motion, pose.timestamp_s, pose.tracked))

    def close(self) -> None:
        """Send what is left and a face at rest, and end. May be called twice."""
        self._moments.close()
        self._worker.join(_JOIN_S)

    @property
    def dropped(self) -> int:
        """Moments that a newer one overtook."""
        return self._moments.dropped

    def take_notice(self) -> str | None:
        """What the user should be told, each once."""
        return self._notices.popleft() if self._notices else None

    def report(self) -> list[OutputReport]:
        """How each output has fared so far."""
        return [output.report() for output in self._outputs]

    # --- sending thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        last, sent_s = None, 0.0
        while True:
            try:
                moment = self._moments.take(REPEAT_S)
            except SlotClosedError:
                break
            now_s = time.monotonic()
            if moment is not None:
                last, sent_s = moment, now_s
            elif last is None:
                continue
            else:
                moment = replace(last, timestamp_s=last.timestamp_s + now_s - sent_s)
            with self._times.section("send"):
                self._serve(moment)
        if last is not None:
            now_s = time.monotonic()
            at_rest = Moment(FaceMotion.at_rest(), last.timestamp_s + now_s - sent_s, tracked=False)
            self._serve(at_rest, last=True)

    def _serve(self, moment: Moment, *, last: bool = False) -> None:
        for output in self._outputs:
            if (said := output.offer(moment, time.monotonic(), last=last)) is not None:
                log.warning("%s", said)
                self._notices.append(said)

    def _end(self) -> None:
        for output in self._outputs:
            output.close()
