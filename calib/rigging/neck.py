"""Where a head ends and its shoulders begin: how far every vertex goes along when the head turns.

The neck is found as a person would see it: below the chin the outline is narrow, and then widens. What widens is left
where it is; between the two, the share falls off smoothly along the neck. Heads that end before they widen turn whole.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.rig.face_rig import NeckRig
from calib.survey.head_survey import HeadSurvey
from calib.survey.parts import Kind
from calib.survey.surface import directed_edges
from core.face_regions import CHIN, LIP_MIDDLES, TEMPLES_AND_EARS

# In heights of the face, from the hairline to the chin.
_LEVELS = np.arange(0.0, 1.6, 0.04)  # below the chin that are looked at
_NECK_LEVELS = 0.9  # the neck is looked for so far down
_MEETS_HEAD = 0.10  # over the chin everything is head
_MEETS_SHOULDERS = (0.30, 0.90)  # below the chin, at the least and at the most
_BELOW_WIDENING = 0.10  # shoulders slope: the neck bends so far below the place where they begin
_THROAT = 0.22  # behind the chin; what lies further to the front hangs from the head
_CHIN_SHARE = 0.9  # by how much of that it counts as higher
_HAIR_LONGER = 0.30  # hair that hangs over the shoulders bends over a longer way
_REACH = (1.3, 2.0)  # sideways and backwards: heads reach no farther; an animal's body behind its head does
_MOST_OUTSIDE = 0.03
# In widths of the neck.
_WIDENED, _SHOULDERS = 1.35, 1.5  # where shoulders begin; how wide they must become to be some
_SLOPE = 1.5  # of the line from neck to shoulder
_SIDE = 0.55  # from the middle; what lies farther out is a shoulder before it is a neck


@dataclass(frozen=True, eq=False)
class _Outline:
    """Levels below the chin, downwards: height, width, and the middle [L, 3] of the cross-section; only those where
    the mesh goes on without a break."""

    height: NDArray[np.float64]
    width: NDArray[np.float64]
    middle: NDArray[np.float64]

    @property
    def neck(self) -> int:
        """The narrowest level over the shoulders; a bust may end in a narrow foot below them."""
        over = int(self.width.argmax()) + 1
        return int(self.width[: min(over, int(_NECK_LEVELS / _LEVELS[1]))].argmin())


def find_neck(survey: HeadSurvey, vertices: NDArray[np.float64], own: int) -> NeckRig:
    """The neck of a prepared head.

    Args:
        vertices: [R, 3] of the mesh to draw; the first `own` are the file's and those its triangles were divided by,
            the rest what was added inside the head.
    """
    chin = survey.landmarks[CHIN[0]]
    size = float(survey.landmarks[10, 1] - chin[1])
    on_head = _worn_on_head(survey)
    body = ~on_head
    outline = _outline(survey, body, chin, size)
    ends = _ends(outline, chin, size)
    face = chin.copy()
    if survey.by_shapes:  # behind a snout
        face[2] = min(chin[2], *(eye.centre[2] for eye in survey.eyes))
    if ends is None or not _upright(survey.vertices[body], face, size, ends[0]):
        return NeckRig(chin, chin, np.ones(len(vertices), dtype=np.float32))
    high, low = ends
    width, middle = outline.width[outline.neck], outline.middle[outline.neck]
    ears = survey.landmarks[list(TEMPLES_AND_EARS), 0]
    beside = max(_SIDE * width, 0.55 * float(np.ptp(ears)))
    hair = np.zeros(len(vertices), dtype=bool)
    hair[: len(on_head)] = on_head
    bottom = np.where(hair, low - _HAIR_LONGER * size, low)
    share = np.clip((vertices[:, 1] - bottom) / (high - bottom), 0, 1)
    forward = np.maximum(vertices[:, 2] - (chin[2] - _THROAT * size), 0)
    aside = np.where(hair, 0.0, np.maximum(np.abs(vertices[:, 0] - middle[0]) - beside, 0))
    height = vertices[:, 1] + share * _CHIN_SHARE * forward - _SLOPE * (1 - share) * aside
    share = np.clip((height - bottom) / (high - bottom), 0, 1)
    share = share * share * (3 - 2 * share)
    share[own:] = 1.0
    inside = np.isin(survey.parts.kind, (Kind.UPPER_MOUTH, Kind.LOWER_MOUTH, Kind.EYE_LEFT, Kind.EYE_RIGHT))
    share[: len(inside)][inside] = 1.0
    base, top = middle.copy(), middle.copy()
    base[1], top[1] = low, high
    return NeckRig(base, top, share.astype(np.float32))


def _worn_on_head(survey: HeadSurvey) -> NDArray[np.bool_]:
    """[V] vertices of pieces beside the skin that reach above the mouth: hair, hats, eyes, teeth. Clothes do not."""
    component = survey.parts.component
    skin = np.unique(component[survey.parts.kind == Kind.SKIN])
    top = np.full(int(component.max()) + 1, -np.inf)
    np.maximum.at(top, component, survey.vertices[:, 1])
    worn = top > survey.landmarks[list(LIP_MIDDLES), 1].min()
    worn[skin] = False
    return np.asarray(worn[component])


def _outline(survey: HeadSurvey, body: NDArray[np.bool_], chin: NDArray[np.float64], size: float) -> _Outline:
    """Cross-sections of the body's triangles at the levels below the chin."""
    faces = survey.mesh.faces.astype(np.int64)
    edges = directed_edges(faces[body[faces[:, 0]]])
    one, other = survey.vertices[edges[:, 0]], survey.vertices[edges[:, 1]]
    near = np.minimum(one[:, 1], other[:, 1]) < chin[1]
    one, other = one[near], other[near]
    found = []
    for level in chin[1] - _LEVELS * size:
        crossing = (one[:, 1] < level) != (other[:, 1] < level)
        if not crossing.any():
            break
        start, end = one[crossing], other[crossing]
        at = start + (end - start) * ((level - start[:, 1]) / (end[:, 1] - start[:, 1]))[:, None]
        found.append((level, float(np.ptp(at[:, 0])), (at.min(axis=0) + at.max(axis=0)) / 2))
    return _Outline(
        np.array([level for level, *_ in found]),
        np.array([width for _, width, _ in found]),
        np.array([middle for *_, middle in found]).reshape(-1, 3),
    )


def _ends(outline: _Outline, chin: NDArray[np.float64], size: float) -> tuple[float, float] | None:
    """Heights at which the neck meets head and shoulders; None where there are no shoulders."""
    if not len(outline.width):
        return None
    narrowest = outline.neck
    below = outline.width[narrowest:] / outline.width[narrowest]
    if below.max() < _SHOULDERS:
        return None
    widened = float(outline.height[narrowest + int((below > _WIDENED).argmax())])
    low = np.clip(widened - _BELOW_WIDENING * size, *(chin[1] - size * np.array(_MEETS_SHOULDERS)[::-1]))
    return float(chin[1] + _MEETS_HEAD * size), float(low)


def _upright(points: NDArray[np.float64], face: NDArray[np.float64], size: float, high: float) -> bool:
    """Whether what lies over the neck is a head alone, and not an animal's body behind its `face` [3]."""
    over = points[points[:, 1] > high] - face
    outside = (np.abs(over[:, 0]) > _REACH[0] * size) | (over[:, 2] < -_REACH[1] * size)
    return bool(outside.mean() < _MOST_OUTSIDE) if len(over) else False
