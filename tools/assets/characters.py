"""The people this project brings along: three avatars of different kinds, and the performer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.geometry import smoothstep
from capture.synthetic.head.hair import HairStyle
from capture.synthetic.head.head_data import HeadData, load_head_data
from capture.synthetic.head.head_model import HeadModel, Reshape
from capture.synthetic.head.head_topology import make_topology
from capture.synthetic.head.identity import Identity
from capture.synthetic.head.palette import Palette

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Character:
    """Everything that makes one of them.

    Attributes:
        bust: cut at the shoulders and closed; otherwise chest and upper arms are there.
        lash_length: 1 natural.
        reshape: what no identity slider does, see `HeadModel`.
        texture_size: pixels along each side of the painted skin.
    """

    identity: Identity
    palette: Palette
    bust: bool = True
    lash_length: float = 1.0
    reshape: Reshape | None = None
    texture_size: int = 1024

    def model(self) -> HeadModel:
        data = load_head_data()
        style = self.palette.hair_style
        bun = style is not None and style.bun
        topology = make_topology(data, bust=self.bust, lash_length=self.lash_length, bun=bun)
        return HeadModel(self.identity, self.palette, data=data, topology=topology, reshape=self.reshape)


def cartoon(base: Points, data: HeadData) -> Points:
    """Large eyes, a large skull, a small chin and a thin neck, as in animated films."""
    template = data.vertices.astype(np.float64)
    x, y, z = template.T
    shaped = base.copy()
    skull = smoothstep(-0.04, 0.10, y)
    shaped *= 1 + np.outer(skull, [0.10, 0.07, 0.10])
    below = smoothstep(-0.025, -0.105, y) * smoothstep(-0.11, -0.01, z)
    shaped[:, 0] *= 1 - 0.13 * below
    shaped[:, 1] += 0.008 * below
    neck = smoothstep(-0.085, -0.125, y) * smoothstep(-0.215, -0.15, y)
    axis = np.array([0.0, -0.075])
    shaped[:, [0, 2]] = axis + (shaped[:, [0, 2]] - axis) * (1 - 0.24 * neck)[:, None]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        eye = data.part_vertices(f"eye_{side}")
        distance = np.linalg.norm((template - template[eye].mean(axis=0)) * [1.0, 1.0, 0.7], axis=1)
        near = (1 - smoothstep(0.014, 0.056, distance)) * smoothstep(0.0, 0.020, sign * x)
        near[eye] = 1.0
        centre = shaped[eye].mean(axis=0) - np.array([0.0, 0.002, 0.0])
        shaped += (shaped - centre) * np.outer(near, [0.36, 0.46, 0.36])
        shaped[:, 2] -= 0.0045 * near
    return shaped


CHARACTERS: dict[str, Character] = {
    "realistic": Character(
        Identity(
            sex=1.0, age_years=29, ancestry=(0.12, 0.08, 1.0), weight=0.5,
            details={
                "eye-height1": 0.5, "eye-height2": 0.8, "eye-height3": 0.5, "mouth-angles": 0.3, "chin-width": 0.3,
                "nose-scale-vert": -0.2, "head-square": 0.25,
                "eyebrows-trans-vert": 0.3, "chin-cleft": 0.4, "nose-hump": 0.15, "mouth-upperlip-volume": 0.2,
                "head-fat": -0.2, "asym-mouth-1": 0.12, "asym-brown-1": 0.15,
            },
        ),
        Palette(
            skin=(0.83, 0.64, 0.53), lips=(0.68, 0.43, 0.39), iris=(0.30, 0.42, 0.46), brow=(0.15, 0.10, 0.07),
            hair=(0.20, 0.135, 0.085), shirt=(0.20, 0.24, 0.28), stubble=0.30, liner=0.12, brow_width=1.2,
            hair_style=HairStyle(top_m=0.020, side_m=0.006, relief=0.45, strand_m=0.007),
        ),
        lash_length=0.8,
    ),
    "stylized": Character(
        Identity(
            sex=0.0, age_years=20, ancestry=(0.1, 0.3, 1.0), weight=0.5,
            details={
                "nose-scale-horiz": 0.35, "nose-scale-vert": -0.6, "nose-scale-depth": -0.2, "nose-point": 0.5,
                "nose-hump": -0.4, "nose-volume": -0.2, "mouth-angles": 0.6, "cheek-volume": 0.3, "head-oval": 0.6,
                "chin-height": -0.3, "chin-triangle": 0.7, "chin-width": -0.6, "mouth-upperlip-volume": 0.4,
                "mouth-lowerlip-volume": 0.5, "mouth-scale-horiz": 0.3, "eyebrows-trans-vert": 0.5, "eye-height2": 0.5,
                "eye-height1": 0.3, "eye-corner2": 0.2, "neck-double": -0.6, "head-fat": -0.2,
            },
        ),
        Palette(
            skin=(0.95, 0.74, 0.62), lips=(0.84, 0.40, 0.40), iris=(0.16, 0.58, 0.42), brow=(0.42, 0.17, 0.07),
            hair=(0.72, 0.29, 0.10), shirt=(0.16, 0.45, 0.55), sclera=(0.97, 0.97, 0.98), teeth=(0.98, 0.97, 0.95),
            blush=1.7, freckles=0.8, liner=1.0, brow_width=1.1, brow_density=1.0, brow_lift_m=0.003,
            texture=0.25,
            hair_style=HairStyle(top_m=0.036, side_m=0.010, relief=0.45, strand_m=0.018, sideburn=0.35),
        ),
        lash_length=1.3,
        reshape=cartoon,
    ),
    "lowpoly": Character(
        Identity(
            sex=1.0, age_years=36, ancestry=(1.0, 0.1, 0.1), weight=0.62,
            details={
                "head-rectangular": 0.5, "chin-prominent": 0.4, "nose-scale-horiz": 0.3, "eye-height1": 0.5,
                "eye-height2": 0.8, "eye-height3": 0.5,
            },
        ),
        Palette(
            skin=(0.52, 0.34, 0.25), lips=(0.50, 0.27, 0.25), iris=(0.20, 0.12, 0.07), brow=(0.13, 0.11, 0.10),
            hair=(0.42, 0.41, 0.40), shirt=(0.75, 0.48, 0.16), stubble=0.0, liner=0.7, brow_width=1.45,
            brow_density=1.0,
            hair_style=HairStyle(top_m=0.010, side_m=0.006, relief=0.2, strand_m=0.02, hairline_m=0.006),
        ),
    ),
    "performer": Character(
        Identity(
            sex=0.02, age_years=24, ancestry=(0.25, 0.35, 0.6), weight=0.45,
            details={
                "eye-scale": 0.25, "mouth-upperlip-volume": 0.5, "mouth-lowerlip-volume": 0.4, "mouth-angles": 0.35,
                "nose-scale-horiz": -0.3, "nose-hump": -0.2, "head-oval": 0.5, "eye-corner2": 0.3, "cheek-bones": 0.3,
                "asym-nose-1": 0.1,
            },
        ),
        Palette(
            skin=(0.76, 0.56, 0.44), lips=(0.66, 0.32, 0.31), iris=(0.33, 0.20, 0.10), brow=(0.12, 0.08, 0.06),
            hair=(0.11, 0.075, 0.055), shirt=(0.50, 0.17, 0.16), liner=0.85, brow_width=0.85,
            hair_style=HairStyle(top_m=0.010, side_m=0.008, relief=0.3, strand_m=0.005, bun=True, sideburn=0.2),
        ),
        bust=False,
        lash_length=1.15,
    ),
}  # fmt: skip
