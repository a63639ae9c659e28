"""How large the cache may grow: what was not used for longest goes first."""

import os
from pathlib import Path

import pytest

from core import cache_limit
from core.cache_folder import cache_folder, keep, reading
from core.errors import InputError
from tests.fakes.forked import run_python


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache_limit, "DEFAULT_LIMIT_BYTES", 250)
    return cache_folder("")


def put(name: str, used_s: float | None = None) -> Path:
    path = cache_folder("heads") / name
    assert keep(path, lambda partial: partial.write_bytes(bytes(100)), "a head")
    if used_s is not None:
        os.utime(path, (used_s, used_s))
    return path


def test_what_was_not_used_for_longest_goes_when_another_comes(root: Path) -> None:
    put("one", 1000.0)
    put("two", 2000.0)
    with reading(cache_folder("heads") / "one", "a head"):  # which is a use
        pass
    put("three")
    assert sorted(entry.path.name for entry in cache_limit.entries(root)) == ["one", "three"]


def test_an_entry_larger_than_all_that_may_be_kept_stays_until_the_next(root: Path) -> None:
    path = cache_folder("heads") / "scan"
    assert keep(path, lambda partial: partial.write_bytes(bytes(900)), "a head")
    assert path.exists()
    put("small")
    assert not path.exists()


def test_files_of_others_are_left_alone(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "head"
    assert keep(other, lambda partial: partial.write_bytes(bytes(900)), "a head")
    writing = root / "heads" / ".scan.partial-1-ab"
    put("one")
    writing.write_bytes(bytes(900))
    put("two")
    assert other.exists()
    assert writing.exists()


@pytest.mark.parametrize(("text", "size"), [("500MB", 5 * 10**8), ("2 gb", 2 * 10**9), ("1.5k", 1500), ("7", 7)])
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert cache_limit.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "1e400", "2XB"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(InputError, match="expected a size"):
        cache_limit.parse_size(text)


def test_the_command_lists_limits_and_clears(root: Path) -> None:
    put("one", 1000.0)
    put("two", 2000.0)
    command = "import sys; sys.argv[0] = 'vfa'; from realtime.cli import main as m; m()"
    listed = run_python(command, "cache").stdout.splitlines()
    assert [line.split()[-1] for line in listed[:2]] == ["heads/two", "heads/one"]
    assert str(root) in listed[2]
    left = run_python(command, "cache", "--limit", "150").stdout
    assert "heads/two" in left
    assert "heads/one" not in left
    assert "of at most 150 B" in left
    assert "removed 1 entries" in run_python(command, "cache", "--clear").stdout
    assert cache_limit.entries(root) == []
    assert cache_limit.limit_bytes(root) == 150
