"""Biovision Hierarchy: the head as one bone with two eyes, for programs that read motion capture.

Centimetres; y up, z out of the face, x to the person's left, about the origin of the neutral head. Channels are
positions, then rotations about z, x and y in degrees, applied in this order from the left: R = Rz · Rx · Ry, as
Meredith and Maddock, "Motion Capture File Formats Explained" (2001), describe it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.face_motion import MotionTrack

Array = NDArray[np.float64]

_CM = 100.0
_LONG = 3.0  # cm of a bone's end


def bvh_text(motion: MotionTrack, fps: float, eyes_m: Array) -> str:
    """The file's text for a motion at a steady rate.

    Args:
        eyes_m: [2, 3] middle of each eye in the neutral head's frame, picture-left one (the person's right) first.
    """
    lines = ["HIERARCHY", "ROOT Head", "{", "\tOFFSET 0.0 0.0 0.0"]
    lines.append("\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation")
    for name, at in zip(("RightEye", "LeftEye"), eyes_m * _CM, strict=True):
        lines += [
            f"\tJOINT {name}",
            "\t{",
            f"\t\tOFFSET {_numbers(at)}",
            "\t\tCHANNELS 3 Zrotation Xrotation Yrotation",
        ]
        lines += ["\t\tEnd Site", "\t\t{", f"\t\t\tOFFSET 0.0 0.0 {_LONG}", "\t\t}", "\t}"]
    lines += ["}", "MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / fps:.8f}"]
    T = motion.T_neutral_head
    head = Rotation.from_matrix(T[:, :3, :3]).as_euler("ZXY", degrees=True)
    eyes = [_turned(motion.gaze[:, eye]) for eye in range(2)]
    rows = np.concatenate([T[:, :3, 3] * _CM, head, *eyes], axis=1)
    lines += [_numbers(row) for row in rows]
    return "\n".join(lines) + "\n"


def _turned(gaze: Array) -> Array:
    """[T, 3] degrees about z, x, y of an eye with yaw and pitch [T, 2]: turned to the side, then up."""
    side = Rotation.from_euler("Y", gaze[:, :1]) * Rotation.from_euler("X", -gaze[:, 1:])
    return np.asarray(side.as_euler("ZXY", degrees=True))


def _numbers(values: Array) -> str:
    return " ".join(f"{value:.6f}" for value in values)
