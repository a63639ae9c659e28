"""Who drives, of other artists: heads that play mixed expressions before a depth camera, tracked."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import capture
from benchmarks.rig_heads import weight_row
from capture.face.face_tracker import FaceTracker
from core.camera import Intrinsics, look_at
from core.expression_units import UNIT_NAMES
from core.frame import FaceObservation, RgbdFrame
from core.mesh import Material, Mesh, MeshPart
from render.gl.rgbd import RgbdCamera
from tools.rigs.rig import EYES, LASHES, TEARS, ArtistRig

FPS = 30.0
PICTURE = 360
DISTANCE_M = 0.6
DEPTH_NOISE_M = 0.001
RESTS, RISES, HOLDS, PAUSES = 20, 6, 10, 8  # frames: before the first expression, then of each
SCORED = 6  # the last frames of what is held
NEUTRAL_FRAME = 12
_TURN_RAD, _NOD_RAD = 0.21, 0.09
_TURN_S, _NOD_S = 2.3, 3.1
_EYES_SMALLER = 0.95  # so that no pupil shows through shut lids
_PLAIN = (0.78, 0.61, 0.52)


def _both(weight: float, *units: str) -> dict[str, float]:
    return {f"{unit}{side}": weight for unit in units for side in ("Left", "Right")}


EXPRESSIONS: dict[str, dict[str, float]] = {
    "blink": _both(1.0, "eyeBlink"),
    "wink": {"eyeBlinkRight": 1.0, "mouthSmileRight": 0.4},
    "frown, brows down": _both(1.0, "browDown") | _both(0.7, "mouthFrown"),
    "lip roll": {"mouthRollLower": 0.8, "mouthRollUpper": 0.8},
    "sneer": _both(0.9, "noseSneer") | _both(0.4, "mouthUpperUp"),
    "funnel, jaw": {"mouthFunnel": 0.8, "jawOpen": 0.3},
    "pucker": {"mouthPucker": 1.0},
    "puff": {"cheekPuff": 0.9},
    "surprise": {"browInnerUp": 1.0, "jawOpen": 0.4} | _both(0.9, "browOuterUp") | _both(0.8, "eyeWide"),
    "smile": _both(0.9, "mouthSmile") | _both(0.3, "eyeSquint"),
    "jaw": {"jawOpen": 0.8},
    "jaw left": {"jawLeft": 0.9, "jawOpen": 0.2},
    "mouth left": {"mouthLeft": 0.8},
    "smirk": {"mouthSmileLeft": 0.8, "browOuterUpLeft": 0.8, "eyeSquintLeft": 0.3},
    "grief": {"browInnerUp": 0.9} | _both(0.6, "mouthFrown") | _both(0.3, "eyeSquint"),
    "bared teeth": _both(0.7, "mouthLowerDown") | _both(0.5, "mouthUpperUp"),
}
"""What is played: weights by unit; left is the performer's own. Who lacks a unit does not play what needs it."""


@dataclass(frozen=True, eq=False)
class RigDriver:
    """One tracked performance.

    Attributes:
        basis: the artist's; held: for each of EXPRESSIONS played, the frames it is judged by.
        weights: [T, 52] what was played; observations: T of them.
    """

    name: str
    basis: str
    weights: NDArray[np.float64]
    held: dict[str, NDArray[np.int64]]
    observations: list[FaceObservation]


def playable(has: Mapping[str, object]) -> list[str]:
    """Names of the expressions for which these units suffice."""
    return [name for name, weights in EXPRESSIONS.items() if set(weights) <= set(has)]


def timeline(names: list[str]) -> tuple[NDArray[np.float64], dict[str, NDArray[np.int64]]]:
    """[T, 52] weights, at rest first, then one expression after another; and the frames each is judged by."""
    rise = np.sin(np.linspace(0, np.pi / 2, RISES + 1)[1:]) ** 2
    swell = np.concatenate([rise, np.ones(HOLDS), rise[::-1], np.zeros(PAUSES)])
    rows = [np.zeros((RESTS, len(UNIT_NAMES)))]
    held, first = {}, RESTS
    for name in names:
        rows.append(swell[:, None] * weight_row(EXPRESSIONS[name]))
        end = first + RISES + HOLDS
        held[name] = np.arange(end - SCORED, end)
        first += len(swell)
    return np.concatenate(rows), held


