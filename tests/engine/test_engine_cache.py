"""Kept engines: found again whole, from the same facts, and from where nobody else may write; rebuilt otherwise."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from core.networks.engine_cache import CacheEntry

FACTS = {"backend": "any", "weights": "w"}
ENGINE = bytes(range(256)) * 3


def entry_in(folder: Path) -> CacheEntry:
    entry = CacheEntry.of(folder, FACTS, ".blob")
    entry.write(lambda path: path.write_bytes(ENGINE))
    return entry


def test_what_was_kept_comes_back_from_a_cache_line_on(tmp_path: Path) -> None:
    entry = entry_in(tmp_path / "cache")
    content = entry.content()
    assert content is not None
    assert content.tobytes() == ENGINE
    assert content.ctypes.data % 64 == 0
    assert len(list(entry.path.parent.iterdir())) == 1
    assert CacheEntry(entry.path, FACTS | {"weights": "others"}).content() is None


def test_every_damaged_byte_and_length_is_noticed(tmp_path: Path) -> None:
    entry = entry_in(tmp_path / "cache")
    whole = entry.path.read_bytes()
    rng = np.random.default_rng(0)
    places = [0, len(ENGINE) - 1, len(ENGINE), len(whole) - 1, *rng.integers(0, len(whole), 40).tolist()]
    for at in places:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        entry.path.write_bytes(damaged)
        assert entry.content() is None, f"byte {at} was changed"
    for content in (b"", whole[:-1], whole[1:], whole[:5], whole + b"\0", b"\xff" * 64, b"\0" * 64):
        entry.path.write_bytes(content)
        assert entry.content() is None
    entry.path.write_bytes(whole)
    assert entry.content() is not None


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_an_engine_that_others_could_have_written_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = entry_in(tmp_path / "cache")
    entry.path.parent.chmod(0o775)
    assert entry.content() is None
    assert "others may write" in caplog.text


def write_own(folder: Path, number: int, start: Barrier) -> None:
    start.wait()
    for _ in range(20):
        CacheEntry.of(folder, FACTS, ".blob").write(lambda path: path.write_bytes(bytes([number]) * 5000))


def test_three_processes_may_keep_the_same_engine_at_once(tmp_path: Path) -> None:
    """Compilers do not give the same bytes twice; whoever comes last, label and engine have to belong together."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    writers = [context.Process(target=write_own, args=(tmp_path, number, start)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    content = CacheEntry.of(tmp_path, FACTS, ".blob").content()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert content is not None
    assert content.tobytes() in {bytes([number]) * 5000 for number in range(3)}


def test_an_engine_that_cannot_be_kept_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert entry_in(tmp_path / "cache").content() is None
    assert "is not kept" in caplog.text
