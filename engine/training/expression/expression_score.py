"""How much of the motion of unseen people the expression prior explains.

An estimate made from one person is played by another, perfectly rigged one, and held against that one's true motion.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from calib.rig.template_units import template_data
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.studio.people import random_person
from engine.expression.expression_features import section
from engine.expression.expression_prior import PriorWeights
from engine.training.expression.clip_record import VIEWS, ClipRecord
from engine.training.expression.expression_samples import Samples, make_samples

Array = NDArray[np.float64]

_MOVING_M = 0.0005
_RANGE = (-0.3, 1.5)
_SHOWS, _SEVERAL, _FACING_RAD = 0.15, 3, 0.26
_HEADS = 6
_HEAD_SEED = 900_000


def explained_motion(estimated: Array, truth: Array, head: HeadModel) -> float | None:
    """1 − RMS(estimated − true) / RMS(true) over the vertices that the truth moves more than 0.5 mm; None where it
    moves none. Both are [52] unit weights."""
    rest = head.vertices()
    moved = head.vertices(truth) - rest
    moving = np.linalg.norm(moved, axis=1) > _MOVING_M
    if not moving.any():
        return None
    wrong = head.vertices(np.clip(estimated, *_RANGE)) - rest - moved
    return float(1 - np.sqrt(np.square(wrong[moving]).sum() / np.square(moved[moving]).sum()))


def score(weights: PriorWeights, records: Sequence[ClipRecord]) -> dict[str, float]:
    """Mean explained motion over the clips, by view and sensor, and what the neutral face is taken for.

    "mixed, facing the camera" are the expressions of three units and more, seen from within 15 degrees.
    """
    samples = make_samples(records, 0, 1)
    return score_samples(lambda row: weights.outputs(weights.inputs(row)).astype(np.float64), samples)


def score_samples(estimate: Callable[[Array], Array], samples: Samples) -> dict[str, float]:
    """The same for any estimator from features to units."""
    heads = _heads()
    values: dict[str, list[float]] = {}
    resting: list[float] = []
    for number in range(len(samples)):
        estimated = estimate(samples.features[number])
        truth = samples.units[number].astype(np.float64)
        share = explained_motion(estimated, truth, heads[number % len(heads)])
        if share is None:
            resting.append(float(np.abs(estimated).max()))
            continue
        colour = VIEWS[samples.view[number]] == "colour"
        values.setdefault("colour" if colour else str(samples.sensor[number]), []).append(share)
        kind = "without depth" if colour else "with depth"
        values.setdefault(kind, []).append(share)
        if _is_plain(samples.features[number], truth):
            values.setdefault(f"{kind}, mixed, facing the camera", []).append(share)
    return {name: float(np.mean(shares)) for name, shares in sorted(values.items())} | {
        "largest unit at rest": float(np.mean(resting))
    }


def _is_plain(features: NDArray[np.float32], truth: Array) -> bool:
    """Whether a whole expression is seen from the front: several units, the head turned little."""
    turned = float(np.linalg.norm(features[section("pose")][:3]))
    return int((truth > _SHOWS).sum()) >= _SEVERAL and turned < _FACING_RAD


@cache
def _heads() -> tuple[HeadModel, ...]:
    """The rigged heads that play, none of them among the clips; their units are the template's, as an avatar's are."""
    people = [random_person(_HEAD_SEED + number, "test").model for number in range(_HEADS)]
    return tuple(HeadModel(one.identity, one.palette, data=template_data(), topology=one.topology) for one in people)
