"""Training data and its reports: what is damaged is refused in one line that names it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calib.rigging.template_head import LANDMARK_FILE, read_landmarks
from core.errors import InputError
from core.face_regions import ALL_LANDMARKS
from engine.expression.expression_prior import PRIOR_FILE, ExpressionPrior
from engine.training.expression.clip_record import VIEWS, ClipRecord, load_records
from engine.training.flow.clip_reader import PictureClip, VideoClip
from engine.training.flow.clip_samples import ClipSamples
from engine.training.flow.clip_writer import ClipWriter
from engine.training.flow.pair_samples import PairSamples
from engine.training.flow.pairs import PairFolder, pair_folders
from engine.training.flow.preprocess import REPORT_NAME, read_reports
from engine.training.flow.sample_options import SampleOptions

Array = np.ndarray[Any, Any]


def refusal(load: Callable[[], object], *names: object) -> str:
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    for name in names:
        assert str(name) in message
    return message


def changed(path: Path, changes: dict[str, Array | None]) -> Path:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files} | changes
    other = path.with_name("changed.npz")
    np.savez(other, **{name: value for name, value in arrays.items() if value is not None})
    return other


NAN, HUGE = np.float16("nan"), np.float16(6e4)


@pytest.mark.parametrize(
    "changes",
    [
        {"linear": np.full((52, 3), 1.0)},
        {"offset": np.array(["a", "b"])},
        {"format": np.array([1, 1])},
        {"format": np.array("1")},
        {"unit_names": np.arange(52)},
        {"unit_names": None},
        {"scale": None},
        {"matrix_7": np.zeros((3, 3))},
        {"bias_0": np.zeros(1 << 23)},  # larger than any prior
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_damaged_prior(changes: dict[str, Array | None], tmp_path: Path) -> None:
    copy = tmp_path / "prior.npz"
    copy.write_bytes(PRIOR_FILE.read_bytes())
    path = changed(copy, changes)
    refusal(lambda: ExpressionPrior.load(path), path, "expression prior")


def test_a_prior_without_layers(tmp_path: Path) -> None:
    copy = tmp_path / "prior.npz"
    copy.write_bytes(PRIOR_FILE.read_bytes())
    with np.load(copy) as file:
        layers: dict[str, Array | None] = {name: None for name in file.files if name.startswith(("matrix_", "bias_"))}
    assert "at least one layer" in refusal(lambda: ExpressionPrior.load(changed(copy, layers)))


def test_a_prior_of_huge_numbers_would_estimate_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "prior.npz"
    copy.write_bytes(PRIOR_FILE.read_bytes())
    with np.load(copy) as file:
        layers = {name: np.full(file[name].shape, HUGE) for name in file.files if name.startswith("matrix_")}
    assert "so large" in refusal(lambda: ExpressionPrior.load(changed(copy, layers)))


@pytest.mark.parametrize(
    "changes",
    [
        {"vertices": np.full((478, 3), 10**6, np.int32)},
        {"vertices": np.full((478, 3), 0.5, np.float32)},
        {"bary": np.full((478, 3), np.nan, np.float32)},
        {"spread_m": None},
        {"spread_m": np.zeros(3, np.float32)},
    ],
)
def test_damaged_landmarks_of_the_template(changes: dict[str, Array | None], tmp_path: Path) -> None:
    copy = tmp_path / "landmarks.npz"
    copy.write_bytes(LANDMARK_FILE.read_bytes())
    assert read_landmarks(copy, 5986)[0].shape == (478, 5986)
    path = changed(copy, changes)
    refusal(lambda: read_landmarks(path, 5986), path, "install the package again")


def record(frames: int = 2) -> ClipRecord:
    shape = (frames, len(VIEWS))
    return ClipRecord(
        np.zeros((*shape, ALL_LANDMARKS, 3), np.float32),
        np.zeros((*shape, 4, 4)),
        np.zeros((frames, 52), np.float32),
        np.ones(shape, bool),
        np.zeros((frames, 52), np.float32),
        "kinect",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"units": np.zeros((3, 52), np.float32)},
        {"landmarks": np.full((2, 2, 478, 3), np.nan, np.float32)},
        {"landmarks": np.full((2, 2, 478, 3), 1e38, np.float32)},
        {"measured": np.ones((2, 2))},
        {"sensor": np.array(3)},
        {"scores": None},
        {"units": np.float32(1)},
    ],
)
def test_a_damaged_record(changes: dict[str, Array | None], tmp_path: Path) -> None:
    record().save(tmp_path / "000001.npz")
    assert load_records(tmp_path)[0].sensor == "kinect"
    path = changed(tmp_path / "000001.npz", changes)
    refusal(lambda: load_records(tmp_path), path)


def pairs(side: int = 8, frames: int = 3) -> dict[str, Array]:
    words = np.zeros((frames, 4, side, side), np.int16)
    return {
        "driver": words,
        "color_only": words,
        "weights": np.zeros((frames, 52), np.float32),
        "source": words[:1],
        "target": words,
        "offset": np.zeros((frames, side, side, 2), np.float16),
        "known": np.full((frames, side, side), 255, np.uint8),
    }


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("driver", np.zeros((3, 4, 8, 8), np.float32)),
        ("driver", np.zeros((3, 4, 8, 9), np.int16)),
        ("driver", np.zeros(3, np.int16)),
        ("weights", np.zeros((3, 51), np.float32)),
        ("weights", np.zeros((1, 52), np.float32)),
        ("weights", np.float32(0)),
        ("source", np.zeros((2, 4, 8, 8), np.int16)),
        ("known", np.zeros((3, 8, 8), np.int16)),
        ("target", np.array([{}, {}, {}])),
    ],
)
def test_damaged_pairs(name: str, array: Array, tmp_path: Path) -> None:
    PairFolder.write(tmp_path / "ann", **pairs())
    assert pair_folders(tmp_path)[0].frames == 3
    np.save(tmp_path / "ann" / f"{name}.npy", array, allow_pickle=True)
    refusal(lambda: pair_folders(tmp_path), tmp_path / "ann")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran", b"rubbish"])
def test_pairs_that_are_no_arrays(content: bytes, tmp_path: Path) -> None:
    PairFolder.write(tmp_path / "ann", **pairs())
    (tmp_path / "ann" / "target.npy").write_bytes(content)
    refusal(lambda: pair_folders(tmp_path), tmp_path / "ann" / "target.npy")


def test_pairs_cut_short(tmp_path: Path) -> None:
    PairFolder.write(tmp_path / "ann", **pairs())
    path = tmp_path / "ann" / "offset.npy"
    path.write_bytes(path.read_bytes()[:-1])
    refusal(lambda: pair_folders(tmp_path), path)


@pytest.mark.parametrize("name", ["weights", "offset"])
def test_pairs_with_numbers_that_are_none(name: str, tmp_path: Path) -> None:
    arrays = pairs()
    arrays[name] = arrays[name] + NAN.astype(arrays[name].dtype)
    PairFolder.write(tmp_path / "ann", **arrays)
    refusal(
        lambda: PairSamples(tmp_path, "generator", options=SampleOptions(augment=False))(0), tmp_path / "ann", "finite"
    )


def test_pairs_of_different_sizes(tmp_path: Path) -> None:
    PairFolder.write(tmp_path / "ann", **pairs(8))
    PairFolder.write(tmp_path / "bob", **pairs(16))
    refusal(lambda: PairSamples(tmp_path, "generator"), tmp_path / "bob")


def test_only_whole_reports_count(tmp_path: Path) -> None:
    whole = {"recording": "a", "clip": "b", "frames": 1, "left_out": {}, "skipped": None, "background": "depth"}
    lines = [
        json.dumps(whole),
        "[1]",
        "3",
        "{}",
        '{"recording": 3}',
        "[" * 5000,
        '{"frames": 1e999}',
        json.dumps(whole)[:-5],
    ]
    (tmp_path / REPORT_NAME).write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n")
    assert read_reports(tmp_path) == [whole]


@pytest.fixture
def clip(tmp_path: Path) -> VideoClip:
    with ClipWriter(tmp_path / "ann", "take", 30.0) as writer:
        for number in range(3):
            writer.append(np.full((256, 256, 3), 9 * number, np.uint8), np.full((256, 256), number, np.uint16))
        writer.keep()
    return VideoClip(writer.color, writer.depth)


@pytest.mark.parametrize("part", ["color/take.mp4", "depth/take.nut"])
@pytest.mark.parametrize(
    "damage", [lambda c: b"", lambda c: b"rubbish" * 99, lambda c: c[: len(c) // 2], lambda c: c[:40]]
)
def test_a_damaged_clip(part: str, damage: Callable[[bytes], bytes], clip: VideoClip, tmp_path: Path) -> None:
    assert clip.count == 3
    path = tmp_path / "ann" / part
    path.write_bytes(damage(path.read_bytes()))
    again = VideoClip(tmp_path / "ann/color/take.mp4", tmp_path / "ann/depth/take.nut")

    def read() -> None:
        for number in range(3):
            again.read(number)

    refusal(read, path)


def test_a_clip_without_pictures(clip: VideoClip, tmp_path: Path) -> None:
    import av

    path = tmp_path / "ann/color/take.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.layout = "mono"  # type: ignore[union-attr]
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))  # type: ignore[union-attr]
        container.mux(stream.encode(None))  # type: ignore[union-attr]
    refusal(lambda: ClipSamples(tmp_path, size=16)(0), path, "no pictures")


def test_pictures_of_other_kinds_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n")  # Ghostscript would run for ever
    refusal(lambda: PictureClip([path]).read(0), path)
    Image.new("1", (8200, 8200)).save(path)
    refusal(lambda: PictureClip([path]).read(0), path, "8200x8200")
