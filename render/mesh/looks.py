"""How the surface of a part answers light, chosen by its name: skin, eyes, teeth, tongue, hair, mouth lining."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.mesh import Material, MeshPart

RGB = tuple[float, float, float]
_DARK_FLESH: RGB = (0.20, 0.075, 0.065)


@dataclass(frozen=True)
class PartLook:
    """Surface qualities under the studio light. Colours are sRGB.

    Attributes:
        wrap: how far light creeps past the edge of shadow, per channel; more red than blue looks like flesh.
        sheen: strength of the broad highlight; its exponent is 2 to the power of `sheen_squarings`.
        glint: strength of a small sharp highlight, as on anything wet; 0 leaves it out.
        back_color: colour of the inside where a surface is seen from behind, never shiny; None lights both sides alike.
        deep: the part lies in the mouth: it darkens with depth instead of by what surrounds it at rest.
        lowest_light: how dark baked occlusion may make it, 0..1.
        faceted: shade every triangle flat.
        thin: made of slivers, such as lashes.
        ball: an eyeball, lit as the wet sphere it is (`render.gl.eyeballs`).
    """

    wrap: RGB = (0.38, 0.20, 0.15)
    sheen: float = 0.085
    sheen_squarings: int = 4
    glint: float = 0.0
    back_color: RGB | None = _DARK_FLESH
    deep: bool = False
    lowest_light: float = 0.22
    faceted: bool = False
    thin: bool = False
    ball: bool = False


SKIN = PartLook()
EYE = PartLook(wrap=(0.25, 0.2, 0.2), sheen=0.02, sheen_squarings=5, glint=0.9, lowest_light=0.45, ball=True)
TEETH = PartLook(wrap=(0.3, 0.26, 0.22), sheen=0.08, sheen_squarings=5, glint=0.12, deep=True, lowest_light=0.3)
WET_FLESH = PartLook(wrap=(0.4, 0.2, 0.18), sheen=0.05, sheen_squarings=5, glint=0.06, deep=True, lowest_light=0.6)
LINING = PartLook(wrap=(0.3, 0.2, 0.2), sheen=0.0, deep=True, back_color=_DARK_FLESH)
HAIR = PartLook(wrap=(0.3, 0.3, 0.3), sheen=0.03, sheen_squarings=3, back_color=None)
LASH = PartLook(wrap=(0.4, 0.4, 0.4), sheen=0.0, back_color=None, lowest_light=0.8, thin=True)
BROW = replace(LASH, thin=False)
CLOTH = PartLook(wrap=(0.15, 0.15, 0.15), sheen=0.02, sheen_squarings=3, back_color=None)

# The first pattern found in the part's name, else in its material's, decides.
_RULES: tuple[tuple[str, PartLook], ...] = (
    (r"lash|cilia", LASH),
    (r"brow", BROW),
    (r"lining|mouth.?(inside|interior|bag|cavity|sock)|inner.?mouth", LINING),
    (r"teeth|tooth|dent(al|ure)", TEETH),
    (r"tongue|gum(s|\b|_)", WET_FLESH),
    (r"hair|beard|moustache|mustache|fur\b", HAIR),
    (r"shirt|cloth|jacket|hat\b|cap\b|scarf|collar|glasses", CLOTH),
    (r"eye(?!.?(lid|socket|shadow|wear))|cornea|iris|sclera|pupil", EYE),
)


def look_of(part: MeshPart, material: Material, looks: Mapping[str, PartLook] | None = None) -> PartLook:
    """The look of a part: stated under its own name or its material's, else by what these names say, else skin.

    A material whose name holds "faceted" is shaded flat; one that is double-sided (hair cards) shows no dark inside,
    unless it is skin, whose inside only shows where the head is open.
    """
    for name in (part.name, material.name):
        if looks and name in looks:
            return looks[name]
    look = SKIN
    for name in (part.name.lower(), material.name.lower()):
        found = next((look for pattern, look in _RULES if re.search(pattern, name)), None)
        if found is not None:
            look = found
            break
    return replace(look, faceted=True) if "faceted" in material.name.lower() else look
