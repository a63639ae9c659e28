"""A table for spreadsheets and scripts: times, units by ARKit's names, gaze and the head's pose, all in plain units."""

from __future__ import annotations

import csv
import io
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from core.expression_units import UNIT_NAMES
from core.face_motion import MotionTrack
from realtime.export.head_angles import yaw_pitch_roll

# fmt: off
COLUMNS: Final = (
    "time_s", "tracked", *UNIT_NAMES,
    "gazeLeftYaw_deg", "gazeLeftPitch_deg", "gazeRightYaw_deg", "gazeRightPitch_deg",
    "headX_m", "headY_m", "headZ_m", "headYaw_deg", "headPitch_deg", "headRoll_deg",
    "headQx", "headQy", "headQz", "headQw",
)
# fmt: on
"""Left and right are the person's own. The head's frame is that of its neutral: x to the person's left, y up, z out of
the face, metres. Yaw is positive to the person's left, pitch up, roll towards the left shoulder."""


def plain_table(motion: MotionTrack) -> str:
    """The file's text: a row for each frame, at its own time (the first at 0). Weights are not clipped."""
    T = motion.T_neutral_head
    gaze = np.degrees(motion.gaze[:, ::-1].reshape(len(motion), 4))
    turned = np.degrees(yaw_pitch_roll(T))
    quaternions = Rotation.from_matrix(T[:, :3, :3]).as_quat(canonical=True)
    values = np.concatenate([motion.weights, gaze, T[:, :3, 3], turned, quaternions], axis=1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for time_s, tracked, row in zip(motion.timestamps_s - motion.timestamps_s[0], motion.tracked, values, strict=True):
        rows.writerow([f"{time_s:.6f}", int(tracked), *(f"{value:.6f}" for value in row)])
    return text.getvalue()
