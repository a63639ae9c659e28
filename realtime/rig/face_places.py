"""Left and right, upper and lower lip, as shares of every vertex, for programs that have a shape for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib.rig.controllers import Role
from calib.rig.face_rig import FaceRig
from core.face_regions import FACE_LANDMARKS, lower_lip_mask, upper_lip_mask
from engine.motion.contact import smoothstep
from realtime.rig.naming import Place

_MIDDLE, _LINE = 0.22, 0.12  # mouth widths: over how much of both sides one place fades into the other
_LED = 0.2  # what lips lead so far follows them, whatever its height

Share = NDArray[np.float32]


def place_shares(rig: FaceRig) -> dict[Place, Share]:
    """[R] for each place from 0 to 1; left and right add up to 1, and so do upper and lower."""
    mouth = rig.mouth
    middle = (mouth.upper[[0, -1]].sum(axis=0) + mouth.lower[[0, -1]].sum(axis=0)) / 4
    flat = (rig.rest - middle) @ mouth.frame.T / mouth.width
    left = smoothstep((flat[:, 0] / _MIDDLE + 1) / 2)  # the frame's first axis points to the person's left
    upper = smoothstep((flat[:, 1] / _LINE + 1) / 2)
    lips = [_led(rig, role, mask) for role, mask in
            ((Role.UPPER_LIP, upper_lip_mask()), (Role.LOWER_LIP, lower_lip_mask()))]  # fmt: skip
    both = lips[0] + lips[1]
    certain = np.clip(both / _LED, 0, 1)
    upper = certain * lips[0] / np.maximum(both, 1e-9) + (1 - certain) * upper
    upper[rig.jaw.vertices], upper[rig.jaw.upper], upper[rig.jaw.tongue] = 0.0, 1.0, 0.0
    shares: dict[Place, NDArray[np.float64]] = {"Left": left, "Right": 1 - left, "Upper": upper, "Lower": 1 - upper}
    return {place: share.astype(np.float32) for place, share in shares.items()}


def _led(rig: FaceRig, role: Role, landmarks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[R] how far vertices follow one lip."""
    own = rig.controllers.role == role
    own[:FACE_LANDMARKS] |= landmarks
    return np.maximum(np.asarray(rig.weights[:, own].sum(axis=1), dtype=np.float64).ravel(), 0.0)
