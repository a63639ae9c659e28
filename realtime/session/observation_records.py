"""`observations.npy`: everything an engine was given, in order, so that giving it again gives the same poses.

A record is one observation of the tracker (`core.frame.FaceObservation` without its picture) and what held while it was
answered: the driver's gains, and whether the head followed. A record of the kind NEUTRAL comes before the first frame
that was answered with it.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.expression_units import SCORE_NAMES, UNIT_COUNT
from core.face_motion import FaceMotion
from core.face_regions import ALL_LANDMARKS
from core.frame import FaceObservation, RgbdFrame
from engine.motion.posed_frame import Calibration, FollowedFrame
from realtime.session.folder_names import OBSERVATIONS_NAME, there
from realtime.session.record_file import records_of


class Kind(IntEnum):
    """What a record of `observations.npy` is."""

    FRAME = 0
    """A frame of the camera."""
    SILENCE = 1
    """No frame came, and the avatar was eased to rest: the frame before, without its face."""
    NEUTRAL = 2
    """The driver's neutral face, from the next record on."""
    MOTION = 3
    """A frame that brought its motion and no picture: that motion, against the driver's rest."""


OBSERVATION: Final = np.dtype(
    [
        ("kind", "u1"),
        ("tracked", "?"),
        ("depth_measured", "?"),
        ("head_follows", "?"),
        ("index", "<i8"),
        ("timestamp_s", "<f8"),
        ("confidence", "<f8"),
        ("T_camera_head", "<f8", (4, 4)),
        ("gains", "<f8", (UNIT_COUNT,)),
        ("unit_weights", "<f8", (UNIT_COUNT,)),
        ("gaze", "<f8", (2, 2)),
        ("T_neutral_head", "<f8", (4, 4)),
        ("scores", "<f4", (len(SCORE_NAMES),)),
        ("landmarks_px", "<f4", (ALL_LANDMARKS, 2)),
        ("landmarks_m", "<f4", (ALL_LANDMARKS, 3)),
    ]
)
"""One record; names, shapes and units as in `FaceObservation` and, of the kind MOTION, as in `FaceMotion`."""

_POSES = ("T_camera_head", "T_neutral_head")
_NUMBERS = (
    "timestamp_s",
    "confidence",
    *_POSES,
    "gains",
    "unit_weights",
    "gaze",
    "scores",
    "landmarks_px",
    "landmarks_m",
)
_LARGEST = 1e7  # of pixels, metres, seconds since a machine started: nothing that was recorded is larger
_BLOCK = 256  # records looked through at a time


def record_of(observation: FaceObservation, kind: Kind, calibration: Calibration) -> NDArray[np.void]:
    """[] one OBSERVATION."""
    record = np.zeros((), OBSERVATION)
    record["kind"], record["tracked"] = kind, observation.tracked
    record["depth_measured"], record["head_follows"] = observation.depth_measured, calibration.head_follows
    record["index"], record["timestamp_s"] = observation.frame.index, observation.timestamp_s
    record["confidence"], record["T_camera_head"] = observation.confidence, observation.T_camera_head
    record["gains"] = calibration.gains if len(calibration.gains) else 1.0
    record["scores"], record["T_neutral_head"] = observation.scores, np.eye(4)
    record["landmarks_px"], record["landmarks_m"] = observation.landmarks_px, observation.landmarks_m
    return record


def motion_record_of(followed: FollowedFrame) -> NDArray[np.void]:
    """[] one OBSERVATION of the kind MOTION."""
    record, frame, motion = np.zeros((), OBSERVATION), followed.frame, followed.motion
    record["kind"], record["tracked"], record["head_follows"] = Kind.MOTION, frame.tracked, followed.head_follows
    record["index"], record["timestamp_s"], record["confidence"] = frame.index, frame.timestamp_s, 1.0
    record["T_camera_head"], record["gains"] = np.eye(4), 1.0
    record["unit_weights"], record["gaze"] = motion.weights, motion.gaze
    record["T_neutral_head"] = motion.T_neutral_head
    return record


def motion_of(record: NDArray[np.void]) -> FaceMotion:
    """What a record of the kind MOTION tells."""
    return FaceMotion(*(np.array(record[name], np.float64) for name in ("unit_weights", "gaze", "T_neutral_head")))


def observation_of(record: NDArray[np.void], frame: RgbdFrame) -> FaceObservation:
    """What was seen, as if it had been seen in `frame`."""
    return FaceObservation(
        frame,
        bool(record["tracked"]),
        float(record["confidence"]),
        np.array(record["landmarks_px"], np.float32),
        np.array(record["landmarks_m"], np.float32),
        np.array(record["T_camera_head"], np.float64),
        np.array(record["scores"], np.float32),
        bool(record["depth_measured"]),
    )


def read_observations(folder: Path) -> NDArray[Any]:
    """[T] OBSERVATION, those that are sound and in the order of time, left on the disk until they are looked at; empty
    where the session has none. Raises InputError."""
    path = there(folder / OBSERVATIONS_NAME)
    if path is None:
        return np.zeros(0, OBSERVATION)
    records = records_of(path, OBSERVATION)
    return records[: sound_count(records)]


def sound_count(records: NDArray[Any]) -> int:
    """How many records there are before the first that cannot be: after a power cut a file may end in zeros."""
    last_s = -np.inf
    for start in range(0, len(records), _BLOCK):
        block = np.array(records[start : start + _BLOCK])
        whole = np.ones(len(block), bool)
        for name in _NUMBERS:
            numbers = block[name].reshape(len(block), -1)
            with np.errstate(invalid="ignore"):
                whole &= (np.abs(numbers) <= _LARGEST).all(axis=1)  # false for NaN
        whole &= block["kind"] <= max(Kind)
        for name in ("tracked", "depth_measured", "head_follows"):
            whole &= block[name].view(np.uint8) <= 1
        for name in _POSES:
            whole &= (block[name][:, 3] == (0, 0, 0, 1)).all(axis=1)
        whole &= block["index"] >= 0
        whole &= block["tracked"] | (block["kind"] != Kind.NEUTRAL)
        timed = np.flatnonzero(block["kind"] != Kind.NEUTRAL)  # a neutral is from earlier
        times = block["timestamp_s"][timed]
        whole[timed] &= np.diff(times, prepend=last_s) > 0
        if not whole.all():
            return start + int(np.argmin(whole))
        last_s = times[-1] if len(times) else last_s
    return len(records)
