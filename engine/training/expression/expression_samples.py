"""From recorded clips to what a regressor learns from: features, units, and what an error in the units costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calib.rig.template_units import template_data
from capture.face.face_model_file import find_face_model
from capture.synthetic.head.head_model import HeadModel
from core.canonical_face import load_canonical_face
from core.expression_units import SCORE_NAMES
from engine.expression.expression_features import FEATURE_COUNT, ExpressionNeutral, features, section
from engine.training.expression.clip_record import VIEWS, ClipRecord
from engine.training.expression.expression_dataset import unit_displacements

Array = NDArray[np.float64]

NEAR_LIPS_M, NEAR_LIDS_M = 0.010, 0.008
BROWS_M = (0.012, 0.060)  # above the eyes
LIP_WEIGHT, LID_WEIGHT, BROW_WEIGHT, EYE_WEIGHT = 2.0, 3.0, 2.0, 0.3  # what is read closely counts more than its area
_MOVING_M = 0.0005


@dataclass(frozen=True, eq=False)
class Samples:
    """N looks at faces, each compared with a neutral look at the same person.

    Attributes:
        features: [N, FEATURE_COUNT] float32, see `engine.expression.expression_features`.
        units: [N, 52] float32 the answer.
        person: [N] number of the clip; view: [N] index into VIEWS; sensor: [N] its name.
    """

    features: NDArray[np.float32]
    units: NDArray[np.float32]
    person: NDArray[np.int64]
    view: NDArray[np.int64]
    sensor: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.units)


def make_samples(records: Sequence[ClipRecord], seed: int, neutrals: int) -> Samples:
    """Compare every look with `neutrals` neutral looks of its clip: the first one, and others in other poses."""
    rng = np.random.default_rng(seed)
    rows: list[NDArray[np.float32]] = []
    units, person, view, sensor = [], [], [], []
    for number, record in enumerate(records):
        rests = np.flatnonzero(~record.units.any(axis=1))
        for look in range(len(VIEWS)):
            made = {rest: ExpressionNeutral.of(record.observation(rest, look)) for rest in rests.tolist()}
            for frame in range(len(record.units)):
                others = rng.permutation(rests[1:])[: neutrals - 1].tolist()
                for rest in [int(rests[0]), *others]:
                    observation = record.observation(frame, look)
                    rows.append(features(observation, made[rest]).astype(np.float32))
                    units.append(record.units[frame])
                    person.append(number)
                    view.append(look)
                    sensor.append(record.sensor)
    return Samples(np.array(rows), np.array(units), np.array(person), np.array(view), np.array(sensor))


@dataclass(frozen=True, eq=False)
class Mirror:
    """Swaps left and right: `values[..., order] * sign` of features, `units[..., unit_order]`."""

    order: NDArray[np.int64]
    sign: NDArray[np.float32]
    unit_order: NDArray[np.int64]

    def features(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values[..., self.order] * self.sign

    def units(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values[..., self.unit_order]


def make_mirror(unit_names: Sequence[str]) -> Mirror:
    """The mirror of feature vectors and units."""
    order, sign = np.arange(FEATURE_COUNT), np.ones(FEATURE_COUNT, np.float32)
    canonical = load_canonical_face(find_face_model(None)).points[:468]
    apart = np.linalg.norm(canonical[:, None] * [-1, 1, 1] - canonical[None], axis=2)
    points = np.asarray(apart.argmin(axis=1))  # the landmark on the other side of the face
    for name in ("displacement", "shape"):
        start = section(name).start
        order[section(name)] = start + (3 * points[:, None] + np.arange(3)).ravel()
        sign[section(name)] = np.tile([-1.0, 1.0, 1.0], len(points))
    for name in ("lids", "gaze"):
        order[section(name)] = section(name).start + np.array([2, 3, 0, 1])
    sign[section("gaze")] = [-1, 1, -1, 1]
    order[section("scores")] = section("scores").start + _swapped(SCORE_NAMES[1:])
    sign[section("pose")] = [1, -1, -1, 1, -1, -1]
    return Mirror(order, sign, _swapped(unit_names))


def _swapped(names: Sequence[str]) -> NDArray[np.int64]:
    """[n] where the name for the other side stands."""
    other = {"Left": "Right", "Right": "Left"}
    places = {name: place for place, name in enumerate(names)}
    sides = [next((side for side in other if name.endswith(side)), "") for name in names]
    partner = [name.removesuffix(side) + other.get(side, "") for name, side in zip(names, sides, strict=True)]
    return np.array([places[name] for name in partner])


@dataclass(frozen=True, eq=False)
class UnitMetric:
    """What wrong units look like on an average face.

    Attributes:
        unit_names: of the 52.
        gram: [52, 52] mm²: wᵀ·gram·w is the mean squared motion of the face under weights w, parts weighted.
    """

    unit_names: tuple[str, ...]
    gram: Array


@cache
def unit_metric() -> UnitMetric:
    """Of the skin of the average head, lips and lids counting more, and a little of the eyeballs' turn."""
    model = HeadModel(data=template_data())
    skin = model.part("skin")
    moved = unit_displacements(model) * 1000
    rest = model.vertices()[skin]
    weight = np.where(np.linalg.norm(moved, axis=2).max(axis=0) > 1000 * _MOVING_M, 1.0, 0.0)
    lids = np.concatenate([ring[0] for ring in model.data.lid_rings.values()])
    weight[_near(rest, model, model.data.lip_rings[1]) < NEAR_LIPS_M] *= LIP_WEIGHT
    weight[_near(rest, model, lids) < NEAR_LIDS_M] *= LID_WEIGHT
    weight[(rest[:, 1] > BROWS_M[0]) & (rest[:, 1] < BROWS_M[1])] *= BROW_WEIGHT
    share = np.sqrt(weight / weight.sum())
    flat = (moved * share[None, :, None]).reshape(len(moved), -1)
    gram = flat @ flat.T
    looks = np.array([name.startswith("eyeLook") for name in model.unit_names])
    return UnitMetric(model.unit_names, gram + np.diag(EYE_WEIGHT * looks))


def _near(points: Array, model: HeadModel, rings: NDArray[np.int32]) -> Array:
    """[n] distance of points to the nearest vertex of the rings, which number the base mesh."""
    return np.asarray(cKDTree(model.base[np.unique(rings)]).query(points)[0])
