"""Sound of a session: what drove is kept, found again, put into films."""

import time
import wave
from dataclasses import replace

import av
import numpy as np
import pytest

from core.errors import InputError
from core.face_motion import FaceMotion
from core.source import Sound, SoundPiece, frames_of
from realtime.editing.edit_list import write_edits
from realtime.editing.edits import BlendGaps, Cut, GaussianFilter, Mirror, Retime, Trim
from realtime.export.films import save_film
from realtime.export.take import open_take
from realtime.live.driving import open_driving
from realtime.recording.clip_sound import ClipSound
from realtime.recording.preview import PreviewWriter
from realtime.recording.recorded_sound import RecordedSound
from realtime.recording.session_writer import SessionWriter
from realtime.recording.sound import add_sound
from realtime.recording.sound_file import finish_sound, wave_head
from realtime.session.manifest import About, Event
from realtime.session.reader import SessionReader
from realtime.session.sealing import seal
from realtime.session_command import EditOptions, RetimeOptions, session
from tests.realtime.test_live_recording import AVATAR
from tests.realtime.test_session_writing import posed

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


def take_with_clicks(folder, clip):
    """Four seconds of a session that was played twice as long as the clip, whose clicks it heard at 0.5 and 1.5 s."""
    folder.mkdir()
    writer = SessionWriter(folder, AVATAR, lambda: About("test", 30.0))
    sound = RecordedSound(folder, None, lambda: Sound(clip, 100.0))
    for number in range(120):
        each = posed(number)
        if sound.mark(each.pose.timestamp_s):
            writer.note(Event(each.pose.timestamp_s, "sound"))
        if not 70 <= number < 90:  # a gap
            each = replace(each, pose=replace(each.pose, motion=FaceMotion.at_rest()))
            writer.append(each)
    sound.end()
    assert sound.finished() is not None
    writer.close()
    assert seal(folder) is not None
    return folder


@pytest.mark.parametrize(
    ("edits", "heard_s"),
    [
        ((Cut(0.7, 1.2),), [0.5, 1.0]),
        ((Cut(0.3, 0.8), GaussianFilter(0.05, "all")), [1.0]),
        ((Trim(0.4, 1.7), Mirror()), [0.1, 1.1]),
        ((Trim(0.4, 3.0), Cut(0.3, 0.9)), [0.1, 0.5]),
        ((Cut(0.0, 0.2),), [0.3, 1.3]),
        ((Cut(0.9, 3.5), Retime(1.0, 60.0)), [0.5]),
        ((BlendGaps(2.0), Cut(0.6, 1.4)), [0.5, 0.7]),
    ],
    ids=lambda each: " ".join(str(getattr(one, "name", one)) for one in each),
)
def test_sound_is_cut_with_the_motion(tmp_path, clip, edits, heard_s):
    folder = take_with_clicks(tmp_path / "s", clip)
    write_edits(folder, edits, SessionReader.open(folder).motion)
    take = open_take(folder)
    count = round(30 * take.times_s[-1]) + 1
    pictures = (np.zeros((64, 64, 3), np.uint8) for _ in range(count))
    save_film(tmp_path / "cut.mp4", "mp4", pictures, 30.0, take.sound)
    assert clicks(tmp_path / "cut.mp4") == pytest.approx(heard_s, abs=0.04), "a frame's length of the joint"
    source = open_driving(str(folder), realtime=False)
    first, *_, last = (frame.timestamp_s for frame in frames_of(source) if frame is not None)
    again = RecordedSound(tmp_path, None, lambda: source.sound)
    again.mark(first)
    again.mark(last)
    again.end()
    assert again.finished() is not None
    assert clicks(tmp_path / "sound.wav") == pytest.approx(clicks(tmp_path / "cut.mp4"), abs=0.005)


