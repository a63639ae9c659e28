"""Which of the morph targets of a file are ARKit's units."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Mesh

LEAST_UNITS = 20  # a face with fewer of them does not follow a driver
_ESSENTIAL = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
_SIDES = {"l": "left", "r": "right"}


def unit_of(name: str) -> str | None:
    """The ARKit unit a morph target's name stands for: "eyeBlink_L", "Face.M_F00_BlendShape_JawOpen", "JAWOPEN"; None
    for other names. What exporters put before it, up to a separator, is left out."""
    known = {unit.lower(): unit for unit in UNIT_NAMES}
    rest = name
    while rest:
        if (unit := known.get(_plain(rest))) is not None:
            return unit
        rest = re.split(r"[.:|_\s]|$", rest, maxsplit=1)[1]
    return None


def _plain(name: str) -> str:
    """Lower case without separators; a side at the end is spelled out."""
    name = re.sub(r"(?<=[a-z])([LR])$", r"_\1", name)
    words = [word for word in re.split(r"[\s_.\-]+", name) if word]
    if len(words) > 1 and words[-1].lower() in _SIDES:
        words[-1] = _SIDES[words[-1].lower()]
    return "".join(words).lower()


def units_among(mesh: Mesh) -> dict[str, int]:
    """ARKit units among a mesh's morph targets: the number of the target of each; of several with the name of one unit
    that which moves farthest."""
    if mesh.morphs is None:
        return {}
    displacement = mesh.morphs.displacement
    return {
        unit: numbers[0] if len(numbers) == 1 else max(numbers, key=lambda n: float(np.abs(displacement[n]).max()))
        for unit, numbers in units_named(mesh.morphs.names).items()
    }


def units_named(targets: Sequence[str]) -> dict[str, list[int]]:
    """ARKit units among morph targets of these names: the numbers of the targets that have the name of each."""
    found: dict[str, list[int]] = {}
    for index, target in enumerate(targets):
        if (unit := unit_of(target)) is not None:
            found.setdefault(unit, []).append(index)
    return found


def lack_of_units(mesh: Mesh) -> str | None:
    """In what a mesh's morph targets fall short of a face that follows a driver; None where they do not."""
    found = units_among(mesh)
    missing = [unit for unit in _ESSENTIAL if unit not in found]
    if len(found) >= LEAST_UNITS and not missing:
        return None
    seen = 0 if mesh.morphs is None else len(mesh.morphs.names)
    lack = f", without {', '.join(missing)}" if found and missing else ""
    return (
        f"expected at least {LEAST_UNITS} morph targets with ARKit names (jawOpen, …), found {len(found)} of "
        f"{seen}{lack}"
    )


def arkit_morphs(name: str, mesh: Mesh) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """ARKit units among a mesh's morph targets: their names [M] and displacements [M, V, 3] in file coordinates.

    Raises InputError, with the file's `name`, where there are too few for a face that follows a driver.
    """
    lack = lack_of_units(mesh)
    if mesh.morphs is None or lack is not None:
        raise InputError(f"{name}: --morphs: {lack}; leave --morphs out, the head needs none")
    found = units_among(mesh)
    return tuple(found), mesh.morphs.displacement[list(found.values())]
