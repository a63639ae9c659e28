"""--seconds ends every session, on the test's clock."""

import pytest

from calib.avatar import Avatar, prepare_avatar
from capture.synthetic import builtin_avatar_path
from core.frame import RgbdFrame
from realtime.live import session as live
from realtime.live.time_limit import FIRST_MOTION_S, FIRST_POSE_S, TimeLimit
from tests.fakes.scripted_device import Clock
from tests.realtime.test_live_session import ScriptedSource, run


@pytest.mark.parametrize(
    ("ready_s", "posed_s", "ends_s"),
    [
        (10.0, 12.0, 12.0 + 5.0),
        (10.0, 39.0, 39.0 + 5.0),
        (10.0, None, 10.0 + FIRST_POSE_S + 5.0),
        (500.0, None, 500.0 + FIRST_POSE_S + 5.0),  # an engine that had to be compiled first
        (10.0, 44.5, 44.5 + 5.0),
    ],
)
def test_it_ends_after_the_first_pose_or_a_fixed_wait(ready_s: float, posed_s: float | None, ends_s: float) -> None:
    limit, now_s = TimeLimit(5.0), 0.0
    while not limit.is_over(now_s, ready=now_s >= ready_s, posed=posed_s is not None and now_s >= posed_s):
        now_s += 0.5
        assert now_s < 1000
    assert now_s == ends_s


def test_a_phone_that_never_sends_is_not_waited_for_as_long_as_a_camera() -> None:
    limit = TimeLimit(1.0, FIRST_MOTION_S)
    assert not limit.is_over(100.0, ready=True, posed=False)
    assert not limit.is_over(100.9 + FIRST_MOTION_S, ready=True, posed=False)
    assert limit.is_over(101.0 + FIRST_MOTION_S, ready=True, posed=False)
    assert FIRST_MOTION_S <= 5


def test_without_a_limit_it_never_ends() -> None:
    assert not TimeLimit(None).is_over(1e12, ready=True, posed=True)


def test_a_session_without_any_frame_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)

    def nothing(_index: int) -> RgbdFrame | None:
        clock.now_s += 0.5
        return None

    report = run(lowpoly(), ScriptedSource(nothing), seconds=3.0)
    assert report.frames["captured"] == 0
    assert clock.now_s >= 1000.0 + FIRST_POSE_S + 3.0
    assert "scripted: ended before any frame came" in caplog.text


def lowpoly() -> Avatar:
    return prepare_avatar(builtin_avatar_path("lowpoly"))
