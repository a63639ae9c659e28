"""Avatars by other artists for training the flow generator: heads of ICT and VALID, moved by their own units.

    python -m tools.rig_pairs --out pairs --ict 90 --valid 3
    python -m tools.rig_pairs --out held-out --apart

Like `engine.training.flow.make_pairs --avatars`, whose format this is, for heads that artists rigged
(`tools.artist_rigs`). People kept APART are never drawn.
Every head comes in proportions of its own, some without any paint, as scans and masks are. What is there is skipped,
so a run that was stopped goes on.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.survey.face_finder import FaceFinder
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Material, Mesh
from engine.training.flow.avatar_shots import Actor, AvatarStage, as_prepared
from engine.training.flow.make_pairs import acted, shoot_all
from engine.training.flow.pairs import PairFolder
from engine.training.flow.spectacles import with_spectacles
from tools.artist_rigs import load_rig, rigs_folder
from tools.rigs.rig import ArtistRig

APART = (
    "ict:1", "ict:2", "ict:4", "ict:5", "ict:6", "ict:9", "valid:Asian_F_2", "valid:Black_F_1", "valid:Black_M_2",
    "valid:MENA_M_3", "valid:White_M_1", "valid:X_AIAN_F_1", "valid:X_MENA_F_1", "valid:X_NHPI_M_1",
    "valid:Hispanic_F_3", "valid:NHPI_M_2", "valid:White_F_3",
)  # fmt: skip
"""Whom the judge shows (`benchmarks.likeness_independent`), and three more people for looking at."""
FIRST_ICT = 100
"""Heads of ICT below are for judging."""
_PLAIN_SHARE = 0.2
_PROPORTIONS = 0.07  # standard deviation of the logarithm of width, height and depth
_SIZE = 128

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RigActor:
    """A rigged head in proportions of its own; `engine.training.flow.avatar_shots.Actor`."""

    rig: ArtistRig
    shown: Mesh
    units: NDArray[np.float32]
    stretch: NDArray[np.float32]

    @staticmethod
    def drawn(rig: ArtistRig, rng: np.random.Generator) -> "RigActor":
        """One of the looks of this head."""
        stretch = np.exp(rng.normal(0, _PROPORTIONS, 3)).astype(np.float32)
        mesh = rig.mesh
        if rng.random() < _PLAIN_SHARE:
            clay = (*rng.uniform(0.35, 0.9, 3).tolist(), 1.0)
            bare = tuple(Material(each.name, clay) for each in mesh.materials)
            mesh = replace(mesh, materials=bare, vertex_colors=None)
        units, _ = rig.unit_array()
        return RigActor(rig, replace(mesh, vertices=mesh.vertices * stretch), units, stretch)

    def mesh(self) -> Mesh:
        return self.shown

    def vertices(self, weights: Points) -> NDArray[np.floating]:
        used = np.flatnonzero(weights)
        moved = np.tensordot(weights[used].astype(np.float32), self.units[used], axes=1)
        return np.asarray(self.shown.vertices + moved * self.stretch)


def wanted(ict: int, valid: int, first: int = FIRST_ICT, first_look: int = 1) -> Iterator[tuple[int, str]]:
    """Number and rig of every avatar: heads of ICT from the `first` on, each of VALID's in so many looks, in turns."""
    names = [f"valid:{path.stem}" for path in sorted((rigs_folder() / "valid").glob("*.glb"))]
    names = [name for name in names if name not in APART]
    heads = [(seed, f"ict:{seed}") for seed in range(first, first + ict)]
    looks = [
        (10_000 * look + number, name)
        for look in range(first_look, first_look + valid)
        for number, name in enumerate(names)
    ]
    places = [*np.linspace(0, 1, len(heads)), *np.linspace(0, 1, len(looks))]
    both = [*heads, *looks]
    yield from (both[at] for at in np.argsort(places, kind="stable"))


def apart() -> Iterator[tuple[int, str]]:
    """Number and rig of those that no training draws."""
    yield from ((900_000 + number, name) for number, name in enumerate(APART))


def make_avatar(
    folder: Path, number: int, name: str, frames: int, finder: FaceFinder, *, spectacled: bool = False
) -> bool:
    """Write one. False where no face was found."""
    rng = np.random.default_rng([number, 23])
    drawn = RigActor.drawn(load_rig(name), rng)
    has = np.array([unit in drawn.rig.units for unit in UNIT_NAMES])
    weights = acted(number, "train", frames) * has
    try:
        actor: Actor = with_spectacles(drawn, finder, rng) if spectacled else drawn
        with AvatarStage(actor, as_prepared(finder, rng), _SIZE) as stage:
            arrays = shoot_all(stage, weights)
    except ValueError:
        return False
    PairFolder.write(folder, weights=weights.astype(np.float32), **arrays)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ict", type=int, default=120, help="heads of ICT")
    parser.add_argument("--valid", type=int, default=4, help="looks of each head of VALID")
    parser.add_argument("--apart", action="store_true", help="those that are never drawn, to see how far training got")
    parser.add_argument("--first", type=int, default=FIRST_ICT, help="number of ICT's first head")
    parser.add_argument("--first-look", type=int, default=1, help="number of the first look of VALID's heads")
    parser.add_argument("--spectacles", action="store_true", help="all of them wear some")
    parser.add_argument("--frames", type=int, default=16, help="expressions of each, the first one neutral")
    arguments = parser.parse_args()
    if not rigs_folder().is_dir():
        raise InputError(f"{rigs_folder()}: no rigs there; name the folder that holds them with VFA_RIGS")
    if arguments.first < FIRST_ICT or arguments.first_look < 1:
        parser.error(f"--first begins at {FIRST_ICT}, --first-look at 1: what is below is for judging")
    arguments.out.mkdir(parents=True, exist_ok=True)
    drawn = wanted(arguments.ict, arguments.valid, arguments.first, arguments.first_look)
    with FaceFinder() as finder:
        for number, name in apart() if arguments.apart else drawn:
            folder = arguments.out / f"{name.replace(':', '-')}-{number:06d}"
            if not folder.exists():
                made = make_avatar(folder, number, name, arguments.frames, finder, spectacled=arguments.spectacles)
                print(f"{folder.name}: {'written' if made else 'no face found, left out'}", flush=True)


if __name__ == "__main__":
    main()
