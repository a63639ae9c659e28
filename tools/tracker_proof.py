"""Make the picture by which trackers prove themselves, and MediaPipe's answer for it, anew.

    python -m tools.tracker_proof

writes `capture/face/networks/data/proof.npz`. The picture shows the built-in performer, so it may be given on (CC0).
"""

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.networks.answers import NetworkAnswer
from capture.face.networks.mediapipe import MediaPipeNetworks
from capture.face.networks.proof import PROOF_FILE
from capture.open_source import open_source
from core.source import frames_of

FRAME = 240  # of the performance: the mouth is open, the head turned, and the eyes look aside
SIDE_PX = 192
FACES = 1.8  # of this many fit into the picture side by side
TILT_DEG = 12.0  # so that rotated regions are proven, too


def main() -> None:
    """Write the file."""
    source = open_source("demo", realtime=False)
    rgb = next(frame.rgb for frame in frames_of(source) if frame.index == FRAME)
    model = find_face_model()
    with MediaPipeNetworks(model).landmarks(video=False, scores=True) as network:
        picture = _close_up(rgb, network.run(rgb))
        answer = network.run(picture)
    if answer is None:
        raise SystemExit("MediaPipe finds no face in the picture; choose another FRAME")
    np.savez_compressed(
        PROOF_FILE,
        picture=picture,
        points_px=(answer.points[:, :2] * SIDE_PX).astype(np.float32),
        scores=answer.scores,
        model_sha256=np.array(hashlib.sha256(model.read_bytes()).hexdigest()),
    )
    print(f"written: {PROOF_FILE} ({PROOF_FILE.stat().st_size} bytes)")


def _close_up(rgb: NDArray[np.uint8], answer: NetworkAnswer | None) -> NDArray[np.uint8]:
    """The face in the middle, tilted."""
    if answer is None:
        return rgb
    points = answer.points[:, :2] * rgb.shape[1::-1]
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    turn = cv2.getRotationMatrix2D(middle, TILT_DEG, SIDE_PX / (FACES * float(np.ptp(points, axis=0).max())))
    turn[:, 2] += SIDE_PX / 2 - middle
    size = (SIDE_PX, SIDE_PX)
    return np.asarray(cv2.warpAffine(rgb, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


if __name__ == "__main__":
    main()
