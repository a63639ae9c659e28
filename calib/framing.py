"""The part of the world that a picture of an avatar shows unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.camera import AVATAR_VIEW, PUBLISHED_EYE, PUBLISHED_INTRINSICS, Intrinsics, look_at, transform_points

if TYPE_CHECKING:
    from calib.avatar import Avatar

_MARGIN = 0.04  # of the picture beside and over the head
_LARGEST = 1.8  # times the usual view: what is larger than that is no hat


def avatar_view(avatar: Avatar) -> Intrinsics:
    """The published camera, showing as much as the head needs: hair, hat and horns are in it, shoulders need not be."""
    head = np.flatnonzero(avatar.rig.neck.share >= 1)
    used = np.intersect1d(head, avatar.display_mesh.faces)
    return head_view(avatar.rig.rest[used].astype(np.float64))


def head_view(points: NDArray[np.float64]) -> Intrinsics:
    """The usual view, or a larger one that the points [N, 3] (avatar units) fit into with a margin; the face stays in
    the middle, and what is below the usual view stays out of it."""
    usual = AVATAR_VIEW.width
    left, bottom = AVATAR_VIEW.cx - PUBLISHED_INTRINSICS.cx, PUBLISHED_INTRINSICS.height - PUBLISHED_INTRINSICS.cy
    bottom += left  # in pixels below the middle of the face; the usual view is square
    pixels = PUBLISHED_INTRINSICS.project(transform_points(look_at(PUBLISHED_EYE), points))
    offset = pixels - [PUBLISHED_INTRINSICS.cx, PUBLISHED_INTRINSICS.cy]
    shown = offset[offset[:, 1] < bottom]
    if not len(shown):
        return AVATAR_VIEW
    aside, above = float(np.abs(shown[:, 0]).max()), float(-shown[:, 1].min())
    needed = max(2 * aside / (1 - 2 * _MARGIN), (above + bottom) / (1 - _MARGIN))
    if needed <= usual:
        return AVATAR_VIEW
    side = round(min(needed, _LARGEST * usual))
    spare = side - bottom - above - _MARGIN * side  # shared out over and under a head that is wide
    middle = side - bottom - max(spare, 0.0) / 2
    return Intrinsics(PUBLISHED_INTRINSICS.fx, PUBLISHED_INTRINSICS.fy, side / 2, middle, side, side)
