"""Faces that move as other artists shaped them: the same 52 units, drawn by other hands.

What a smile looks like is one artist's opinion. `data/artists.npz` has those of others, laid onto the built-in head by
`tools.assets.make_units`; who they are and under which licences stands in `data/PROVENANCE.txt`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.head_data import DATA_FOLDER, HeadData, load_head_data, load_targets

Points = NDArray[np.float64]

ARTIST_FILE: Final = DATA_FOLDER / "artists.npz"
OWN: Final = "faceunits"
ARTISTS: Final = (OWN, "ict", "valid", "mpfb")
"""The artist of the built-in head's own units, and the others."""
AS_THEY_ARE: Final = ("eyeBlink", "eyeLook", "tongueOut")
"""Units that stay the built-in head's own: a lid that does not close is no blink."""

_ALONE = 0.5  # share of people who move as one artist has it throughout
_GAIN = 0.25  # standard deviation of the logarithm of how far a person goes in a unit
_FARTHEST = 0.6  # such a logarithm
_FACE_M = (-0.112, -0.060)  # height and depth on the template beyond which size is measured


@functools.cache
def load_artists() -> Mapping[str, Mapping[str, NDArray[np.float32]]]:
    """Artist → unit → displacements [V, 3] in metres of the built-in head's base mesh; not every artist has every unit.
    Raises InputError where the file is missing or damaged."""
    data = load_head_data()
    units: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in ARTISTS}
    units[OWN] = {name: data.dense(f"unit/{name}") for name in data.names("unit")}
    for name, (indices, displacement) in load_targets(ARTIST_FILE, len(data.vertices)).items():
        artist, unit = name.split("/")
        dense = np.zeros_like(data.vertices)
        dense[indices] = displacement
        units[artist][unit] = dense
    return MappingProxyType(units)


def unit_size(displacement: NDArray[np.floating], data: HeadData) -> float:
    """Root mean square, in metres, over the base mesh's face of displacements [V, 3]: how far a unit goes."""
    face = (data.vertices[:, 1] > _FACE_M[0]) & (data.vertices[:, 2] > _FACE_M[1])
    return float(np.sqrt(np.square(displacement[face]).sum(axis=1).mean()))


class MixedArtists:
    """Moves one person as artists have it; a `capture.synthetic.head.head_model.Bend`.

    Half of the people move as one of the artists has it, the others as a mixture that differs from unit to unit; how
    far each unit goes is the person's own. Blinks, gaze and tongue stay the built-in head's. Raises ValueError for an
    unknown artist.
    """

    def __init__(self, data: HeadData, rng: np.random.Generator, artists: tuple[str, ...]) -> None:
        if unknown := set(artists) - set(ARTISTS):
            raise ValueError(f"no such artist: {', '.join(sorted(unknown))}; there are {', '.join(ARTISTS)}")
        self._data, self._rng = data, rng
        self._artists = (str(rng.choice(artists)),) if rng.random() < _ALONE else artists

    def __call__(self, units: Points, base: Points) -> Points:
        """[52, V, 3] units for a head with this [V, 3] base mesh."""
        if units.shape[1:] != base.shape:
            raise ValueError(f"expected units for a base mesh of shape {base.shape}, got {units.shape}")
        data, names = self._data, self._data.names("unit")
        jaw = names.index("jawOpen")
        scale = unit_size(units[jaw], data) / unit_size(data.dense("unit/jawOpen"), data)  # large faces move farther
        mixed = units.copy()
        taste: dict[str, tuple[float, Points]] = {}  # both sides of a face have it alike
        for row, name in enumerate(names):
            if name.startswith(AS_THEY_ARE):
                continue
            stem = name.removesuffix("Left").removesuffix("Right")
            if stem not in taste:
                taste[stem] = float(self._rng.normal(0, _GAIN)), self._rng.dirichlet(np.ones(len(self._artists)))
            gain, shares = taste[stem]
            gain += float(self._rng.normal(0, _GAIN / 4))
            mixed[row] = scale * np.exp(np.clip(gain, -_FARTHEST, _FARTHEST)) * self._mixed(name, shares)
        return mixed

    def _mixed(self, name: str, shares: Points) -> Points:
        """[V, 3] a unit as the artists who have it do, by their shares; the built-in head's own where none has it."""
        artists, data = load_artists(), self._data
        known = [number for number, artist in enumerate(self._artists) if name in artists[artist]]
        if not known:
            return artists[OWN][name].astype(np.float64)
        each = np.stack([artists[self._artists[number]][name] for number in known]).astype(np.float64)
        sizes, share = np.array([unit_size(one, data) for one in each]), shares[known] / shares[known].sum()
        shape = np.einsum("a,avd->vd", share / sizes, each)
        return np.asarray(shape * np.exp(share @ np.log(sizes)) / unit_size(shape, data))
