"""Checkpoints: what loads, and what is refused in one line."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.published import stand_in_network
from engine.flow.network.checkpoint import load_checkpoint, load_lia_weights, save_checkpoint, weights_key
from engine.flow.network.checkpoint_file import CheckpointError
from engine.flow.network.network import FaceNetwork
from tests.engine.stand_in import SMALL, picture, published_state, small_network


@pytest.fixture(scope="module")
def published_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With weights of our own; `test_published_layout_loads` has the published names and sizes."""
    path = tmp_path_factory.mktemp("checkpoint") / "VFA.pt"
    content = {
        "gen": stand_in_network().state_dict(),
        "g_optim": {"state": {}, "param_groups": []},
        "args": {"size": 256},
    }
    torch.save(content, path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("whose", ["published", "ours"])
def test_published_layout_loads(whose: str, published_file: Path, request: pytest.FixtureRequest) -> None:
    if whose == "published":
        state = published_state(request.getfixturevalue("shared_reference"))
        published_file = published_file.with_name("published.pt")
        torch.save({"gen": state, "args": {"size": 256}}, published_file)
    else:
        state = stand_in_network().state_dict()
    loaded = load_checkpoint(published_file)
    assert loaded.released
    assert not loaded.network.training
    assert all(torch.equal(value, state[name]) for name, value in loaded.network.state_dict().items())


def test_own_checkpoint_carries_its_sizes(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, small_network(), step=7)
    loaded = load_checkpoint(path)
    assert loaded.network.config == SMALL
    assert (loaded.released, loaded.step) == (False, 7)
    x = picture(0, 32)
    assert torch.equal(loaded.network.enc.motion(x), small_network().enc.motion(x))
    assert loaded.key == weights_key(small_network()) != weights_key(small_network(1))
    assert list(tmp_path.iterdir()) == [path]


def test_all_differences_are_reported_at_once(published_file: Path, tmp_path: Path) -> None:
    content = torch.load(published_file, weights_only=True)
    gen = content["gen"]
    del gen["enc.fc.0.bias"]
    gen["enc.extra"] = torch.zeros(3)
    gen["dec.input.input"] = torch.zeros(1, 512, 8, 8)
    gen["enc.fc.1.bias"] = torch.full((512,), float("nan"))
    path = tmp_path / "differs.pt"
    torch.save(content, path)
    message = refused(path)
    for part in ("enc.fc.0.bias", "enc.extra", "dec.input.input 1x512x8x8 for 1x512x4x4", "enc.fc.1.bias"):
        assert part in message


def test_truncated_file(published_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    with published_file.open("rb") as file:
        path.write_bytes(file.read(100_000))
    assert "cut short" in refused(path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"rubbish", b"PK\x03\x04junk"])
def test_not_a_checkpoint(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "junk.pt"
    path.write_bytes(content)
    assert "damaged" in refused(path)


class _Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


def test_random_bytes_are_one_line(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "noise.pt"
    for _ in range(300):
        path.write_bytes(rng.choice([b"", b"\x80\x02", b"\x80\x02}q"]) + rng.bytes(int(rng.integers(1, 60))))
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [None, 2, 4])
def test_a_pickle_that_runs_code_is_refused(protocol: int | None, tmp_path: Path) -> None:
    path, victim = tmp_path / "evil.pt", tmp_path / "victim"
    content = {"gen": {"enc.fc.0.bias": _Malicious(victim)}}
    if protocol is None:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    message = refused(path)
    assert "refused" in message or protocol == 4  # torch writes protocol 2; it cannot even read the opcodes of 4
    assert not victim.exists()


@pytest.mark.parametrize("content", [{"weights": 1}, {"gen": {"a": "b"}}, [1, 2]])
def test_other_content(content: object, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    assert "gen" in refused(path)


def test_absent_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.pt")


def test_newer_format_version(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, small_network())
    content = torch.load(path, weights_only=True)
    content["version"] = 99
    torch.save(content, path)
    assert "version 99" in refused(path)


def test_lia_weights_go_into_the_first_channels(tmp_path: Path) -> None:
    network = FaceNetwork(SMALL)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lia = {
        "enc.net_app.convs.0.0.weight": torch.ones(8, 3, 1, 1),
        "dec.input.input": torch.full((1, 16, 4, 4), 2.0),
        "dec.some_lia_thing": torch.zeros(2),
    }
    path = tmp_path / "lia.pt"
    torch.save({"gen": lia}, path)
    untouched = load_lia_weights(network, path)
    first = network.state_dict()["enc.net_app.convs.0.0.weight"]
    assert torch.equal(first[:, :3], torch.ones(8, 3, 1, 1))
    assert torch.equal(first[:, 3:], before["enc.net_app.convs.0.0.weight"][:, 3:])
    assert torch.equal(network.state_dict()["dec.input.input"], lia["dec.input.input"])
    assert "dec.input.input" not in untouched
    assert "enc.fc.0.weight" in untouched


def test_lia_weights_of_other_sizes_change_nothing(tmp_path: Path) -> None:
    network = FaceNetwork(SMALL)
    before = weights_key(network)
    path = tmp_path / "lia.pt"
    torch.save({"gen": {"dec.input.input": torch.zeros(1, 512, 4, 4)}}, path)
    with pytest.raises(CheckpointError, match=r"dec\.input\.input"):
        load_lia_weights(network, path)
    assert weights_key(network) == before
