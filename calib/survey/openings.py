"""Where the mouth and the eyes of a head open: the two rims of each, as they lie at rest.

A close-up is resampled so that its columns run along the line between the corners. A rim is where the surface stops
going on: where something else shows (an eyeball, teeth, nothing), or where two neighbouring pixels lie far from each
other along the surface although they touch in the picture. Where the surface never stops (a scan whose lips or lids are
one piece) the closed mouth's line is the valley and dark line nearest the landmarks, and open rims are the landmarks.
"""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from calib.rig.face_rig import COLUMNS
from calib.survey.painted_eye import painted_rims
from calib.survey.surface import Surface, undirected
from calib.survey.surface_paths import surface_paths
from calib.survey.views import View

_GRID_COLUMNS, _GRID_ROWS = 129, 161
_OVERHANG = 0.14  # the grid goes on beyond the corners, in widths
_PAINT_OVERHANG = 0.6  # the same, where the end of an eye's paint is looked for
_REACH = 0.30  # and up and down, in widths
_ROOM = 1.15  # and farther, where the landmarks go beyond that
_FARTHER = 1.4  # and so many times as far where the opening does not end there
_PARTED_SHARE = 0.7
_BRIDGED = 3
PARTED_CLOSED_GAP = 0.035  # in widths: rims of a parted surface nearer than this touch
_FOLD_SLACK, _SHOWN_SLACK = 0.07, 0.22  # in widths: how far from the landmarks a rim may be, by what shows it
_HOLLOW = 0.1  # in widths: what lies so far behind both rims is the inside of a socket or mouth
_HIGH = 0.8  # in widths: human eyes stay below 0.6
_FAR_PATH = 0.35  # in widths: a longer way round along the surface means that the rims are two


