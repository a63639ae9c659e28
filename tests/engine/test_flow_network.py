"""Networks kept from an earlier start: used only for what they were made from, and only when they still prove right."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.backends import native_store
from engine.backends.compiled import Sample
from engine.backends.native_library import missing
from engine.backends.native_motion import PackedWeights
from engine.backends.native_store import StoredNetwork
from engine.flow_network import FlowNetwork, open_network
from engine.motion_network import sample_inputs
from engine.network.checkpoint import CheckpointError, save_checkpoint
from engine.network.config import NetworkConfig
from engine.network.network import FaceNetwork
from tests.engine.stand_in import picture

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"native kernels: {missing()}")

WIDE = NetworkConfig(
    image_size=16, widths={4: 64, 8: 64, 16: 64}, style_dim=16, motion_dim=6, inpaint_widths=(2, 2, 2), inpaint_blocks=1
)
SOURCE = picture(0, 16)[0].numpy()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network only waits for threads, the longer the busier the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def written(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_checkpoint(path, FaceNetwork(WIDE).eval())
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return written(tmp_path / "wide.pt")


def opened(checkpoint: Path, tmp_path: Path, source: np.ndarray = SOURCE) -> FlowNetwork:
    return open_network(lambda _: source, checkpoint, "native", tmp_path / "cache")


def was_kept(network: FlowNetwork) -> bool:
    return "earlier start" in network.backend.why


def test_the_second_start_gives_the_same_numbers(checkpoint: Path, tmp_path: Path) -> None:
    first, second = opened(checkpoint, tmp_path), opened(checkpoint, tmp_path)
    assert not was_kept(first)
    assert was_kept(second)
    driving, offset = (value.numpy() for value in sample_inputs(WIDE, 3))
    for name in ("flow", "depth", "alpha"):
        one = getattr(first.backend.run(driving, offset), name).copy()
        np.testing.assert_array_equal(one, getattr(second.backend.run(driving, offset), name))
    np.testing.assert_array_equal(first.source_alpha, second.source_alpha)
    assert first.released == second.released
    assert second.backend.proof.flow_px < 1e-3


def test_the_second_start_does_without_torch(checkpoint: Path, tmp_path: Path) -> None:
    opened(checkpoint, tmp_path)
    np.save(tmp_path / "source.npy", SOURCE)
    code = f"""
import sys, pathlib, numpy as np
import engine.flow_engine
from engine.flow_network import open_network
folder = pathlib.Path({str(tmp_path)!r})
network = open_network(lambda _: np.load(folder / "source.npy"), folder / "wide.pt", "native", folder / "cache")
assert "earlier start" in network.backend.why
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_another_checkpoint_or_avatar_is_compiled(checkpoint: Path, tmp_path: Path) -> None:
    opened(checkpoint, tmp_path)
    assert not was_kept(opened(checkpoint, tmp_path, picture(1, 16)[0].numpy()))
    assert not was_kept(opened(written(checkpoint, seed=1), tmp_path))  # the same name with other content


def test_other_kernels_or_another_graph_are_compiled(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(checkpoint, tmp_path)
    monkeypatch.setattr(native_store, "GRAPH_VERSION", "another")
    assert not was_kept(opened(checkpoint, tmp_path))
    monkeypatch.setattr(native_store, "_packing_digest", lambda: "another")
    assert not was_kept(opened(checkpoint, tmp_path))


@pytest.mark.parametrize("damage", [slice(0, -100), slice(64, None), slice(0, 0)])
def test_a_damaged_file_is_made_again(checkpoint: Path, tmp_path: Path, damage: slice) -> None:
    opened(checkpoint, tmp_path)
    (file,) = (tmp_path / "cache").glob("*.packed")
    file.write_bytes(file.read_bytes()[damage])
    assert not was_kept(opened(checkpoint, tmp_path))
    assert was_kept(opened(checkpoint, tmp_path))


def test_a_network_that_no_longer_gives_eager_s_numbers_is_made_again(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(weights: PackedWeights, sample: Sample, released: bool) -> StoredNetwork:
        return StoredNetwork(weights, replace(sample, flow=sample.flow + np.float32(0.1)), released)

    monkeypatch.setattr(native_store, "StoredNetwork", wrong)
    opened(checkpoint, tmp_path)
    monkeypatch.setattr(native_store, "StoredNetwork", StoredNetwork)
    assert not was_kept(opened(checkpoint, tmp_path))
    assert was_kept(opened(checkpoint, tmp_path))


def test_only_the_latest_few_are_kept(tmp_path: Path) -> None:
    values = np.zeros(3, np.float32)
    stored = StoredNetwork(PackedWeights(16, (1, 2), {"a": values}), Sample(values, values, values, values), True)
    entries = [native_store.entry_of(tmp_path, "checkpoint", str(number)) for number in range(native_store._KEPT + 2)]
    for entry in entries:
        native_store.save(entry, stored)
        assert native_store.load(entries[0]) is not None  # in use all the while
    assert len(list(tmp_path.glob("*.packed"))) == native_store._KEPT
    assert len(list(tmp_path.glob("*.json"))) == native_store._KEPT


def test_a_full_disk_costs_the_cache_and_nothing_else(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native_store, "save", full)
    assert not was_kept(opened(checkpoint, tmp_path))


def test_a_file_that_is_no_checkpoint_is_never_kept(tmp_path: Path) -> None:
    path = tmp_path / "rubbish.pt"
    path.write_bytes(b"rubbish")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="damaged or cut short"):
            opened(path, tmp_path)
    assert not (tmp_path / "cache").exists()
