"""Packets of Live Link Face, as its app sends them to Unreal Engine (UDP, port 11111).

Layout, big-endian: u8 version 6; i32 length, device id; i32 length, subject; i32 frame, f32 sub-frame; i32 numerator
and denominator of the frame rate; u8 count 61; 61 f32. A phone that sees no face sends a packet that ends with the
subject, or with a count of 0. The names are those of Unreal's `EARFaceBlendShape`. The head's yaw grows to the person's
left, pitch upwards, roll onto the right shoulder; the eyes' yaw to the person's left, pitch downwards. The app sends
radians."""

import struct
from typing import Final

import numpy as np

from capture.phones.packet import DamagedPacketError, FacePacket, check_finite
from core.expression_units import UNIT_NAMES

PORT: Final = 11111
VERSION: Final = 6
VALUE_COUNT: Final = 61
# fmt: off
SHAPE_NAMES: Final = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)
# fmt: on
"""Of the first 52 values. Then: head yaw, pitch, roll; left eye yaw, pitch, roll; right eye yaw, pitch, roll."""

SHAPES_OF_UNITS: Final = np.array([UNIT_NAMES.index(name) for name in SHAPE_NAMES])
"""[52] for each of the packet's shapes its place in `UNIT_NAMES`."""

_LONGEST_NAME = 256  # bytes
_LARGEST_WEIGHT, _LARGEST_ANGLE = 10.0, 7.0


def read_packet(packet: bytes) -> FacePacket:
    """Raises DamagedPacketError."""
    if len(packet) < 9 or packet[0] != VERSION:
        raise DamagedPacketError(f"{len(packet)} bytes, the first {packet[:1].hex() or 'none'}; expected version 06")
    _, at = _name(packet, 1)
    subject, at = _name(packet, at)
    if len(packet) < at + 17 or packet[at + 16] == 0:
        return FacePacket(tracked=False, sender=subject)
    count = packet[at + 16]
    if count != VALUE_COUNT or len(packet) < at + 17 + 4 * VALUE_COUNT:
        raise DamagedPacketError(f"{count} values in {len(packet)} bytes, expected {VALUE_COUNT}")
    values = struct.unpack_from(f">{VALUE_COUNT}f", packet, at + 17)
    check_finite(values[:52], _LARGEST_WEIGHT, "a coefficient")
    check_finite(values[52:], _LARGEST_ANGLE, "an angle")
    weights = np.zeros(52)
    weights[SHAPES_OF_UNITS] = values[:52]
    head, left, right = values[52:55], values[55:57], values[58:60]
    return FacePacket(weights, (head[0], -head[1], head[2]), ((right[0], right[1]), (left[0], left[1])), sender=subject)


def _name(packet: bytes, at: int) -> tuple[str, int]:
    """A string with its length before it, and where it ends."""
    length = int.from_bytes(packet[at : at + 4], "big")
    end = at + 4 + length
    if length > _LONGEST_NAME or end > len(packet):
        raise DamagedPacketError(f"a name of {length} bytes in a packet of {len(packet)}")
    return packet[at + 4 : end].rstrip(b"\0").decode("utf-8", "replace"), end
