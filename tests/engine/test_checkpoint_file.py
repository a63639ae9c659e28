"""Checkpoint files as bytes: both forms PyTorch has written are read, and nothing in them runs, grows or hangs."""

import argparse
import io
import pickle
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.network.checkpoint_file import CheckpointError, read_checkpoint
from engine.flow.network.checkpoint_pickle import LARGEST_BYTES
from tests.engine.stand_in import SMALL, small_network


@pytest.mark.parametrize("archive", [True, False])
def test_what_pytorch_writes_is_read(archive: bool, tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(4, 3))
    content = {
        "gen": OrderedDict({"weight": weight, "part": weight.detach()[1:].T, "half": torch.ones(3).half()}),
        "scalar": torch.tensor(5),
        "empty": torch.empty(0, 3),
        "bf16": torch.full((2,), 1.5, dtype=torch.bfloat16),
        "args": argparse.Namespace(size=256),
        "plain": [1, -2.5, True, None, "text", (1 << 70, {"a": 1})],
    }
    path = tmp_path / "any.pt"
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    found = read_checkpoint(path)
    for name in ("weight", "part", "half"):
        assert torch.equal(found["gen"][name], content["gen"][name])  # type: ignore[index]
    assert found["gen"]["part"].data_ptr() == found["gen"]["weight"][1:].data_ptr(), "shared memory stays shared"
    assert (found["scalar"], found["empty"].shape, found["bf16"].tolist()) == (5, (0, 3), [1.5, 1.5])
    assert found["plain"] == content["plain"]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def archive(path: Path, table: bytes, data: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        entries = {"data.pkl": table, "version": b"3\n", **{f"data/{key}": value for key, value in data.items()}}
        for name, content in entries.items():
            file.writestr(f"any/{name}", content)
    return path


def rebuilt(shape: str, stride: str, count: int, offset: int = 0) -> bytes:
    """A pickle of {"gen": {"w": tensor}} that describes the tensor as told."""
    storage = f"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuI{count}\ntQ"
    tensor = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{shape}{stride}I00\n}}tR"
    text = f"\x80\x02}}X\x03\0\0\0gen}}X\x01\0\0\0w{tensor}ss.".replace("I00\n", "\x89").encode("latin-1")
    return re.sub(rb"I(-?\d+)\n", lambda number: as_long(int(number[1])), text)


def as_long(number: int) -> bytes:
    """The opcode LONG1, as PyTorch writes whole numbers."""
    content = number.to_bytes(8, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def test_the_description_of_a_tensor_is_understood(tmp_path: Path) -> None:
    path = archive(tmp_path / "any.pt", rebuilt("(I3\nt", "(I1\nt", 4, 1), {"0": struct.pack("<4f", 1, 2, 3, 4)})
    assert read_checkpoint(path)["gen"]["w"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("shape", "stride", "count", "offset"),
    [
        ("(I1000000000\nt", "(I1\nt", 4, 0),  # PyTorch makes room for it
        ("(I100000\nI100000\nt", "(I0\nI0\nt", 4, 0),  # takes room as soon as it is used
        ("(I4\nt", "(I1\nt", 4, 1),
        ("(I2\nt", "(I9\nt", 4, 0),
        ("(I2\nt", "(I-1\nt", 4, 1),
        ("(I-2\nt", "(I1\nt", 4, 0),
        ("(I2\nt", "(I1\nI1\nt", 4, 0),
        ("(I4\nt", "(I1\nt", 1 << 40, 0),
        ("(I4\nt", "(I1\nt", 5, 0),
        ("(I4\nt", "(I1\nt", -4, 0),
    ],
)
def test_tensors_beyond_what_the_file_holds_are_refused(
    shape: str, stride: str, count: int, offset: int, tmp_path: Path
) -> None:
    refusal(archive(tmp_path / "any.pt", rebuilt(shape, stride, count, offset), {"0": bytes(16)}))


def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    count = 200 << 20  # 800 MB in less than one
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * (count * 4 >> 20) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    path = archive(tmp_path / "any.pt", rebuilt(f"(I{count}\nt", "(I1\nt", count), {"0": b""})
    content = path.read_bytes()
    entry = content.index(b"PK\3\4", 4)
    name = b"any/data/0"
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0x21, 0, len(packed), count * 4, len(name), 0)
    first = content.index(b"PK\1\2")
    listed = content[first : content.index(b"PK\1\2", first + 4)]
    listed += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, entry) + name
    body = content[:entry] + b"PK\3\4" + fields + name + packed
    path.write_bytes(body + listed + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 2, 2, len(listed), len(body), 0))
    with zipfile.ZipFile(path) as file:
        assert file.getinfo("any/data/0").file_size == count * 4
    assert "larger than the file" in refusal(path)


