"""Recordings of the built-in performer become training clips; what is wrong with one does not stop the others."""

import json
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from capture.recordings.video_file import probe_video
from capture.synthetic.performer.performer import PerformerSource
from core.errors import InputError
from core.frame import RgbdFrame
from core.source import frames_of
from engine.training.flow import preprocess as module
from engine.training.flow.clip_reader import VideoClip, find_clips
from engine.training.flow.clip_samples import ClipSamples, normalised
from engine.training.flow.preprocess import find_recordings, preprocess, summary
from engine.training.flow.preprocess_clip import ClipJob, ClipReport, preprocess_clip
from engine.training.flow.preprocess_options import PreprocessOptions
from engine.training.flow.sample_options import SampleOptions

FRAMES = 10


@pytest.fixture(scope="module")
def performer() -> list[RgbdFrame]:
    frames = []
    for frame in frames_of(PerformerSource(realtime=False)):
        frames.append(frame)
        if len(frames) == FRAMES:
            break
    return frames


@pytest.fixture(scope="module")
def recordings(performer: list[RgbdFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ann/take1 (RGBD frames), ann/loose.mp4 (colour alone), bob/empty.mp4 (nobody), bob/broken.mp4."""
    root = tmp_path_factory.mktemp("recordings")
    write_frames(root / "ann" / "take1", performer)
    write_video(root / "ann" / "loose.mp4", [frame.rgb for frame in performer])
    write_video(root / "bob" / "empty.mp4", [np.full((120, 160, 3), 90, np.uint8)] * FRAMES)
    (root / "bob" / "broken.mp4").write_bytes(b"no video")
    return root


@pytest.fixture(scope="module")
def clips(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ClipReport]]:
    out = tmp_path_factory.mktemp("clips")
    return out, preprocess(PreprocessOptions(inputs=[recordings], out=out))


def write_frames(folder: Path, frames: list[RgbdFrame]) -> None:
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for frame in frames:
        assert frame.depth_m is not None
        cv2.imwrite(str(folder / "rgb" / f"{frame.index}.jpg"), frame.rgb[..., ::-1])
        cv2.imwrite(str(folder / "depth" / f"{frame.index}.png"), (frame.depth_m * 1000).astype(np.uint16))
    camera = frames[0].intrinsics
    values = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    values |= {"width": camera.width, "height": camera.height}
    (folder / "camera.json").write_text(json.dumps(values))


def write_video(path: Path, pictures: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_clips_have_the_published_layout(clips: tuple[Path, list[ClipReport]]) -> None:
    out, _ = clips
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "ann/color/loose.mp4",
        "ann/color/take1.mp4",
        "ann/depth/loose.nut",
        "ann/depth/take1.nut",
        "preprocess.jsonl",
    ]
    color, depth = probe_video(out / "ann/color/take1.mp4"), probe_video(out / "ann/depth/take1.nut")
    assert (color.width, color.height, depth.width, depth.height) == (256, 256, 256, 256)
    assert depth.pixel_format == "gray16le"
    assert len(VideoClip(out / "ann/color/take1.mp4", out / "ann/depth/take1.nut")._color.times) == FRAMES


def test_the_background_is_gone(clips: tuple[Path, list[ClipReport]]) -> None:
    out, reports = clips
    by_clip = {report.clip: report for report in reports}
    assert by_clip["ann/take1"].background == "depth"
    assert by_clip["ann/loose"].background == "face"
    for name in ("take1", "loose"):
        rgb, depth = VideoClip(out / f"ann/color/{name}.mp4", out / f"ann/depth/{name}.nut").read(3)
        assert depth is not None
        assert 0.03 < (depth == 0).mean() < 0.7
        assert depth.max() == 65535
        wall = rgb[:20, [*range(12), *range(244, 256)]]  # beside the hair; compression leaves a little at edges
        assert np.median(wall.max(axis=2)) < 12
        assert rgb[118:138, 118:138].mean() > 40  # the face


def test_the_report_says_what_was_skipped_and_why(clips: tuple[Path, list[ClipReport]]) -> None:
    out, reports = clips
    skipped = {Path(report.recording).name: report.skipped for report in reports if report.skipped}
    assert set(skipped) == {"empty.mp4", "broken.mp4"}
    assert f"{FRAMES} with no face" in str(skipped["empty.mp4"])
    assert "cannot be read" in str(skipped["broken.mp4"])
    text = "\n".join(summary(reports))
    assert "2 clips written" in text
    assert "broken.mp4" in text
    assert not list(out.rglob("*.partial"))


def test_a_second_run_does_only_what_is_left(
    recordings: Path, clips: tuple[Path, list[ClipReport]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = clips
    done: list[str] = []

    def counted(job: ClipJob) -> ClipReport:
        done.append(f"{job.person}/{job.name}")
        return preprocess_clip(job)

    monkeypatch.setattr(module, "preprocess_clip", counted)
    assert preprocess(PreprocessOptions(inputs=[recordings], out=out)) == []
    (out / "ann" / "color" / "loose.mp4").unlink()  # as if killed between the two files
    again = preprocess(PreprocessOptions(inputs=[recordings], out=out))
    assert done == ["ann/loose"]
    assert again[0].frames == FRAMES
    retried = preprocess(PreprocessOptions(inputs=[recordings], out=out, retry=True))
    assert {Path(report.recording).name for report in retried} == {"empty.mp4", "broken.mp4"}


@pytest.fixture
def ray_ends() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    yield
    ray.shutdown()


def test_ray_workers_make_the_same_clips(
    recordings: Path, clips: tuple[Path, list[ClipReport]], tmp_path: Path, ray_ends: None
) -> None:
    out, expected = clips
    reports = preprocess(PreprocessOptions(inputs=[recordings], out=tmp_path / "ray", engine="ray", workers=2))
    key = lambda report: report.recording  # noqa: E731
    assert sorted(reports, key=key) == sorted(expected, key=key)
    for name in ("take1", "loose"):
        one, other = ((root / f"ann/depth/{name}.nut").read_bytes() for root in (out, tmp_path / "ray"))
        assert one == other


def test_recordings_are_named_by_where_they_lie(tmp_path: Path) -> None:
    for path in (
        "a.mp4",
        "eva/b.mp4",
        "eva/pair/color/c.mp4",
        "eva/pair/depth/c.nut",
        "eva/preview.mp4",
        "max/x/d.r3d",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = {str(path.relative_to(tmp_path)): names for path, *names in find_recordings([tmp_path])}
    assert found == {
        "a.mp4": ["people", "a"],
        "eva/b.mp4": ["eva", "b"],
        "eva/pair/color/c.mp4": ["eva", "pair-c"],
        "max/x/d.r3d": ["max", "x-d"],
    }


def test_two_recordings_of_one_name_are_told(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    with pytest.raises(InputError, match=r"both would become people/a"):
        preprocess(PreprocessOptions(inputs=[tmp_path / "one", tmp_path / "two"], out=tmp_path / "out"))
    with pytest.raises(InputError, match="no such path"):
        preprocess(PreprocessOptions(inputs=[tmp_path / "missing"], out=tmp_path / "out"))


def test_samples_are_a_first_frame_and_another_one(clips: tuple[Path, list[ClipReport]]) -> None:
    out, _ = clips
    samples = ClipSamples(out, size=64, options=SampleOptions(augment=False))
    assert len(samples.clips) == 2
    first, again, other = samples(5), samples(5), samples(6)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first["driving"], value["driving"]) for value in (other, samples(7), samples(8)))
    assert first["source"].shape == (4, 64, 64)
    assert np.array_equal(first["driving"], first["target"])
    sources = [samples._picture(clip, 0) for clip in samples.clips]
    assert any(np.array_equal(first["source"], source) for source in sources)


def test_both_pictures_of_a_sample_are_augmented_alike(
    performer: list[RgbdFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(
        tmp_path / "still",
        [performer[0], RgbdFrame(performer[0].rgb, performer[0].depth_m, performer[0].intrinsics, 0.1, 1)],
    )
    samples = ClipSamples(tmp_path, size=64)
    plain = ClipSamples(tmp_path, size=64, options=SampleOptions(augment=False))(0)["source"]
    for number in range(4):
        sample = samples(number)
        assert np.array_equal(sample["source"], sample["driving"])  # both frames show the same
        assert not np.array_equal(sample["source"], plain)


def test_frames_are_found_by_number(tmp_path: Path) -> None:
    pictures = [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(10)]
    write_video(tmp_path / "color" / "x.mp4", pictures)
    clip = find_clips(tmp_path, depth=False)[0]
    assert clip.count == 10
    for number in (7, 0, 9, 3, 4):
        assert abs(float(clip.read(number)[0].mean()) - 20 * number) < 3


def test_published_normalisation_centres_the_foreground() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(60, 200, (32, 32, 3)).astype(np.uint8)
    depth = np.zeros((32, 32), np.uint16)
    depth[8:24, 8:24] = rng.integers(1, 65535, (16, 16))
    live, published = normalised(rgb, depth, "live"), normalised(rgb, depth, "published")
    assert np.allclose(live[:3], rgb.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    inside = rgb[8:24, 8:24].astype(float)
    expected = np.clip((rgb.transpose(2, 0, 1) - inside.mean()) / (2 * inside.std()), -1, 1)
    assert np.allclose(published[:3], expected, atol=1e-6)
    assert np.array_equal(live[3], published[3])
    assert live[3][0, 0] == -1
