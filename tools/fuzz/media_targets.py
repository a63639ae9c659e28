"""Loaders of `render` and `capture`: meshes, pictures, recordings and the data of the built-in performer."""

from __future__ import annotations

from tools.fuzz import capture_targets, mesh_targets, shipped_targets
from tools.fuzz.target import Target

TARGETS: list[Target] = [*mesh_targets.TARGETS, *capture_targets.TARGETS, *shipped_targets.TARGETS]
