"""The picture is drawn smaller where that shows more pictures, said once, and back as soon as there is time."""

from itertools import pairwise

from realtime.live.giving_way import LOOK_S, GivingWay

SCALES = (1.0, 3 / 4, 2 / 3)


class Machine:
    """Shows pictures one after the other, on a clock of its own: each takes `other_s` beside drawing, and `drawing_s`
    for a picture of full size, of which `fixed` goes into what does not depend on its size."""

    def __init__(self, fps: float, other_s: float, drawing_s: float, fixed: float = 0.4) -> None:
        self.fps, self.other_s, self.drawing_s, self.fixed = fps, other_s, drawing_s, fixed
        self.giving_way, self.scales = GivingWay(), SCALES
        self.now_s, self.offered, self.drawn_s, self.shown = 0.0, 0.0, 0.0, 0
        self.core_free, self.screen_s = False, 0.0
        self.seen: list[float] = []

    def runs(self, seconds: float) -> list[float]:
        """All that were decided meanwhile."""
        until_s, first = self.now_s + seconds, len(self.seen)
        while self.now_s < until_s:
            scale = self.giving_way.scale
            drawing_s = self.drawing_s * (self.fixed + (1 - self.fixed) * scale**2)
            step_s = max(self.other_s + drawing_s, 1 / self.fps, self.screen_s)
            self.now_s += step_s
            self.offered += step_s * self.fps
            self.shown += 1
            self.drawn_s += drawing_s
            done = int(self.offered), self.shown, self.drawn_s
            scale = self.giving_way(self.now_s, *done, core_free=self.core_free, scales=self.scales)
            self.seen.append(scale)
        return self.seen[first:]


def changes(scales: list[float]) -> list[float]:
    return [after for before, after in pairwise(scales) if after != before]


def test_a_machine_that_keeps_up_draws_in_full() -> None:
    machine = Machine(30, 0.015, 0.012)
    assert set(machine.runs(120)) == {1.0}
    assert machine.giving_way.reduced_s == 0


def test_one_that_does_not_draws_smaller_step_by_step_and_stays_there() -> None:
    machine = Machine(60, 0.010, 0.014)
    shown = machine.runs(120)
    assert changes(shown) == [3 / 4, 2 / 3]
    assert machine.giving_way.reduced_s > 110
    assert machine.runs(1)[-1] == 2 / 3


def test_a_moment_of_slowness_changes_nothing() -> None:
    machine = Machine(30, 0.010, 0.012)
    machine.runs(10)
    machine.other_s = 0.06
    machine.runs(LOOK_S)
    machine.other_s = 0.010
    assert set(machine.runs(20)) == {1.0}


def test_the_picture_is_whole_again_once_there_is_time() -> None:
    machine = Machine(60, 0.010, 0.014)
    assert machine.runs(20)[-1] < 1.0
    machine.other_s = 0.001
    shown = machine.runs(60)
    assert changes(shown) == [3 / 4, 1.0]
    assert shown[len(shown) // 4] < 1.0, "not at once: other programs come and go"


def test_what_keeps_up_only_while_it_is_small_does_not_swing_for_ever() -> None:
    machine = Machine(60, 0.006, 0.013)
    swings = [len(changes(machine.runs(300))) for _ in range(4)]
    assert 0 < swings[0] <= 24
    assert swings[-1] <= 4, "ever more rarely: once in a few minutes"


def test_where_a_core_is_free_only_drawing_that_takes_all_its_time_counts() -> None:
    """As beside a network that takes longer than a frame, on a core of its own."""
    machine = Machine(60, 0.014, 0.012)
    machine.core_free = True
    assert set(machine.runs(60)) == {1.0}
    machine.other_s, machine.drawing_s = 0.001, 0.030
    assert machine.runs(20)[-1] < 1.0


def test_a_screen_that_shows_fewer_pictures_than_there_are_is_not_helped() -> None:
    machine = Machine(120, 0.001, 0.003)
    machine.screen_s = 1 / 60
    assert set(machine.runs(60)) == {1.0}


def test_while_drawing_is_a_small_part_it_is_left_alone() -> None:
    machine = Machine(30, 0.060, 0.006)
    assert set(machine.runs(60)) == {1.0}


def test_without_frames_nothing_is_judged() -> None:
    machine = Machine(3, 0.5, 0.5)
    assert set(machine.runs(60)) == {1.0}


def test_a_picture_too_small_to_be_reduced_is_whole_at_once() -> None:
    machine = Machine(60, 0.010, 0.014)
    assert machine.runs(20)[-1] < 1.0
    machine.scales = (1.0,)
    assert machine.runs(2 * LOOK_S)[-1] == 1.0


def test_a_window_that_grew_may_be_drawn_smaller_still() -> None:
    machine = Machine(60, 0.010, 0.060)
    assert machine.runs(30)[-1] == 2 / 3
    machine.scales = (*SCALES, 1 / 2)
    assert machine.runs(10)[-1] == 1 / 2