def test_pieces_do_not_click_where_they_meet(tmp_path, clip):
    loud = tmp_path / "loud.wav"
    with wave.open(str(loud), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        out.writeframes((20000 * np.ones(2 * RATE)).astype("<i2").tobytes())
    pieces = (SoundPiece(0.0, 0.5, 0.0), SoundPiece(0.5, 1.0, 1.2))
    copied = ClipSound(tmp_path / "out.wav", 0.0, lambda: Sound(loud, 0.0, pieces))
    copied.until(3.0)
    copied.close()
    assert copied.kept
    with wave.open(str(tmp_path / "out.wav")) as read:
        samples = np.frombuffer(read.readframes(read.getnframes()), "<i2").astype(int)
    assert len(samples) == RATE
    assert np.abs(np.diff(samples)).max() < 200
    assert samples[[RATE // 4, 3 * RATE // 4]] == pytest.approx(20000, abs=2)


def test_what_plays_faster_has_no_sound_and_that_is_told(tmp_path, clip, capsys, caplog):
    folder = take_with_clicks(tmp_path / "s", clip)
    session(EditOptions(session=folder, change=RetimeOptions(speed=2.0)))
    assert "without its sound, which plays at its own speed" in capsys.readouterr().err
    assert open_take(folder).sound is None
    assert any("exported without sound" in message for message in caplog.messages)
    assert open_driving(str(folder), realtime=False).sound is None


def test_a_killed_session_keeps_its_clips_sound(tmp_path, clip):
    """Of which nothing was copied before the end."""
    (tmp_path / "killed").mkdir()
    sound = RecordedSound(tmp_path, None, lambda: Sound(clip, 100.0))
    for number in range(40):
        sound.mark(100.2 + number / 30)
    ends_s = time.monotonic() + 60
    while sound.written_bytes < 2 * RATE and time.monotonic() < ends_s:
        time.sleep(0.01)
    content = (tmp_path / "sound.partial.wav").read_bytes()
    (tmp_path / "killed" / "sound.partial.wav").write_bytes(content)
    path = finish_sound(tmp_path / "killed")
    assert path is not None
    assert clicks(path) == pytest.approx([0.3], abs=0.005)
    with wave.open(str(path)) as read:
        assert read.getnframes() > RATE, "all but the last moments of 1.3 s"
    sound.end()
    assert sound.finished() is not None


def test_a_clip_that_begins_anew_or_goes_on_late_is_heard_with_its_pictures(tmp_path, clip):
    begins_s = 100.0
    sound = ClipSound(tmp_path / "sound.wav", 100.0, lambda: Sound(clip, begins_s))
    sound.until(100.9)
    begins_s = 100.3  # it goes on late, by so much
    sound.until(102.0)
    begins_s = 102.5  # begins anew
    sound.until(104.3)
    sound.close()
    assert clicks(tmp_path / "sound.wav") == pytest.approx([0.5, 1.8, 3.0, 4.0], abs=0.005)


def test_a_clip_that_is_cut_off_leaves_what_was_heard(tmp_path, clip, caplog):
    whole = clip.read_bytes()
    sound = ClipSound(tmp_path / "sound.wav", 0.0, lambda: Sound(clip, 0.0))
    sound.until(0.7)
    clip.write_bytes(whole[: len(whole) // 4])
    sound._sound = None
    sound.until(2.0)
    sound.until(3.0)
    sound.close()
    assert [message for message in caplog.messages if "cannot be read on" in message] == caplog.messages
    assert len(caplog.messages) == 1
    assert clicks(tmp_path / "sound.wav") == pytest.approx([0.5], abs=0.005)


@pytest.mark.parametrize(("at", "damage"), [(27, b"\xff"), (24, bytes(4)), (22, b"\7"), (0, b"r")])
def test_a_sound_with_a_damaged_head_is_one_line_and_stays(tmp_path, at, damage):
    """A rate beyond all bounds was a traceback."""
    content = bytearray(wave_head(RATE, 2, None) + bytes(4000))
    content[at : at + len(damage)] = damage
    (tmp_path / "sound.partial.wav").write_bytes(content)
    with pytest.raises(InputError, match="its head is another; it is left as it is"):
        finish_sound(tmp_path)
    assert (tmp_path / "sound.partial.wav").read_bytes() == content


def test_a_film_without_pictures_stays_as_it_is(tmp_path, clip, caplog):
    """A damaged one, which ended a repair with a traceback."""
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as out:
        heard = out.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        out.mux([*heard.encode(frame), *heard.encode(None)])
    before = film.read_bytes()
    assert not add_sound(film, 0.0, Sound(clip, 0.0))
    assert "the film holds no pictures" in caplog.text
    assert film.read_bytes() == before


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
