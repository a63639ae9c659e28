"""The soak test can fail: every kind of fault, in logs made up for it, misses its limit and changes the exit status."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import soak
from benchmarks.soak_check import APP_LIMITS, SOURCE_LIMITS, FrameTally, Limits, Seen, seen
from core.camera import Intrinsics
from core.frame import RgbdFrame

Log = list[Seen]


def good_log(first_number: int = 0) -> Log:
    return [Seen(i, 50 + i / 30, (first_number + i) % 65536, 7000 + i, 0.98) for i in range(40)]


def at_20(**changes: Any) -> Callable[[Log], Log]:
    return lambda log: [*log[:20], replace(log[20], **changes), *log[21:]]


def counted(log: Log) -> dict[str, int]:
    tally = FrameTally(0.98)
    for frame in log:
        tally.add(frame)
    return tally.counts


@pytest.mark.parametrize("first_number", [0, 65520])  # the simulators count in 16 bits
def test_a_good_log_is_good(first_number: int) -> None:
    counts = counted(good_log(first_number))
    assert counts.pop("frames") == 40
    assert set(counts.values()) == {0}


@pytest.mark.parametrize(
    ("spoil", "figure"),
    [
        (at_20(torn=True), "torn_frames"),
        (at_20(depth_share=0.5), "half_empty_frames"),
        (at_20(depth_share=float("nan")), "half_empty_frames"),
        (at_20(fingerprint=7019), "repeated_pictures"),
        (at_20(number=3), "pictures_out_of_order"),
        (at_20(index=19), "out_of_order"),
        (at_20(timestamp_s=50 + 19 / 30), "out_of_order"),
        (at_20(timestamp_s=49.0), "out_of_order"),
        (at_20(timestamp_s=float("nan")), "out_of_order"),
    ],
    ids=["torn", "half-empty", "no share", "frozen", "unordered picture", "repeated index", "repeated time",
         "time back", "no time"],
)  # fmt: skip
def test_every_fault_in_the_frames_is_counted_and_misses_a_limit(spoil: Callable[[Log], Log], figure: str) -> None:
    counts = counted(spoil(good_log()))
    assert counts[figure] >= 1
    assert [line.split(":")[0] for line in SOURCE_LIMITS.missed({**good_figures(), **counts})] == [figure]


def test_what_a_frame_shows() -> None:
    camera = Intrinsics(60.0, 60.0, 32.0, 24.0, 64, 48)
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    depth_m = np.full((48, 64), 0.5, np.float32)
    depth_m[:, :16] = 0
    frame = RgbdFrame(rgb, depth_m, camera, 5.0, 9)
    it = seen(frame, 4)
    assert (it.index, it.timestamp_s, it.number, it.depth_share) == (9, 5.0, 4, 0.75)
    assert seen(replace(frame, timestamp_s=6.0)).fingerprint == it.fingerprint
    assert seen(replace(frame, rgb=rgb[::-1].copy())).fingerprint != it.fingerprint
    assert seen(replace(frame, depth_m=depth_m * 2)).fingerprint != it.fingerprint
    assert seen(replace(frame, depth_m=None)).depth_share == 0.0


# --- whole runs -------------------------------------------------------------------------------------------------------


def good_figures() -> dict[str, Any]:
    return {
        **counted(good_log()),
        "cycles": 10,
        "crashes": 0,
        "reconnect_s_p95": 0.3,
        "reconnect_s_max": 0.5,
        "rss_growth_mb": 1.0,
        "leaked_threads": 0,
        "leaked_fds": 0,
        "recording_intact": True,
        "left_at_half_second": 0.01,
        "step_resuming": 0.1,
        "step_performing": 0.1,
        "gaps_unmarked": 0,
    }


def run_main(monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str, **figures: Any) -> tuple[int, dict[str, Any]]:
    """Exit status and report of a run in which the phone gave `figures` instead of good ones."""
    given = {"record3d": {**good_figures(), **figures}, "kinect": good_figures()}
    monkeypatch.setattr(soak, "soak_device", lambda name, *_: given[name])
    status = soak.main(["--cycles", "10", "--json", str(folder / "soak.json"), *more])
    report: dict[str, Any] = json.loads((folder / "soak.json").read_text())
    return status, report


@pytest.mark.parametrize("app", [[], ["--app"]], ids=["source", "app"])
def test_a_good_run_is_good_and_lists_its_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, app: list[str]
) -> None:
    status, report = run_main(monkeypatch, tmp_path, *app)
    assert (status, report["missed"]) == (0, {})
    limits = APP_LIMITS if app else SOURCE_LIMITS
    assert report["limits"]["devices"]["most"] == limits.most
    assert report["limits"]["devices"]["least"] == {**limits.least, "cycles": 10}


def _wrong(limits: Limits) -> list[tuple[str, Any]]:
    over = [(name, most + 1) for name, most in limits.most.items()]
    under = [(name, least - 1) for name, least in limits.least.items()]
    return [*over, *under, ("cycles", 9), ("reconnect_s_p95", None), ("reconnect_s_max", float("nan"))]


@pytest.mark.parametrize(
    ("app", "name", "value"),
    [([], *it) for it in _wrong(SOURCE_LIMITS)] + [(["--app"], *it) for it in _wrong(APP_LIMITS)],
)
def test_every_limit_that_is_missed_is_named_and_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, app: list[str], name: str, value: Any
) -> None:
    status, report = run_main(monkeypatch, tmp_path, *app, **{name: value})
    assert status == 1
    assert list(report["missed"]) == ["record3d"]
    assert [line.split(":")[0] for line in report["missed"]["record3d"]] == [name]


def test_limits_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run_main(monkeypatch, tmp_path, "--limit", "reconnect_s_p95=0.1")[0] == 1
    status, report = run_main(monkeypatch, tmp_path, "--limit", "leaked_fds=2", leaked_fds=2)
    assert status == 0
    assert report["limits"]["devices"]["most"]["leaked_fds"] == 2
    with pytest.raises(SystemExit):
        run_main(monkeypatch, tmp_path, "--limit", "beauty=1")


@pytest.mark.parametrize(
    "wrong", [{"recovered": False}, {"longest_read_s": 3.0}, {"rss_growth_mb": 900.0}, RuntimeError("no frame")]
)
def test_fuzzing_can_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: Any) -> None:
    good = {"recovered": True, "longest_read_s": 0.2, "rss_growth_mb": 3.0}

    def fuzz(_messages: int, _seed: int) -> dict[str, Any]:
        if isinstance(wrong, Exception):
            raise wrong
        return {**good, **wrong}

    monkeypatch.setattr(soak, "fuzz", lambda *_: good)
    assert run_main(monkeypatch, tmp_path, "--fuzz", "10")[0] == 0
    monkeypatch.setattr(soak, "fuzz", fuzz)
    status, report = run_main(monkeypatch, tmp_path, "--fuzz", "10")
    assert status == 1
    assert list(report["missed"]) == ["fuzz"]


@pytest.mark.parametrize("arguments", [["--only", "record3d"], ["--only", "kinect"], ["--only", "record3d", "--app"]])
def test_a_crash_is_the_exit_status_and_still_leaves_a_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    def break_down(*_: object, **__: object) -> Any:
        raise RuntimeError("the bench fell over")

    for name in ("record3d_bench", "kinect_bench", "soak_kinect_elsewhere", "soak_whole_app"):
        monkeypatch.setattr(soak, name, break_down)
    path = tmp_path / "soak.json"
    assert soak.main(["--json", str(path), *arguments]) == 1
    report = json.loads(path.read_text())
    assert report["crashes"] == 1
    assert any(line.startswith("crashes") for line in report["missed"][arguments[1]])


def test_a_kinect_run_that_dies_is_a_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(soak, "KINECT_PYTHON", tmp_path)
    died = subprocess.CompletedProcess([], -11)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: died)
    assert soak.main(["--only", "kinect", "--json", str(tmp_path / "soak.json")]) == 1


def test_a_kinect_run_that_misses_a_limit_still_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        report = {"devices": {"kinect": {**good_figures(), "cycles": 200, "torn_frames": 3}}}
        Path(command[command.index("--json") + 1]).write_text(json.dumps(report))
        return subprocess.CompletedProcess([], 1)

    monkeypatch.setattr(soak, "KINECT_PYTHON", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    assert soak.main(["--only", "kinect", "--json", str(tmp_path / "soak.json")]) == 1
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["missed"] == {"kinect": ["torn_frames: expected 0 at most, got 3"]}
