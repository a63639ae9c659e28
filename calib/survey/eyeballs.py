"""Eyeballs among the pieces of a head: round, behind the lids, filling what these leave open, and alike on both sides.

Lashes are as wide and lie as near, and a strip of them fits some sphere, too: what is looked for fills the eye.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from core.face_regions import LOWER_LIDS, UPPER_LIDS
from core.sphere import Sphere, fit_sphere

_LEAST_VERTICES = 8
_SIZES = (0.4, 3.0)  # of the eye's width: how wide an eyeball may be
_RADII = (0.25, 1.2)
_OFF_CENTRE = (0.6, 0.2)  # in widths: beside the middle of the eye, and before its corners
_LEAST_FILLED = 0.5  # of places between the lids: an eyeball, or what is painted as one, is behind them
_ROUND, _ROUNDISH = 0.12, 0.3  # mean distance from the sphere, in radii: a ball; one squeezed to an almond
_ALIKE = 1.35  # ratio of the radii of both eyes
_FRONT = 0.35  # of its depth: the cap that a sphere is fitted to, where the whole is no sphere
_SHELL = 3.6  # width over depth of drawn faces' flat whites; of a cap that reaches 60 degrees to all sides 3.5
_SHELL_RADII = (1.3, 4.0)  # of the eye's width
_FILLS = 0.85  # of places between the lids: the white of an eye, whatever its shape
_BEFORE_LIDS = 0.15  # in widths: corneas may come so far out; what lies before the lids is glasses


def find_eyeballs(
    pieces: dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]],
    said: dict[int, str],
    landmarks: NDArray[np.float64],
) -> tuple[tuple[int, Sphere] | None, tuple[int, Sphere] | None]:
    """The piece that is each eye's ball, picture-left first, and the sphere it turns as; None where there is none.

    Args:
        pieces: vertices [N, 3] in avatar units and faces [F, 3] into them of each piece that is no skin, by number.
        said: what names say of them.
        landmarks: [478, 3].
    """
    found: tuple[list[tuple[int, Sphere, float]], ...] = ([], [])
    for eye, number in product(range(2), pieces):
        judged = _judged(*pieces[number], said.get(number), landmarks, eye)
        if judged is not None:
            found[eye].append((number, *judged))
    pairs = list(product([*found[0], None], [*found[1], None]))
    chosen = max(pairs, key=_fit_together)
    return (chosen[0][:2] if chosen[0] else None), (chosen[1][:2] if chosen[1] else None)


def _fit_together(pair: tuple[tuple[int, Sphere, float] | None, tuple[int, Sphere, float] | None]) -> float:
    score = sum(each[2] for each in pair if each is not None)
    if pair[0] is None or pair[1] is None:
        return score
    small, large = sorted((pair[0][1].radius, pair[1][1].radius))
    return score - 10.0 * max(large / max(small, 1e-12) - _ALIKE, 0.0)


def _judged(
    points: NDArray[np.float64], faces: NDArray[np.int64], said: str | None, landmarks: NDArray[np.float64], eye: int
) -> tuple[Sphere, float] | None:
    """The sphere of a piece that may be the ball of this eye, and how well it fits; None where it cannot be."""
    if said not in (None, "eye") or len(points) < _LEAST_VERTICES:
        return None
    lids = landmarks[[*UPPER_LIDS[eye], *LOWER_LIDS[eye]]]
    left, right = landmarks[UPPER_LIDS[eye][0]], landmarks[UPPER_LIDS[eye][-1]]
    middle, width = (left + right) / 2, float(np.linalg.norm(right - left))
    extent, centre = np.ptp(points, axis=0), (points.min(axis=0) + points.max(axis=0)) / 2
    beside, before = _OFF_CENTRE
    if np.abs(centre[:2] - middle[:2]).max() > beside * width or centre[2] > middle[2] + before * width:
        return None
    if not _SIZES[0] * width < extent[:2].max() < _SIZES[1] * width:
        return None
    filled, front = _filling(points, faces, _between(lids))
    if filled < _LEAST_FILLED or front > float(np.median(lids[:, 2])) + _BEFORE_LIDS * width:
        return None
    ball, off = _sphere(points)
    if is_shell(points) and (said == "eye" or (filled > _FILLS and front < float(np.median(lids[:, 2])))):
        radius = float(np.clip(ball.radius, _SHELL_RADII[0] * width, _SHELL_RADII[1] * width))
        return _ball_under(points, radius), filled
    usable = _RADII[0] * width < ball.radius < _RADII[1] * width
    if usable and off < _ROUND:
        return ball, 1.0 + filled - off
    if said == "eye" or (usable and off < _ROUNDISH):
        radius = float(np.clip(ball.radius, _RADII[0] * width, extent[:2].max() / 2 if usable else 0.9 * width))
        top = float(np.quantile(points[:, 2], 0.98))
        return Sphere(np.array([centre[0], centre[1], top - radius]), radius), filled - min(off, 1.0)
    return None


def is_shell(points: NDArray[np.float64]) -> bool:
    """Whether an eye's white [N, 3] is too shallow to turn, as drawn faces have it: a gap would open at one side."""
    extent = np.ptp((points - points.mean(axis=0)) @ _axes(points).T, axis=0)
    return bool(extent[1] > _SHELL * extent[2])


