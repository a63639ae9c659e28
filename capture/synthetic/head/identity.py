"""Who a synthetic head is: sex, age, ancestry, build and details of its shape."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.head_data import HeadData

ANCESTRIES = ("african", "asian", "caucasian")
AGE_KNOTS_YEARS = {"child": 10.0, "young": 25.0, "old": 90.0}  # the ages the artists shaped
_FARTHEST = 1.5  # that a random detail goes


@dataclass(frozen=True)
class Identity:
    """Sliders of a head's shape.

    Attributes:
        sex: 0 female … 1 male.
        age_years: 10 … 90; between the shaped ages the head is interpolated.
        ancestry: shares of African, Asian and European features; they are normalised to sum to one.
        weight: 0 thin … 0.5 average … 1 heavy.
        details: name → usually −1 … 1 (0 … 1 where the slider has one end; more exaggerates). Names:
            `detail_names(data)`.
    """

    sex: float = 0.5
    age_years: float = 30.0
    ancestry: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    weight: float = 0.5
    details: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.sex <= 1 or not 0 <= self.weight <= 1 or not 10 <= self.age_years <= 90:
            raise ValueError(f"expected sex and weight in 0..1 and age_years in 10..90, got {self}")
        if min(self.ancestry) < 0 or sum(self.ancestry) <= 0:
            raise ValueError(f"expected shares of ancestry that are not negative and not all zero, got {self.ancestry}")


@functools.cache
def detail_names(data: HeadData) -> tuple[str, ...]:
    """Names of all detail sliders."""
    return tuple(sorted({end[:-1] for end in data.names("detail")}))


def target_weights(identity: Identity, data: HeadData) -> dict[str, float]:
    """Weights of the shape targets that make this identity. Raises KeyError for a detail that does not exist."""
    sexes = {"female": 1 - identity.sex, "male": identity.sex}
    ages = _age_shares(identity.age_years)
    builds = _build_shares(identity.weight)
    shares = np.array(identity.ancestry) / sum(identity.ancestry)
    weights: dict[str, float] = {}
    for sex, of_sex in sexes.items():
        for age, of_age in ages.items():
            for ancestry, of_ancestry in zip(ANCESTRIES, shares.tolist(), strict=True):
                weights[f"ancestry/{ancestry}-{sex}-{age}"] = of_sex * of_age * of_ancestry
            for build, of_build in builds.items():
                weights[f"build/{sex}-{age}-{build}"] = of_sex * of_age * of_build
    for name, value in identity.details.items():
        weights |= _detail_weights(name, value, data)
    return {name: weight for name, weight in weights.items() if weight}


def random_identity(rng: np.random.Generator, data: HeadData, strength: float = 1.0) -> Identity:
    """A plausible person; `strength` scales how far the details may stray (2 gives caricatures)."""
    names = detail_names(data)
    spread, least = _detail_ranges(data)
    drawn = rng.normal(0, spread * strength).clip(-_FARTHEST, _FARTHEST)
    details = dict(zip(names, np.maximum(drawn, least).tolist(), strict=True))
    ancestry = rng.dirichlet((0.5, 0.5, 0.5))
    return Identity(
        sex=float(np.clip(rng.beta(0.4, 0.4), 0, 1)),
        age_years=float(rng.uniform(16, 75)),
        ancestry=(float(ancestry[0]), float(ancestry[1]), float(ancestry[2])),
        weight=float(rng.beta(3, 3)),
        details=details,
    )


@functools.cache
def _detail_ranges(data: HeadData) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[D] standard deviation and least value of each detail slider: 0 where it has one end."""
    names = detail_names(data)
    spread = np.array([0.15 if name.startswith("asym") else 0.3 for name in names])
    one_ended = np.array([f"detail/{name}-" not in data.targets for name in names])
    return spread, np.where(one_ended, 0.0, -np.inf)


def with_details(identity: Identity, **details: float) -> Identity:
    """The same person with some details changed; write underscores for the hyphens of a name."""
    changed = {name.replace("_", "-"): value for name, value in details.items()}
    return dataclasses.replace(identity, details={**identity.details, **changed})


def _detail_weights(name: str, value: float, data: HeadData) -> dict[str, float]:
    end = f"detail/{name}{'+' if value >= 0 else '-'}"
    if end not in data.targets:
        if f"detail/{name}+" not in data.targets:
            raise KeyError(f'no detail slider named "{name}"; the names are those of detail_names()')
        raise ValueError(f'the detail slider "{name}" has one end only and cannot be {value:g}')
    return {end: abs(value)}


def _age_shares(age_years: float) -> dict[str, float]:
    child, young, old = AGE_KNOTS_YEARS.values()
    if age_years < young:
        share = (age_years - child) / (young - child)
        return {"child": 1 - share, "young": share}
    share = (age_years - young) / (old - young)
    return {"young": 1 - share, "old": share}


def _build_shares(weight: float) -> dict[str, float]:
    if weight < 0.5:
        return {"minweight": 1 - 2 * weight, "averageweight": 2 * weight}
    return {"averageweight": 2 - 2 * weight, "maxweight": 2 * weight - 1}
