"""The VMC protocol: Open Sound Control messages that move a VRM avatar's bones and expressions.

Messages and names: https://protocol.vmc.info/english (marionette), which asks senders for the names of VRM 0. The 52
ARKit names ("perfect sync") have a capital there. Bones are in Unity's axes, an avatar's own: x to its right, y up, z
out of its face, left-handed: of what is right-handed with x to its left, positions become (-x, y, z) and rotations (x,
-y, -z, w)."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from core.expression_units import UNIT_NAMES
from core.rigid_motion import quaternion, rotation_vector
from realtime.outputs.moment import Moment
from realtime.outputs.osc_template import BundleTemplate, Message
from realtime.outputs.vrm_shapes import PRESET_NAMES, VRM0_NAMES, preset_weights
from realtime.rig.naming import written

Names = Literal["vrm0", "vrm1"]
Shapes = Literal["all", "presets", "arkit"]

PORT: Final = 39539
PERFECT_SYNC_NAMES: Final = tuple(written(name, "pascal") for name in UNIT_NAMES)
_NECK_SHARE = 0.4  # of the head's turn; the head bone, its child, has the rest
_BONES: Final = {
    "Neck": (0.0, 0.1, 0.0),
    "Head": (0.0, 0.08, 0.01),
    "LeftEye": (-0.03, 0.06, 0.02),
    "RightEye": (0.03, 0.06, 0.02),
}
"""Where each bone lies in its parent, metres, in heads as VRM's makers make them. A receiver that takes positions over
from senders expects them; the avatar's own, which nobody tells us, would be right."""

_CALIBRATED: Final = 3


@dataclass(frozen=True)
class VmcOptions:
    """names: of presets, as VRM 0 or VRM 1 call them. shapes: which expressions are sent: VRM's presets, the 52 of
    ARKit, or all of them."""

    names: Names = "vrm0"
    shapes: Shapes = "all"


class VmcEncoder:
    """Head, neck and eyes as bones, expressions as blend shapes, and `/VMC/Ext/OK` that says whether there is a face.

    Where there is none it goes on: the avatar at the other end comes to rest with ours, instead of freezing.
    """

    def __init__(self, options: VmcOptions | None = None) -> None:
        options = options or VmcOptions()
        presets = PRESET_NAMES if options.names == "vrm1" else tuple(VRM0_NAMES[name] for name in PRESET_NAMES)
        self._presets, self._units = options.shapes != "arkit", options.shapes != "presets"
        names = presets * self._presets + PERFECT_SYNC_NAMES * self._units
        self._template = BundleTemplate(
            [
                Message("/VMC/Ext/OK", integers=4),
                Message("/VMC/Ext/T", floats=1),
                *(Message("/VMC/Ext/Bone/Pos", (bone,), floats=7) for bone in _BONES),
                *(Message("/VMC/Ext/Blend/Val", (name,), floats=1) for name in names),
                Message("/VMC/Ext/Blend/Apply"),
            ]
        )
        self._began_s: float | None = None

    def packets(self, moment: Moment) -> list[bytes]:
        """Bundles; the last one ends with `/VMC/Ext/Blend/Apply`."""
        if self._began_s is None:
            self._began_s = moment.timestamp_s
        motion, elapsed_s = moment.motion, moment.timestamp_s - self._began_s
        turn = rotation_vector(motion.T_neutral_head[:3, :3])
        right, left = (np.array([-pitch, yaw, 0.0]) for yaw, pitch in motion.gaze.tolist())
        floats = [elapsed_s]
        for position, vector in zip(
            _BONES.values(), (_NECK_SHARE * turn, (1 - _NECK_SHARE) * turn, left, right), strict=True
        ):
            x, y, z, w = quaternion(vector)
            floats += [*position, x, -y, -z, w]
        weights = motion.weights
        parts = [preset_weights(weights)] * self._presets + [np.clip(weights, 0.0, 1.0)] * self._units
        return self._template.filled(
            (1, _CALIBRATED, 0, int(moment.tracked)), np.concatenate([np.array(floats), *parts])
        )
