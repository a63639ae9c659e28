"""Loaders of `calib` and `engine`: heads and people, networks, training data, and the caches of them all."""

from __future__ import annotations

from tools.fuzz import head_targets, network_targets, training_targets
from tools.fuzz.target import Target

TARGETS: list[Target] = [*head_targets.TARGETS, *network_targets.TARGETS, *training_targets.TARGETS]
