"""The performer as a device: paced, endless, and true to the rendering it was made from."""

import itertools

import numpy as np
import pytest

from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from capture.synthetic.performer.performance import make_performance
from capture.synthetic.performer.performer import (
    FPS,
    INTRINSICS,
    OUTLINE_FILE,
    WALL_DEPTH_M,
    PerformerClip,
    PerformerSource,
    person_mask,
    read_outline,
    write_outline,
)
from core.source import DeviceState, SourceError, frames_of
from tools.assets.film import pack, stored_depth
from tools.assets.performer_studio import Shot, Studio

FRAMES = 1800


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture(scope="module")
def opening():
    """The first 90 frames."""
    return [
        (frame.index, frame.time_s, frame.load()) for frame in itertools.islice(PerformerClip(loop=False).frames(), 90)
    ]


def test_frames_are_what_they_say(opening):
    for number, (index, time_s, picture) in enumerate(opening):
        assert index == number
        assert time_s == number / FPS
        assert picture.rgb.shape == (480, 640, 3)
        assert picture.depth_m.dtype == np.float32
        assert picture.intrinsics == INTRINSICS


def test_depth_shows_a_person_before_a_wall(opening):
    depth = opening[0][2].depth_m
    person = depth < WALL_DEPTH_M - 0.01
    assert 0.15 < person.mean() < 0.6
    assert 0.5 < depth[person].min() < 0.65
    assert depth[~person].min() == depth[~person].max() == np.float32(WALL_DEPTH_M)


def test_first_second_is_still(opening):
    first, later = opening[1][2], opening[25][2]
    assert np.abs(first.rgb[150:330, 240:400].astype(int) - later.rgb[150:330, 240:400]).mean() < 1.0


def test_film_equals_an_exact_rendering():
    performance = None
    wanted = [0, 100, 340]
    with Studio(texture_size=256) as studio:
        performance = make_performance(studio.model.unit_names)
        shots = {number: studio.shoot(performance, number) for number in wanted}
    for frame in itertools.islice(PerformerClip(loop=False).frames(), max(wanted) + 1):
        if frame.index not in shots:
            continue
        picture, shot = frame.load(), shots[frame.index]
        person = shot.depth_m < WALL_DEPTH_M - 0.001
        assert ((picture.depth_m < WALL_DEPTH_M - 0.001) != person).sum() < 40  # pixels, on other graphics drivers
        error_mm = 1000 * np.abs(picture.depth_m - shot.depth_m)[person & (picture.depth_m < WALL_DEPTH_M - 0.001)]
        assert error_mm.mean() < 0.5
        assert np.percentile(error_mm, 99) < 3.0
        assert np.abs(picture.rgb.astype(int) - shot.rgb).mean() < 4.0


def test_colour_and_depth_are_aligned(opening):
    """Edges of the depth lie where the colour leaves the wall's."""
    picture = opening[0][2]
    person = picture.depth_m < WALL_DEPTH_M - 0.01
    row = picture.rgb[260].astype(int)
    left, right = np.flatnonzero(person[260])[[0, -1]]
    for edge, inward in ((left, 1), (right, -1)):
        outside, inside = row[edge - 4 * inward], row[edge + 4 * inward]
        assert np.abs(inside - outside).sum() > 40


def test_the_tracker_finds_the_performer_almost_always():
    tracked, seen = 0, 0
    with FaceTracker() as tracker:
        source = PerformerSource(realtime=False)
        source.open()
        for index in range(400):
            frame = source.read(1.0)
            if index % 4 == 0:
                seen += 1
                tracked += tracker.track(frame).tracked
        source.close()
    assert tracked / seen > 0.97


def test_realtime_hands_frames_over_when_due():
    clock = Clock()
    source = PerformerSource(realtime=True, clock=clock, sleep=clock.sleep)
    source.open()
    stamps = []
    while len(stamps) < 30:
        frame = source.read(0.01)
        if frame is not None:
            stamps.append(frame.timestamp_s)
    source.close()
    assert stamps[0] == 100.0
    assert np.allclose(np.diff(stamps), 1 / FPS)


def test_a_late_reader_misses_frames_but_not_time():
    clock = Clock()
    source = PerformerSource(realtime=True, clock=clock, sleep=clock.sleep)
    source.open()
    source.read(1.0)
    clock.now_s += 0.5
    frame = source.read(1.0)
    assert frame.index in (14, 15)  # the newest that is due
    assert source.skipped == frame.index - 1
    source.close()


