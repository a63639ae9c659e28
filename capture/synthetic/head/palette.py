"""Colours of a synthetic head."""

from __future__ import annotations

from dataclasses import dataclass, field

from capture.synthetic.head.hair import HairStyle

Color = tuple[float, float, float]  # sRGB, 0..1


@dataclass(frozen=True)
class Palette:
    """How a head is painted. Colours are sRGB, 0..1.

    Attributes:
        blush: redness of cheeks, nose and ears; 0 none … 1 natural … 2 cartoon.
        freckles, stubble, liner: 0 … 1.
        brow_width: 1 natural; brow_density 0 … 1; brow_lift_m raises their inner ends, for a kinder look.
        hair_style: None for a bald head.
        shirt: None leaves the shoulders bare.
        texture: 0 even colours … 1 pores and blotches.
        glint: 0 … 1 strength of a highlight painted onto the eyes, for renderers that draw none.
    """

    skin: Color = (0.83, 0.64, 0.54)
    lips: Color = (0.69, 0.38, 0.36)
    iris: Color = (0.36, 0.23, 0.13)
    brow: Color = (0.20, 0.13, 0.09)
    hair: Color = (0.22, 0.14, 0.09)
    shirt: Color | None = (0.17, 0.22, 0.30)
    sclera: Color = (0.91, 0.89, 0.87)
    teeth: Color = (0.93, 0.91, 0.85)
    blush: float = 1.0
    freckles: float = 0.0
    stubble: float = 0.0
    liner: float = 0.5
    brow_width: float = 1.0
    brow_density: float = 0.9
    brow_lift_m: float = 0.0
    texture: float = 1.0
    glint: float = 0.0
    hair_style: HairStyle | None = field(default_factory=HairStyle)
