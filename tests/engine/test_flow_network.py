"""Networks kept from an earlier start: used only for what they were made from, and only when they still prove right."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from core.native.compiled_library import missing
from engine.flow.backends import native_store
from engine.flow.backends.backend import eager_sample
from engine.flow.backends.compiled import Sample
from engine.flow.backends.native_library import flow_kernels
from engine.flow.backends.native_motion import PackedWeights
from engine.flow.backends.native_packing import packed
from engine.flow.backends.native_store import StoredNetwork
from engine.flow.flow_network import FlowNetwork, open_network
from engine.flow.network.checkpoint import save_checkpoint
from engine.flow.network.checkpoint_file import CheckpointError
from engine.flow.network.config import NetworkConfig
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from engine.flow.network.network import FaceNetwork
from tests.engine.stand_in import PicturedHead, picture, pictured_head

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"native kernels: {missing()}")

WIDE = NetworkConfig(
    image_size=16, widths={4: 64, 8: 64, 16: 64}, style_dim=16, motion_dim=6, inpaint_widths=(2, 2, 2), inpaint_blocks=1
)
HEAD = pictured_head(0, 16)


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


def opened(checkpoint: Path, tmp_path: Path, head: PicturedHead = HEAD) -> FlowNetwork:
    return open_network(head, checkpoint, "native", tmp_path / "cache")


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
    np.savez(tmp_path / "head.npz", source_rgb=HEAD.source_rgb, source_depth=HEAD.source_depth)
    code = f"""
import sys, pathlib, types, numpy as np
import engine.flow.published.flow_engine
from engine.flow.flow_network import open_network
folder = pathlib.Path({str(tmp_path)!r})
head = types.SimpleNamespace(**np.load(folder / "head.npz"))
network = open_network(head, folder / "wide.pt", "native", folder / "cache")
assert "earlier start" in network.backend.why
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr


def test_another_checkpoint_or_avatar_is_compiled(checkpoint: Path, tmp_path: Path) -> None:
    opened(checkpoint, tmp_path)
    assert not was_kept(opened(checkpoint, tmp_path, pictured_head(1, 16)))
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
    stored = packed_network()
    entries = [native_store.entry_of(tmp_path, "checkpoint", str(number)) for number in range(native_store._KEPT + 2)]
    for entry in entries:
        native_store.save(entry, stored)
        assert native_store.load(entries[0]) is not None  # in use all the while
    assert len(list(tmp_path.iterdir())) == native_store._KEPT


@cache
def packed_network() -> StoredNetwork:
    torch.manual_seed(0)
    live = MotionNetwork(FaceNetwork(WIDE).eval().requires_grad_(False), picture(0, 16))
    return StoredNetwork(
        packed(live, for_matrix_unit=flow_kernels().matrix_parts() > 0), eager_sample(live), released=True
    )


def damaged(what: str) -> StoredNetwork:
    """The packed network as a file could hold it, with a label that fits: only its content is wrong."""
    network = packed_network()
    arrays = dict(network.weights.arrays)
    weights, sample = network.weights, network.sample
    if what == "nan":
        arrays["first.bias"] = arrays["first.bias"] * np.float32("nan")
    elif what == "short":  # the kernels would read beyond its end
        arrays["level0.feature"] = arrays["level0.feature"][:, :4]
    elif what == "missing":
        del arrays["stem.weight"]
    elif what == "unknown":
        arrays["level7.flow"] = arrays["stem.bias"]
    elif what == "styles":
        return replace(network, weights=replace(weights, style_widths=weights.style_widths[:-1]))
    elif what == "image size":
        return replace(network, weights=replace(weights, image_size=1 << 40))
    elif what == "sample":
        return replace(network, sample=replace(sample, flow=sample.flow[:4]))
    return replace(network, weights=replace(weights, arrays=arrays))


@pytest.mark.parametrize("what", ["nan", "short", "missing", "unknown", "styles", "image size", "sample"])
def test_a_network_of_wrong_content_is_never_run(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = native_store.entry_of(tmp_path, "checkpoint", "avatar")
    native_store.save(entry, packed_network())
    assert native_store.load(entry) is not None
    native_store.save(entry, damaged(what))
    assert native_store.load(entry) is None
    assert "packing again" in caplog.text


@pytest.mark.parametrize(
    "place", [{"offset": -64}, {"offset": 1 << 40}, {"shape": [1 << 62]}, {"shape": [-1]}, {"shape": 3}]
)
def test_arrays_that_would_lie_outside_the_file_are_refused(place: dict[str, object], tmp_path: Path) -> None:
    entry = native_store.entry_of(tmp_path, "checkpoint", "avatar")
    native_store.save(entry, packed_network())
    content = entry.content()
    assert content is not None
    length = int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8 : 8 + length].tobytes())
    header["arrays"]["stem.bias"] |= place
    text = json.dumps(header).encode().ljust(length)
    entry.write(lambda path: path.write_bytes(content[:8].tobytes() + text + content[8 + length :].tobytes()))
    assert entry.content() is not None
    assert native_store.load(entry) is None


def test_a_cache_that_cannot_be_written_costs_the_cache_and_nothing_else(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert not was_kept(opened(checkpoint, tmp_path))
    assert not was_kept(opened(checkpoint, tmp_path))
    assert caplog.text.count("is not kept") == 1


def test_a_file_that_is_no_checkpoint_is_never_kept(tmp_path: Path) -> None:
    path = tmp_path / "rubbish.pt"
    path.write_bytes(b"rubbish")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="damaged or cut short"):
            opened(path, tmp_path)
    assert not (tmp_path / "cache").exists()