def test_it_plays_faster_on_demand():
    source = open_source("demo?fps=60", realtime=False)
    first, second = itertools.islice(frames_of(source), 2)
    assert source.fps == 60
    assert second.timestamp_s - first.timestamp_s == pytest.approx(1 / 60)


def test_device_demo_is_it():
    source = open_source("demo", realtime=True)
    assert isinstance(source, PerformerSource)
    source.open()
    assert source.read(1.0).index == 0
    assert source.state is DeviceState.STREAMING
    source.close()
    source.close()


def test_offline_ends_after_one_minute_and_live_goes_on(tmp_path):
    film, outline = short_film(tmp_path, 5)
    once = list(PerformerClip(loop=False, film=film, outline=outline).frames())
    assert [frame.index for frame in once] == list(range(5))
    endless = list(itertools.islice(PerformerClip(loop=True, film=film, outline=outline).frames(), 12))
    assert [frame.index for frame in endless] == list(range(12))
    assert np.array_equal(endless[7].load().depth_m, once[2].load().depth_m)
    assert PerformerSource(realtime=False).frame_count == FRAMES
    assert PerformerSource(realtime=True).frame_count is None


def test_packing_keeps_outline_exactly_and_depth_nearly(tmp_path):
    film, outline = short_film(tmp_path, 5)
    for number, frame in enumerate(PerformerClip(loop=False, film=film, outline=outline).frames()):
        depth, shot = frame.load().depth_m, disc(number)
        person = shot.depth_m < WALL_DEPTH_M
        assert np.array_equal(depth < WALL_DEPTH_M, person)
        assert np.abs(depth - shot.depth_m)[person].mean() < 0.0006


def test_noise_is_optional_mild_and_repeats():
    def frames(noise_m):
        source = PerformerSource(realtime=False, noise_m=noise_m)
        source.open()
        read = [source.read(1.0).depth_m for _ in range(3)]
        source.close()
        return read

    clean, noisy, again = frames(0.0), frames(0.003), frames(0.003)
    assert all(np.array_equal(a, b) for a, b in zip(noisy, again, strict=True))
    assert not np.array_equal(noisy[0] - clean[0], noisy[1] - clean[1])
    valid = (noisy[0] > 0) & (clean[0] < 0.7)
    assert 0.0005 < (noisy[0] - clean[0])[valid].std() < 0.002
    assert 0.001 < (noisy[0] == 0).mean() < 0.05


def test_missing_and_damaged_films_are_reported(tmp_path):
    with pytest.raises(SourceError, match=r"outline\.xz"):
        PerformerClip(loop=False, outline=tmp_path / "outline.xz")
    with pytest.raises(SourceError, match=r"none\.mkv"):
        next(PerformerClip(loop=False, film=tmp_path / "none.mkv", outline=OUTLINE_FILE).frames())
    film, _ = short_film(tmp_path, 5)
    with pytest.raises(SourceError, match="ends after 5 frames"):
        list(PerformerClip(loop=False, film=film, outline=OUTLINE_FILE).frames())


def test_outline_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(4):
        mask = np.zeros((480, 640), dtype=bool)
        for _ in range(4):
            top, left = rng.integers(0, 400), rng.integers(0, 600)
            mask[top : top + 80, left : left + 60] = True
        masks.append(mask)
    masks.append(np.zeros_like(masks[0]))
    masks.append(np.ones_like(masks[0]))
    write_outline(masks, tmp_path / "o.xz")
    edges = read_outline(tmp_path / "o.xz")
    assert all(np.array_equal(person_mask(edge), mask) for edge, mask in zip(edges, masks, strict=True))


def test_depth_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="12 bits"):
        stored_depth(np.full((8, 8), 1.2, np.float32), np.ones((8, 8), dtype=bool))


def disc(number: int) -> Shot:
    y, x = np.mgrid[0:480, 0:640]
    distance = np.hypot(x - 300 - 4 * number, y - 240) / 150
    depth = np.where(distance < 1, 0.6 - 0.05 * np.sqrt(np.maximum(1 - distance**2, 0)), WALL_DEPTH_M)
    rgb = np.where((distance < 1)[..., None], [200, 150, 120], [90, 90, 90]).astype(np.uint8)
    return Shot(rgb, depth.astype(np.float32))


def short_film(folder, count: int):
    film, outline = folder / "short.mkv", folder / "short.xz"
    write_outline(pack((disc(number) for number in range(count)), film), outline)
    return film, outline
