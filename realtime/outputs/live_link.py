"""Packets as the app Live Link Face sends them, for Unreal Engine; layout and signs: `capture.phones.live_link`."""

import math
import struct
import time
import uuid
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from capture.phones.live_link import SHAPES_OF_UNITS, VALUE_COUNT, VERSION
from core.rigid_motion import turns
from realtime.outputs.moment import Moment

Angles = Literal["radians", "half-turns"]
Pitch = Literal["down", "up"]

_FPS: Final = 60
_DAY_S = 86_400


@dataclass(frozen=True)
class LiveLinkOptions:
    """subject: under which Unreal lists the face. angles: of head and eyes, radians as the app sends them or shares of
    half a turn as Unreal's own ARKit plug-in has them. pitch: where the head's grows, up as other senders to Unreal and
    receivers have it, or down."""

    subject: str = "vfa"
    angles: Angles = "radians"
    pitch: Pitch = "up"


class LiveLinkEncoder:
    """One packet a frame. Without a face it goes on, so that the face in Unreal comes to rest as the avatar does."""

    def __init__(self, options: LiveLinkOptions | None = None) -> None:
        options = options or LiveLinkOptions()
        device = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{options.subject}.vfa-live")).upper().encode()
        subject = options.subject.encode()
        self._head = struct.pack(
            f">Bi{len(device)}si{len(subject)}s", VERSION, len(device), device, len(subject), subject
        )
        self._unit = 1.0 if options.angles == "radians" else 1 / math.pi
        self._pitch = 1.0 if options.pitch == "down" else -1.0
        now = time.localtime()
        self._midnight_s = (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec + time.time() % 1) - time.monotonic()

    def packets(self, moment: Moment) -> list[bytes]:
        """One packet."""
        motion = moment.motion
        frames = ((moment.timestamp_s + self._midnight_s) % _DAY_S) * _FPS  # Unreal takes them for a timecode
        yaw, pitch, roll = turns(motion.T_neutral_head[:3, :3])
        (right_yaw, right_pitch), (left_yaw, left_pitch) = motion.gaze.tolist()
        angles = (yaw, self._pitch * pitch, roll, left_yaw, -left_pitch, 0.0, right_yaw, -right_pitch, 0.0)
        values = [*np.clip(motion.weights[SHAPES_OF_UNITS], 0.0, 1.0).tolist(), *(self._unit * it for it in angles)]
        time_code = struct.pack(">ifiiB", int(frames), frames % 1, _FPS, 1, VALUE_COUNT)
        return [self._head + time_code + struct.pack(f">{VALUE_COUNT}f", *values)]
