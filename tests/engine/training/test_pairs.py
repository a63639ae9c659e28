"""Rendered pairs: the truth they carry is true, and stays so when samples are varied."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calib.survey.face_finder import FaceFinder
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.studio.clip_studio import ClipStudio
from core.errors import InputError
from engine.flow.network.config import COMPACT
from engine.flow.network.layers import identity_grid, sample
from engine.training.expression.expression_dataset import StillTracker
from engine.training.flow import make_pairs
from engine.training.flow.pair_samples import FRAMES_OF_ONE, PairSamples, mirrored_units, unit_importance
from engine.training.flow.pairs import AVATAR_ARRAYS, DRIVER_ARRAYS, PairFolder, from_words, pair_folders
from engine.training.flow.sample_options import SampleOptions

FRAMES = 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    with ClipStudio() as studio, StillTracker() as tracker, FaceFinder() as finder:
        workshop = make_pairs.Workshop(studio, tracker, finder)
        for number in (0, 1):
            person = folder / f"train-{number:06d}"
            assert make_pairs.make_person(person, number, FRAMES, "train", workshop)
    return folder


def warped_error(source: np.ndarray, offset: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Mean colour difference between the source looked up by backward flow and the target where flow is known, apart
    from their difference in brightness: the brightest spot of every avatar picture is white."""
    size = source.shape[-1]
    pixels = (identity_grid(size) + 1) / 2 * (size - 1)  # the identity, in pixels
    looked = 2 * (pixels + torch.from_numpy(offset) * size / 2 + 0.5) / size - 1
    picture = sample(torch.from_numpy(source[None, :3]), looked[None].float())[0].numpy()
    difference = picture - target[:3]
    difference = difference - (difference * weight).sum(axis=(1, 2), keepdims=True) / weight.sum()
    return float((np.abs(difference).mean(axis=0) * weight).sum() / weight.sum())


def test_looking_up_the_avatar_by_its_flow_shows_the_expression(root: Path) -> None:
    for person in pair_folders(root):
        source = from_words(np.array(person["source"][0]))
        for frame in range(1, person.frames):
            target, offset = (
                from_words(np.array(person["target"][frame])),
                np.array(person["offset"][frame], np.float32),
            )
            moves = np.abs(offset).sum(axis=-1) * 64 > 1.0  # by more than a pixel
            weight = (np.array(person["known"][frame]) == 255) * moves.astype(np.float32)
            if weight.sum() < 40:
                continue
            still = warped_error(source, np.zeros_like(offset), target, weight)
            assert warped_error(source, offset, target, weight) < 0.8 * still


def test_the_neutral_frame_comes_first_and_does_not_move(root: Path) -> None:
    for person in pair_folders(root):
        assert not person.weights[0].any()
        assert np.abs(np.array(person["offset"][0], np.float32)).max() * 64 < 0.05
        assert np.abs(from_words(person["target"][0]) - from_words(person["source"][0])).mean() < 0.01


def test_drivers_have_depth_from_the_sensor_or_from_the_face(root: Path) -> None:
    person = pair_folders(root)[0]
    for name in ("driver", "color_only"):
        crops = from_words(np.array(person[name]))
        assert crops.shape == (person.frames, 4, COMPACT.image_size, COMPACT.image_size)
        middle = crops[:, 3, 40:90, 40:90]
        assert middle.std() > 0.05


def repeats(samples: PairSamples) -> None:
    for number in range(12):
        one, again = samples(number), samples(number)
        assert all(np.array_equal(one[name], again[name]) for name in one)


