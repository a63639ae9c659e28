"""Where the paint of an eye ends that is drawn on the skin: landmarks placed by hand come near."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

_LEAST_CONTRAST = 60.0  # of 255, between what is painted and the skin around it
_LEAST_COVERED, _MOST_GROWTH = 0.65, 2.0  # of the landmarks' own area: what is found otherwise is something else
_SKIN_FROM = 1.6  # times as far from the middle as the landmarks, skin begins


def painted_rims(
    grey: NDArray[np.float32], top: NDArray[np.float64], bottom: NDArray[np.float64], start: int, end: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, int] | None:
    """The outline of a patch of paint that landmarks lie on; None where none stands out from the skin.

    Args:
        grey: [R, C] an upright picture of the eye, 0 to 255, and of the skin around it, the line between the
            landmarks of its corners along the middle row.
        top, bottom: [C] rows of the rims by the landmarks, of which those of the columns `start` to `end` count.

    Returns the first and last row of the paint in each column [C], and its first and last column on that line.
    """
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]]
    middle, half = (start + end) / 2, (end - start) / 2
    centre, high = (top + bottom)[round(middle)] / 2, max(float((bottom - top)[start : end + 1].max()) / 2, 1.0)
    inside = (columns >= start) & (columns <= end) & (rows >= top) & (rows <= bottom)
    outside = np.hypot((columns - middle) / half, (rows - centre) / high) > _SKIN_FROM
    if not inside.any() or not outside.any():
        return None
    paint, skin = (float(np.median(grey[own])) for own in (inside, outside))
    if abs(paint - skin) < _LEAST_CONTRAST:
        return None
    patches, _ = label(np.abs(grey - paint) < np.abs(grey - skin))
    counts = np.bincount(patches[inside], minlength=2)
    counts[0] = 0
    patch = binary_fill_holes(patches == counts.argmax())
    patch = cv2.morphologyEx(patch.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    area, cut_off = int(inside.sum()), patch[[0, -1]].any() or patch[:, [0, -1]].any()
    if cut_off or (patch & inside).sum() < _LEAST_COVERED * area or patch.sum() > _MOST_GROWTH * area:
        return None
    line = (len(patch) - 1) // 2
    found = np.flatnonzero(patch[line])
    if len(found) < 2:
        return None
    first, last = patch.argmax(axis=0).astype(np.float64), len(patch) - 1.0 - patch[::-1].argmax(axis=0)
    first[found[[0, -1]]] = last[found[[0, -1]]] = line  # a leaning eye shuts along the line of its corners, too
    return first, last, int(found[0]), int(found[-1])
