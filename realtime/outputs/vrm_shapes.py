"""Weights of VRM's preset expressions for a face that is described in ARKit's units."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.expression_units import UNIT_COUNT, UNIT_NAMES
from realtime.rig.naming import PRESETS

Array = NDArray[np.float64]

VRM0_NAMES: Final = {
    "happy": "Joy",
    "angry": "Angry",
    "sad": "Sorrow",
    "relaxed": "Fun",
    "surprised": "Surprised",
    "aa": "A",
    "ih": "I",
    "ou": "U",
    "ee": "E",
    "oh": "O",
    "blink": "Blink",
    "blinkLeft": "Blink_L",
    "blinkRight": "Blink_R",
    "lookUp": "LookUp",
    "lookDown": "LookDown",
    "lookLeft": "LookLeft",
    "lookRight": "LookRight",
}
"""Of VRM 1.0's presets, as VRM 0 and the VMC protocol call them (https://protocol.vmc.info/english)."""

PRESET_NAMES: Final = tuple(PRESETS)
_EMOTIONS: Final = ("happy", "angry", "sad", "surprised")
_LEAST_EMOTION = 0.25  # of a whole one: less is speech, or the face itself
_OPEN, _WIDE, _ROUND = 0.6, 0.8, 0.9  # sums of units in which a mouth is fully open, wide, round


def preset_weights(weights: Array) -> Array:
    """[17] weights 0..1 in the order of `PRESET_NAMES`, for `weights` [52] of units.

    Emotions are the share of each preset's own units that the face shows, little of it left out; vowels follow from how
    open, wide and round the mouth is, and add up to 1 at most. `blink` stays 0: the two lids have presets of their own,
    and all three together would shut an avatar's eyes twice. So does `relaxed`, which is a small smile with heavy lids:
    the smile is in `happy`, and every blink would be the rest.
    """
    shares = np.clip((_SHARES @ weights - _LEAST_EMOTION) / (1 - _LEAST_EMOTION), 0.0, 1.0)
    opened, wide, rounded = np.clip(_MOUTH @ weights, 0.0, 1.0).tolist()
    spread = wide * (1 - rounded)
    vowels = {
        "aa": opened * (1 - rounded) * (1 - wide),
        "ih": spread * (1 - opened),
        "ou": rounded * (1 - opened),
        "ee": spread * opened,
        "oh": rounded * opened,
    }
    named = np.clip(_NAMED @ weights, 0.0, 1.0)
    for name, weight in {**dict(zip(_EMOTIONS, shares.tolist(), strict=True)), **vowels}.items():
        named[PRESET_NAMES.index(name)] = weight
    return named


def _rows(units: list[dict[str, float]]) -> Array:
    rows = np.zeros((len(units), UNIT_COUNT))
    for row, named in zip(rows, units, strict=True):
        for name, weight in named.items():
            row[UNIT_NAMES.index(name)] = weight
    return rows


_SHARES: Final = np.stack([row / (row @ row) for row in _rows([PRESETS[name] for name in _EMOTIONS])])
_MOUTH: Final = _rows(
    [
        {"jawOpen": 1 / _OPEN, "mouthClose": -1 / _OPEN},
        dict.fromkeys(("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"), 0.5 / _WIDE),
        {"mouthPucker": 1 / _ROUND, "mouthFunnel": 1 / _ROUND},
    ]
)
_NAMED: Final = _rows(
    [
        {unit: weight / len(PRESETS[name]) for unit, weight in PRESETS[name].items()}
        if name.startswith(("look", "blinkL", "blinkR"))
        else {}
        for name in PRESET_NAMES
    ]
)
