"""Which of several faces is followed, and faces that are small in a large picture. All made up."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from capture.face.face_choice import PATIENCE_S, FaceChoice
from capture.face.face_detector import SeenFace, _parts
from capture.face.face_tracker import FaceTracker
from core.camera import assumed_intrinsics
from core.frame import RgbdFrame
from tests.fakes.rendered_face import TRUEDEPTH, RenderedFace, rendered_faces, talk

Picture = NDArray[np.uint8]
DRIVER, POSTER, DOOR = SeenFace(200, 200, 160), SeenFace(500, 200, 70), SeenFace(60, 60, 160)


def pictures(count: int, moving: SeenFace | None = DRIVER) -> Iterator[tuple[Picture, float]]:
    """Noise with a patch that changes where `moving` is; half a second apart."""
    rng = np.random.default_rng(0)
    for step in range(count):
        rgb = np.full((400, 640, 3), 100, np.uint8)
        if moving is not None:
            x, y, half = int(moving.x), int(moving.y), int(moving.side / 2)
            rgb[y - half : y + half, x - half : x + half, :] = rng.integers(60, 200, (2 * half, 2 * half, 1))
            rgb[y - half : y, x - half : x] += np.uint8(20 * (step % 3))
        yield rgb, 0.5 * step


def settled(moving: SeenFace | None = DRIVER, seen: tuple[SeenFace, ...] = (DRIVER, POSTER)) -> FaceChoice:
    """After three seconds in which the driver was followed beside others."""
    choice = FaceChoice()
    for number, (rgb, time_s) in enumerate(pictures(6, moving)):
        if number == 0:
            assert choice.candidates(list(seen), rgb, time_s)[0] == max(seen, key=lambda face: face.side)
            choice.follow(DRIVER, list(seen[1:]), rgb, time_s)
        else:
            assert choice.better(list(seen), DRIVER, rgb, time_s) is None
    return choice


RGB = np.full((400, 640, 3), 100, np.uint8)


def test_a_face_on_the_wall_does_not_take_over_while_the_driver_is_hidden() -> None:
    choice = settled()
    choice.lose()
    assert choice.candidates([POSTER], RGB, 2.6) == []
    assert choice.candidates([POSTER, DRIVER], RGB, 2.7) == [DRIVER]


def test_a_face_that_turns_up_elsewhere_is_the_driver_who_moved() -> None:
    choice = settled()
    choice.lose()
    assert choice.candidates([POSTER, DOOR], RGB, 2.6) == [DOOR]


def test_after_a_while_another_is_taken_and_given_up_once_the_driver_is_back() -> None:
    choice = settled()
    choice.lose()
    late_s = 2.5 + PATIENCE_S + 0.1
    assert choice.candidates([POSTER], RGB, late_s) == [POSTER]
    choice.follow(POSTER, [], RGB, late_s)
    assert choice.better([POSTER], POSTER, RGB, late_s + 0.5) is None
    assert choice.better([POSTER, DRIVER], POSTER, RGB, late_s + 1.0) == DRIVER
    choice.follow(DRIVER, [], RGB, late_s + 1.0)
    choice.lose()
    assert choice.candidates([POSTER], RGB, late_s + 1.1) == []  # it is another again


def test_a_face_that_moves_is_preferred_to_a_larger_still_one() -> None:
    choice, taken = FaceChoice(), None
    small = SeenFace(500, 200, 100)
    for number, (rgb, time_s) in enumerate(pictures(8, moving=small)):
        if number == 0:
            assert choice.candidates([small, DRIVER], rgb, time_s)[0] == DRIVER  # nothing is known but the size
            choice.follow(DRIVER, [small], rgb, time_s)
        elif (taken := choice.better([DRIVER, small], DRIVER, rgb, time_s)) is not None:
            break
    assert taken == small


def test_a_much_larger_face_beside_a_still_one_is_taken() -> None:
    choice = settled(moving=None, seen=(DRIVER,))
    large = SeenFace(450, 200, 300)
    assert choice.better([DRIVER, large], DRIVER, RGB, 3.0) == large


def test_a_larger_face_does_not_take_over_from_one_that_moves() -> None:
    choice = settled()
    large = SeenFace(450, 200, 300)
    for step, (rgb, _) in enumerate(pictures(4)):
        assert choice.better([DRIVER, large], DRIVER, rgb, 3.0 + 0.5 * step) is None


def test_the_next_face_is_kept_whatever_is_larger_or_moves() -> None:
    choice = settled()
    assert choice.pin_next([DRIVER, POSTER], DRIVER, 2.6) == POSTER
    choice.follow(POSTER, [], RGB, 2.6)
    for rgb, time_s in pictures(6):
        assert choice.better([DRIVER, POSTER], POSTER, rgb, 3.0 + time_s) is None
    assert choice.pin_next([DRIVER, POSTER], POSTER, 7.0) == DRIVER  # round
    assert settled().pin_next([DRIVER], DRIVER, 2.6) is None


@pytest.mark.parametrize("size", [(1080, 1920), (1920, 1080), (720, 1280), (480, 640)])
def test_a_face_of_a_ninth_lies_whole_in_some_part_wherever_it_is(size: tuple[int, int]) -> None:
    side = min(size) // 9
    _, tiles = _parts(*size)
    for x in range(0, size[1] - side, 37):
        for y in range(0, size[0] - side, 37):
            assert any(
                tile.x <= x and tile.y <= y and x + side <= tile.x + tile.width and y + side <= tile.y + tile.height
                for tile in tiles
            )


# --- with the real network, on a rendered person ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def talking() -> list[Picture]:
    """A head in half a picture's height, [300, 300, 3], that talks."""
    heads = rendered_faces(TRUEDEPTH, turn_deg=0.0, expressions=talk(12))
    rows, columns = np.nonzero(heads[0].face)
    middle, half = int(np.median(columns)), (rows.max() - rows.min()) // 2
    top = int(rows.min())
    cut = [face.rgb[top : top + 2 * half, middle - half : middle + half] for face in heads]
    return [cv2.resize(rgb, (300, 300), interpolation=cv2.INTER_AREA) for rgb in cut]


