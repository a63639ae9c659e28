"""Lids that shut, lips that touch and never pass through each other, in whatever a driver does."""

import numpy as np
import pytest

from calib.avatar import Avatar
from calib.rig.controllers import Role
from core.face_regions import FACE_LANDMARKS, LOWER_LIP, UPPER_LIP, eye_corners
from engine.motion.contact import LipContact, close_fully, lids_between_corners


def lips(avatar: Avatar, moved: np.ndarray) -> np.ndarray:
    """[N] gap between the lips' rims, beyond that at rest."""
    controllers = avatar.controllers
    upper, lower = controllers.of(Role.UPPER_LIP), controllers.of(Role.LOWER_LIP)
    return np.asarray((moved[upper] - moved[lower]) @ avatar.rig.mouth.frame[1])


def motion(avatar: Avatar) -> np.ndarray:
    return np.zeros((len(avatar.controllers.rest), 3))


def test_lips_pressed_together_only_touch(prepared: Avatar) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        moved = motion(prepared)
        moved[:FACE_LANDMARKS] = rng.normal(0, 0.02, (FACE_LANDMARKS, 3))
        moved[list(UPPER_LIP[-1][1:-1]), 1] -= 0.05
        LipContact(prepared.rig).apply(moved)
        assert lips(prepared, moved).min() > -0.01 * prepared.rig.mouth.width


def test_lips_that_touch_move_as_one(prepared: Avatar) -> None:
    moved = motion(prepared)
    moved[list(UPPER_LIP[-1]), :] = [0.03, 0.02, 0.01]
    moved[list(LOWER_LIP[-1]), :] = [0.01, 0.02, -0.02]
    moved[[78, 308]] = [0.02, 0.02, 0.0]
    LipContact(prepared.rig).apply(moved)
    controllers = prepared.controllers
    upper, lower = controllers.of(Role.UPPER_LIP), controllers.of(Role.LOWER_LIP)
    np.testing.assert_allclose(moved[upper], moved[lower], atol=2e-3)


def test_an_open_mouth_opens_as_far_as_asked(prepared: Avatar) -> None:
    moved = motion(prepared)
    moved[list(LOWER_LIP[-1][1:-1]), 1] = -0.15 * np.sin(np.pi * np.arange(1, 10) / 10)
    LipContact(prepared.rig).apply(moved)
    gap = lips(prepared, moved)
    assert gap.max() == pytest.approx(0.15, rel=0.05)
    assert gap[[0, -1]].max() < 0.35 * gap.max()


@pytest.mark.parametrize("eye", [0, 1])
def test_rims_of_lids_go_along_with_the_corners_of_the_eye(prepared: Avatar, eye: int) -> None:
    moved = motion(prepared)
    left, right = eye_corners(eye)
    moved[left], moved[right] = [0.0, 0.01, 0.0], [0.0, 0.03, 0.01]
    lids_between_corners(prepared.rig, eye, moved)
    controllers = prepared.controllers
    for role in (Role.UPPER_LID, Role.LOWER_LID):
        rows = controllers.of(role, eye)
        np.testing.assert_allclose(moved[rows, 1], 0.01 + 0.02 * controllers.along[rows], atol=1e-9)
    assert not moved[controllers.of(Role.UPPER_LID, 1 - eye)].any()


def test_closing_is_monotonous() -> None:
    values = [close_fully(openness) for openness in np.linspace(0, 1.5, 100)]
    assert (np.diff(values) >= 0).all()
    assert values[0] <= 0
    assert close_fully(1.0) == 1.0
    assert close_fully(0.05) <= 0
