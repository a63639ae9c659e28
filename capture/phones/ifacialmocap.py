"""Packets of iFacialMocap, a line of text each (UDP, port 49983): https://www.ifacialmocap.com/for-developer/

    mouthSmile_R-0|eyeLookOut_L-44|…|=head#rx,ry,rz,px,py,pz|rightEye#rx,ry,rz|leftEye#rx,ry,rz|

Coefficients are 0 to 100, in no certain order, and not all are always there; version 2 writes & for -. Angles are
degrees about ARKit's axes: rx downwards, ry to the person's left, rz onto the right shoulder. In the packets that were
published eyeLookOut_L and eyeLookIn_R come with a positive ry of both eyes, and eyes turn against the head. Other
names, such as hapihapi, are passed over; trackingStatus-0 says that there is no face."""

import math
import re
from typing import Final

import numpy as np

from capture.phones.packet import LARGEST_PACKET, DamagedPacketError, FacePacket, check_finite
from core.expression_units import UNIT_COUNT, UNIT_NAMES, with_side_letter

PORT: Final = 49983
GREETING: Final = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"
NAMES: Final = tuple(with_side_letter(name) for name in UNIT_NAMES)
"""In the order of `UNIT_NAMES`."""

_UNITS: Final = {name: number for number, name in enumerate(NAMES)} | {
    name: number for number, name in enumerate(UNIT_NAMES)
}
_VALUE: Final = re.compile(r"(\w+)[-&](-?[\d.]+)")
_MOST_PARTS = 200
_LARGEST_VALUE, _LARGEST_ANGLE_DEG, _FARTHEST = 1000.0, 400.0, 1e4


def read_packet(packet: bytes) -> FacePacket:
    """Raises DamagedPacketError where nothing of a face is in it."""
    if len(packet) > LARGEST_PACKET:
        raise DamagedPacketError(f"{len(packet)} bytes, expected {LARGEST_PACKET} at most")
    parts = packet.decode("utf-8", "replace").split("|", _MOST_PARTS)[:_MOST_PARTS]
    weights, seen, tracked = np.zeros(UNIT_COUNT), set[int](), True
    bones: dict[str, list[float]] = {}
    for part in parts:
        name, mark, numbers = part.lstrip("=").partition("#")
        if mark and name in ("head", "leftEye", "rightEye"):
            bones[name] = _numbers(numbers, name)
        elif (value := _VALUE.fullmatch(part.strip())) is not None:
            if value[1] == "trackingStatus":
                tracked = value[2] != "0"
            elif (unit := _UNITS.get(value[1])) is not None:
                (weight,) = _numbers(value[2], value[1])
                check_finite((weight,), _LARGEST_VALUE, "a coefficient")
                weights[unit] = weight / 100
                seen.add(unit)
    if not seen:
        raise DamagedPacketError(f"{len(packet)} bytes without a coefficient; it begins with {packet[:20]!r}")
    missing = tuple(name for number, name in enumerate(NAMES) if number not in seen)
    pitch, yaw, roll, *position = bones.get("head", [0.0] * 6)
    check_finite(position, _FARTHEST, "a position")
    eyes = tuple(_eye(bones[name]) for name in ("rightEye", "leftEye")) if len(bones) == 3 else None
    return FacePacket(
        weights,
        _radians(yaw, pitch, roll),
        None if eyes is None else (eyes[0], eyes[1]),
        (position[0], position[1], position[2]),
        tracked,
        missing=missing,
    )


def _numbers(text: str, name: str) -> list[float]:
    """Of one part; six of the head, three of an eye, one of a coefficient."""
    try:
        numbers = [float(number) for number in text.split(",", 6)]
    except ValueError:
        raise DamagedPacketError(f"{name}: expected numbers, got {text[:40]!r}") from None
    if len(numbers) != {"head": 6, "leftEye": 3, "rightEye": 3}.get(name, 1):
        raise DamagedPacketError(f"{name}: {len(numbers)} numbers")
    return numbers


def _radians(*degrees: float) -> tuple[float, float, float]:
    check_finite(degrees, _LARGEST_ANGLE_DEG, "an angle")
    one, two, three = (math.radians(angle) for angle in degrees)
    return one, two, three


def _eye(numbers: list[float]) -> tuple[float, float]:
    yaw, pitch, _ = _radians(numbers[1], numbers[0], numbers[2])
    return yaw, pitch
