"""Depth is kept as the depth camera saw it, and comes back aligned to the colour, bit for bit as it was live."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture.cameras import depth_alignment
from capture.cameras.depth_alignment import DepthAlignment
from capture.cameras.registration import DepthRegistration, LensCamera, RgbdCalibration
from capture.upright_source import turned
from core.camera import Intrinsics
from core.errors import InputError
from core.frame import RgbdFrame, SensedDepth
from core.source import frames_of
from engine.motion.posed_frame import PosedFrame
from realtime.live.driving import open_driving
from realtime.recording.raw_process import RawProcess
from realtime.recording.raw_writer import RawWriter
from realtime.recording.session_writer import SessionWriter
from realtime.session.check import check
from realtime.session.folder_names import MANIFEST_NAME
from realtime.session.manifest import About
from realtime.session.reader import SessionReader
from realtime.session.sealing import seal
from realtime.session.seen_frame import SeenFrame
from realtime.session.session_source import SessionSource
from tests.realtime.test_live_recording import AVATAR
from tests.realtime.test_session_writing import posed

COLOR = Intrinsics(60, 60, 32, 24, 64, 48)
DEPTH = Intrinsics(40, 40, 25, 22, 50, 44)
FRAMES = 12


def alignment(clean: bool = True) -> DepthAlignment:
    beside = np.eye(4)
    beside[0, 3] = -0.032
    lens = np.array([0.55, -0.02, 2e-5, -7e-5, -0.0027, 0.89, 0.086, -0.014])
    return DepthAlignment(RgbdCalibration(LensCamera(DEPTH, lens), LensCamera(COLOR, np.zeros(8)), beside), clean=clean)


def readings(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    depth_mm = 600 + rng.integers(0, 3, (44, 50)) + np.arange(50)
    return np.where(rng.random((44, 50)) < 0.03, 0, depth_mm).astype(np.uint16)


def sensed(number: int, align: DepthAlignment) -> PosedFrame:
    plain = posed(number, COLOR)
    depth_mm = readings(number)
    frame = replace(plain.frame, depth_m=align(depth_mm), sensed=SensedDepth(depth_mm, align.told))
    return replace(plain, observation=replace(plain.observation, frame=frame))


def recorded(folder: Path, writer: Callable[[Path, str], RawWriter | RawProcess], align: DepthAlignment) -> Path:
    folder.mkdir()
    session = SessionWriter(folder, AVATAR, lambda: About("kinect", 30.0, raw="rgbd"))  # type: ignore[arg-type]
    pictures = writer(folder, "rgbd")
    for number in range(FRAMES):
        it = sensed(number, align)
        session.append(it.without_pictures())  # as a recorder does
        pictures.append(it.frame)
    session.close()
    pictures.close()
    assert seal(folder) is not None
    return folder


@pytest.mark.parametrize("writer", [RawWriter, RawProcess])
@pytest.mark.parametrize("clean", [True, False])
def test_depth_comes_back_as_it_was_live(tmp_path: Path, writer: type, clean: bool) -> None:
    align = alignment(clean)
    folder = recorded(tmp_path / "s", writer, align)
    assert check(folder) == []
    played = list(frames_of(open_driving(str(folder), realtime=False)))
    assert len(played) == FRAMES
    for number, frame in enumerate(played):
        assert isinstance(frame, SeenFrame)
        live = sensed(number, align).frame
        assert live.depth_m is not None
        assert (live.depth_m > 0).mean() > 0.3
        np.testing.assert_array_equal(frame.depth_m, live.depth_m)


def test_what_is_told_makes_the_same_alignment() -> None:
    align = alignment()
    again = DepthAlignment.of(json.loads(json.dumps(align.told)), COLOR, "it")
    assert (again.shape, again.told) == ((44, 50), align.told)
    np.testing.assert_array_equal(again(readings(1)), align(readings(1)))


def test_a_camera_that_a_file_tells_of_is_worked_out_once_there_are_readings_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[RgbdCalibration] = []

    def registration(calibration: RgbdCalibration, **options: Any) -> DepthRegistration:
        made.append(calibration)
        return DepthRegistration(calibration, **options)

    told = alignment().told
    monkeypatch.setattr(depth_alignment, "DepthRegistration", registration)
    again = DepthAlignment.of(told, COLOR, "it")
    with pytest.raises(ValueError, match="as calibrated"):
        again(readings(1)[:40])
    assert not made
    again(readings(1))
    again(readings(2))
    assert len(made) == 1


def test_of_a_frame_that_is_turned_or_emptied_no_reading_stays() -> None:
    frame = sensed(0, alignment()).frame
    assert turned(frame, 0).sensed is frame.sensed
    assert turned(frame, 1).sensed is None
    emptied = frame.without_pictures().sensed
    assert emptied is not None
    assert emptied.alignment is frame.sensed.alignment  # type: ignore[union-attr]
    assert not emptied.millimetres.any()


def test_readings_of_another_size_are_left_out(tmp_path: Path) -> None:
    frame = sensed(0, alignment()).frame
    assert frame.sensed is not None
    smaller = SensedDepth(frame.sensed.millimetres[:40], frame.sensed.alignment)
    frames = [
        frame,
        replace(frame, timestamp_s=frame.timestamp_s + 1, sensed=smaller),
        replace(frame, timestamp_s=frame.timestamp_s + 2, sensed=None),
        replace(frame, timestamp_s=frame.timestamp_s + 3, sensed=None, depth_m=None),
        replace(frame, timestamp_s=frame.timestamp_s + 4),
    ]
    for name, writer in (("here", RawWriter), ("there", RawProcess)):
        (tmp_path / name).mkdir()
        pictures: RawWriter | RawProcess = writer(tmp_path / name, "rgbd")
        for each in frames:
            assert isinstance(each, RgbdFrame)
            pictures.append(each)
        pictures.close()
        assert (pictures.frames, pictures.refused) == (2, 3), name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth_kind", "another"),
        ("depth_pinhole", None),
        ("depth_pinhole", [40, 40, 25, 22, 50]),
        ("depth_pinhole", [40, 40, 25, 22, 1e9, 1e9]),
        ("depth_pinhole", [4000, 4000, 2000, 2000, 4096, 4096]),
        ("depth_pinhole", ["x", 40, 25, 22, 50, 44]),
        ("depth_lens", [0] * 7),
        ("T_color_depth", [1, 0, 0, 1]),
        ("T_color_depth", [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]),
        ("T_color_depth", [1, 0, 0, 9, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]),
        ("T_color_depth", [1, 0, 0, None, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]),
    ],
)
def test_a_manifest_that_tells_of_no_camera_is_refused(tmp_path: Path, key: str, value: object) -> None:
    folder = recorded(tmp_path / "s", RawWriter, alignment())
    path = folder / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    (event,) = [event for event in manifest["events"] if event["what"] == "camera"]
    event[key] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="a depth camera that cannot be"):
        list(frames_of(SessionSource(SessionReader.open(folder), realtime=False)))