def film(rig: ArtistRig, *, plain: bool = False, seed: int = 0, cache: Path | None = None) -> RigDriver:
    """The rig performs all it can and is tracked; taken from `cache` where nothing of the capture has changed since.

    `plain`: without texture and paint, like a scan. Makes an OpenGL context.
    """
    place = None if cache is None else cache / f"performer-{_digest(rig, plain, seed)}.pickle"
    if place is not None and place.is_file():
        kept: RigDriver = pickle.loads(place.read_bytes())
        return kept
    weights, held = timeline(playable(rig.units))
    with FaceTracker() as tracker:
        observations = [tracker.track(frame) for frame in _frames(rig, weights, plain, seed)]
    slim = [replace(each, frame=replace(each.frame, depth_m=None)) for each in observations]
    driver = RigDriver(f"{rig.name}{', plain' if plain else ''}", rig.basis, weights, held, slim)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pickle.dumps(driver, protocol=5))
    return driver


def _digest(rig: ArtistRig, plain: bool, seed: int) -> str:
    digest = hashlib.blake2b(repr((rig.name, plain, seed, PICTURE, EXPRESSIONS)).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(rig.mesh.vertices).data)
    for path in (Path(__file__), *sorted((Path(capture.__path__[0]) / "face").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _frames(rig: ArtistRig, weights: NDArray[np.float64], plain: bool, seed: int) -> Iterator[RgbdFrame]:
    rng = np.random.default_rng([7, seed])
    turns = rng.uniform(0, 2 * np.pi, 2)
    focal = 2.6 * PICTURE
    camera = Intrinsics(focal, focal, PICTURE / 2, PICTURE / 2, PICTURE, PICTURE)
    middle = np.array([0.0, -0.03, 0.0])
    pose = look_at(np.array([0.02, -0.01, DISTANCE_M]), middle)
    mesh = _shown(rig, plain)
    eyes = _smaller_eyes(rig)
    units, _ = rig.unit_array()
    pivot = np.array([0.0, -0.08, -0.08])
    with RgbdCamera(mesh) as studio:
        for index, row in enumerate(weights):
            used = np.flatnonzero(row)
            moved = rig.mesh.vertices + np.tensordot(row[used].astype(np.float32), units[used], axes=1) + eyes
            at = index / FPS
            yaw = _TURN_RAD * np.sin(2 * np.pi * at / _TURN_S + turns[0])
            pitch = _NOD_RAD * np.sin(2 * np.pi * at / _NOD_S + turns[1])
            turned = ((moved - pivot) @ _turn(yaw, pitch).T + pivot).astype(np.float32)
            picture = studio.take(pose, camera, turned)
            noise = rng.normal(scale=DEPTH_NOISE_M, size=picture.depth.shape)
            depth = np.where(picture.depth > 0, picture.depth + noise, 0).astype(np.float32)
            yield RgbdFrame(picture.rgb, depth, camera, at, index)


def _turn(yaw: float, pitch: float) -> NDArray[np.float64]:
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(about_y @ about_x, np.float64)


def _shown(rig: ArtistRig, plain: bool) -> Mesh:
    """What the camera films: no lash cards without their picture, no films over the eyes; `plain`: one skin colour."""
    mesh = rig.mesh
    hidden = [TEARS, LASHES] if all(material.texture is None for material in mesh.materials) else [TEARS]
    keep = ~np.isin(rig.piece[mesh.faces[:, 0]], hidden)
    parts, first = [], 0
    for part in mesh.parts:
        count = int(keep[part.first_face : part.first_face + part.face_count].sum())
        parts.append(MeshPart(part.name, first, count, part.material))
        first += count
    faces_uv = None if mesh.faces_uv is None else mesh.faces_uv[keep]
    shown = replace(mesh, faces=mesh.faces[keep], faces_uv=faces_uv, parts=tuple(parts))
    if not plain:
        return shown
    bare = tuple(Material(each.name, (*_PLAIN, 1.0)) for each in mesh.materials)
    return replace(shown, materials=bare, vertex_colors=None)


def _smaller_eyes(rig: ArtistRig) -> NDArray[np.float32]:
    """[V, 3] displacement that shrinks each eyeball about its middle."""
    moved = np.zeros_like(rig.mesh.vertices)
    for side in (-1, 1):
        eye = (rig.piece == EYES) & (np.sign(rig.mesh.vertices[:, 0]) == side)
        points = rig.mesh.vertices[eye]
        moved[eye] = (_EYES_SMALLER - 1) * (points - (points.min(axis=0) + points.max(axis=0)) / 2)
    return moved
