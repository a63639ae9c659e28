"""A table as the phone app Live Link Face records it, for Unreal, Blender add-ons and Faceit.

Columns: `Timecode` (hours:minutes:seconds:frames with three decimals), `BlendshapeCount` (61), 52 units with ARKit's
names beginning in upper case, and nine angles: yaw, pitch and roll of the head and of each eye.

*Left and right of jaw and mouth.* In the app's files the columns are named JawRight, JawLeft and MouthRight, MouthLeft,
in this order, where its own protocol has the left ones first; the values stand in the protocol's order, so that
JawRight holds what ARKit calls jawLeft (github.com/nmfisher/blender_livelinkface, pull request 1). Programs that read
the app's files by place are right with that, and those that go by name have a switch for it; so files are written as
the app writes them.

*Angles* are radians with the signs of the app's packets (`capture.phones.live_link`): the head's yaw positive to the
person's left, pitch up, roll towards the right shoulder; the eyes' yaw to the person's left, pitch down.
"""

from __future__ import annotations

import csv
import io
from typing import Final

import numpy as np

from capture.phones.live_link import SHAPE_NAMES, SHAPES_OF_UNITS
from core.face_motion import MotionTrack
from realtime.export.head_angles import yaw_pitch_roll
from realtime.rig.naming import written

_OTHER_WAY: Final = {"jawLeft": "jawRight", "mouthLeft": "mouthRight", "jawRight": "jawLeft", "mouthRight": "mouthLeft"}
_UNITS: Final = tuple(written(_OTHER_WAY.get(name, name), "pascal") for name in SHAPE_NAMES)
_ANGLES: Final = tuple(
    f"{what}{angle}" for what in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")
)
COLUMNS: Final = ("Timecode", "BlendshapeCount", *_UNITS, *_ANGLES)


def live_link_face_table(motion: MotionTrack, fps: float) -> str:
    """The file's text: a row for each frame of a motion at a steady rate.

    Weights are clipped to 0..1, as the app's are. Timecodes count from 0 at `fps`, rounded to a whole rate.
    """
    rate = max(round(fps), 1)
    head = yaw_pitch_roll(motion.T_neutral_head) * [1.0, 1.0, -1.0]
    right, left = (motion.gaze[:, eye] * [1.0, -1.0] for eye in range(2))
    still = np.zeros((len(motion), 1))
    weights = np.clip(motion.weights[:, SHAPES_OF_UNITS], 0.0, 1.0)
    values = np.concatenate([weights, head, left, still, right, still], axis=1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    start = float(motion.timestamps_s[0])
    for time_s, row in zip(motion.timestamps_s, values, strict=True):
        code = timecode(float(time_s) - start, rate)
        rows.writerow([code, len(COLUMNS) - 2, *(f"{value:.10f}" for value in row)])
    return text.getvalue()


def timecode(time_s: float, rate: int) -> str:
    """hours:minutes:seconds:frames."""
    thousandths = round(time_s * rate * 1000)
    whole, frames = divmod(thousandths, rate * 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}:{frames / 1000:06.3f}"
