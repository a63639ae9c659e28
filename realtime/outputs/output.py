"""One output of a session: a target with its rate, its mirror, and how it fares."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from core.writable import reason_of
from realtime.outputs.address import Address, resolved
from realtime.outputs.greeted_target import GreetedTarget
from realtime.outputs.ifacialmocap import IFacialMocapEncoder
from realtime.outputs.live_link import Angles, LiveLinkEncoder, LiveLinkOptions, Pitch
from realtime.outputs.moment import Encoder, Moment
from realtime.outputs.script_json import JsonEncoder
from realtime.outputs.target import Target, UdpTarget
from realtime.outputs.vmc import Names, Shapes, VmcEncoder, VmcOptions
from realtime.threads.timing import Durations

log = logging.getLogger(__name__)

_SOUND_S: Final = 2.0  # without a failure for so long, a target is well again
_EARLY: Final = 0.5  # of an interval: frames that come a little early are still in time


@dataclass(frozen=True)
class OutputReport:
    """How one output fared; field names are the JSON's.

    Attributes:
        to: as --send named it.
        sent: moments delivered to somebody. failed: moments that could not be sent.
        per_second: delivered, between the first and the last.
        interval_ms: between two of them, {p50, p95, max}.
        problem: what is wrong with it at this moment, or empty.
    """

    to: str
    sent: int
    failed: int
    per_second: float
    interval_ms: dict[str, float]
    problem: str


class Output:
    """Delivers moments to one target, counts them, and tells once what is wrong. Owned by the sending thread.

    Args:
        address: for its name, rate and mirror.
    """

    def __init__(self, address: Address, target: Target) -> None:
        self._address, self._target = address, target
        self._due_s = float("-inf")
        self._sent = self._failed = 0
        self._first_s = self._last_s = 0.0
        self._intervals = Durations()
        self._problem = ""
        self._failed_s = float("-inf")

    @property
    def name(self) -> str:
        return self._address.text

    def offer(self, moment: Moment, now_s: float, *, last: bool = False) -> str | None:
        """Deliver the moment unless it comes too soon after the one before and is not the last. Returns what the user
        is to be told."""
        step_s = 1 / self._address.rate_hz
        if now_s < self._due_s - _EARLY * step_s and not last:
            return None
        self._due_s = max(self._due_s + step_s, now_s)
        try:
            delivered = self._target.deliver(moment.mirrored() if self._address.mirror else moment)
        except OSError as error:
            self._failed += 1
            self._failed_s = now_s
            problem = _told(error)
            if problem == self._problem:
                return None
            self._problem = problem
            return f"--send {self.name}: {problem}; it is tried again, all else goes on"
        if delivered:
            if self._sent:
                self._intervals.add(now_s - self._last_s)
            else:
                self._first_s = now_s
            self._last_s = now_s
            self._sent += 1
        if self._problem and now_s - self._failed_s > _SOUND_S:
            self._problem = ""
            return f"--send {self.name}: well again"
        return None

    def close(self) -> None:
        self._target.close()

    def report(self) -> OutputReport:
        elapsed_s = self._last_s - self._first_s
        return OutputReport(
            to=self.name,
            sent=self._sent,
            failed=self._failed,
            per_second=round((self._sent - 1) / elapsed_s, 2) if elapsed_s > 0 else 0.0,
            interval_ms=self._intervals.summary_ms(),
            problem=self._problem,
        )


def open_output(address: Address, face_model: Path | None = None) -> Output:
    """The output an address names. Nothing is sent yet, and nobody needs to be there.

    Raises InputError for a host that cannot be found and for packages that are missing.
    """
    options = dict(address.options)
    encoder: Encoder
    family, numbers = resolved(address.host, address.port, f"--send {address.text}")
    if address.scheme == "ws":
        from realtime.outputs.websocket_target import WebSocketTarget

        return Output(address, WebSocketTarget(JsonEncoder(), address.host, address.port, options.get("origin")))
    if options.get("greeting") == "1":
        return Output(address, GreetedTarget(family, numbers))
    if address.scheme == "vmc":
        encoder = VmcEncoder(
            VmcOptions(cast(Names, options.get("names", "vrm0")), cast(Shapes, options.get("shapes", "all")))
        )
    elif address.scheme == "livelink":
        angles = cast(Angles, options.get("angles", "radians"))
        pitch = cast(Pitch, options.get("pitch", "up"))
        encoder = LiveLinkEncoder(LiveLinkOptions(options.get("subject", "vfa"), angles, pitch))
    elif address.scheme == "ifacialmocap":
        encoder = IFacialMocapEncoder(int(options.get("version", "1")))
    else:
        from capture.face.face_model_file import find_face_model
        from core.canonical_face import load_canonical_face
        from realtime.outputs.face_points import FacePoints
        from realtime.outputs.open_see_face import OpenSeeFaceEncoder

        encoder = OpenSeeFaceEncoder(FacePoints(load_canonical_face(find_face_model(face_model))))
    return Output(address, UdpTarget(encoder, family, numbers))


def _told(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, BlockingIOError):
        return "the network does not keep up"
    return f"cannot be sent to ({reason_of(error)})"