def scene(talking: list[Picture], step: int, *, hidden: bool) -> RgbdFrame:
    """The talking head on the left, and a still picture of it, smaller, on the right."""
    rgb = np.full((360, 640, 3), 90, np.uint8)
    if not hidden:
        rgb[40:340, 20:320] = talking[step % len(talking)]
    rgb[100:220, 480:600] = cv2.resize(talking[3], (120, 120), interpolation=cv2.INTER_AREA)
    return RgbdFrame(rgb, None, assumed_intrinsics(640, 360), step / 10, step)


def side_of(tracker: FaceTracker, frame: RgbdFrame) -> str:
    seen = tracker.track(frame)
    if not seen.tracked:
        return "none"
    return "driver" if seen.landmarks_px[:, 0].mean() < 320 else "poster"


def test_a_hidden_driver_is_waited_for_and_a_key_chooses_another(talking: list[Picture]) -> None:
    with FaceTracker() as tracker:
        before = [side_of(tracker, scene(talking, step, hidden=False)) for step in range(15)]
        hidden = [side_of(tracker, scene(talking, step, hidden=True)) for step in range(15, 25)]
        after = [side_of(tracker, scene(talking, step, hidden=False)) for step in range(25, 35)]
        tracker.follow_next()
        chosen = [side_of(tracker, scene(talking, step, hidden=False)) for step in range(35, 50)]
    assert (set(before), set(hidden), set(after)) == ({"driver"}, {"none"}, {"driver"})
    assert set(chosen) == {"poster"}


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_small_face_in_a_corner_of_a_large_picture_is_found_at_once(
    talking: list[Picture], corner: tuple[int, int]
) -> None:
    rgb = np.full((1080, 1920, 3), 90, np.uint8)
    small = cv2.resize(talking[0], (150, 150), interpolation=cv2.INTER_AREA)
    y, x = (1080 - 150) * corner[0], (1920 - 150) * corner[1]
    rgb[y : y + 150, x : x + 150] = small
    with FaceTracker() as tracker:
        seen = tracker.track(RgbdFrame(rgb, None, assumed_intrinsics(1920, 1080), 0.0, 0))
    assert seen.tracked
    assert x < seen.landmarks_px[1, 0] < x + 150
    assert y < seen.landmarks_px[1, 1] < y + 150


def test_a_small_face_that_comes_later_is_found_within_a_second(talking: list[Picture]) -> None:
    """While nothing is found, only some parts are searched in each picture."""
    empty = np.full((1080, 1920, 3), 90, np.uint8)
    small = empty.copy()
    small[:150, -150:] = cv2.resize(talking[0], (150, 150), interpolation=cv2.INTER_AREA)
    camera = assumed_intrinsics(1920, 1080)
    with FaceTracker() as tracker:
        for step in range(4):
            assert not tracker.track(RgbdFrame(empty, None, camera, step / 30, step)).tracked
        assert any(tracker.track(RgbdFrame(small, None, camera, step / 30, step)).tracked for step in range(4, 16))


# --- made-up twins of what `test_face_tracker` looks at on real people ------------------------------------------------


def test_a_rendered_person_is_tracked_where_they_are(driver: RenderedFace) -> None:
    frame = RgbdFrame(driver.rgb, driver.depth_m, driver.intrinsics, 0.0, 0)
    with FaceTracker() as tracker:
        seen = tracker.track(frame)
        again = tracker.track(RgbdFrame(driver.rgb, driver.depth_m, driver.intrinsics, 0.0, 1))  # time stands still
        gone = tracker.track(RgbdFrame(np.full_like(driver.rgb, 127), None, driver.intrinsics, -5.0, 2))
        half = np.ascontiguousarray(driver.rgb[::2, ::2])
        smaller = tracker.track(RgbdFrame(half, None, driver.intrinsics.resized(320, 240), 1e6, 3))
    assert seen.tracked
    assert again.tracked
    assert (gone.tracked, gone.confidence) == (False, 0.0)
    assert smaller.tracked
    assert np.abs(smaller.landmarks_px * 2 - seen.landmarks_px).mean() < 3
    np.testing.assert_allclose(driver.intrinsics.project(seen.landmarks_m), seen.landmarks_px, atol=0.01)
    assert 0.45 < seen.T_camera_head[2, 3] < 0.56  # rendered at half a metre
    assert 0.080 < np.linalg.norm(seen.landmarks_head_m()[33] - seen.landmarks_head_m()[263]) < 0.105


@pytest.mark.parametrize(("turns", "told"), [(0, []), (1, ["--rotate 90"]), (3, ["--rotate 270"])])
def test_a_face_on_its_side_is_told_once(
    driver: RenderedFace, turns: int, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rgb = np.ascontiguousarray(np.rot90(driver.rgb, turns))
    camera = assumed_intrinsics(rgb.shape[1], rgb.shape[0])
    with FaceTracker() as tracker:
        for step in range(40):
            assert tracker.track(RgbdFrame(rgb, None, camera, step / 30, step)).tracked
    assert [message.split(": ")[1].split(" turns")[0] for message in caplog.messages] == told
