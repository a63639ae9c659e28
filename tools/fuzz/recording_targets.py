"""Recordings, damaged: those a killed process left, as `vfa session repair` completes them, and exported ones.
What else comes from outside about motion: packets of phones, lists for `vfa batch`."""

from pathlib import Path

import numpy as np

from capture.phones import ifacialmocap, live_link
from capture.phones.packet import DamagedPacketError
from core.errors import InputError
from core.face_motion import FaceMotion, MotionTrack
from realtime.batch.job_list import Kind, read_list
from realtime.editing.edit_list import edited, write_edits
from realtime.editing.edits import BlendGaps, Cut, Edit, GaussianFilter, Mirror, OneEuroFilter, Retime, Trim
from realtime.export.take import open_take
from realtime.outputs.ifacialmocap import IFacialMocapEncoder
from realtime.outputs.live_link import LiveLinkEncoder
from realtime.outputs.moment import Moment
from realtime.recording.animation_file import AnimationWriter
from realtime.recording.film_file import Coding, FilmFile
from realtime.recording.preview import PreviewWriter
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME
from realtime.recording.repair import repair
from tools.fuzz.target import Target

_FRAMES = 45
_TRACK = MotionTrack(
    np.arange(_FRAMES) / 30,
    np.arange(_FRAMES) % 20 > 4,
    np.full((_FRAMES, 52), 0.3),
    np.zeros((_FRAMES, 2, 2)),
    np.tile(np.eye(4), (_FRAMES, 1, 1)),
)


def _unfinished(folder: Path) -> list[Path]:
    place = folder / "recording"
    place.mkdir()
    animation = AnimationWriter(place / ANIMATION_NAME, 6)
    files: list[FilmFile] = []

    def opened(path: Path, coding: Coding) -> FilmFile:
        files.append(FilmFile(path, coding))
        return files[-1]

    film = PreviewWriter(place / PREVIEW_NAME, height=32, film=opened)
    rng = np.random.default_rng(0)
    for number in range(40):
        animation.append(rng.normal(size=(6, 3)).astype(np.float32), np.eye(4), number / 30, True)
        film.append(np.full((32, 32, 3), number, np.uint8), np.zeros((32, 32, 3), np.uint8), number / 30)
    animation._let_go()  # as the operating system does for a killed process
    files[0].release()
    return [place]


def _finish(folder: Path) -> None:
    repair(folder)
    archive = folder / ANIMATION_NAME
    if archive.exists():
        with np.load(archive, allow_pickle=False) as arrays:
            counts = {len(arrays[name]) for name in ("vertices", "T_world_head", "timestamps_s", "tracked")}
            if len(counts) != 1 or not np.isfinite(arrays["T_world_head"]).all():
                raise AssertionError(f"the finished archive is not sound: {counts}")


def _finished(folder: Path) -> list[Path]:
    place = folder / "take"
    place.mkdir()
    animation, rng = AnimationWriter(place / ANIMATION_NAME, 6), np.random.default_rng(0)
    for number in range(40):
        animation.append(rng.normal(size=(6, 3)).astype(np.float32), np.eye(4), number / 30, True)
    animation.close()
    return [place]


def _take(folder: Path) -> None:
    take = open_take(folder)
    assert take.recorded is not None
    for vertices, _ in take.recorded:
        if not np.isfinite(vertices).all():
            raise AssertionError("vertices that are no numbers came through")


def _packets(folder: Path) -> list[Path]:
    moment = Moment(FaceMotion.at_rest(), 1.0, tracked=True)
    made = []
    for name, encoder in (("live_link", LiveLinkEncoder()), ("text", IFacialMocapEncoder())):
        made.append(folder / f"{name}.bin")
        made[-1].write_bytes(encoder.packets(moment)[0])
    return made


def _packet(path: Path) -> None:
    content, refused = path.read_bytes(), 0
    for read in (live_link.read_packet, ifacialmocap.read_packet):
        try:
            motion = read(content).motion()
        except DamagedPacketError:
            refused += 1
            continue
        if not (np.isfinite(motion.weights).all() and np.isfinite(motion.T_neutral_head).all()):
            raise AssertionError("numbers that are none came through")
    if refused == 2:
        raise InputError("no packet")


def _lists(folder: Path) -> list[Path]:
    table, toml = folder / "list.csv", folder / "list.toml"
    table.write_text('driving,avatar,length\na.mp4,realistic,30\n"b,c.mp4",lowpoly,\n')
    toml.write_text('[settings]\nlength = 3\n[[job]]\ndriving = ["a.mp4", "b.mp4"]\navatar = "realistic"\n')
    return [table, toml]


def _list(path: Path) -> None:
    read_list(path, {"length": Kind()}, ("realistic", "lowpoly"))


def _edit_lists(folder: Path) -> list[Path]:
    place = folder / "edited"
    place.mkdir()
    edits: list[Edit] = [
        Trim(0.1, 1.2),
        Cut(0.3, 0.5),
        Retime(0.5, 24.0),
        GaussianFilter(0.05, "face"),
        OneEuroFilter(),
        Mirror(),
    ]
    write_edits(place, [*edits, BlendGaps()], _TRACK)
    return [place]


def _edits(folder: Path) -> None:
    track = edited(folder, _TRACK)
    if not all(np.isfinite(array).all() for array in (track.timestamps_s, track.weights, track.T_neutral_head)):
        raise AssertionError("numbers that are none came through")


TARGETS = [
    Target("unfinished recording", _unfinished, _finish),
    Target("recording to export", _finished, _take),
    Target("packet of a phone", _packets, _packet),
    Target("list of a batch", _lists, _list),
    Target("edits of a session", _edit_lists, _edits),
]