@dataclass(frozen=True, eq=False)
class Opening:
    """A mouth or an eye at rest.

    Attributes:
        upper, lower: [33, 3] the rims in avatar units from picture-left to picture-right; they share their ends.
        parted: the surface itself is open along the rims; otherwise it is one piece there.
        closed: the rims touch.
        width: distance between the corners.
        frame: [3, 3] rows: along the opening, upwards across it, out of the face.
        behind: share of the rims' columns in which something other than skin shows between them.
    """

    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    parted: bool
    closed: bool
    width: float
    frame: NDArray[np.float64]
    behind: float

    @property
    def centre(self) -> NDArray[np.float64]:
        return np.asarray((self.upper[0] + self.upper[-1]) / 2)

    @property
    def painted_high(self) -> bool:
        """An eye painted on the skin, nearly as high as wide or higher, as in cartoons: no lid could slide over it
        without tearing, so that it is left in one piece and shuts by being squashed."""
        return not self.parted and not self.closed and float(self.gap().max()) > _HIGH * self.width

    def gap(self) -> NDArray[np.float64]:
        """[33] distance from the lower to the upper rim, upwards across the opening."""
        return np.asarray((self.upper - self.lower) @ self.frame[1])

    def rims_at(self, along: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Upper and lower rim [N, 3], flat, at places [N] along the opening."""
        upper, lower = (
            np.stack([np.interp(along, rim[:, 0], rim[:, axis]) for axis in range(3)], axis=-1)
            for rim in (self.flat(self.upper), self.flat(self.lower))
        )
        return upper, lower

    def depth_at(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N] how far out what lies between the rims is at flat points [N, 3]: straight from rim to rim."""
        upper, lower = self.rims_at(flat[:, 0])
        share = np.clip((flat[:, 1] - lower[:, 1]) / np.maximum(upper[:, 1] - lower[:, 1], 1e-9), 0, 1)
        return np.asarray(lower[:, 2] + (upper[:, 2] - lower[:, 2]) * share)

    def flat(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points [..., 3] → [..., 3]: along (0 at the left corner, 1 at the right), across and out, in widths."""
        return np.asarray(((points - self.upper[0]) @ self.frame.T) / self.width)


@dataclass(frozen=True, eq=False)
class _Grid:
    """A close-up resampled along the opening. Rows go downwards in the picture."""

    along: NDArray[np.float64]  # [C] 0..1 between the corners
    across: NDArray[np.float64]  # [R] in widths, upwards
    grey: NDArray[np.float32]
    depth: NDArray[np.float32]  # in widths, 0 where empty
    face: NDArray[np.int64]
    pixels: NDArray[np.float32]  # [R, C, 2]


def trace_opening(
    view: View,
    surface: Surface,
    skin_face: NDArray[np.bool_],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    closed: bool,
) -> Opening:
    """Find the rims of an opening.

    Args:
        view: a frontal close-up of it.
        surface: of the mesh the view shows.
        skin_face: [F] mesh faces that belong to the skin.
        upper, lower: [N, 3] landmark chains from corner to corner, sharing their ends.
        closed: how to take an opening whose surface is one piece; the surface decides where it is not.
    """
    frame, width = opening_frame(upper)
    highest = max(float(np.abs((chain - upper[0]) @ frame[1]).max()) for chain in (upper, lower))
    reach = max(_REACH, _ROOM * highest / width)  # eyes may be higher than any human's
    grid = _resample(view, upper[0], upper[-1], width, reach)
    if _cut_off(grid, skin_face):  # landmarks of drawn eyes lie well inside of their rims
        larger = _resample(view, upper[0], upper[-1], width, _FARTHER * reach)
        grid = grid if _cut_off(larger, skin_face) else larger
    chain_upper, chain_lower = (_across(chain, upper[0], frame, width, grid.along) for chain in (upper, lower))
    inner = (grid.along > 0.2) & (grid.along < 0.8)
    rims_found = partial(_rims_by_surface, grid, surface, skin_face, chain_upper, chain_lower, width)
    top, bottom, shown = rims_found(_FOLD_SLACK)
    if not closed and _touching(grid, top[inner], bottom[inner]):  # landmarks in empty sockets lie too near each other
        farther = rims_found(_SHOWN_SLACK)
        if _hollow(grid, *farther[:2], inner):
            top, bottom, shown = farther
    parted = bool(np.isfinite(top[inner]).mean() >= _PARTED_SHARE)
    if parted:
        start, end = _corners(np.isfinite(top), inner)
        behind = float(shown[start : end + 1].mean())
    else:
        start, end = _corner_columns(grid)
        top, bottom = _rims_by_picture(grid, chain_upper, chain_lower, closed)
        behind = 0.0
        if not closed and (chain_upper - chain_lower).max() > _HIGH:
            wide = _resample(view, upper[0], upper[-1], width, _FARTHER * reach, _PAINT_OVERHANG)
            over, under = (_across(chain, upper[0], frame, width, wide.along) for chain in (upper, lower))
            painted = painted_rims(wide.grey, *_rims_by_picture(wide, over, under, closed), *_corner_columns(wide))
            if painted is not None:
                grid, (top, bottom, start, end) = wide, painted
    columns = np.linspace(start, end, COLUMNS)
    rows_top, rows_bottom = _smooth_rims(top, bottom, start, end, columns, parted)
    forward, back = view.T_camera_world[2, :3], view.T_camera_world[2, 3]
    elsewhere = float(np.concatenate([upper, lower]).mean(axis=0) @ forward + back)
    rims = [
        _lift_rim(view, grid, columns, rows, skin_face, side, elsewhere)
        for rows, side in ((rows_top, -1), (rows_bottom, 1))
    ]
    for corner in (0, -1):
        rims[0][corner] = rims[1][corner] = (rims[0][corner] + rims[1][corner]) / 2
    frame, width = opening_frame(rims[0])
    gap = float(np.quantile((rims[0] - rims[1]) @ frame[1], 0.8))  # a hole in the scan is no opening
    closed = closed if not parted else gap < PARTED_CLOSED_GAP * width
    return Opening(rims[0], rims[1], parted, closed, width, frame, behind)


def opening_frame(rim: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Rows along, across (in the picture's plane) and out of the face; and the width seen from the front."""
    along = rim[-1] - rim[0]
    along = np.array([along[0], along[1], 0.0])
    width = float(np.linalg.norm(along))
    along /= max(width, 1e-12)
    out = np.array([0.0, 0.0, 1.0])
    return np.stack([along, np.cross(out, along), out]), max(width, 1e-12)


def _across(
    chain: NDArray[np.float64],
    start: NDArray[np.float64],
    frame: NDArray[np.float64],
    width: float,
    along: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[C] height of a landmark chain over the line between the corners, in widths."""
    flat = (chain - start) @ frame.T / width
    order = np.argsort(flat[:, 0])
    return np.asarray(np.interp(along, flat[order, 0], flat[order, 1]))


def _resample(
    view: View,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    width: float,
    reach: float,
    overhang: float = _OVERHANG,
) -> _Grid:
    ends = view.project(np.stack([left, right]))
    axis = ends[1] - ends[0]
    upward = np.array([axis[1], -axis[0]])  # rows of a picture run down
    along = np.linspace(-overhang, 1 + overhang, _GRID_COLUMNS)
    across = np.linspace(reach, -reach, _GRID_ROWS)
    pixels = (ends[0] + along[None, :, None] * axis + across[:, None, None] * upward).astype(np.float32)
    x, y = np.ascontiguousarray(pixels[..., 0] - 0.5), np.ascontiguousarray(pixels[..., 1] - 0.5)
    grey = cv2.GaussianBlur(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.5)
    height, breadth = view.face_id.shape
    row, column = np.rint(y).astype(int).clip(0, height - 1), np.rint(x).astype(int).clip(0, breadth - 1)
    return _Grid(
        along,
        across,
        np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32),
        (view.depth[row, column] / width).astype(np.float32),
        view.face_id[row, column].astype(np.int64),
        pixels,
    )


def _cut_off(grid: _Grid, skin_face: NDArray[np.bool_]) -> bool:
    """Whether the opening goes on beyond the grid: no skin from its middle to its end, in some column."""
    inner = (grid.along > 0.2) & (grid.along < 0.8)
    skin = ((grid.face >= 0) & skin_face[grid.face])[:, inner]
    middle = len(skin) // 2
    return bool((~skin[: middle + 1].any(axis=0) | ~skin[middle:].any(axis=0)).any())


def _rims_by_surface(
    grid: _Grid,
    surface: Surface,
    skin_face: NDArray[np.bool_],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    width: float,
    fold_slack: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Row of the last skin above and the first skin below the opening in each column (nan: none), and [C] whether
    something other than skin shows between them. `fold_slack`: how far from the landmarks, in widths, a rim of folded
    skin may be."""
    skin = (grid.face >= 0) & skin_face[grid.face]
    away = np.abs((grid.across[:-1] + grid.across[1:])[:, None] / 2 - (upper + lower) / 2)
    half = (upper - lower).clip(0) / 2
    breaks = _breaks(grid, surface, skin, width) & (away < fold_slack + half)  # [R-1, C] between row r and r+1
    breaks |= (skin[:-1] != skin[1:]) & (away < _SHOWN_SLACK + half)
    any_break = breaks.any(axis=0)
    first = breaks.argmax(axis=0)
    last = len(breaks) - 1 - breaks[::-1].argmax(axis=0)
    top = np.where(any_break, first, np.nan)
    bottom = np.where(any_break, last + 1, np.nan)
    rows = np.arange(len(grid.across))[:, None]
    shown = (~skin & (rows > first) & (rows <= last)).any(axis=0) & any_break
    return top, bottom, shown


def _touching(grid: _Grid, top: NDArray[np.float64], bottom: NDArray[np.float64]) -> bool:
    """Whether rims were found, but in most columns with nothing between them. `top`, `bottom`: rows, nan: none."""
    found = np.isfinite(top)
    gap = (bottom - top)[found] * (grid.across[0] - grid.across[1])
    return bool(found.any() and np.median(gap) < PARTED_CLOSED_GAP)


def _hollow(grid: _Grid, top: NDArray[np.float64], bottom: NDArray[np.float64], inner: NDArray[np.bool_]) -> bool:
    """Whether what shows between rims [C] lies far behind both of them in nearly all `inner` [C] columns."""
    columns = np.flatnonzero(inner & np.isfinite(top))
    rows = [each[columns].astype(int) for each in (top, (top + bottom) / 2, bottom)]
    above, between, below = (grid.depth[row, columns] for row in rows)
    deep = (above > 0) & (below > 0) & (between > np.maximum(above, below) + _HOLLOW)
    return bool(deep.sum() >= _PARTED_SHARE * inner.sum())


def _breaks(grid: _Grid, surface: Surface, skin: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
    """[R-1, C] whether the skin of a grid row and that of the next hang together only a long way round."""
    upper, lower = grid.face[:-1], grid.face[1:]
    breaks = np.zeros(upper.shape, dtype=bool)
    both = skin[:-1] & skin[1:] & (upper != lower)
    pairs, inverse, _ = undirected(np.stack([upper[both], lower[both]], axis=1))
    path = surface_paths(surface, pairs, 1.05 * _FAR_PATH * width)
    corner = np.minimum(grid.along, 1 - grid.along)
    far = np.clip(corner, 0.03, _FAR_PATH) * width
    rows, columns = np.nonzero(both)
    breaks[rows, columns] = path[inverse] > far[columns]
    return breaks


def _corner_columns(grid: _Grid) -> tuple[int, int]:
    """Columns of a grid in which the landmarks of an opening's corners lie."""
    first, last = (int(np.abs(grid.along - corner).argmin()) for corner in (0.0, 1.0))
    return first, last


def _corners(found: NDArray[np.bool_], inner: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last found column [C] of an opening: of those `inner` [C] some may be missing, as behind a strand of
    hair; beyond them a gap of more than `_BRIDGED` columns ends it."""
    columns = np.flatnonzero(found | inner)
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > _BRIDGED + 1) + 1)
    own = np.concatenate([run for run in runs if inner[run].any()])
    own = own[found[own]]
    return int(own[0]), int(own[-1])


def _rims_by_picture(
    grid: _Grid, upper: NDArray[np.float64], lower: NDArray[np.float64], closed: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of both rims of a surface in one piece: one line if it is closed, else the landmarks' own chains."""
    if closed:
        line = _closed_line(grid, (upper + lower) / 2)
        return line, line
    rows = np.arange(len(grid.across))
    return np.interp(-upper, -grid.across, rows), np.interp(-lower, -grid.across, rows)


def _closed_line(grid: _Grid, prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """[C] row of the valley and dark line nearest to the prior, smooth along the columns (dynamic programming)."""
    side = 6  # rows to either side that a valley is measured against
    grey = grid.grey.astype(np.float64)
    depth = cv2.GaussianBlur(grid.depth, (0, 0), 1.0).astype(np.float64)
    dark, valley = np.zeros_like(grey), np.zeros_like(grey)
    dark[side:-side] = (grey[2 * side :] + grey[: -2 * side]) / 2 - grey[side:-side]
    valley[side:-side] = depth[side:-side] - (depth[2 * side :] + depth[: -2 * side]) / 2
    away = (grid.across[:, None] - prior) / 0.045
    cost = away**2 - np.clip(valley / 0.01, 0, 2) - np.clip(dark / 30, 0, 1.5)
    return _cheapest_path(cost).astype(np.float64)


def _cheapest_path(cost: NDArray[np.float64], stiffness: float = 0.15) -> NDArray[np.int64]:
    """[C] row per column with the least cost plus stiffness · (step between columns)²."""
    rows, columns = cost.shape
    total, back = cost[:, 0], np.zeros(cost.shape, dtype=np.int64)
    steps = np.arange(-2, 3)
    for column in range(1, columns):
        shifted = np.full((len(steps), rows), np.inf)
        for index, step in enumerate(steps):
            source = slice(max(0, -step), rows - max(0, step))
            target = slice(max(0, step), rows - max(0, -step))
            shifted[index, target] = total[source] + stiffness * step * step
        choice = shifted.argmin(axis=0)
        back[:, column] = np.arange(rows) - steps[choice]
        total = shifted.min(axis=0) + cost[:, column]
    path = np.empty(columns, dtype=np.int64)
    path[-1] = total.argmin()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = back[path[column], column]
    return path


def _smooth_rims(
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    start: int,
    end: int,
    columns: NDArray[np.float64],
    parted: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of both rims at `columns`, gaps filled, single outliers gone, a little smoothed."""
    result = []
    for rows in (top, bottom):
        run = np.arange(start, end + 1)
        good = np.isfinite(rows[run])
        filled = np.interp(run, run[good], rows[run][good])
        filled = median_filter(filled, size=7, mode="nearest") if parted else filled
        kernel = np.array([1, 2, 3, 2, 1]) / 9
        filled = np.convolve(np.pad(filled, 2, mode="reflect", reflect_type="odd"), kernel, mode="valid")
        result.append(np.interp(columns, run, filled))
    middle = (result[0] + result[1]) / 2
    return np.minimum(result[0], middle), np.maximum(result[1], middle)


def _lift_rim(
    view: View,
    grid: _Grid,
    columns: NDArray[np.float64],
    rows: NDArray[np.float64],
    skin_face: NDArray[np.bool_],
    side: int,
    elsewhere: float,
) -> NDArray[np.float64]:
    """[N, 3] points under grid positions, with the depth of the nearest skin outside the opening: upwards in the
    picture (side −1) or downwards (1). Between the rims one may look past them, far inside. `elsewhere`: depth where
    nothing is seen at all."""
    skin = (grid.face >= 0) & skin_face[grid.face]
    last_row, last_column = grid.face.shape[0] - 1, grid.face.shape[1] - 1
    start = grid.pixels[0, 0].astype(np.float64)
    axis, downward = grid.pixels[0, -1] - start, grid.pixels[-1, 0] - start
    pixels = start + columns[:, None] / last_column * axis + rows[:, None] / last_row * downward
    limit = np.array(view.depth.shape) - 1
    depth = np.empty(len(columns))
    for index, (column, row) in enumerate(zip(np.rint(columns).astype(int), rows, strict=True)):
        on = np.flatnonzero(skin[:, column])
        outside = on[side * (on - row) >= 0]
        at = int(outside[np.abs(outside - row).argmin()]) if len(outside) else int(row)
        x, y = np.floor(grid.pixels[at, column]).astype(int)
        depth[index] = view.depth[min(max(y, 0), limit[0]), min(max(x, 0), limit[1])]
    known = depth > 0  # where the head is missing, as on half a scan, its rim lies as far away as beside
    depth = np.interp(columns, columns[known], depth[known]) if known.any() else np.full(len(depth), elsewhere)
    camera = view.intrinsics.unproject(pixels, median_filter(depth, size=7, mode="nearest"))
    rotation, translation = view.T_camera_world[:3, :3], view.T_camera_world[:3, 3]
    return np.asarray((camera - translation) @ rotation)
