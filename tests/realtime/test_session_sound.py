"""Sound of a session: what drove is kept, found again, put into films."""

import av
import numpy as np
import pytest

from core.source import Sound
from realtime.recording.preview import PreviewWriter
from realtime.recording.recorded_sound import RecordedSound

RATE = 48_000


@pytest.fixture
def clip(tmp_path):
    """A film of two seconds with a click after half a second of each."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        film, heard = out.add_stream("libx264", rate=30), out.add_stream("aac", rate=RATE, layout="mono")
        film.width = film.height = 64
        for _ in range(60):
            out.mux(film.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(film.encode(None))
        samples = np.zeros((1, 2 * RATE), np.float32)
        for click_s in (0.5, 1.5):
            samples[0, int(click_s * RATE) :][:100] = 0.8
        for begins in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(samples[:, begins : begins + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, begins
            out.mux(heard.encode(frame))
        out.mux(heard.encode(None))
    return path


def clicks(path):
    """When they are heard, by an independent reader."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        begins_s = float(frames[0].pts * frames[0].time_base)
        samples = np.concatenate([frame.to_ndarray()[0].astype(float) for frame in frames])
    loud = np.flatnonzero(np.abs(samples) > 0.3 * np.abs(samples).max())
    return begins_s + loud[np.diff(loud, prepend=-RATE) > RATE // 10] / RATE


def test_a_clips_sound_is_kept_from_the_sessions_first_frame_and_goes_into_its_film(tmp_path, clip):
    sound = RecordedSound(tmp_path, None, lambda: Sound(clip, 100.0))  # on the clock of a session that plays it
    preview = PreviewWriter(tmp_path / "preview.mp4", 64, sound=sound.finished)
    assert sound.mark(100.2)
    assert not sound.mark(101.9)
    for number in range(50):
        preview.append(None, np.zeros((64, 64, 3), np.uint8), 100.25 + number / 30)
    sound.end()
    preview.close()
    assert clicks(tmp_path / "sound.wav") == pytest.approx([0.3, 1.3], abs=0.005)
    assert clicks(tmp_path / "preview.mp4") == pytest.approx([0.25, 1.25], abs=0.005)


def test_a_clip_without_sound_leaves_no_file(tmp_path, clip):
    silent = tmp_path / "silent.mp4"
    with av.open(str(clip)) as source, av.open(str(silent), "w") as out:
        film = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = film
                out.mux(packet)
    sound = RecordedSound(tmp_path, None, lambda: Sound(silent, 0.0))
    sound.mark(0.0)
    sound.mark(2.0)
    sound.end()
    assert sound.finished() is None
    assert not (tmp_path / "sound.wav").exists()
