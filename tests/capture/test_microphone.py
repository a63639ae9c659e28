"""Microphones against a library in PortAudio's place, in whose manual mode time passes only when it is told to."""

import ctypes
import ctypes.util
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from capture.sound.microphone import Microphone, list_microphones
from capture.sound.sound_clock import SoundClock
from core.errors import InputError, MissingExtraError
from realtime.recording.sound_file import SoundWriter, finish_sound

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the fake PortAudio")
FAKE = Path(__file__).parents[1] / "fakes" / "portaudio.c"
RATE = 48_000


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("portaudio") / "libportaudio.so.2"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, FAKE, "-lm", "-lpthread"], check=True, timeout=60)
    return path


@pytest.fixture
def fake(library, monkeypatch):
    """A function that says what is wrong with the microphone; returns the library."""
    pytest.importorskip("_sounddevice")
    with monkeypatch.context() as patched:
        patched.setattr(ctypes.util, "find_library", lambda _: str(library))
        import sounddevice
    monkeypatch.setattr(sounddevice, "_lib", sounddevice._ffi.dlopen(str(library)))
    sounddevice._lib.Pa_Initialize()
    opened = ctypes.CDLL(str(library))
    opened.fake_now.restype, opened.fake_advance.argtypes = ctypes.c_double, [ctypes.c_double]

    def with_faults(faults):
        monkeypatch.setenv("FAKE_MICROPHONE", faults)
        return opened

    return with_faults


def until(true, limit_s=60.0):
    ends_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < ends_s, "it did not come about"
        time.sleep(0.01)


def listening(library, tmp_path):
    """A microphone that hears something, and who writes it down."""
    microphone = Microphone(clock=library.fake_now)
    writer = SoundWriter(tmp_path / "sound.wav")
    microphone.listen(writer.append)
    microphone.start()
    until(lambda: microphone.active)
    return microphone, writer


