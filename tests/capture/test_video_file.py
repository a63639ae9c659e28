"""Video files: whole, turned, odd in time, damaged, and not videos at all."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from capture.open_source import open_source
from capture.recordings import video_file
from capture.recordings.video_file import decode_video, probe_video
from core import picture_limits
from core.source import SourceError, frames_of

Pictures = list[np.ndarray]


def test_all_frames_come_in_order_with_their_times(
    write_video: Callable[..., Path], colored: Callable[[int], Pictures], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "v.mp4", colored(20))
    info = probe_video(path)
    assert (info.width, info.height, info.fps, info.frame_count) == (64, 48, 30.0, 20)
    frames = list(decode_video(path))
    assert [round(float(frame.rgb().mean()) / 4) for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 30, atol=1e-3)


def test_a_variable_rate_is_honoured(
    write_video: Callable[..., Path], colored: Callable[[int], Pictures], tmp_path: Path
) -> None:
    times_s = [0.0, 0.04, 0.05, 0.5, 0.52, 2.0]
    path = write_video(tmp_path / "v.mkv", colored(6), times_s=[time_s + 3 for time_s in times_s])
    np.testing.assert_allclose([frame.time_s for frame in decode_video(path)], times_s, atol=2e-3)


@pytest.mark.parametrize(
    ("rotation", "size", "corner"), [(90, (48, 64), (-8, 4)), (180, (64, 48), (-8, -8)), (270, (48, 64), (4, -8))]
)
def test_turned_videos_are_put_upright(
    write_video: Callable[..., Path], tmp_path: Path, rotation: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255  # at the upper left before the player turns it counter-clockwise
    path = write_video(tmp_path / "v.mp4", [picture] * 3, rotation=rotation)
    info = probe_video(path)
    assert (info.width, info.height) == size
    rgb = next(decode_video(path)).rgb()
    assert rgb.shape == (size[1], size[0], 3)
    assert rgb[corner].min() > 200
    assert rgb.flags.c_contiguous


def test_sixteen_bits_survive(write_video: Callable[..., Path], tmp_path: Path) -> None:
    depth = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    path = write_video(tmp_path / "v.nut", [depth, depth[::-1].copy()], codec="ffv1", pixel_format="gray16le")
    first, second = decode_video(path)
    np.testing.assert_array_equal(first.gray16(), depth)
    np.testing.assert_array_equal(second.gray16(), depth[::-1])


def test_a_video_cut_short_gives_what_is_left_and_says_so(
    write_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "v.mkv", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(decode_video(path))
    assert 5 < len(frames) < 35
    assert str(path) in caplog.text or len(frames) == probe_video(path).frame_count


def test_a_damaged_middle_is_left_out_and_told(
    write_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    path = write_video(tmp_path / "v.mp4", [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)])
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for start, length in packets[20:24]:
        assert start is not None
        content[start : start + length] = b"\xff" * length
    path.write_bytes(bytes(content))
    times = [frame.time_s for frame in decode_video(path)]
    assert 40 < len(times) < 60
    assert times[-1] == pytest.approx(59 / 30, abs=0.01)  # it goes on behind the damage, in time
    assert all(later > earlier for earlier, later in pairwise(times))
    assert "damaged" in caplog.text


def test_pictures_that_change_their_size_are_fitted_into_the_first(
    write_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [np.full((48, 64, 3), 200, np.uint8), np.full((128, 64, 3), 200, np.uint8)]
    parts = [write_video(tmp_path / f"{number}.h264", [rgb] * 4) for number, rgb in enumerate(pictures)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = [frame.rgb() for frame in decode_video(path)]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 8
    assert frames[-1][24, 32].min() > 190  # a tall picture keeps its shape, black on either side
    assert frames[-1][:, :16].max() < 10
    assert "from 64x48 to 64x128 at frame 4" in caplog.text


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((1, 0, 0, 1), lambda rgb: rgb),
        ((-1, 0, 0, 1), lambda rgb: rgb[:, ::-1]),
        ((1, 0, 0, -1), lambda rgb: rgb[::-1]),
        ((-1, 0, 0, -1), lambda rgb: rgb[::-1, ::-1]),
        ((0, 1, 1, 0), lambda rgb: rgb.swapaxes(0, 1)),
        ((0, 1, -1, 0), lambda rgb: np.rot90(rgb, -1)),
        ((0, -1, 1, 0), lambda rgb: np.rot90(rgb)),
        ((0, -1, -1, 0), lambda rgb: np.rot90(rgb, 2).swapaxes(0, 1)),
    ],
)
def test_all_eight_ways_to_turn_and_mirror_come_out_upright(
    write_video: Callable[..., Path],
    tmp_path: Path,
    matrix: tuple[float, float, float, float],
    seen: Callable[[np.ndarray], np.ndarray],
) -> None:
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:16, :32], rgb[:16, 32:] = 230, 120  # tells its corners apart
    path = write_video(tmp_path / "v.mp4", [rgb] * 3, matrix=matrix)
    upright = next(decode_video(path)).rgb()
    np.testing.assert_allclose(upright.astype(int), seen(rgb).astype(int), atol=40)
    info = probe_video(path)
    assert upright.shape == (info.height, info.width, 3)


def test_a_slanting_display_matrix_is_told_and_taken_as_the_nearest_turn(
    write_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3, matrix=(0.5, 0.87, -0.87, 0.5))
    assert next(decode_video(path)).rgb().shape == (64, 48, 3)
    assert "no quarter" in caplog.text


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [
        (Fraction(4, 3), 0, (85, 48)),
        (Fraction(1, 2), 0, (64, 96)),
        (Fraction(4, 3), 90, (48, 85)),
        (Fraction(1, 900), 0, (64, 48)),  # no camera has such pixels
    ],
)
def test_pixels_that_are_not_square_become_so(
    write_video: Callable[..., Path], tmp_path: Path, aspect: Fraction, rotation: int, size: tuple[int, int]
) -> None:
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, 32:] = 200
    path = write_video(tmp_path / "v.mp4", [rgb] * 3, aspect=aspect, rotation=rotation)
    info, upright = probe_video(path), next(decode_video(path)).rgb()
    assert (info.width, info.height) == (upright.shape[1], upright.shape[0]) == size
    assert upright.mean() == pytest.approx(100, abs=4)


def with_second_track(path: Path, first: np.ndarray, second: np.ndarray, *, covered: str) -> Path:
    """A film of `first` with a still or another film of `second`; `covered` says which kind, and which comes first."""
    with av.open(str(path), "w") as container:
        cover_first = covered == "cover first"
        codecs = ["mjpeg" if "cover" in covered else "libx264", "libx264"]
        streams = [container.add_stream(codec, rate=30) for codec in (codecs if cover_first else codecs[::-1])]
        cover, film = streams if cover_first else streams[::-1]
        for stream, rgb in ((film, first), (cover, second)):
            stream.height, stream.width = rgb.shape[:2]
            stream.pix_fmt = "yuvj420p" if stream is cover and "cover" in covered else "yuv420p"
        if "cover" in covered:
            cover.disposition = av.stream.Disposition.attached_pic
        for stream, rgb, count in ((cover, second, 1 if "cover" in covered else 6), (film, first, 6)):
            for _ in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("covered", ["cover last", "cover first", "second film"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cover_or_a_second_film_does_not_matter(tmp_path: Path, covered: str, suffix: str) -> None:
    if (suffix, covered) == (".mkv", "cover first"):
        pytest.skip("Matroska keeps covers as attachments, which come last")
    path = tmp_path / f"v{suffix}"
    with_second_track(path, np.full((48, 64, 3), 200, np.uint8), np.full((32, 32, 3), 40, np.uint8), covered=covered)
    frames = list(frames_of(open_source(str(path), realtime=False)))
    assert len(frames) == 6
    assert all(frame.rgb.shape == (48, 64, 3) and frame.rgb.mean() > 180 for frame in frames)


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(cover.encode(None))
    with pytest.raises(SourceError, match="only a cover picture"):
        open_source(str(path), realtime=False)


@pytest.mark.parametrize(
    ("times_s", "expected_s"),
    [
        ([5.0, 5.1, 5.4], [0, 0.1, 0.4]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([0.0, 0.5, 0.4, 0.7], [0, 0.5, 0.6, 0.7]),
        ([100.0, 100.1, 0.0, 0.3], [0, 0.1, 0.2, 0.5]),  # starts anew
        ([0.0, 1e9, 1e9 + 0.3], [0, 0.1, 0.4]),  # nobody waits for thirty years
    ],
)
def test_times_of_all_kinds_become_times_one_can_play(times_s: list[float | None], expected_s: list[float]) -> None:
    clock = video_file._Times(0.1)
    assert [clock.of(time_s) for time_s in times_s] == pytest.approx(expected_s)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100, b"\x00\x00\x00\x18ftypmp42" + bytes(500)])
def test_what_is_no_video_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"v\.mp4: expected a video") as error:
        probe_video(path)
    assert "\n" not in str(error.value)


def test_a_cut_mp4_without_its_index_is_told(
    write_video: Callable[..., Path], colored: Callable[[int], Pictures], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "v.mp4", colored(20))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(SourceError, match="is it complete"):
        probe_video(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(SourceError, match="no such file"):
            probe_video(path)


def test_sound_alone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="without pictures"):
        probe_video(path)


def test_a_picture_too_large_is_refused_before_it_is_decoded(
    write_video: Callable[..., Path],
    colored: Callable[[int], Pictures],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_video(tmp_path / "v.mp4", colored(3))
    monkeypatch.setattr(picture_limits, "LARGEST_SIDE", 50)
    with pytest.raises(SourceError, match="64x48; scale or crop them"):
        probe_video(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".nut", ".ts", ".flv"])
@pytest.mark.parametrize("kind", ["offset", "gap", "variable"])
def test_a_whole_film_is_not_called_cut_short(
    kind: str,
    suffix: str,
    write_video: Callable[..., Path],
    colored: Callable[[int], Pictures],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    even_s = np.arange(60) / 30
    times_s = {
        "offset": even_s + 3600,  # as after -copyts
        "gap": even_s + 5 * (even_s >= 1),
        "variable": np.cumsum(np.where(np.arange(60) % 2, 0.1, 0.03)),
    }[kind]
    path = write_video(tmp_path / f"v{suffix}", colored(60), times_s=times_s)
    frames = list(decode_video(path))
    assert caplog.text == ""
    np.testing.assert_allclose([frame.time_s for frame in frames], times_s - times_s[0], atol=2e-3)
    if kind == "offset":
        count = probe_video(path).frame_count
        assert count is None or abs(count - 60) <= 2


@pytest.mark.parametrize("offset_s", [0.0, 3600.0])
def test_a_film_cut_short_is_told_wherever_its_clock_began(
    offset_s: float, write_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    path = write_video(tmp_path / "v.mkv", noise, times_s=np.arange(60) / 30 + offset_s)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 15 < len(list(decode_video(path))) < 45
    assert "damaged or cut short" in caplog.text
    assert "of 2.0 s could be read" in caplog.text


def test_a_gap_of_hours_is_closed_and_told(
    write_video: Callable[..., Path],
    colored: Callable[[int], Pictures],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    even_s = np.arange(20) / 30
    path = write_video(tmp_path / "v.mkv", colored(20), times_s=even_s + 7200 * (even_s >= 0.3))
    assert probe_video(path).frame_count is None, "216 000 frames do not fit into a few kilobytes"
    np.testing.assert_allclose([frame.time_s for frame in decode_video(path)], even_s, atol=3e-3)
    assert [record.message for record in caplog.records] == [
        f"{path}: 1 times nothing was filmed for more than 60 s; these gaps are closed"
    ]
