"""Other artists' units on the built-in head: people who move by them, and what the artists agree on."""

from pathlib import Path

import numpy as np
import pytest

from calib.rig.template_units import template_data
from capture.synthetic.head.head_data import DELTA_STEP_M, load_head_data, load_targets, save_head_data
from capture.synthetic.studio.artists import ARTISTS, AS_THEY_ARE, OWN, load_artists, unit_size
from capture.synthetic.studio.people import random_person
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from tools.assets.artist_units import symmetric
from tools.assets.make_units import agreement, consensus, write_units


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.vdot(one, other) / np.sqrt(np.vdot(one, one) * np.vdot(other, other)))


@pytest.mark.parametrize("artist", [artist for artist in ARTISTS if artist != OWN])
def test_artists_mean_the_same_face_by_the_same_name(artist: str) -> None:
    """No unit is on the wrong side, upside down or of another size altogether."""
    artists, data = load_artists(), load_head_data()
    for name, unit in artists[artist].items():
        assert cosine(unit, artists[OWN][name]) > 0.2, name
        assert 0.15 < unit_size(unit, data) / unit_size(artists[OWN][name], data) < 4, name
    for name in ("mouthSmileLeft", "browDownLeft", "eyeWideLeft"):
        side = data.vertices[np.linalg.norm(artists[artist][name], axis=1) > 0.002, 0]
        assert np.quantile(side, 0.1) > -0.005, name


def test_the_template_moves_as_artists_agree_and_blinks_as_ever() -> None:
    own, template = load_head_data(), template_data()
    assert template.names("unit") == own.names("unit") == UNIT_NAMES
    for name in UNIT_NAMES:
        one, other = own.dense(f"unit/{name}"), template.dense(f"unit/{name}")
        if name.startswith(AS_THEY_ARE):
            np.testing.assert_array_equal(one, other)
        else:
            assert cosine(one, other) > 0.5, name  # a sneer, of which four artists think least alike: 0.53
    agreed = consensus(load_artists())
    skin = own.part_vertices("skin")
    for name in ("jawOpen", "mouthFunnel", "noseSneerRight"):
        shipped = template.dense(f"unit/{name}")[skin]
        np.testing.assert_allclose(agreed[name][skin], shipped, atol=0.51 * DELTA_STEP_M)


def test_the_performer_keeps_its_own_artist() -> None:
    plain, other = random_person(4, "test"), random_person(4, "test", artists=("ict",))
    np.testing.assert_array_equal(plain.vertices(), other.vertices())
    assert plain.model.data.targets is load_head_data().targets
    smile = plain.model.weight_vector({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0})
    moved = [person.vertices(smile) - person.vertices() for person in (plain, other)]
    assert 0.6 < cosine(*moved) < 0.97


def test_people_of_several_artists_are_alike_on_both_sides_and_shut_eyes_and_lips() -> None:
    person = random_person(9, "train", artists=ARTISTS)
    again = random_person(9, "train", artists=ARTISTS)
    smiles = [person.vertices(person.model.weight_vector({f"mouthSmile{side}": 1.0})) for side in ("Left", "Right")]
    far = [np.linalg.norm(smile - person.vertices(), axis=1).max() for smile in smiles]
    assert far[0] == pytest.approx(far[1], rel=0.3)
    np.testing.assert_array_equal(smiles[0], again.vertices(again.model.weight_vector({"mouthSmileLeft": 1.0})))
    blink = person.model.weight_vector({"eyeBlinkLeft": 1.0})
    own = random_person(9, "train")
    np.testing.assert_allclose(person.vertices(blink), own.vertices(blink), atol=1e-6)


def test_an_artist_nobody_knows_is_told() -> None:
    with pytest.raises(ValueError, match="no such artist: rembrandt"):
        random_person(1, "train", artists=("rembrandt",))


def test_who_means_something_else_has_no_say() -> None:
    rng = np.random.default_rng(1)
    count = len(load_head_data().vertices)
    shape = rng.normal(size=(count, 3))
    shapes = np.stack([shape + 0.3 * rng.normal(size=shape.shape) for _ in range(3)] + [rng.normal(size=shape.shape)])
    weights = agreement(shapes)
    assert (weights[:3] > 0.7).all()
    assert weights[3] == 0
    assert (agreement(shapes[2:]) == 1).all()  # of two nobody can tell


def test_shapes_come_back_from_a_file_and_damage_is_told(tmp_path: Path) -> None:
    data = load_head_data()
    unit = symmetric({"jawOpen": data.dense("unit/jawOpen").astype(np.float64)}, data)["jawOpen"]
    write_units(tmp_path / "units.npz", [("unit/jawOpen", unit)])
    indices, moved = load_targets(tmp_path / "units.npz", len(data.vertices))["unit/jawOpen"]
    np.testing.assert_allclose(moved, unit[indices], atol=0.51 * DELTA_STEP_M)
    with pytest.raises(InputError, match="vertex that is not there"):
        load_targets(tmp_path / "units.npz", 100)
    save_head_data(tmp_path / "units.npz", {"target_names": np.array(["unit/jawOpen"])})
    with pytest.raises(InputError, match="install the package again"):
        load_targets(tmp_path / "units.npz", len(data.vertices))