def recorded(fake, tmp_path, faults, seconds):
    """Clicks of `seconds` of sound, [n] seconds off from when they were made; and the microphone."""
    library = fake(f"manual click_s=5 {faults}")
    microphone, writer = listening(library, tmp_path)
    begins_s = writer.begins_s = library.fake_now() + 0.3
    for _ in range(int(seconds)):
        library.fake_advance(1.0)
    microphone.close()
    writer.close()
    content = (tmp_path / "sound.wav").read_bytes()
    samples, rate = np.frombuffer(content[44:], "<i2"), int.from_bytes(content[24:28], "little")
    loud = np.flatnonzero(samples > 8000)
    at_s = loud[np.diff(loud, prepend=-rate) > rate // 10] / rate + begins_s
    assert len(samples) / rate == pytest.approx(seconds, abs=1.5)
    return at_s - np.rint(at_s / 5) * 5, microphone


class TestInStep:
    @pytest.mark.parametrize(
        "faults",
        ["ppm=200", "ppm=-200 late_ms=10 notime", "ppm=200 wobble_ms=4 late_ms=8", "rate=44100 ppm=100"],
    )
    def test_within_20_ms_over_ten_minutes(self, fake, tmp_path, faults):
        off_s, _ = recorded(fake, tmp_path, faults, 600)
        assert len(off_s) >= 118
        assert np.abs(off_s).max() < 0.020

    @pytest.mark.parametrize("told", ["", "told"])
    def test_gaps_move_nothing_after_them(self, fake, tmp_path, told):
        off_s, microphone = recorded(fake, tmp_path, f"ppm=200 late_ms=3 lose_at_s=61 lose_s=0.4 {told}", 600)
        assert np.abs(off_s).max() < 0.020
        assert microphone.summary()["lost_s"] == pytest.approx(9 * 0.4, abs=0.5)

    def test_a_card_at_another_rate_than_it_says_is_found_out(self, fake, tmp_path):
        off_s, microphone = recorded(fake, tmp_path, "ppm=88435", 60)  # 44.1 kHz, called 48
        assert np.abs(off_s[1:]).max() < 0.020
        assert microphone.summary()["drift_ppm"] == pytest.approx(88435, abs=200)

    @pytest.mark.parametrize("faults", ["ppm=200", "ppm=-200 late_ms=8", "rate=44100"])
    def test_one_that_comes_back_is_in_step_after_a_silence(self, fake, tmp_path, monkeypatch, faults):
        monkeypatch.setattr("capture.sound.microphone._RETRY_S", 0.05)
        library = fake(f"manual click_s=5 unplug_s=61.3 {faults}")
        microphone, writer = listening(library, tmp_path)
        begun_s = writer.begins_s = library.fake_now()
        for _ in range(62):
            library.fake_advance(1.0)
        until(lambda: microphone.problem)
        assert "is taken up again once it is back" in microphone.problem
        fake(f"manual click_s=5 gone {faults}")
        library.fake_advance(20.0)
        time.sleep(0.3)
        assert not microphone.active, "another one is not taken for it"
        fake(f"manual click_s=5 moved {faults}")
        until(lambda: microphone.active)
        back_s = library.fake_now() - begun_s
        assert microphone.take_notice() == "microphone: Fake Microphone: USB Audio (hw:1,0) is back"
        for _ in range(60):
            library.fake_advance(1.0)
        microphone.close()
        writer.close()
        content = (tmp_path / "sound.wav").read_bytes()
        rate = int.from_bytes(content[24:28], "little")
        at_s = np.flatnonzero(np.frombuffer(content[44:], "<i2") > 8000) / rate
        assert not ((at_s > 61.5) & (at_s < back_s - 0.05)).any(), "the gap is silent"
        clicks_s = at_s[np.diff(at_s, prepend=-1) > 0.1] + begun_s
        assert len(clicks_s) >= 20
        assert np.abs(clicks_s - np.rint(clicks_s / 5) * 5).max() < 0.020
        assert microphone.summary()["lost_s"] == pytest.approx(back_s - 61.3, abs=0.1)
        assert microphone.summary()["problem"] == ""

    def test_blocks_that_were_only_late_are_no_gap(self):
        clock = SoundClock(RATE)
        block = np.zeros((960, 1), np.int16)
        made = []
        for number in range(300):
            made += clock.take(block, 5 + number * 0.02 + (0.3 - 0.02 * (number - 100) if 100 <= number < 115 else 0))
        made += clock.end()
        assert len(made) == 300
        assert [each.gap for each in made].count(True) == 1
        assert all(each.begins_s == pytest.approx(5 + number * 0.02, abs=0.002) for number, each in enumerate(made))


class TestFaults:
    @pytest.mark.parametrize(
        ("faults", "name", "told"),
        [("none", "", "cannot be used"), ("busy", "", "Device unavailable"), ("", "Studio", "Studio")],
    )
    def test_one_that_cannot_be_opened_is_one_line(self, fake, faults, name, told):
        fake(faults)
        microphone = Microphone(name)
        microphone.start()
        until(lambda: microphone.problem)
        assert told in microphone.problem
        assert "goes on" in microphone.problem
        assert microphone.take_notice() == microphone.problem
        assert microphone.take_notice() is None
        assert not microphone.active
        microphone.close()

    @pytest.mark.parametrize("faults", ["unplug_s=0.5", "hang_s=0.2"])
    def test_one_that_goes_away_is_one_line(self, fake, faults):
        fake(faults)
        heard = []
        microphone = Microphone("USB")
        microphone.listen(heard.append)
        microphone.start()
        until(lambda: microphone.problem)
        assert "went away" in microphone.problem
        assert heard
        microphone.close()

    def test_microphones_are_listed_and_speakers_are_not(self, fake):
        fake("")
        rows = list_microphones()
        assert [(row.number, row.name, row.channels, row.default) for row in rows] == [
            (1, "Fake Microphone: USB Audio (hw:1,0)", 1, True),
            (2, "Fake Line", 8, False),
        ]

    def test_what_is_not_installed_is_said_with_the_next_step(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        with pytest.raises(MissingExtraError, match="audio"):
            Microphone()

    def test_a_missing_portaudio_is_said_with_its_package(self, monkeypatch):
        pytest.importorskip("_sounddevice")
        monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
        monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
        with pytest.raises(InputError, match="libportaudio2"):
            Microphone()


def test_a_killed_writer_leaves_sound_that_is_completed(fake, tmp_path):
    library = fake("manual")
    microphone = Microphone(clock=library.fake_now)
    writer = SoundWriter(tmp_path / "sound.wav")
    writer.begins_s = library.fake_now()
    microphone.listen(writer.append)
    microphone.start()
    until(lambda: microphone.active)
    library.fake_advance(5.0)
    (tmp_path / "killed").mkdir()
    content = (tmp_path / "sound.partial.wav").read_bytes()
    (tmp_path / "killed" / "sound.partial.wav").write_bytes(content + b"\1")
    microphone.close()
    writer.close()
    path = finish_sound(tmp_path / "killed")
    assert path is not None
    assert path.stat().st_size > 44 + 2 * RATE * 4.9
    assert path.read_bytes()[40:44] == (path.stat().st_size - 44).to_bytes(4, "little")
    assert finish_sound(tmp_path / "killed") is None
