"""Packets as the app iFacialMocap sends them; layout and signs: `capture.phones.ifacialmocap`."""

import math

import numpy as np

from capture.phones.ifacialmocap import NAMES
from core.rigid_motion import turns
from realtime.outputs.moment import Moment


class IFacialMocapEncoder:
    """One line of text a frame, with - or (`version` 2) & before the coefficients. Without a face it goes on, with
    trackingStatus-0."""

    def __init__(self, version: int = 1) -> None:
        self._words = [f"{name}{'&' if version == 2 else '-'}" for name in NAMES]
        self._status = "trackingStatus&" if version == 2 else "trackingStatus-"

    def packets(self, moment: Moment) -> list[bytes]:
        """One packet. Positions are metres from the neutral's."""
        motion = moment.motion
        percent = np.clip(np.rint(motion.weights * 100), 0, 100).astype(int).tolist()
        text = "".join(f"{word}{weight}|" for word, weight in zip(self._words, percent, strict=True))
        yaw, pitch, roll = (math.degrees(angle) for angle in turns(motion.T_neutral_head[:3, :3]))
        x, y, z = motion.T_neutral_head[:3, 3].tolist()
        right, left = np.degrees(motion.gaze).tolist()
        return [
            (
                f"{text}{self._status}{int(moment.tracked)}|"
                f"=head#{pitch:.4f},{yaw:.4f},{roll:.4f},{x:.5f},{y:.5f},{z:.5f}|"
                f"rightEye#{-right[1]:.4f},{right[0]:.4f},0|leftEye#{-left[1]:.4f},{left[0]:.4f},0|"
            ).encode()
        ]
