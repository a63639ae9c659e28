"""Whether networks give MediaPipe's answer: for one picture of the built-in performer, whose answer is kept beside it.

`python -m tools.tracker_proof` makes both anew.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.answers import FaceNetworks

PROOF_FILE = Path(__file__).with_name("data") / "proof.npz"
MOST_PX, MOST_COEFFICIENT = 0.3, 0.02
"""How far an equal answer is from MediaPipe's at most: any landmark, in pixels of the picture, and any coefficient."""


class Reference(NamedTuple):
    """MediaPipe's answer for a picture.

    Attributes:
        picture: [H, W, 3].
        points_px: [478, 2] landmarks in pixels.
        scores: [52] coefficients.
        model_sha256: of the model file that gives it.
    """

    picture: NDArray[np.uint8]
    points_px: NDArray[np.float64]
    scores: NDArray[np.float32]
    model_sha256: str


@dataclass(frozen=True)
class Proof:
    """The greatest differences from MediaPipe's answer: of a landmark in pixels, and of a coefficient; NaN where no
    face was found."""

    px: float
    coefficient: float

    @property
    def equal(self) -> bool:
        return self.px <= MOST_PX and self.coefficient <= MOST_COEFFICIENT  # False for NaN

    def __str__(self) -> str:
        return f"within {self.px:.2g} px and {self.coefficient:.2g} of MediaPipe's landmarks and coefficients"


@cache
def reference() -> Reference:
    """The picture and its answer, kept with the program."""
    with np.load(PROOF_FILE) as kept:
        return Reference(kept["picture"], kept["points_px"], kept["scores"], str(kept["model_sha256"]))


def measured(networks: FaceNetworks) -> Proof:
    """Run the networks on the picture. Raises InputError where they cannot be made."""
    known = reference()
    with networks.landmarks(video=False, scores=True) as network:
        answer = network.run(known.picture)
    if answer is None:
        return Proof(float("nan"), float("nan"))
    height, width = known.picture.shape[:2]
    px = np.abs(answer.points[:, :2] * (width, height) - known.points_px).max()
    return Proof(float(px), float(np.abs(answer.scores - known.scores).max()))
