"""Whether a film shows a face that moves.

`python -m tools.film_check preview.mp4` looks at driver and avatar of a session's film and ends with 1 where not.
"""

import sys
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.networks.select import face_networks

Picture = NDArray[np.uint8]
LEAST_SHOWN = 0.8  # share of the pictures looked at in which a face has to be found
LEAST_MOUTH = 0.02  # change of the lips' distance over a film, in widths of the face
LIPS = 13, 14  # landmarks: middle of the upper lip's lower edge, of the lower lip's upper edge
STEP = 5  # every so manyth picture is looked at


def check_film(path: Path, *, side_by_side: bool = False) -> str:
    """What was seen, in words.

    Args:
        path: any video; side_by_side: a driver in its left half, an avatar in its right, and both have to move.

    Raises ValueError where there is no film, too few pictures show a face, or its mouth does not move.
    """
    try:
        with av.open(str(path)) as container:
            pictures = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(f"{path}: cannot be played ({error})") from error
    if len(pictures) < 2 * STEP:
        raise ValueError(f"{path}: has {len(pictures)} pictures, expected {2 * STEP} at least")
    if not side_by_side:
        return f"{len(pictures)} pictures, {_watched('the face', pictures)}"
    cut = _seam(pictures[0])
    left = _watched("the driver", [picture[:, :cut] for picture in pictures])
    right = _watched("the avatar", [picture[:, cut:] for picture in pictures])
    return f"{len(pictures)} pictures, {left}, {right}"


def _seam(picture: Picture) -> int:
    """The column where the avatar's picture begins: the sharpest upright line over the whole height."""
    change = np.abs(np.diff(picture.astype(np.int16), axis=1)).sum(axis=2)
    margin = int(picture.shape[1]) // 5
    return margin + 1 + int(np.argmax(np.quantile(change[:, margin:-margin], 0.25, axis=0)))


def _watched(name: str, pictures: list[Picture]) -> str:
    with face_networks(find_face_model()).landmarks(video=False, scores=False, least_confidence=0.3) as network:
        answers = [network.run(picture) for picture in pictures[::STEP]]
    faces = [answer.points for answer in answers if answer is not None]
    if len(faces) < LEAST_SHOWN * len(answers):
        raise ValueError(f"{name} is found in {len(faces)} of {len(answers)} pictures")
    gaps = [_mouth_gap(points, pictures[0].shape) for points in faces]
    moved = max(gaps) - min(gaps)
    if moved < LEAST_MOUTH:
        raise ValueError(f"{name} does not move its mouth (by {moved:.3f} of the face's width, expected {LEAST_MOUTH})")
    return f"{name} found in {len(faces)} of {len(answers)}, mouth moves by {moved:.2f}"


def _mouth_gap(points: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    px = points[:, :2] * (shape[1], shape[0])
    upper, lower = px[list(LIPS)]
    return float(np.linalg.norm(upper - lower) / np.ptp(px[:, 0]))


if __name__ == "__main__":
    try:
        print(check_film(Path(sys.argv[1]), side_by_side=True))
    except ValueError as error:
        sys.exit(str(error))