def test_a_sample_repeats_and_its_mirror_image_is_as_true(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repeats(PairSamples(root, "generator", options=SampleOptions(seed=3)))
    # Grain and blocks of a worse scan are in the source alone, and are no motion.
    monkeypatch.setattr("engine.training.flow.pair_samples.softened", lambda picture, _rng: picture)
    samples = PairSamples(root, "generator", options=SampleOptions(seed=3))
    seen_flip = False
    for number in range(12):
        one = samples(number)
        moving = np.abs(one["offset"]).sum(axis=-1) * 64 > 1.0
        weight = one["known"] * moving
        if weight.sum() < 200:
            continue
        still = warped_error(one["source"], np.zeros_like(one["offset"]), one["target"], weight)
        assert warped_error(one["source"], one["offset"], one["target"], weight) < 0.8 * still
        plain = PairSamples(root, "generator", options=SampleOptions(seed=3, augment=False))(number)
        seen_flip |= not np.array_equal(one["code"], plain["code"])
    assert seen_flip


def test_the_code_stage_shows_several_frames_of_one_person(root: Path) -> None:
    value = PairSamples(root, "code", options=SampleOptions(seed=1))(7)
    assert value["frames"].shape == (FRAMES_OF_ONE, 4, COMPACT.image_size, COMPACT.image_size)
    assert not value["units"][0].any()
    assert value["units"][1:].any()
    assert np.abs(value["frames"]).max() <= 1


def test_left_and_right_change_places() -> None:
    names, mirror = load_head_data().names("unit"), mirrored_units()
    assert names[mirror[names.index("mouthSmileLeft")]] == "mouthSmileRight"
    assert names[mirror[names.index("jawRight")]] == "jawLeft"
    assert names[mirror[names.index("jawOpen")]] == "jawOpen"
    assert np.array_equal(mirror[mirror], np.arange(len(names)))
    importance = unit_importance()
    assert importance[names.index("jawOpen")] == importance.max()
    assert np.allclose(importance, importance[mirror], rtol=0.1)


def test_what_is_no_training_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        pair_folders(tmp_path)
    folder = tmp_path / "train-000000"
    folder.mkdir()
    np.save(folder / "weights.npy", np.zeros(1))
    with pytest.raises(InputError, match="lacks driver"):
        PairFolder(folder)


def test_drivers_without_avatars_are_for_the_code_stage(root: Path, tmp_path: Path) -> None:
    whole = pair_folders(root)[0]
    names = (*DRIVER_ARRAYS, "weights")
    PairFolder.write(tmp_path / "train-000000", **{name: np.array(whole[name]) for name in names})
    assert not pair_folders(tmp_path)[0].has_avatar
    assert PairSamples(tmp_path, "code")(0)["frames"].shape[0] == FRAMES_OF_ONE
    with pytest.raises(InputError, match="drivers only"):
        PairSamples(tmp_path, "generator")


def test_avatars_without_drivers_are_for_networks_moved_by_the_truth(root: Path, tmp_path: Path) -> None:
    whole = pair_folders(root)[0]
    names = (*AVATAR_ARRAYS, "weights")
    PairFolder.write(tmp_path / "train-000000", **{name: np.array(whole[name]) for name in names})
    assert not pair_folders(tmp_path)[0].has_driver
    with pytest.raises(InputError, match="no pairs of driver and avatar"):
        PairSamples(tmp_path, "generator")
    with pytest.raises(InputError, match="no pairs of driver and avatar"):
        PairSamples(tmp_path, "code")
    sample = PairSamples(tmp_path, "generator", SampleOptions(augment=False), drivers=False)(3)
    assert "driving" not in sample
    rows = np.flatnonzero((whole.weights == sample["code"]).all(axis=1))
    assert np.allclose(sample["offset"], whole.offset(int(rows[0])))


def test_artists_and_avatars_alone_are_made_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--out", str(tmp_path), "--people", "1", "--frames", "6", "--avatars", "--artists", "ict"]
    monkeypatch.setattr("sys.argv", ["make_pairs", *arguments])
    make_pairs.main()
    (person,) = pair_folders(tmp_path)
    assert (person.has_driver, person.has_avatar, person.frames) == (False, True, 6)
    assert person.weights[1:].any()


def test_avatars_wear_spectacles_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, more in (("bare", []), ("worn", ["--spectacles"])):
        arguments = ["--out", str(tmp_path / name), "--people", "1", "--frames", "2", "--avatars", *more]
        monkeypatch.setattr("sys.argv", ["make_pairs", *arguments])
        make_pairs.main()
    (bare,), (worn,) = pair_folders(tmp_path / "bare"), pair_folders(tmp_path / "worn")
    np.testing.assert_array_equal(bare.weights, worn.weights)
    eyes = slice(COMPACT.image_size // 8, COMPACT.image_size // 2)
    differs = np.abs(from_words(worn["source"][0, :3, eyes]) - from_words(bare["source"][0, :3, eyes])).max(axis=0)
    assert (differs > 0.2).mean() > 0.02
    monkeypatch.setattr("sys.argv", ["make_pairs", "--out", str(tmp_path / "none"), "--spectacles"])
    with pytest.raises(SystemExit):
        make_pairs.main()
