"""Files about heads and people: landmarks by hand, profiles, Basel faces, and what is kept of a prepared head."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import savemat

from calib.avatar_arrays import PreparedArrays
from calib.person.profile import PersonalProfile, load_profile, save_profile
from calib.published.bfm import COEFFICIENTS, EXPRESSION, ID, TEXTURE, bfm_mesh
from calib.published.published_rig import PublishedRig, SeenHead, _read, _write
from calib.published.published_weights import PublishedControllers
from calib.rig.controllers import landmark_controllers
from calib.rig.expression_basis import ExpressionBasis, template_topology
from calib.rig.face_rig import COLUMNS, PROFILE_BINS, EyeRig, FaceRig, JawRig, MouthRig, NeckRig
from calib.rig.lid_rig import no_lids
from calib.rigging.template_head import LANDMARK_FILE, read_landmarks
from calib.survey.hand_landmarks import LANDMARK_OF, completed, load_hand_landmarks, save_hand_landmarks
from calib.survey.hand_placement import place_by_hand
from capture.face.face_model_file import find_face_model
from core.cache_folder import reading
from core.camera import PUBLISHED_EYE, PUBLISHED_INTRINSICS, Intrinsics, look_at
from core.canonical_face import load_canonical_face
from core.errors import InputError
from core.expression_units import SCORE_NAMES
from core.face_regions import ALL_LANDMARKS, FACE_LANDMARKS
from core.mesh import Mesh, MeshPart
from tools.fuzz.target import Target

_SIDE = 12


@cache
def _canonical() -> NDArray[np.float64]:
    return load_canonical_face(find_face_model()).points


@cache
def _face() -> Mesh:
    """The average face as a mesh."""
    face = load_canonical_face(find_face_model())
    part = MeshPart("face", 0, len(face.triangles), 0)
    return Mesh(face.points[:FACE_LANDMARKS].astype(np.float32), face.triangles, parts=(part,))


def _hand_seeds(folder: Path) -> list[Path]:
    both = {name: _canonical()[number] for name, number in LANDMARK_OF.items()}
    one_side = {name: at for name, at in both.items() if not name.startswith("right_")}
    paths = [folder / name for name in ("both.json", "left.json", "numbers.json")]
    for path, points in zip(paths, (both, one_side), strict=False):
        save_hand_landmarks(path, points)
    paths[2].write_text(json.dumps({"version": 1, "points": LANDMARK_OF}))
    return paths


def _load_hand(path: Path) -> None:
    points = completed(str(path), load_hand_landmarks(path, _face()), _face(), _canonical())
    placement, landmarks = place_by_hand(points, _canonical())
    _all_finite(placement.T_world_file, landmarks, *points.values())


def _profile_seeds(folder: Path) -> list[Path]:
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    scores = np.zeros(len(SCORE_NAMES), np.float32)
    profile = PersonalProfile("ann", _canonical(), scores, pose, True, np.ones(52), "2026-01-01T00:00:00+00:00")
    return [save_profile(profile, folder)]


def _load_profile(path: Path) -> None:
    profile = load_profile(path.stem, path.parent)
    if profile is not None:
        _all_finite(profile.landmarks, profile.scores, profile.T_camera_head, profile.gains)


@cache
def _basel_arrays() -> dict[str, Any]:
    rng, count = np.random.default_rng(0), 4
    return {
        "meanshape": rng.normal(size=(1, count * 3)),
        "idBase": rng.normal(size=(count * 3, ID)).astype(np.float32),
        "exBase": rng.normal(size=(count * 3, EXPRESSION)).astype(np.float32),
        "meantex": rng.uniform(0, 255, (1, count * 3)),
        "texBase": rng.normal(size=(count * 3, TEXTURE)).astype(np.float32),
        "tri": np.array([[1, 2, 3], [2, 4, 3]]),
    }


def _coefficient_seeds(folder: Path) -> list[Path]:
    values = np.random.default_rng(1).normal(size=(1, COEFFICIENTS))
    model = folder / "face" / "model.mat"
    model.parent.mkdir()
    savemat(model, _basel_arrays())
    for kind in ("f4", "f8"):
        np.save(model.with_name(f"{kind}.npy"), values.astype(kind))
    return [model.with_name(f"{kind}.npy") for kind in ("f4", "f8")]


def _load_basel(path: Path) -> None:
    mesh = bfm_mesh(path, path.with_name("model.mat"))
    _all_finite(mesh.vertices, mesh.vertex_colors)


def _model_seeds(folder: Path) -> list[Path]:
    paths = []
    for compressed in (False, True):
        home = folder / f"packed_{compressed}"
        home.mkdir()
        savemat(home / "model.mat", _basel_arrays(), do_compression=compressed)
        np.save(home / "face.npy", np.zeros(COEFFICIENTS))
        paths.append(home / "face.npy")
    return paths


def _template_seeds(folder: Path) -> list[Path]:
    path = folder / "landmarks.npz"
    path.write_bytes(LANDMARK_FILE.read_bytes())
    return [path]


def _load_template(path: Path) -> None:
    count = template_topology().matrix.shape[1]
    weights, spread = read_landmarks(path, count)
    _all_finite(weights @ np.ones(count), spread)


@cache
def _file_mesh() -> Mesh:
    """A bent sheet."""
    x, y = np.meshgrid(np.linspace(-1, 1, _SIDE), np.linspace(-1, 1, _SIDE))
    vertices = np.stack([x, y, 0.5 - 0.2 * x**2], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(_SIDE - 1)[:, None] * _SIDE + np.arange(_SIDE - 1)).reshape(-1)
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + _SIDE], 1),
            np.stack([corner + 1, corner + _SIDE + 1, corner + _SIDE], 1),
        ]
    ).astype(np.int32)
    uvs = (vertices[:, :2] / 2 + 0.5).astype(np.float32)
    return Mesh(vertices, faces, uvs, faces.copy(), parts=(MeshPart("skin", 0, len(faces), 0),))


def _matrix(rows: int, columns: int) -> sparse.csr_matrix:
    return sparse.random(rows, columns, density=0.02, random_state=0, format="csr", dtype=np.float32)


@cache
def _prepared() -> PreparedArrays:
    """Arrays of the right kinds, of a head that nobody would recognise."""
    mesh, nothing = _file_mesh(), np.zeros(0, np.int64)
    count, rim = len(mesh.vertices), np.zeros((COLUMNS, 3))
    controllers = landmark_controllers(np.zeros((FACE_LANDMARKS, 3)))
    line = np.zeros(COLUMNS)
    eye = EyeRig(np.eye(3), 0.3, rim, rim, line, line, np.zeros(3), np.ones(PROFILE_BINS), nothing, np.arange(4))
    columns = np.arange(9)
    basis = ExpressionBasis(
        np.zeros((template_topology().matrix.shape[1], 3)),
        np.eye(3),
        columns,
        _matrix(count, len(columns)),
        _matrix(FACE_LANDMARKS, len(columns)),
        _matrix(count, FACE_LANDMARKS),
    )
    mouth, jaw = (
        MouthRig(np.eye(3), 0.4, rim, rim, True),
        JawRig(np.zeros(3), np.arange(3), nothing, np.arange(2), np.zeros((2, 3))),
    )
    neck = NeckRig(np.zeros(3), np.ones(3), np.ones(count, np.float32))
    weights = _matrix(count, FACE_LANDMARKS)
    side = PUBLISHED_INTRINSICS.width
    return PreparedArrays(
        mesh,
        np.eye(4),
        look_at(PUBLISHED_EYE),
        np.zeros((side, side, 3), np.uint8),
        np.zeros((side, side), np.float32),
        np.zeros((ALL_LANDMARKS, 3), np.float32),
        FaceRig(mesh.vertices, controllers, weights, mouth, (eye, eye), jaw, neck, basis, (no_lids(), no_lids())),
        "made up",
    )


def _avatar_seeds(folder: Path) -> list[Path]:
    _prepared().save(folder / "entry.npz", _file_mesh())
    return [folder / "entry.npz"]


def _load_avatar(path: Path) -> None:
    found = _accepted(path, lambda path: PreparedArrays.load(path, _file_mesh()))
    mesh, rig = found.display_mesh, found.rig
    _all_finite(mesh.vertices, mesh.uvs, mesh.vertex_colors, found.landmarks, found.source_depth, rig.rest)
    _all_finite(rig.weights @ np.ones(rig.weights.shape[1]), rig.basis.corrections @ rig.controllers.gain)
    _all_finite(mesh.vertices[mesh.faces], rig.rest[rig.eyes[0].cover], rig.rest[rig.jaw.vertices])
    if mesh.uvs is not None and mesh.faces_uv is not None:
        _all_finite(mesh.uvs[mesh.faces_uv])
    if mesh.faces.min() < 0 or sum(part.face_count for part in mesh.parts) != len(mesh.faces):
        raise AssertionError("faces that are none")


@cache
def _seen_head() -> SeenHead:
    mesh, side = _file_mesh(), 16
    camera = Intrinsics(16.0, 16.0, side / 2, side / 2, side, side)
    landmarks = np.zeros((ALL_LANDMARKS, 3), np.float32)
    return SeenHead(
        mesh.vertices, mesh.faces, landmarks, np.ones((side, side), np.float32), camera, look_at(PUBLISHED_EYE)
    )


def _rig_seeds(folder: Path) -> list[Path]:
    lips, count = np.arange(7) < 3, len(_seen_head().vertices)
    controllers = PublishedControllers(np.arange(14).reshape(7, 2), np.ones(7), lips, ~lips)
    _write(folder / "rig.npz", PublishedRig(controllers, _matrix(count, 7), _matrix(count, count)))
    return [folder / "rig.npz"]


def _load_rig(path: Path) -> None:
    rig = _accepted(path, lambda path: _read(path, _seen_head()))
    column, row = rig.controllers.pixels.T
    _all_finite(_seen_head().depth[row, column], rig.controllers.depth)
    _all_finite(rig.weights @ rig.controllers.depth, rig.smoothing @ np.ones(rig.smoothing.shape[1]))


def _accepted(path: Path, load: Callable[[Path], Any]) -> Any:
    """What the cache makes of an entry. Raises InputError where it is to be made anew."""
    with reading(path, "the entry"):
        if path.is_file():
            return load(path)
    raise InputError(f"{path}: is made anew")


def _all_finite(*arrays: NDArray[Any] | None) -> None:
    for array in arrays:
        if array is not None and not np.isfinite(array).all():
            raise AssertionError("numbers that are none")


TARGETS = [
    Target("hand_landmarks", _hand_seeds, _load_hand),
    Target("profile", _profile_seeds, _load_profile),
    Target("bfm_coefficients", _coefficient_seeds, _load_basel),
    Target("bfm_model", _model_seeds, _load_basel),
    Target("template_landmarks", _template_seeds, _load_template),
    Target("avatar_cache", _avatar_seeds, _load_avatar),
    Target("rig_cache", _rig_seeds, _load_rig),
]
