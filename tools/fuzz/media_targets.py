"""Loaders of `render` and `capture`: meshes, pictures, recordings and the data of the built-in performer."""

from __future__ import annotations

from tools.fuzz import mesh_targets
from tools.fuzz.target import Target

TARGETS: list[Target] = [*mesh_targets.TARGETS]