HOSTILE = {
    "reserves a terabyte": b"\x80\x02cbuiltins\nbytearray\nI1000000000000\n\x85R.",
    "makes a tensor of a terabyte": b"\x80\x02ctorch\nFloatTensor\nI250000000000\n\x85R.",
    "remembers at a huge place": b"\x80\x02}r\xff\xff\xff\x7f.",
    "hashes for ever": b"\x80\x02}K\x01\x85" + b"2\x86" * 60 + b"K\x01s.",
    "claims a long text": b"\x80\x02X\xff\xff\xff\xffabc.",
    "doubles a text for ever": b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.",
    "nests without end": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "is too long": b"\x80\x02(" + b"N" * LARGEST_BYTES + b"l.",
    "runs code": b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.",
    "calls what it made": b"\x80\x02}X\x01\0\0\0a\x85R.",
    "gives a dictionary other keys": b"\x80\x02}NNs.",
    "ends too early": b"\x80\x02}",
    "has operators of other kinds": b"\x80\x02(icollections\nOrderedDict\n.",
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("form", ["archive", "old"])
def test_hostile_pickles_are_refused(what: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "any.pt"
    if form == "archive":
        archive(path, HOSTILE[what], {})
    else:
        header = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(item, 2) for item in header) + HOSTILE[what])
    message = refusal(path)
    called = ("terabyte", "doubles", "runs")
    assert ("would run code" in message) == any(word in what for word in called)


@pytest.mark.parametrize(
    "change",
    [
        {"inpaint_blocks": 10**6},
        {"inpaint_blocks": True},
        {"image_size": 2**40},
        {"image_size": 64.0},
        {"style_dim": 10**9},
        {"widths": {4: 10**6, 8: 16, 16: 12, 32: 8}},
        {"widths": {4: "16", 8: 16, 16: 12, 32: 8}},
        {"widths": [1, 2]},
        {"inpaint_widths": (8, 8)},
        {"inpaint_widths": (8, 8, 10**7)},
        {"inpaint_widths": 3},
        {"pixel_scale": 0},
        {"head_motion": "yes"},
        {"unknown": 1},
    ],
    ids=lambda change: next(iter(change.items())).__repr__()[:40],
)
def test_sizes_that_no_network_has_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, small_network())
    content = torch.load(path, weights_only=True)
    assert content["config"] == SMALL.to_dict()
    content["config"] |= change
    torch.save(content, path)
    assert "network config" in refusal(path)


def test_other_values_in_known_places_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, small_network())
    content = torch.load(path, weights_only=True)
    for name, value in {"version": torch.ones(3), "config": [1], "gen": {"a": 1}, "format": torch.ones(2)}.items():
        torch.save(content | {name: value}, path)
        refusal(path)
    torch.save(content | {"step": torch.ones(2)}, path)
    assert load_checkpoint(path).step is None


def test_names_with_line_ends_stay_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, small_network())
    content = torch.load(path, weights_only=True)
    content["gen"]["a\nb"] = torch.ones(1)
    torch.save(content, path)
    assert "a b" in refusal(path)
    archive(path, b"\x80\x04\x8c\x03a\nb\x8c\x03c\nd\x93.", {})
    assert "a b.c d" in refusal(path)


def test_a_changed_byte_in_the_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, small_network())
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        entry = max(file.infolist(), key=lambda each: each.file_size)
    content[entry.header_offset + 200] ^= 1
    path.write_bytes(content)
    assert "damaged" in refusal(path)
