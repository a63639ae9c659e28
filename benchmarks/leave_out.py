"""The program as it would be had it never seen one artist: for judging it on that artist's heads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.rig import template_units
from capture.synthetic.head.head_data import load_head_data, load_targets
from capture.synthetic.studio.artists import OWN, load_artists, unit_size
from core.expression_units import UNIT_NAMES
from tools.assets.artist_units import with_parts
from tools.assets.make_units import WITH_THE_JAW, consensus, write_units

ARTIST_OF = {"cc0": OWN, "ict": "ict", "valid": "valid", "mpfb2": "mpfb"}
"""Basis of a rig (`tools.artist_rigs`) → its artist's name among those whose consensus the template is."""

_SHIPPED = template_units.TEMPLATE_UNITS_FILE


@contextmanager
def without(basis: str) -> Iterator[None]:
    """While this lasts, engines that are made move their avatars by units on which only the other artists have agreed.
    What preparation keeps of an avatar does not depend on them. For others (`benchmarks.rig_file`), nothing changes."""
    if basis not in ARTIST_OF:
        yield
        return
    others = {artist: units for artist, units in load_artists().items() if artist != ARTIST_OF[basis]}
    agreed = with_parts(consensus(others), load_head_data(), WITH_THE_JAW)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template_units.npz"
        write_units(path, [(f"unit/{name}", unit) for name, unit in agreed.items()])
        try:
            _use(path)
            yield
        finally:
            _use(_SHIPPED)


def _use(path: Path) -> None:
    template_units.TEMPLATE_UNITS_FILE = path  # type: ignore[misc]
    template_units.template_data.cache_clear()


def sizes_over_shipped() -> NDArray[np.float64]:
    """[52] how many times as far as those in use now the shipped template's units go, in the order of UNIT_NAMES.

    The prior answers in the shipped units: as many times more has to be asked of those in use for as much motion.
    """
    data = load_head_data()
    shipped = load_targets(_SHIPPED, len(data.vertices))
    scale = np.ones(len(UNIT_NAMES))
    for number, name in enumerate(UNIT_NAMES):
        if f"unit/{name}" in shipped:
            indices, displacement = shipped[f"unit/{name}"]
            whole = np.zeros_like(data.vertices)
            whole[indices] = displacement
            used = unit_size(template_units.template_data().dense(f"unit/{name}"), data)
            scale[number] = unit_size(whole, data) / used if used > 0 else 1.0
    return scale
