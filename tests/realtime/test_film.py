"""What preview.mp4 shows and how it sounds; recordings that begin anew; sessions whose recording broke off."""

import math
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from capture.open_source import open_source
from capture.repeated_source import RepeatedSource
from core.source import Sound
from realtime.recording.preview import PreviewWriter
from realtime.recording.recording_folder import RecordingFolder
from realtime.recording.sound import add_sound

RATE = 44_100
BEEP_S = (1.0, 1.5)


def beeping_clip(path: Path, seconds: float = 3.0, fps: int = 10, sound: bool = True) -> Path:
    """Grey pictures, and a tone of 1 kHz from 1.0 to 1.5 s."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for number in range(round(seconds * fps)):
            picture = np.full((48, 64, 3), 40 + 5 * number, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        if audio is not None:
            times = np.arange(round(seconds * RATE)) / RATE
            tone = np.sin(2 * math.pi * 1000 * times) * ((times >= BEEP_S[0]) & (times < BEEP_S[1]))
            for start in range(0, len(times), 1024):
                frame = av.AudioFrame.from_ndarray(np.float32(tone[None, start : start + 1024]), "fltp", "mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def heard(path: Path) -> tuple[float, float] | None:
    """From when to when a file sounds, seconds; None without a track."""
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return None
        loud: list[float] = []
        for frame in file.decode(audio=0):
            samples = np.abs(frame.to_ndarray()[0])
            loud += ((frame.time or 0.0) + np.flatnonzero(samples > 0.3) / frame.sample_rate).tolist()
    return min(loud), max(loud)


def film(path: Path, first_s: float, count: int, **how: object) -> Path:
    writer = PreviewWriter(path, **how)  # type: ignore[arg-type]
    for number in range(count):
        writer.append(np.full((48, 64, 3), 90, np.uint8), np.full((96, 128, 3), 180, np.uint8), first_s + number / 10)
    writer.close()
    return path


@pytest.mark.parametrize(
    ("how", "size"),
    [({}, (640 + 640, 480)), ({"height": None}, (128 + 128, 96)), ({"height": None, "driver": False}, (128, 96))],
)
def test_the_film_is_as_large_and_shows_what_was_asked_for(how: dict, size: tuple[int, int], tmp_path: Path) -> None:
    with av.open(str(film(tmp_path / "preview.mp4", 0.0, 5, **how))) as file:
        picture = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.shape == (size[1], size[0], 3)
    assert abs(int(picture[5, -5, 0]) - 180) < 6
    assert abs(int(picture[5, 5, 0]) - (90 if how.get("driver", True) else 180)) < 6


@pytest.mark.parametrize("begins_s", [100.0, 100.7, 99.4])
def test_the_clip_s_sound_is_where_its_pictures_are(begins_s: float, tmp_path: Path) -> None:
    """The clip begins at 100 s on the sessions's clock, the film a little later, or before it."""
    sound = Sound(beeping_clip(tmp_path / "clip.mp4"), 100.0)
    path = film(tmp_path / "preview.mp4", begins_s, 25, sound=lambda: sound)
    found = heard(path)
    assert found is not None
    np.testing.assert_allclose(found, np.array(BEEP_S) + 100.0 - begins_s, atol=0.04)
    with av.open(str(path)) as file:
        assert len(list(file.decode(video=0))) == 25
        assert abs((file.duration or 0) / 1e6 - 2.5) < 0.2
    assert [each.name for each in tmp_path.iterdir() if "preview" in each.name] == ["preview.mp4"]


def test_a_clip_without_sound_or_that_is_gone_leaves_the_film_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = film(tmp_path / "preview.mp4", 0.0, 5)
    before = path.read_bytes()
    assert not add_sound(path, 0.0, Sound(beeping_clip(tmp_path / "mute.mp4", sound=False), 0.0))
    assert not caplog.messages
    assert not add_sound(path, 0.0, Sound(tmp_path / "gone.mp4", 0.0))
    assert "stays without the sound" in caplog.text
    assert path.read_bytes() == before


def test_a_clip_begins_anew_and_time_and_numbers_go_on(tmp_path: Path) -> None:
    clip = beeping_clip(tmp_path / "clip.mp4", seconds=0.3, fps=30)
    source = RepeatedSource(open_source(str(clip), realtime=True))
    source.open()
    frames, until_s = [], time.monotonic() + 60
    while len(frames) < 30 and time.monotonic() < until_s:
        if (frame := source.read(0.1)) is not None:
            frames.append(frame)
    sound = source.sound
    assert sound is not None
    assert sound.begins_s <= frames[-1].timestamp_s < sound.begins_s + 0.4, "of this round"
    source.close()
    assert source.frame_count is None
    assert source.detail.startswith("round ")
    assert (np.diff([frame.timestamp_s for frame in frames]) > 0).all()
    assert (np.diff([frame.index for frame in frames]) > 0).all()


def test_two_recordings_of_one_second_get_a_folder_each(tmp_path: Path) -> None:
    folders = [RecordingFolder.claim_new(tmp_path / "recordings", "20260101-120000") for _ in range(3)]
    assert [folder.path.name for folder in folders] == ["20260101-120000", "20260101-120000-2", "20260101-120000-3"]
    for folder in folders:
        folder.release()
    assert not list((tmp_path / "recordings").iterdir())


def test_a_picture_of_one_pixel_makes_a_film_of_two_rows(tmp_path: Path) -> None:
    film = PreviewWriter(tmp_path / "preview.mp4", None)
    for number in range(3):
        film.append(None, np.full((1, 1, 3), 180, np.uint8), number / 30)
    film.close()
    with av.open(str(tmp_path / "preview.mp4")) as made:
        shown = [picture.to_ndarray(format="rgb24") for picture in made.decode(video=0)]
    assert [picture.shape for picture in shown] == [(2, 2, 3)] * 3
    assert all(np.abs(picture.astype(int) - 180).max() <= 3 for picture in shown)
