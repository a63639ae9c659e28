"""A camera that lies, through the whole session: what is recorded stays finite and in order."""

import math
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from calib.avatar import prepare_avatar
from capture.cameras import reconnecting
from capture.cameras.reconnecting import ReconnectingSource
from capture.face.face_tracker import FaceTracker
from capture.synthetic import builtin_avatar_path
from capture.synthetic.performer.performer import PerformerSource
from core.frame import RgbdFrame
from core.source import frames_of
from engine.landmark.landmark_engine import LandmarkEngine
from realtime.live.session import LiveSession
from realtime.recording.recording_folder import RecordingFolder
from realtime.threads.worker import Stop
from render.window.viewer import Viewer
from tests.fakes.scripted_device import Clock, Scripted

FRAMES = 48


class Liar:
    """Makes the frames of a `Scripted` device out of the performer's, every second one with a fault."""

    def __init__(self, stop: Stop) -> None:
        self._acted = list(islice(frames_of(PerformerSource(realtime=False)), 60, 60 + FRAMES))
        self._stop = stop
        self._faults = cycle([_nan_time, _nan_depth, _infinite_time, _no_pixels, _nan_lens, _infinite_depth])
        self.made = 0

    def __call__(self, _number: int, timestamp_s: float, index: int) -> RgbdFrame:
        frame = replace(self._acted[self.made % FRAMES], timestamp_s=timestamp_s, index=index)
        self.made += 1
        if self.made >= FRAMES:
            self._stop.request()
        return next(self._faults)(frame) if self.made % 2 else frame


def _nan_time(frame: RgbdFrame) -> RgbdFrame:
    return replace(frame, timestamp_s=math.nan)


def _infinite_time(frame: RgbdFrame) -> RgbdFrame:
    return replace(frame, timestamp_s=math.inf)


def _nan_depth(frame: RgbdFrame) -> RgbdFrame:
    assert frame.depth_m is not None
    return replace(frame, depth_m=np.full_like(frame.depth_m, np.nan))


def _infinite_depth(frame: RgbdFrame) -> RgbdFrame:
    assert frame.depth_m is not None
    depth_m = frame.depth_m.copy()
    depth_m[200:300, 250:350] = np.inf
    return replace(frame, depth_m=depth_m)


def _no_pixels(frame: RgbdFrame) -> RgbdFrame:
    return replace(frame, rgb=np.zeros((0, 0, 3), np.uint8))


def _nan_lens(frame: RgbdFrame) -> RgbdFrame:
    return replace(frame, intrinsics=replace(frame.intrinsics, fx=math.nan))


def test_nothing_a_camera_says_gets_into_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stop = Clock(), Stop()
    monkeypatch.setattr(reconnecting, "time", clock)
    device = Scripted(clock)
    device.latency_s = 0.01
    liar = device.decoded = Liar(stop)
    source = ReconnectingSource(device)
    avatar = prepare_avatar(builtin_avatar_path("lowpoly"))
    session = LiveSession(source, FaceTracker, LandmarkEngine, stop)
    session.start()
    try:
        with Viewer(avatar.display_mesh, (160, 120), headless=True) as viewer:
            report = session.run(avatar, viewer, RecordingFolder.claim(tmp_path, overwrite=False))
    finally:
        session.shut_down()
    with np.load(tmp_path / "animation.npz", allow_pickle=False) as archive:
        assert np.isfinite(archive["vertices"]).all()
        assert np.isfinite(archive["T_world_head"]).all()
        assert (np.diff(archive["timestamps_s"]) > 0).all()
        assert archive["tracked"].any()
    counted = {"reconnects", "gaps", "damaged", "freezes", "mended", "restamped", "unordered"}
    assert set(report.device) == counted | {"latency_ms"}
    assert report.device["latency_ms"] == 10.0
    assert report.device["restamped"] >= 2
    assert report.device["mended"] >= 2
    assert report.device["damaged"] >= 2
    assert liar.made >= FRAMES
