"""Lids that shut, lips that touch and never pass through each other, in whatever a driver does."""

import numpy as np
import pytest

from calib.avatar import Avatar
from calib.rig.controllers import Role
from core.face_regions import FACE_LANDMARKS, LOWER_LIP, UPPER_LIP
from engine.motion.contact import LidContact, LipContact, close_fully


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
@pytest.mark.parametrize("raised", [-0.2, 0.0, 0.4])
def test_shut_lids_meet_along_their_length(prepared: Avatar, eye: int, raised: float) -> None:
    controllers, rig = prepared.controllers, prepared.rig.eyes[eye]
    upper, lower = controllers.of(Role.UPPER_LID, eye), controllers.of(Role.LOWER_LID, eye)
    moved = motion(prepared)
    LidContact(prepared.rig, eye).apply(moved, 0.0, raised)
    there = controllers.rest + moved
    offset = (controllers.rest[upper] - controllers.rest[lower]) @ rig.frame[1]
    gap = (there[upper] - there[lower]) @ rig.frame[1]
    assert np.abs(gap - (offset - offset.min() * 0)).shape == offset.shape
    assert gap.max() < 0.05 * rig.width
    assert gap.min() > -0.05 * rig.width


def test_lids_as_in_the_neutral_stay_where_they_are(prepared: Avatar) -> None:
    for eye in range(2):
        moved = motion(prepared)
        LidContact(prepared.rig, eye).apply(moved, 1.0, 0.0)
        assert np.abs(moved).max() < 0.01 * prepared.rig.eyes[eye].width


def test_closing_is_monotonous() -> None:
    values = [close_fully(openness) for openness in np.linspace(0, 1.5, 100)]
    assert (np.diff(values) >= 0).all()
    assert values[0] <= 0
    assert close_fully(1.0) == 1.0
    assert close_fully(0.05) <= 0