def _axes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3] rows: directions in which points [N, 3] reach far, less far, and least."""
    return np.asarray(np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2])


def _ball_under(points: NDArray[np.float64], radius: float) -> Sphere:
    """The ball on which a shallow white lies: what slides on it must not sink into a white that looks aside."""
    middle, out = points.mean(axis=0), _axes(points)[2]
    out *= np.sign(out[2]) or 1.0
    return Sphere(middle + (float(((points - middle) @ out).max()) - radius) * out, radius)


def _sphere(points: NDArray[np.float64]) -> tuple[Sphere, float]:
    """A sphere through all points, or where these are no sphere through those in front, and how far they are off it."""
    tries = []
    reach = float(np.ptp(points[:, 2]))
    for own in (points, points[points[:, 2] > points[:, 2].max() - _FRONT * reach]):
        if len(own) >= _LEAST_VERTICES:
            ball = fit_sphere(own)
            off = np.abs(np.linalg.norm(own - ball.centre, axis=1) - ball.radius)
            tries.append((ball, float(off.mean() / max(ball.radius, 1e-12))))
    return tries[0] if tries[0][1] < _ROUND else min(tries, key=lambda each: each[1])


def _between(lids: NDArray[np.float64]) -> NDArray[np.float64]:
    """[9, 2] places spread over what the lids leave open, seen from the front; their line where they are shut."""
    count = len(lids) // 2
    upper, lower = lids[1 : count - 1, :2], lids[count + 1 : 2 * count - 1, :2]
    columns = np.linspace(0.25, 0.75, 3) * (len(upper) - 1)
    rows = np.rint(columns).astype(int)
    return np.concatenate([lower[rows] + share * (upper[rows] - lower[rows]) for share in (0.3, 0.5, 0.7)])


def _filling(points: NDArray[np.float64], faces: NDArray[np.int64], places: NDArray[np.float64]) -> tuple[float, float]:
    """Share of places [P, 2] that a piece covers seen from the front, and how far out it does."""
    corners = points[faces]
    depth = []
    for place in places:
        a, b, c = (corners[:, k, :2] - place for k in range(3))
        areas = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
        total = areas.sum(axis=1)
        hit = (np.abs(total) > 1e-15) & ((areas * np.sign(total)[:, None]) >= 0).all(axis=1)
        if hit.any():
            bary = areas[hit] / total[hit, None]
            depth.append(float((bary * corners[hit, :, 2]).sum(axis=1).max()))
    return len(depth) / len(places), float(np.median(depth)) if depth else -np.inf


def _cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
