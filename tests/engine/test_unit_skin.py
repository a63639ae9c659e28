"""The fast way from unit weights to vertices gives what the straightforward one gives, through every controller."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from calib.avatar import Avatar, prepare_avatar
from calib.rig.controllers import Controllers, Role
from calib.rig.expression_basis import ExpressionUnits
from calib.rig.face_rig import FaceRig
from calib.rigging.morphs import MorphUnits
from core.expression_units import UNIT_COUNT, UNIT_NAMES
from core.mesh import MorphTargets
from engine.expression import unit_skin
from engine.expression.expression_engine import ExpressionEngine
from engine.expression.unit_skin import UnitSkin
from engine.motion import lids, motion_kernels, retarget
from engine.motion.closing import LipClosing
from engine.motion.retarget import Retargeter

TOLERANCE = 1e-4  # of the head's size
BLINKS = [UNIT_NAMES.index("eyeBlinkLeft"), UNIT_NAMES.index("eyeBlinkRight")]


@pytest.fixture(autouse=True, params=("compiled", "numpy"))
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it twice: with a compiler and without one."""
    if request.param == "numpy":
        for module in (lids, retarget, unit_skin):
            monkeypatch.setattr(module, "compiled_kernels", lambda: None)


def faces() -> list[np.ndarray]:
    """Rest, every unit alone, and mixtures up to what the engine lets through; some of them cross lids and lips."""
    rng = np.random.default_rng(4)
    mixed = [np.clip(rng.normal(0, 0.5, UNIT_COUNT), -0.3, 1.5) * (rng.random(UNIT_COUNT) < 0.5) for _ in range(12)]
    for weights in mixed[:4]:
        weights[BLINKS] = 1.2
    return [np.zeros(UNIT_COUNT), *np.eye(UNIT_COUNT), *mixed]


def farthest_off(rig: FaceRig, units: ExpressionUnits | MorphUnits) -> float:
    """The greatest distance between both ways, of the head's size."""
    lips, retargeter = LipClosing(rig), Retargeter(rig)
    skin = UnitSkin(rig, units, lips, retargeter)
    off = 0.0
    for number, weights in enumerate(faces()):
        gaze = np.array([[0.3, -0.1], [0.2, 0.1]]) * (number % 3)
        lids = np.array([[0.4 * (number % 3), 0.0], [0.0, 0.1]])
        given = units.displacement(weights)
        moved = given[1].astype(np.float64)
        lips.apply(moved)
        expected = retargeter.vertices(moved, gaze, given, lids)
        found = skin.vertices(weights, gaze, lids)
        assert found.shape == rig.rest.shape
        assert found.dtype == np.float32
        off = max(off, float(np.abs(found - expected).max()))
    return off / float(np.ptp(rig.rest, axis=0).max())


def test_all_units_alone_and_mixed(lowpoly: Avatar) -> None:
    assert farthest_off(lowpoly.rig, ExpressionUnits(lowpoly.rig.basis)) < TOLERANCE


def test_shapes_of_the_file(lowpoly: Avatar) -> None:
    file = lowpoly.file_mesh
    shapes = np.random.default_rng(2).normal(0, 0.004, (UNIT_COUNT, len(file.vertices), 3)).astype(np.float32)
    avatar = replace(lowpoly, file_mesh=replace(file, morphs=MorphTargets(UNIT_NAMES, shapes)))
    assert farthest_off(avatar.rig, MorphUnits(avatar)) < TOLERANCE


def test_eyes_and_jaws_in_one_piece_with_the_skin(lowpoly: Avatar) -> None:
    rig = with_painted_eyes(lowpoly.rig)
    assert len(rig.controllers.of(Role.IRIS, 0))
    assert farthest_off(rig, ExpressionUnits(rig.basis)) < TOLERANCE


@pytest.mark.parametrize("head", ["heads/LeePerrySmith_decoded.glb"])
def test_a_scanned_head(shared_data: Path, head: str) -> None:
    path = shared_data / head
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    rig = prepare_avatar(path).rig
    assert farthest_off(rig, ExpressionUnits(rig.basis)) < TOLERANCE


