"""Motion as JSON for one's own scripts: one object a frame, as a message of a WebSocket.

    {"vfa": 1, "time_s": 12.345, "tracked": true,
     "units": {"jawOpen": 0.41, …},
     "head": {"position_m": [x, y, z], "rotation": [x, y, z, w], "yaw_pitch_roll_deg": [y, p, r]},
     "eyes": {"right": {"yaw_deg": 3.1, "pitch_deg": -2.0}, "left": {…}}}

`vfa` is the version of the schema: it changes where a field changes its meaning or goes; new fields may come any time.
`time_s` is the frame's capture on the sending machine's monotonic clock. Units have ARKit's 52 names, 0 neutral, 1
full. The head's pose is relative to the neutral, right-handed, x to the person's left, y up, z out of the face; yaw is
to the person's left, pitch down, roll onto the right shoulder. Eyes: yaw to the person's left, pitch up."""

import json
import math
from typing import Final

import numpy as np

from core.expression_units import UNIT_NAMES
from core.rigid_motion import quaternion, rotation_vector, turns
from realtime.outputs.moment import Moment

VERSION: Final = 1


class JsonEncoder:
    """One message a frame, UTF-8."""

    def packets(self, moment: Moment) -> list[bytes]:
        """One message."""
        motion = moment.motion
        rotation = motion.T_neutral_head[:3, :3]
        eyes = np.degrees(motion.gaze).round(3).tolist()
        said = {
            "vfa": VERSION,
            "time_s": round(moment.timestamp_s, 4),
            "tracked": moment.tracked,
            "units": dict(zip(UNIT_NAMES, motion.weights.round(4).tolist(), strict=True)),
            "head": {
                "position_m": motion.T_neutral_head[:3, 3].round(5).tolist(),
                "rotation": [round(part, 6) for part in quaternion(rotation_vector(rotation))],
                "yaw_pitch_roll_deg": [round(math.degrees(angle), 3) for angle in turns(rotation)],
            },
            "eyes": {
                side: {"yaw_deg": yaw, "pitch_deg": pitch}
                for side, (yaw, pitch) in zip(("right", "left"), eyes, strict=True)
            },
        }
        return [json.dumps(said, separators=(",", ":")).encode()]
