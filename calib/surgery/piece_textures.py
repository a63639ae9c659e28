"""How added pieces look: painted by formula, so that nothing has to be shipped."""

import numpy as np
from numpy.typing import NDArray

EYEBALL_EDGE = 0.62 * np.pi  # angle from the middle of the iris at the edge of an eyeball's texture
TEETH = 14  # of one row
GUM_SHARE = 0.5  # of a row's height, from the root, is gum
_IRIS = 0.47  # of the eyeball's radius
_EYE_PIXELS = 256


def eye_texture() -> NDArray[np.uint8]:
    """Sclera, iris and pupil by angle from the middle (0 to 0.62 π at the picture's edge)."""
    axis = (np.arange(_EYE_PIXELS) + 0.5) / _EYE_PIXELS * 2 - 1
    x, y = np.meshgrid(axis, -axis)
    angle = np.hypot(x, y) * EYEBALL_EDGE
    spin = np.arctan2(y, x)
    iris = np.arcsin(_IRIS)
    pupil = 0.42 * iris
    streaks = 0.5 + 0.25 * np.sin(23 * spin + 2 * np.sin(7 * spin)) + 0.25 * np.sin(41 * spin + 1.0)
    inward = np.clip((angle - pupil) / (iris - pupil), 0, 1)
    shade = (0.75 + 0.3 * streaks) * (1.1 - 0.35 * inward) * (1 - 0.55 * _step(inward, 0.82, 1.0))
    iris_color = np.array([96.0, 104.0, 98.0]) * shade[..., None] + np.array([26.0, 8.0, -18.0]) * (
        1 - inward[..., None]
    )
    veins = _step(angle, 0.9, 1.7)[..., None]
    sclera = np.array([226.0, 218.0, 212.0]) * (1 - 0.1 * veins) - np.array([0.0, 26.0, 26.0]) * veins
    color = iris_color + (sclera - iris_color) * _step(angle, iris * 0.97, iris * 1.05)[..., None]
    color *= _step(angle, pupil * 0.9, pupil * 1.08)[..., None] * 0.95 + 0.05
    return np.asarray(np.clip(color, 0, 255), dtype=np.uint8)


def lining_texture() -> NDArray[np.uint8]:
    """Red behind the lips, nearly black in the depth."""
    share = np.linspace(0, 1, 64)[:, None]
    near, deep = np.array([94.0, 36.0, 33.0]), np.array([26.0, 8.0, 8.0])
    rows = near + (deep - near) * share**0.6
    return np.repeat(rows[:, None, :], 8, axis=1).astype(np.uint8)


def tongue_texture() -> NDArray[np.uint8]:
    """Pink, paler along the groove, darker towards the root (the picture's lower edge)."""
    u = np.abs((np.arange(64) + 0.5) / 64 * 2 - 1)[None, :, None]
    v = ((np.arange(64) + 0.5) / 64)[:, None, None]
    color = np.array([176.0, 92.0, 90.0]) * (1 - 0.6 * v) * (1 - 0.12 * _step(u, 0.6, 1.0))
    return np.clip(color * (1 - 0.12 * (1 - _step(u, 0.0, 0.12))), 0, 255).astype(np.uint8)


def teeth_texture() -> NDArray[np.uint8]:
    """One row of teeth: gum at the root, lines between teeth, darker towards the sides."""
    width, height = 768, 128
    u = (np.arange(width) + 0.5) / width
    v = (np.arange(height) + 0.5)[:, None] / height  # 0 at the gum
    tooth = np.abs(np.sin(u * TEETH * np.pi))[None, :]
    gum_line = GUM_SHARE - 0.04 + 0.14 * (1 - tooth)
    enamel = np.array([222.0, 212.0, 192.0])
    color = enamel * (0.72 + 0.28 * np.clip(tooth * 3.2, 0, 1) ** 0.5)[..., None] * (0.9 + 0.1 * v[..., None])
    side = np.clip(1.12 - 0.75 * np.abs(2 * u - 1) ** 2, 0.3, 1)[None, :, None]
    gum = np.array([158.0, 82.0, 78.0]) * (0.45 + 0.55 * np.clip(v / GUM_SHARE, 0, 1))[..., None]
    share = np.clip((v - gum_line) / 0.05 + 0.5, 0, 1)[..., None]
    return np.clip((gum + (color - gum) * share) * side, 0, 255).astype(np.uint8)


def _step(value: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    share = np.clip((value - start) / (end - start), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))
