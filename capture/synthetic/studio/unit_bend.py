"""Faces that move in their own way: units with gains, directions and sides of their own, off the artists' basis.

Real people's smiles differ in strength, direction and reach. A benchmark whose driver and judge share one linear basis
would not notice a method that has merely learned that basis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.geometry import value_noise
from capture.synthetic.head.head_data import HeadData

Points = NDArray[np.float64]

GAIN = (0.6, 1.5)
TURN_RAD = 0.22  # about 13 degrees, at the most
REACH_GAIN = 0.35  # local gain of a unit varies by so much over the face
GRAIN_M = 0.045
CROSSTALK = 0.15  # of another unit comes along
_RIGID = ("jawOpen", "jawLeft", "jawRight", "jawForward")  # bone: no local variation, or the teeth would bend
_AS_THEY_ARE = ("eyeBlink", "eyeLook", "mouthClose", "tongueOut")


class UnitBend:
    """Changes the units of one person; a `capture.synthetic.head.head_model.Bend`.

    Every unit gets a gain (log-uniform in 0.6 … 1.5), a rotation of its displacements that varies smoothly over the
    face, a local gain that does, too, and a little of another unit of the same part of the face. Blinks, gaze, the
    closing of an open jaw and the tongue keep their units, because a lid that does not close is no blink.
    """

    def __init__(self, data: HeadData, rng: np.random.Generator) -> None:
        self._names = data.names("unit")
        self._template = data.vertices.astype(np.float64)
        self._rng = rng

    def __call__(self, units: Points, base: Points) -> Points:
        """[52, V, 3] units for a head with this [V, 3] base mesh."""
        if units.shape[1:] != base.shape:
            raise ValueError(f"expected units for a base mesh of shape {base.shape}, got {units.shape}")
        bent = units.copy()
        for row, name in enumerate(self._names):
            if name.startswith(_AS_THEY_ARE):
                continue
            mixed = units[row].copy()
            related = [index for index, their in enumerate(self._names) if self._related(name, their)]
            if related and name not in _RIGID:
                mixed += float(self._rng.uniform(-0.3, 1.0)) * CROSSTALK * units[self._rng.choice(related)]
            gain = float(np.exp(self._rng.uniform(*np.log(GAIN))))
            bent[row] = gain * self._turned(mixed, rigid=name in _RIGID)
        return bent

    def _related(self, name: str, other: str) -> bool:
        """Whether a face may do both at once without meaning to: the same part, not the same unit."""
        return other != name and other[:3] == name[:3] and not other.startswith(_AS_THEY_ARE) and other not in _RIGID

    def _turned(self, displacement: Points, *, rigid: bool) -> Points:
        seed = int(self._rng.integers(0, 2**31))
        vector = self._rng.normal(0, TURN_RAD / 2, 3)
        if rigid:
            return displacement + np.cross(vector * 0.4, displacement)
        wave = [value_noise(self._template, GRAIN_M, seed + axis) for axis in range(4)]
        local = vector + 0.5 * TURN_RAD * np.stack(wave[:3], axis=1)
        length = np.linalg.norm(local, axis=1, keepdims=True)
        local *= np.minimum(1, TURN_RAD / np.maximum(length, 1e-9))
        turned = displacement + np.cross(local, displacement)
        size = np.linalg.norm(displacement, axis=1) / np.maximum(np.linalg.norm(turned, axis=1), 1e-12)
        return np.asarray(turned * (size * (1 + REACH_GAIN * wave[3]))[:, None])
