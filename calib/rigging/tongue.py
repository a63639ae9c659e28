"""The tongue: which vertices are it, and where it goes when it is stuck out.

Everything is told in the frame of the lower jaw at rest, which the tongue lies in and goes along with: there the lower
teeth and the lower lip stay where they are however far the jaw opens, and the way out is over both.
"""

import numpy as np
from numpy.typing import NDArray

from calib.survey.head_survey import HeadSurvey
from calib.survey.openings import Opening
from calib.survey.parts import Kind

Points = NDArray[np.float64]

# In mouth widths, of which people's mouths are some 50 mm wide.
_BEYOND_LIP = 0.42  # how far before the lips' rim the tip of a tongue that is out lies
_OVER = 0.02  # how far above teeth and lip it passes
_BEFORE_RIM = 0.12  # so far before its rim a lip is thick; beyond it the tongue hangs
_THICKER = 0.05  # than at rest, where tongues that were only drawn to fill a mouth may be as thin as paper
_STIFF_THICKER = 0.1  # and thicker by so much of what its longest triangles exceed the way on which it comes up
_HANGS, _RISES = 0.35, 0.30  # how steep it falls beyond the lip; over how long a way it comes up from its place
_ROUND, _BLUNT = 0.26, 0.03  # radius of the tip, behind which the breadth is the tongue's own; half its front
_ROOT = 0.9  # of its length behind the tip: what lies farther back is held
_LONGEST = 1.6  # a root may go down the throat: so far behind the tip it is the tongue's
_LEAST_LENGTH, _MOST_BREADTH, _OFF_CENTRE = 0.3, 0.9, 0.15
_BINS, _FILLED, _MIDDLE = 8, 0.75, 0.2
_LEAST_VERTICES, _PER_BIN, _LEAST_BINS = 12, 8, 3
_KNOTS, _ABOUT = 5, 6  # places along it, and vertices by which its height there is known


def find_tongue(survey: HeadSurvey) -> NDArray[np.int64]:
    """The file's vertices of the tongue, rising; none where it has none that is a piece of its own.

    Of what goes with the jaw it is the largest piece that fills the middle from its tip far back: rows of teeth and
    gums leave it empty behind their front, and single teeth are short.
    """
    lower = np.flatnonzero(survey.parts.kind == Kind.LOWER_MOUTH)
    component, best = survey.parts.component[lower], np.zeros(0, dtype=np.int64)
    for number in np.unique(component):
        piece = lower[component == number]
        if len(piece) > max(len(best), _LEAST_VERTICES) and _is_tongue(survey.mouth, survey.vertices[piece]):
            best = piece
    return best


def _is_tongue(mouth: Opening, points: Points) -> bool:
    along, up, depth = mouth.flat(points).T
    length, breadth = float(np.ptp(depth)), float(np.ptp(along))
    if np.ptp(up) > breadth:  # a tooth with its root
        return False
    if length < _LEAST_LENGTH or breadth > _MOST_BREADTH or abs((along.min() + along.max()) / 2 - 0.5) > _OFF_CENTRE:
        return False
    middle = np.abs(along - 0.5) < _MIDDLE
    behind = (depth.max() - depth[middle]) / min(length, _LONGEST)
    bins = int(np.clip(len(points) // _PER_BIN, _LEAST_BINS, _BINS))
    filled = np.unique(np.minimum((behind * bins).astype(int), bins))
    return int((filled < bins).sum()) >= _FILLED * bins


def tongue_out(mouth: Opening, points: Points, normals: Points, faces: NDArray[np.int64]) -> Points:
    """[T, 3] displacement of a tongue that is stuck out as far as it goes, avatar units, in the jaw's frame at rest.

    Its tip goes before the lips, its root stays, what is between is drawn out evenly; it passes over lower teeth and
    lip and hangs down before them. What is out is at least so thick that both of its sides show. Of a tongue of few
    triangles, which cannot bend, so much more comes up that those on top do not cut through what lies under them.

    Args:
        points: [T, 3] its vertices, normals: [T, 3] of its surface there; faces: [F, 3] of it.
    """
    if not len(points):
        return np.zeros((0, 3))
    flat = mouth.flat(points)
    lower = mouth.flat(mouth.lower)[len(mouth.lower) // 2]
    tip = float(flat[:, 2].max())
    length = min(float(np.ptp(flat[:, 2])), _LONGEST)
    behind = (tip - flat[:, 2]) / length
    free = np.clip(1 - behind / _ROOT, 0, 1)
    forward = max(float(lower[2]) + _BEYOND_LIP - tip, 0.0) * free
    out = flat[:, 2] + forward
    under = -_most(behind, -flat[:, 1])
    way = _way(out - lower[2], float(lower[1]) + _OVER)
    stiff = max(float(np.ptp(flat[faces, 2], axis=1).max(initial=0.0)) - _RISES, 0.0)
    comes_up = np.clip((out - (flat[:, 2].max() - stiff - _RISES)) / _RISES, 0, 1) * (free > 0)
    comes_up = comes_up * comes_up * (3 - 2 * comes_up)
    thicker = _THICKER + _STIFF_THICKER * stiff
    rise = comes_up * (way - under + thicker * np.maximum(normals @ mouth.frame[1], 0))
    aside = (_width_left(behind, np.abs(flat[:, 0] - 0.5)) - 1) * (flat[:, 0] - 0.5)
    moved = np.stack([aside, rise, forward], axis=1)
    return np.asarray(mouth.width * moved @ mouth.frame)


def _way(before: Points, level: float) -> Points:
    """[T] how high the tongue's underside passes, `before` the lower lip's rim [T]: level over teeth and lip, falling
    beyond it."""
    return np.asarray(level - _HANGS * np.maximum(before - _BEFORE_RIM, 0))


def _width_left(behind: Points, aside: Points) -> Points:
    """[T] factor of the breadth with which the tip is round, for vertices so far `aside` of the middle [T]."""
    round_ = _ROUND * np.sqrt(np.clip(1 - np.square(np.maximum(1 - behind / _ROUND, 0)), 0, 1)) + _BLUNT
    return np.asarray(np.minimum(round_ / np.maximum(_most(behind, aside), 1e-6), 1))


def _most(behind: Points, values: Points) -> Points:
    """[T] the greatest of values [T] at the place of each vertex along the tongue: known at some places, each from the
    vertices around it, and straight between them, so that neighbours stay neighbours."""
    knots = np.linspace(0, 1, _KNOTS)
    most = []
    for knot in knots:
        away = np.abs(behind - knot)
        reach = max(0.5 / (_KNOTS - 1), float(np.partition(away, _ABOUT - 1)[_ABOUT - 1]))
        most.append(values[away <= reach].max())
    return np.asarray(np.interp(behind, knots, most))
