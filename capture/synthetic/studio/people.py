"""Random people: identities, colours, hair and, on request, faces that do not move exactly as the artists' units do."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.hair import HairStyle
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.head_model import HeadModel, Reshape
from capture.synthetic.head.head_topology import HeadTopology, make_topology
from capture.synthetic.head.identity import Identity, random_identity
from capture.synthetic.head.palette import Color, Palette
from capture.synthetic.studio.artists import MixedArtists
from capture.synthetic.studio.clip_options import Split
from capture.synthetic.studio.unit_bend import UnitBend
from core.mesh import Mesh

Points = NDArray[np.float64]

_STREAM = {"train": 101, "test": 202}  # of random numbers: the same seed gives other people in the other split
# Skin from light to dark, sRGB; hair from black to white; irises.
_SKIN = (
    (0.93, 0.78, 0.69),
    (0.87, 0.69, 0.58),
    (0.79, 0.59, 0.46),
    (0.65, 0.46, 0.34),
    (0.49, 0.33, 0.25),
    (0.34, 0.23, 0.18),
)
_HAIR = (
    (0.07, 0.06, 0.06),
    (0.16, 0.10, 0.07),
    (0.27, 0.17, 0.10),
    (0.45, 0.30, 0.16),
    (0.71, 0.55, 0.33),
    (0.45, 0.20, 0.09),
)
_GREY_HAIR = (0.62, 0.61, 0.60)
_IRIS = (
    (0.20, 0.12, 0.07),
    (0.36, 0.23, 0.13),
    (0.42, 0.35, 0.16),
    (0.30, 0.42, 0.30),
    (0.33, 0.45, 0.55),
    (0.45, 0.50, 0.53),
)


@dataclass(frozen=True, eq=False)
class Person:
    """Someone who can act. Metres, the frame of `HeadModel`; left is the person's own.

    Attributes:
        name: unique to split, seed and options.
        model: shape, units and colours.
        bent: whether the units differ from the artists' (see `unit_bend`).
        artists: whose units are mixed; none where they are the built-in head's own (see `artists`).
    """

    name: str
    model: HeadModel
    bent: bool
    artists: tuple[str, ...] = ()

    @property
    def unit_names(self) -> tuple[str, ...]:
        return self.model.unit_names

    def vertices(self, weights: NDArray[np.floating] | None = None) -> Points:
        """[n, 3] finished vertices for 52 unit weights, 0 … 1."""
        return self.model.vertices(weights)

    def mesh(self) -> Mesh:
        """The neutral face, painted."""
        return self.model.mesh()


def random_person(
    seed: int,
    split: Split,
    exaggeration: float = 1.0,
    *,
    bent: bool = False,
    bust: bool = False,
    reshape: Reshape | None = None,
    artists: tuple[str, ...] = (),
) -> Person:
    """The person with this number. The same arguments give the same person, and no person is in both splits.

    Args:
        exaggeration: 1 plausible people, 2 caricatures.
        bent: units with gains and directions of their own.
        bust: cut at the shoulders and closed (for avatars); otherwise chest and upper arms are there (before a camera).
        reshape: see `HeadModel`.
        artists: names of `capture.synthetic.studio.artists.ARTISTS`; the person moves as one of them or a mixture has
            it, instead of as the built-in head does. Not together with `bent`.
    """
    rng = np.random.default_rng([_STREAM[split], seed])
    data = load_head_data()
    identity = random_identity(rng, data, exaggeration)
    palette = random_palette(rng, identity)
    own = np.random.default_rng([_STREAM[split], seed, 7])
    bend = MixedArtists(data, own, artists) if artists else UnitBend(data, own) if bent else None
    model = HeadModel(identity, palette, data=data, topology=shared_topology(bust), reshape=reshape, bend=bend)
    moves = f"-{'+'.join(artists)}" if artists else "-bent" if bent else ""
    return Person(f"{split}-{seed}{moves}", model, bent and not artists, artists)


@functools.cache
def shared_topology(bust: bool) -> HeadTopology:
    """What all people of one cut have in common."""
    return make_topology(load_head_data(), bust=bust)


def random_palette(rng: np.random.Generator, identity: Identity) -> Palette:
    """Colours that go with who it is: darker skin and hair with African and Asian features, grey hair with age, beards
    on men, lipstick and liner mostly on women."""
    african, asian, _ = np.array(identity.ancestry) / sum(identity.ancestry)
    dark = float(np.clip(3.6 * african + 1.5 * asian + rng.normal(0.6, 0.8), 0, len(_SKIN) - 1))
    skin = _jittered(_between(_SKIN, dark), rng, 0.03)
    fair = float(np.clip(4.6 * (1 - african - asian) * rng.beta(1.1, 1.3) + rng.uniform(0, 1), 0, len(_HAIR) - 1))
    hair = _jittered(_between(_HAIR, fair), rng, 0.02)
    grey = float(np.clip((identity.age_years - 45) / 30 + rng.normal(0, 0.2), 0, 1))
    hair = _mixed(hair, _GREY_HAIR, grey)
    male = identity.sex > 0.5
    return Palette(
        skin=skin,
        lips=_lips(rng, skin, made_up=not male and rng.random() < 0.45),
        iris=_jittered(_IRIS[int(min(rng.integers(0, len(_IRIS)), 1 if dark > 3 else 5))], rng, 0.03),
        brow=_mixed(hair, (0.10, 0.08, 0.07), float(rng.uniform(0.1, 0.7))),
        hair=hair,
        shirt=_random_color(rng, 0.08, 0.75),
        sclera=_jittered((0.89, 0.87, 0.85), rng, 0.02),
        teeth=_jittered((0.90, 0.88, 0.80), rng, 0.03),
        blush=float(rng.uniform(0.3, 1.5)),
        freckles=float(rng.uniform(0, 0.7)) if rng.random() < 0.2 else 0.0,
        stubble=float(rng.uniform(0.15, 1.0)) if male and rng.random() < 0.5 else 0.0,
        liner=float(rng.uniform(0.0, 0.4) if male else rng.uniform(0.1, 1.0)),
        brow_width=float(rng.uniform(0.7, 1.4)),
        brow_density=float(rng.uniform(0.5, 1.0)),
        glint=float(rng.uniform(0.4, 1.0)),
        hair_style=_random_hair(rng, male),
    )


def _random_hair(rng: np.random.Generator, male: bool) -> HairStyle | None:
    if rng.random() < (0.16 if male else 0.03):
        return None
    return HairStyle(
        top_m=float(rng.uniform(0.006, 0.034)),
        side_m=float(rng.uniform(0.003, 0.012 if male else 0.016)),
        hairline_m=float(rng.uniform(-0.004, 0.016 if male else 0.004)),
        parting=float(rng.uniform(-0.8, 0.8)) if rng.random() < 0.4 else None,
        strand_m=float(rng.uniform(0.004, 0.012)),
        relief=float(rng.uniform(0.15, 0.45)),
        sideburn=float(rng.uniform(0.2, 1.0)),
    )


def _lips(rng: np.random.Generator, skin: Color, *, made_up: bool) -> Color:
    redder = (0.86 * skin[0], 0.64 * skin[1], 0.66 * skin[2])
    natural = _mixed(redder, (0.66, 0.34, 0.33), float(rng.uniform(0.1, 0.6)))
    if not made_up:
        return natural
    return _mixed(natural, ((0.70, 0.12, 0.16), (0.72, 0.28, 0.38), (0.45, 0.14, 0.20))[rng.integers(0, 3)], 0.7)


def _between(colors: tuple[Color, ...], place: float) -> Color:
    low = min(int(place), len(colors) - 2)
    return _mixed(colors[low], colors[low + 1], place - low)


def _mixed(color: Color, other: Color, share: float) -> Color:
    r, g, b = (float(one + share * (two - one)) for one, two in zip(color, other, strict=True))
    return (r, g, b)


def _jittered(color: Color, rng: np.random.Generator, spread: float) -> Color:
    r, g, b = np.clip(np.array(color) * (1 + rng.normal(0, spread)) + rng.normal(0, spread / 2, 3), 0.02, 0.98).tolist()
    return (r, g, b)


def _random_color(rng: np.random.Generator, low: float, high: float) -> Color:
    grey = rng.uniform(low, high)
    r, g, b = np.clip(grey + rng.uniform(-0.2, 0.2, 3), 0.03, 0.92).tolist()
    return (r, g, b)
