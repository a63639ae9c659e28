"""The GPU benchmark: parts apart from each other, their time, and its short form on a processor."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.gpu import Running, finish, missing, share_s
from benchmarks.gpu_parts import PARTS, TRAINING
from benchmarks.gpu_program import pictures_agree
from benchmarks.gpu_setting import Setting


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(device="cpu", short=True, seconds=30.0, out=tmp_path, pairs=tmp_path / "pairs")


def running(setting: Setting, code: str, limit_s: float) -> Running:
    """A part of any name that does this."""
    with setting.log("part").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log, start_new_session=True)
    return Running("part", process, time.monotonic(), limit_s)


def test_a_part_that_hangs_is_ended_and_keeps_what_it_found(setting: Setting) -> None:
    told = f"open({str(setting.result('part'))!r}, 'w').write('{{\"ms\": 3.5}}'); import time; time.sleep(600)"
    hanging = running(setting, told, 0.5)
    while not setting.result("part").is_file() or not setting.result("part").read_text():
        time.sleep(0.05)
    found = finish(hanging, setting)
    assert found["state"] == "timed out"
    assert found["ms"] == 3.5
    assert hanging.process.returncode is not None


def test_a_part_that_crashes_says_its_last_words(setting: Setting) -> None:
    found = finish(running(setting, "import os; print('about to fall', flush=True); os.abort()", 60.0), setting)
    assert found["state"] == "crashed"
    assert "about to fall" in found["why"]
    assert "-6" in found["why"]


def test_a_part_that_takes_all_it_can_leaves_the_others_their_least() -> None:
    names = [name for name in PARTS if name not in TRAINING]
    left = 240.0
    for number in range(len(names)):
        seconds = share_s(names[number:], left)
        assert seconds >= gpu._LEAST_S
        assert seconds <= PARTS[names[number]].most_s
        left -= seconds
    assert left >= 0


def test_what_is_missing_is_listed_once() -> None:
    lacking = {"state": "missing", "why": "the package tensorrt"}
    parts = {"a": lacking, "b": {"state": "done"}, "c": lacking}
    assert missing(parts) == ["a, c: missing: the package tensorrt"]


def test_settings_survive_the_way_into_the_process(setting: Setting) -> None:
    from dataclasses import asdict

    assert Setting.read(json.dumps(asdict(setting), default=str)) == setting


def test_pictures_that_differ_at_edges_only_agree(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 200, (60, 80, 3)).astype(np.uint8)
    near, far = picture.copy(), picture.copy()
    near[::12, ::20] += 50
    far[:30] += 10
    for name, content in {"a": picture, "near": near, "far": far}.items():
        np.save(tmp_path / f"{name}.npy", content)
    assert pictures_agree(tmp_path / "a.npy", tmp_path / "near.npy", same_renderer=False)["equal"]
    assert not pictures_agree(tmp_path / "a.npy", tmp_path / "far.npy", same_renderer=False)["equal"]


def test_short_form_on_a_processor(tmp_path: Path) -> None:
    chosen = ["machine", "compact-eager", "compact-cuda-graph", "train-code"]
    options = argparse.Namespace(
        out=tmp_path, budget=600.0, device="cpu", parts=chosen, pairs=tmp_path / "none", no_training=False
    )
    result = gpu.run(options)
    assert json.loads((tmp_path / "gpu.json").read_text()) == result
    parts = result["parts"]
    assert [parts[name]["state"] for name in chosen] == ["done", "done", "missing", "missing"]
    assert parts["compact-eager"]["equal"]
    assert parts["compact-eager"]["ms"] > 0
    assert any("no rendered pairs" in line for line in result["missing"])
