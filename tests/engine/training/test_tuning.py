"""A network tuned to one head: goes on where it was stopped, is used where it is better, and nowhere else."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calib.avatar import Avatar
from calib.preparation_options import PreparationOptions
from core.errors import InputError
from core.mesh import MorphTargets
from engine.flow.ours.tuned import tuned_file, tuned_folder
from engine.flow.published.flow_options import RigOptions
from engine.training import tuning
from engine.training.flow.pairs import PairFolder
from realtime.config import MotionOptions, PrepareOptions
from realtime.engines import make_engine

A_STEP = 1e-4  # minutes: a run ends after the step in which its time is up


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "SEEN_SEEDS", (700_000,))
    monkeypatch.setattr(tuning, "HELD_OUT_SEEDS", (700_100,))
    monkeypatch.setattr(tuning, "_FRAMES", 5)
    monkeypatch.setattr(tuning, "_PLAN", replace(tuning._PLAN, batch=1))


def judged_as(monkeypatch: pytest.MonkeyPatch, general: float, tuned: float) -> None:
    answers = iter([(general, general), (tuned, tuned)])
    monkeypatch.setattr(tuning, "truth_score", lambda *_: next(answers))


@pytest.mark.usefixtures("short")
def test_tuning_goes_on_and_is_used_only_where_it_is_better(
    prepared: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = MotionOptions(engine="flow")
    options = replace(options, flow=replace(options.flow, cache_dir=tmp_path))
    judged_as(monkeypatch, 0.5, 0.6)
    first = tuning.tune(prepared, A_STEP, tmp_path)
    assert first is not None
    assert (first.steps, first.kept) == (1, tuned_file(prepared, tmp_path))
    with caplog.at_level("INFO"):
        make_engine(options, prepared)
    assert "tuned to this head" in caplog.text
    judged_as(monkeypatch, 0.5, 0.4)
    second = tuning.tune(prepared, A_STEP, tmp_path)
    assert second is not None
    assert (second.steps, second.kept) == (2, None)
    assert not tuned_file(prepared, tmp_path).exists()
    caplog.clear()
    with caplog.at_level("INFO"):
        make_engine(options, prepared)
    assert "tuned to this head" not in caplog.text


@pytest.mark.usefixtures("short")
def test_pairs_that_are_not_whole_are_rendered_again(prepared: Avatar, tmp_path: Path) -> None:
    folder = tuned_folder(prepared, tmp_path)
    tuning._render(prepared, folder)
    seen = folder / "seen" / "700000"
    offset = np.load(seen / "offset.npy")
    assert np.abs(offset[0]).max() < 1e-3
    assert np.abs(offset[1:]).max() > 0.01
    (seen / "offset.npy").unlink()
    tuning._render(prepared, folder)
    assert np.array_equal(PairFolder(seen)["offset"], offset)


@pytest.mark.usefixtures("short")
def test_a_stop_while_training_keeps_what_was_learned(prepared: Avatar, tmp_path: Path) -> None:
    calls = iter([False, True])
    assert tuning.tune(prepared, 60.0, tmp_path, lambda: next(calls, True)) is None
    again = tuning.tune(prepared, A_STEP, tmp_path)
    assert again is not None
    assert again.steps == 3


def test_heads_whose_own_shapes_were_asked_for_are_refused(prepared: Avatar, tmp_path: Path) -> None:
    morphs = MorphTargets(("jawOpen",), np.zeros((1, len(prepared.file_mesh.vertices), 3), dtype=np.float32))
    own = replace(prepared, file_mesh=replace(prepared.file_mesh, morphs=morphs), shapes_asked=True)
    with pytest.raises(InputError, match=r"moved by the shapes in its file.*leave out --morphs or --tune-flow"):
        tuning.tune(own, 1.0, tmp_path)


def test_shapes_that_were_asked_for_are_refused_before_the_head_is_prepared() -> None:
    for preparation in (PreparationOptions(), PreparationOptions(morphs="off")):
        PrepareOptions(tune_flow=1.0, preparation=preparation)
    with pytest.raises(InputError, match=r"--tune-flow: .* leave out one of them"):
        PrepareOptions(tune_flow=1.0, preparation=PreparationOptions(morphs="on"))
    with pytest.raises(InputError, match=r"--weights-k: .* leave out one of them"):
        PrepareOptions(weights=RigOptions(weights_k=3), preparation=PreparationOptions(morphs="on"))


@pytest.mark.parametrize("minutes", [0.0, -1.0, 601.0, float("nan")])
def test_minutes_have_a_range(minutes: float) -> None:
    with pytest.raises(InputError, match="--tune-flow"):
        PrepareOptions(tune_flow=minutes)


_KILLED = """
import sys
from pathlib import Path
from realtime.api import prepare_avatar
from engine.training import tuning
from dataclasses import replace
tuning.SEEN_SEEDS, tuning.HELD_OUT_SEEDS, tuning._FRAMES = (700_000,), (700_100,), 5
tuning._PLAN = replace(tuning._PLAN, batch=1, save_every=1)
tuning.tune(prepare_avatar("lowpoly"), 60.0, Path(sys.argv[1]))
"""


@pytest.mark.usefixtures("short")
def test_a_killed_run_goes_on_from_its_last_checkpoint(prepared: Avatar, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 240
        while len(list(tmp_path.glob("tuned/*/generator/0*.pt"))) < 1 and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    (folder,) = tmp_path.glob("tuned/*")
    assert folder == tuned_folder(prepared, tmp_path)
    latest = tuning.latest_checkpoint(folder / "generator")
    assert latest is not None
    again = tuning.tune(prepared, A_STEP, tmp_path)
    assert again is not None
    assert again.steps == int(latest.stem) + 1
