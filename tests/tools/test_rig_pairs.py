"""Training avatars of other artists: whom the judge shows is never drawn, and the flow of the rest is true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.likeness_independent import AVATARS, DRIVERS
from calib.survey.face_finder import FaceFinder
from core.expression_units import UNIT_NAMES
from engine.training.flow.pairs import PairFolder
from tools import rig_pairs
from tools.artist_rigs import load_rig


@pytest.fixture
def rigs(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shared_data / "rigs"
    if not (folder / "ict_facekit.npz").is_file():
        pytest.skip("needs the rigs of other artists: ict_facekit.npz and valid/")
    monkeypatch.setenv("VFA_RIGS", str(folder))
    return folder


def test_whom_the_judge_shows_is_kept_apart(rigs: Path) -> None:
    judged = {name.removesuffix(":plain") for name in (*DRIVERS, *AVATARS)}
    assert judged <= set(rig_pairs.APART)
    drawn = [name for _, name in rig_pairs.wanted(ict=50, valid=2)]
    assert len(drawn) > 70
    assert not set(drawn) & set(rig_pairs.APART)
    numbers = [number for number, _ in rig_pairs.wanted(ict=50, valid=2)]
    assert len(set(numbers)) == len(numbers), "two avatars of one number would look alike"


def test_whom_the_judge_shows_is_kept_apart_of_any_rigs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names alone tell: no rig is read."""
    (tmp_path / "valid").mkdir()
    kept_apart = [name.removeprefix("valid:") for name in rig_pairs.APART if name.startswith("valid:")]
    for name in (*kept_apart, "One", "Other"):
        (tmp_path / "valid" / f"{name}.glb").touch()
    monkeypatch.setenv("VFA_RIGS", str(tmp_path))
    drawn = list(rig_pairs.wanted(ict=5, valid=2))
    assert sorted(name for _, name in drawn if name.startswith("valid:")) == [
        "valid:One", "valid:One", "valid:Other", "valid:Other",
    ]  # fmt: skip
    assert len({number for number, _ in drawn}) == len(drawn) == 9


@pytest.mark.parametrize("name", ["cc0:1", "ict:101"])
def test_an_actor_keeps_its_proportions_while_it_moves(name: str, request: pytest.FixtureRequest) -> None:
    rig = load_rig(name, None if name.startswith("cc0") else request.getfixturevalue("rigs"))
    actor = rig_pairs.RigActor.drawn(rig, np.random.default_rng(3))
    row = np.zeros(len(UNIT_NAMES))
    row[UNIT_NAMES.index("jawOpen")] = 1.0
    moved = actor.vertices(row) - actor.mesh().vertices
    assert np.allclose(moved, rig.units["jawOpen"] * actor.stretch, atol=1e-6)
    assert np.allclose(actor.vertices(0 * row), rig.mesh.vertices * actor.stretch)


def test_an_avatar_of_an_artist_who_left_units_out_is_written_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_rig("cc0:1")
    left_out = ("tongueOut", "cheekPuff", "mouthFunnel")
    few = replace(whole, units={unit: moved for unit, moved in whole.units.items() if unit not in left_out})
    monkeypatch.setattr(rig_pairs, "load_rig", lambda _name: few)
    with FaceFinder() as finder:
        assert rig_pairs.make_avatar(tmp_path / "one", 10_000, "cc0:1", 6, finder)
    person = PairFolder(tmp_path / "one")
    assert not person.has_driver
    assert not person.weights[:, [UNIT_NAMES.index(unit) for unit in left_out]].any()
    assert person.weights[1:].any()


def test_an_avatar_is_written_whole_and_lacks_what_its_artist_lacks(rigs: Path, tmp_path: Path) -> None:
    with FaceFinder() as finder:
        assert rig_pairs.make_avatar(tmp_path / "one", 10_000, "valid:AIAN_F_1", 6, finder)
    person = PairFolder(tmp_path / "one")
    assert not person.has_driver
    has = np.array([unit in load_rig("valid:AIAN_F_1", rigs).units for unit in UNIT_NAMES])
    assert not person.weights[:, ~has].any()
    assert person.weights[1:].any()
    assert not person.offset(0)[np.array(person["known"][0]) == 255].any() or np.abs(person.offset(0)).max() < 1e-4
