"""The 68 landmarks and two eyeballs that OpenSeeFace's packets carry, for a face described in units.

They are those of an average face, moved by the few units that programs read off such points: lids, jaw, the corners of
the mouth, brows and pupils. Programs that want more have better protocols.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.canonical_face import CanonicalFace
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion
from core.rigid_motion import turned

POINTS: Final = 68
NOSE_TIP: Final = 30
EYES: Final = ("Right", "Left")
# fmt: off
LANDMARKS: Final = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw, from the person's right
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    39, 37, 0, 267, 269, 405, 314, 17, 84, 181,  # lips outside, without the corners
    61, 82, 13, 312, 291, 317, 14, 87,  # corners and lips inside
    468, 473,  # pupils
)
# fmt: on
"""Which of the face landmarker's 478 is nearest to each of OpenSeeFace's 68, in its order."""

_EYEBALL_M: Final = 0.012  # radius
_UPPER_LIDS, _LOWER_LIDS = ((37, 38), (43, 44)), ((41, 40), (47, 46))  # of the right and the left eye, facing
_JAW, _LOWER_LIP = (*range(4, 13),), (53, 54, 55, 56, 57, 63, 64, 65)
_BROWS, _CORNERS = ((17, 18, 19, 20, 21), (22, 23, 24, 25, 26)), (58, 62)

Array = NDArray[np.float64]


class FacePoints:
    """Landmarks in the head's frame, metres.

    Attributes:
        rest: [70, 3] the 68 landmarks of a neutral face, then the centres of the right and the left eyeball.
    """

    def __init__(self, face: CanonicalFace) -> None:
        rest = face.points[list(LANDMARKS)]
        self.rest: Array = np.vstack([rest, rest[66:68] - (0.0, 0.0, _EYEBALL_M)])
        self._moves = _moves(self.rest).reshape(-1, len(UNIT_NAMES))

    def of(self, motion: FaceMotion) -> Array:
        """[70, 3] as `rest`, before the head's own pose."""
        points = self.rest + (self._moves @ np.clip(motion.weights, 0.0, 1.0)).reshape(-1, 3)
        for eye, (yaw, pitch) in enumerate(motion.gaze.tolist()):
            points[66 + eye] = points[68 + eye] + _EYEBALL_M * turned(yaw, -pitch, 0.0)[:, 2]
        return points


def _moves(rest: Array) -> Array:
    """[70, 3, 52] metres by which each unit moves each point."""
    moves = np.zeros((*rest.shape, len(UNIT_NAMES)))

    def move(unit: str, points: tuple[int, ...], by: Array | tuple[float, float, float]) -> None:
        moves[list(points), :, UNIT_NAMES.index(unit)] += by

    move("jawOpen", _JAW + _LOWER_LIP, (0.0, -0.025, -0.005))
    move("mouthClose", _LOWER_LIP, (0.0, 0.022, 0.004))
    for eye, side in enumerate(EYES):
        outwards = (-0.008, 0.008)[eye]
        move(f"eyeBlink{side}", _UPPER_LIDS[eye], rest[list(_LOWER_LIDS[eye])] - rest[list(_UPPER_LIDS[eye])])
        move(f"browDown{side}", _BROWS[eye], (0.0, -0.006, 0.0))
        move(f"browOuterUp{side}", _BROWS[eye], (0.0, 0.006, 0.0))
        move("browInnerUp", _BROWS[eye], (0.0, 0.004, 0.0))
        move(f"mouthSmile{side}", (_CORNERS[eye],), (outwards, 0.008, -0.004))
        move(f"mouthFrown{side}", (_CORNERS[eye],), (0.0, -0.006, 0.0))
        move("mouthPucker", (_CORNERS[eye],), (-1.5 * outwards, 0.0, 0.005))
    return moves