def test_lids_that_cross_are_parted(lowpoly: Avatar) -> None:
    """Else the tests above would say nothing of that part."""
    units = ExpressionUnits(lowpoly.rig.basis)
    crossing = [units.summed(weights).lids is not None for weights in faces()]
    assert not crossing[0]
    assert any(crossing)


def test_each_pose_has_vertices_of_its_own(lowpoly: Avatar) -> None:
    rig = lowpoly.rig
    lips, retargeter = LipClosing(rig), Retargeter(rig)
    skin = UnitSkin(rig, ExpressionUnits(rig.basis), lips, retargeter)
    still = (np.zeros((2, 2)), np.zeros((2, 2)))
    first = skin.vertices(np.zeros(UNIT_COUNT), *still)
    before = first.copy()
    skin.vertices(np.ones(UNIT_COUNT), *still)
    np.testing.assert_array_equal(first, before)


def with_painted_eyes(rig: FaceRig) -> FaceRig:
    """The same head whose skin between the lids follows controllers of its own, as painted eyes do, and whose chin
    follows the jaw."""
    controllers, rng = rig.controllers, np.random.default_rng(3)
    for eye in range(2):
        for role, lid in ((Role.UPPER_EYE, Role.UPPER_LID), (Role.LOWER_EYE, Role.LOWER_LID)):
            controllers = controllers.joined(controllers.rest[controllers.of(lid, eye)], role, eye)
        ends = rig.eyes[eye].upper[[0, -1]]
        controllers = controllers.joined(ends, Role.EYE_CORNER, eye)
        controllers = controllers.joined(ends.mean(axis=0)[None], Role.IRIS, eye)
    added = len(controllers.rest) - len(rig.controllers.rest)
    rows = np.flatnonzero(np.linalg.norm(rig.rest - rig.eyes[0].centre, axis=1) < rig.eyes[0].width)
    follow = np.zeros((len(rig.rest), added), np.float32)
    follow[rows] = rng.random((len(rows), added)) / added
    basis = rig.basis
    corrections = sparse.hstack([_with_jaw(rig, basis.corrections), sparse.csr_matrix(follow)], format="csr")
    moved = sparse.vstack([basis.controllers, sparse.csr_matrix((added, basis.controllers.shape[1]))], format="csr")
    basis = replace(basis, corrections=corrections, controllers=moved.astype(np.float32))
    return replace(rig, controllers=controllers, basis=basis, weights=_widened(rig, controllers))


def _with_jaw(rig: FaceRig, corrections: sparse.csr_matrix) -> sparse.csr_matrix:
    full = corrections.tolil()
    low = np.flatnonzero(rig.rest[:, 1] < rig.controllers.rest[152, 1])[::3]
    for column in rig.controllers.of(Role.JAW):
        full[low, column] = 0.1
    return full.tocsr()


def _widened(rig: FaceRig, controllers: Controllers) -> sparse.csr_matrix:
    empty = sparse.csr_matrix((len(rig.rest), len(controllers.rest) - len(rig.controllers.rest)))
    return sparse.hstack([rig.weights, empty], format="csr").astype(np.float32)


def test_the_compiled_kernels_do_what_numpy_does(lowpoly: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skin, lids that close and open wide, eyes that look about, skin pushed out by them."""
    if motion_kernels.compiled_kernels() is None:
        pytest.skip("needs a C compiler")
    moved = []
    for compiled in (True, False):
        kernels = motion_kernels.compiled_kernels if compiled else lambda: None
        for module in (lids, retarget, unit_skin):
            monkeypatch.setattr(module, "compiled_kernels", kernels)
        engine = ExpressionEngine(lowpoly)
        gazes = np.random.default_rng(1).normal(0, 0.3, (len(faces()), 2, 2))
        moved.append([engine.posed(weights, gaze) for weights, gaze in zip(faces(), gazes, strict=True)])
    off = max(float(np.abs(one - other).max()) for one, other in zip(*moved, strict=True))
    assert 0 < off < 3e-6 * float(np.ptp(lowpoly.rig.rest, axis=0).max())
