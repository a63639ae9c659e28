"""From the face detector's raw output to faces: anchors, and weighted non-maximum suppression.

The detector is a short-range BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047); its constants are those of
MediaPipe's public `FaceDetectorGraph`.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DETECTOR_PX = 128
_GRIDS = ((16, 2), (8, 6))  # cells a side, and anchors in each
_KEYPOINTS = 6
_SAME_FACE = 0.3  # overlap (intersection over union) from which on two candidates are one face
_EXTREME_LOGIT = 100.0


class Candidates(NamedTuple):
    """Faces in shares of the detector's picture, the surest first.

    Attributes:
        boxes: [N, 4] left, top, right, bottom.
        keypoints: [N, 6, 2]: eyes (from the picture's left to its right), nose, mouth, ears.
        scores: [N] 0..1.
    """

    boxes: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]


@cache
def anchors() -> NDArray[np.float64]:
    """[896, 2] the middles of the detector's anchors, in shares of its picture."""
    places = []
    for cells, count in _GRIDS:
        middles = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(middles, middles)
        places.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(places)


def found_faces(regressors: NDArray[np.float32], logits: NDArray[np.float32], least_confidence: float) -> Candidates:
    """Every face once.

    Args:
        regressors: [896, 16] middle, size and six keypoints of a face beside each anchor, in pixels.
        logits: [896] how sure.
        least_confidence: 0..1.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -_EXTREME_LOGIT, _EXTREME_LOGIT)))
    near = np.flatnonzero(scores >= least_confidence)
    if not len(near):
        return Candidates(np.zeros((0, 4)), np.zeros((0, _KEYPOINTS, 2)), np.zeros(0))
    raw = regressors[near].astype(np.float64).reshape(-1, 2 + _KEYPOINTS, 2) / DETECTOR_PX
    middles, sizes = raw[:, 0] + anchors()[near], raw[:, 1]
    boxes = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
    keypoints = raw[:, 2:] + anchors()[near, None]
    order = np.argsort(-scores[near], kind="stable")
    order = order[(sizes[order] >= 0).all(axis=1)]  # not where the network made no sense (NaN included)
    return _weighted_suppression(Candidates(boxes[order], keypoints[order], scores[near][order]))


def _weighted_suppression(candidates: Candidates) -> Candidates:
    """What overlaps with the surest becomes one face with it, at the mean of all weighted by how sure they are."""
    boxes, keypoints, scores = candidates
    left = np.arange(len(scores))
    kept: list[tuple[NDArray[np.float64], NDArray[np.float64], float]] = []
    while len(left):
        overlaps = _overlaps(boxes[left], boxes[left[0]]) > _SAME_FACE
        one = left[overlaps]
        if not len(one):  # a box without an area does not even overlap with itself
            kept.append((boxes[left[0]], keypoints[left[0]], float(scores[left[0]])))
            break
        weights = scores[one] / scores[one].sum()
        kept.append((weights @ boxes[one], np.tensordot(weights, keypoints[one], axes=1), float(scores[one[0]])))
        left = left[~overlaps]
    if not kept:
        return candidates
    return Candidates(*(np.array(column) for column in zip(*kept, strict=True)))


def _overlaps(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes [N, 4] with one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    both = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared
    return np.asarray(shared / np.maximum(both, 1e-12))
