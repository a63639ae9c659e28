"""Sessions, damaged: read, checked, told of, played, heard, and completed."""

import wave
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from core.camera import Intrinsics
from core.errors import InputError
from core.face_motion import FaceMotion, MotionFrame
from core.frame import FaceObservation, RgbdFrame
from core.source import Sound, SoundPiece, frames_of
from engine.motion.posed_frame import Calibration, FollowedFrame, PosedFrame
from engine.motion.protocol import AvatarPose
from realtime.live.driving import open_driving
from realtime.recording.clip_sound import ClipSound
from realtime.recording.film_file import FilmFile
from realtime.recording.preview import PreviewWriter
from realtime.recording.raw_writer import RawWriter
from realtime.recording.recording_folder import PREVIEW_NAME, SOUND_NAME, partial_of
from realtime.recording.repair import repair
from realtime.recording.session_writer import SessionWriter
from realtime.recording.sound import RATE_HZ, add_sound
from realtime.recording.sound_file import WaveFile, finish_sound, wave_head
from realtime.session.check import check
from realtime.session.manifest import About, Event
from realtime.session.reader import SessionReader
from realtime.session.sealing import seal
from realtime.session.seen_frame import SeenFrame, SeenTracker
from realtime.session.told import as_json, told
from tools.fuzz.target import Target

_CAMERA = Intrinsics(60, 60, 16, 16, 32, 32)
_MOST_FRAMES = 200
_RATE_HZ = 48_000
_LONGEST_SOUND_S = 5.0


def _avatar() -> Any:
    mesh = SimpleNamespace(vertices=np.zeros((4, 3), np.float32))
    return SimpleNamespace(
        name="fuzz", content_key="0", file_mesh=mesh, to_file=lambda moved: moved, motion_to_file=lambda T: T
    )


def _written(folder: Path) -> tuple[SessionWriter, RawWriter]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    writer, raw = SessionWriter(folder, _avatar(), lambda: About("demo", 30.0)), RawWriter(folder, "rgbd")
    neutral: FaceObservation | None = None
    for number in range(20):
        frame = RgbdFrame(
            np.full((32, 32, 3), 10 * number, np.uint8), np.ones((32, 32), np.float32), _CAMERA, number / 30, number
        )
        points = rng.normal(size=(478, 3)).astype(np.float32)
        seen = FaceObservation(frame, True, 1.0, points[:, :2], points, np.eye(4), np.zeros(52, np.float32))
        neutral = neutral or seen
        vertices = rng.normal(size=(4, 3)).astype(np.float32)
        pose = AvatarPose(vertices, np.eye(4), frame.timestamp_s, number, True)
        if number == 12:
            motion = FaceMotion.at_rest()
            writer.append(FollowedFrame(MotionFrame(motion, True, frame.timestamp_s, number), pose, motion))
            continue
        writer.append(PosedFrame(seen, pose, Calibration(neutral, np.ones(52), True), silence=number == 7))
        raw.append(frame)
        writer.note(Event(frame.timestamp_s, "state", {"state": "stalled"}))
    return writer, raw


def _whole(folder: Path) -> list[Path]:
    writer, raw = _written(folder / "session")
    writer.close()
    raw.close()
    seal(folder / "session", {"poses": 1})
    return [folder / "session"]


def _unfinished(folder: Path) -> list[Path]:
    writer, raw = _written(folder / "session")
    for file in (*writer._files, *writer._animation._files):
        file.release()  # as the operating system does for a killed process
    for film in raw._films:
        film.release()
    if raw._pictures is not None:
        raw._pictures.release()
    return [folder / "session"]


def _use(folder: Path) -> None:
    session = SessionReader.open(folder)
    told(folder)
    as_json(folder)
    check(folder)
    assert np.isfinite(session.motion.weights).all()
    tracker = SeenTracker()
    for retrack in (False, True):
        source = open_driving(str(folder), realtime=False, retrack=retrack)
        for number, frame in enumerate(frames_of(source)):
            if isinstance(frame, SeenFrame):
                assert np.isfinite(tracker.track(frame).landmarks_m).all()
            if number >= _MOST_FRAMES:
                break


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _complete(folder: Path) -> None:
    repair(folder)
    once = _contents(folder)
    repair(folder)
    if _contents(folder) != once:
        raise AssertionError("a second repair changed the session")
    _use(folder)


def _with_sound(folder: Path) -> list[Path]:
    """A whole sound beside its film, and one that a killed process left."""
    whole, killed = folder / "whole", folder / "killed"
    samples = (10_000 * np.sin(np.arange(_RATE_HZ) / 20)).astype("<i2")
    for place in (whole, killed):
        place.mkdir()
        film = PreviewWriter(place / PREVIEW_NAME, height=32, film=FilmFile)
        for number in range(30):
            film.append(np.full((32, 32, 3), number, np.uint8), np.zeros((32, 32, 3), np.uint8), number / 30)
        film.close()
    sound = WaveFile(whole / SOUND_NAME, _RATE_HZ, 1)
    sound.write(samples.tobytes())
    sound.close()
    partial_of(killed / SOUND_NAME).write_bytes(wave_head(_RATE_HZ, 2, None) + samples.tobytes())
    return [whole, killed]


def _itself(sound: Sound) -> Sound:
    return sound


def _hear(folder: Path) -> None:
    """Completed as repair does, put into its film, and copied as if it drove another session."""
    finish_sound(folder)
    if finish_sound(folder) is not None:
        raise AssertionError("a second repair found something to do")
    heard = Sound(folder / SOUND_NAME, 0.25, (SoundPiece(0.0, 0.5, 0.3), SoundPiece(0.5, 0.7, 0.9)))
    if not heard.path.is_file():
        raise InputError("no sound")
    add_sound(folder / PREVIEW_NAME, 0.0, heard)
    for name, sound in (("cut.wav", heard), ("copied.wav", replace(heard, pieces=None))):
        copied = ClipSound(folder / name, 0.0, partial(_itself, sound))
        copied.until(_LONGEST_SOUND_S)
        copied.close()
        if copied.kept:
            with wave.open(str(folder / name)) as read:
                assert read.getnframes() > 0
                assert read.getnframes() < 2 * _LONGEST_SOUND_S * RATE_HZ


TARGETS = [
    Target("session", _whole, _use),
    Target("killed session", _unfinished, _complete),
    Target("sound of a session", _with_sound, _hear),
]
