"""Where frames come from: one small protocol for cameras, recordings and the built-in performer."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from core.errors import SourceError as SourceError
from core.face_motion import MotionFrame
from core.frame import RgbdFrame

_READ_TIMEOUT_S = 5.0
Frame_co = TypeVar("Frame_co", covariant=True)


class DeviceState(Enum):
    """What a source is doing right now; shown in the viewer and counted in the report."""

    NO_DEVICE = "no device"
    WAITING_FIRST_FRAME = "waiting for the first frame"
    STREAMING = "streaming"
    STALLED = "stalled"
    FROZEN = "frozen"  # sends the same picture again and again
    DAMAGED = "damaged pictures"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


@dataclass(frozen=True)
class SoundPiece:
    """A part of a sound that was cut together with its pictures: what is heard from `begins_s` to `ends_s`, on the
    clock of the frames, was heard from `from_s` on before the cut."""

    begins_s: float
    ends_s: float
    from_s: float

    def later(self, by_s: float) -> "SoundPiece":
        """The same on a clock that shows so much more."""
        return SoundPiece(self.begins_s + by_s, self.ends_s + by_s, self.from_s + by_s)


@dataclass(frozen=True)
class Sound:
    """The sound that goes with a source's pictures.

    Attributes:
        path: the file that holds it.
        begins_s: timestamp of that file's first picture, on the clock of the frames before anything was cut out.
        pieces: what of it is heard when, in order; None: all of it.
    """

    path: Path
    begins_s: float
    pieces: "tuple[SoundPiece, ...] | None" = None

    def later(self, by_s: float) -> "Sound":
        """The same on a clock that shows so much more."""
        pieces = None if self.pieces is None else tuple(piece.later(by_s) for piece in self.pieces)
        return Sound(self.path, self.begins_s + by_s, pieces)


class Source(Protocol[Frame_co]):
    """A stream of frames, owned by one thread.

    A failed `open` leaves nothing open. `close` may be called at any time, more than once, from the owning thread.
    A class that inherits from it is a source without a device, such as a recording, until it says otherwise.
    """

    name: str
    fps: float  # nominal, 0 when unknown
    frame_count: int | None  # None when it never ends by itself
    skipped: int  # frames that a newer one overtook because the reader was late

    @property
    def state(self) -> DeviceState: ...

    @property
    def detail(self) -> str:
        """One line on what is wrong with the device and what to do; empty while nothing is."""
        return ""

    @property
    def faults(self) -> dict[str, int]:
        """What went wrong with the device so far, counted by kind, as the report lists it; empty without a device."""
        return {}

    @property
    def device_latency_s(self) -> float | None:
        """What the device adds between exposure and arrival; None where that is not known, or without a device."""
        return None

    @property
    def seen(self) -> bool:
        """Whether its frames bring along what a tracker saw in them."""
        return False

    @property
    def sound(self) -> Sound | None:
        """The sound of a recording, once its first frame was read; None where there can be none."""
        return None

    def open(self) -> None:
        """Acquire the device or files. Raises SourceError."""

    def read(self, timeout_s: float) -> Frame_co | None:
        """The next frame in order, or None after `timeout_s` without one.

        Raises EOFError at the end of a recording and SourceError when the source is broken for good.
        """

    def close(self) -> None: ...


AnyFrame: TypeAlias = RgbdFrame | MotionFrame
RgbdSource: TypeAlias = Source[RgbdFrame]
MotionSource: TypeAlias = Source[MotionFrame]
"""A source whose frames are motion without a picture."""


def frames_of(source: Source[Frame_co]) -> Generator[Frame_co, None, None]:
    """Every frame of a recording, in order; opens and closes the source. Raises SourceError."""
    source.open()
    try:
        while True:
            try:
                frame = source.read(_READ_TIMEOUT_S)
            except EOFError:
                return
            if frame is not None:
                yield frame
    finally:
        source.close()
