"""Cache entries: written whole by any number of processes, told once where they cannot be, never believed blindly."""

import multiprocessing
import os
import stat
import threading
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from core import cache_folder
from core.cache_folder import keep, make_folder, reading, refusal, temporary_folder
from core.whole_file import whole_file

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")


def text_of(path: Path) -> str | None:
    with reading(path, "the entry"):
        if path.is_file():
            return path.read_text()
    return None


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "entry.txt"
    assert text_of(path) is None
    assert keep(path, lambda partial: partial.write_text("whole"), "the entry")
    assert text_of(path) == "whole"
    assert list(path.parent.iterdir()) == [path], "nothing half-written is left"


def write_slowly(path: Path, number: int, start: Barrier) -> None:
    def save(partial: Path) -> None:
        with partial.open("w") as file:
            for _ in range(50):
                file.write(str(number))
                file.flush()

    start.wait()
    for _ in range(20):
        if not keep(path, save, "the entry"):
            raise SystemExit(1)


def test_three_processes_may_write_the_same_entry_at_once(tmp_path: Path) -> None:
    path, context = tmp_path / "deep" / "entry.txt", multiprocessing.get_context("fork")
    start = context.Barrier(3)
    writers = [context.Process(target=write_slowly, args=(path, number, start)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert path.read_text() in {str(number) * 50 for number in range(3)}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/entry.txt", "/proc/no/such/entry.txt"])
def test_a_cache_that_cannot_be_written_is_told_once(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_folder, "_told", set())
    (tmp_path / "file").write_text("not a folder")
    for name in ("one", "two"):
        assert not keep((tmp_path / place).with_name(name), lambda partial: partial.write_text("x"), "the entry")
        assert text_of(tmp_path / place) is None
    assert caplog.text.count("the entry is not kept") == 1


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("writing failed\nin two lines")]
)
def test_a_writer_that_fails_leaves_the_old_entry(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_folder, "_told", set())
    path = tmp_path / "entry.txt"
    path.write_text("old")

    def fails(partial: Path) -> None:
        partial.write_text("half")
        raise error

    assert not keep(path, fails, "the entry")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].getMessage()


@pytest.mark.parametrize("error", [ValueError, KeyError, MemoryError, RecursionError, OSError, AssertionError])
def test_a_damaged_entry_is_told_and_made_anew(
    error: type[Exception], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "entry.txt"
    path.write_text("damaged")

    with reading(path, "the entry"):
        raise error("faces out of range")
    assert caplog.text.count("made anew") == 1
    assert str(path) in caplog.text


@posix
def test_folders_are_for_the_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "one" / "two" / "entry.txt"
        keep(path, lambda partial: partial.write_text("x"), "the entry")
    finally:
        os.umask(before)
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_an_open_folder_of_an_earlier_version_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own, foreign = cache_folder.cache_folder("avatars"), tmp_path / "elsewhere"
    for folder in (own, foreign):
        folder.mkdir(parents=True, mode=0o777)
        folder.chmod(0o777)
        make_folder(folder)
    assert own.is_relative_to(tmp_path), "the user's cache is where the system says"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE(own.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o777, "what is not this program's stays as it is"


@posix
def test_code_is_refused_where_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "native"
    make_folder(folder)
    path = folder / "kernels.so"
    path.write_bytes(b"code")
    path.chmod(0o600)
    assert refusal(path) is None
    for place, mode in ((path, 0o620), (path, 0o602), (folder, 0o770), (folder, 0o707)):
        before = stat.S_IMODE(place.stat().st_mode)
        place.chmod(mode)
        assert f"others may write {place}" in (refusal(path) or "")
        place.chmod(before)
    link = folder / "link.so"
    link.symlink_to(path)
    assert "link" in (refusal(link) or "")
    assert refusal(folder / "none.so") is not None
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        assert f"belongs to user {owner}" in (refusal(path) or "")
    else:
        os.chown(path, 12345, -1)
        assert "belongs to user 12345" in (refusal(path) or "")


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "entry.txt"
    with pytest.raises(KeyboardInterrupt), whole_file(path) as fresh:
        fresh.write_text("interrupted")
        raise KeyboardInterrupt
    assert not fresh.exists()
    fresh.write_text("killed just now")
    old = fresh.with_name(fresh.name + "0")
    old.write_text("killed yesterday")
    os.utime(old, (time.time() - 86400,) * 2)
    keep(path, lambda partial: partial.write_text("x"), "the entry")
    assert set(tmp_path.iterdir()) == {path, fresh}, "somebody may still be writing the fresh one"


def test_the_temporary_folder_is_private() -> None:
    assert temporary_folder() == temporary_folder()
    if os.name == "posix":
        assert stat.S_IMODE(temporary_folder().stat().st_mode) == 0o700


def test_whoever_comes_second_waits_for_the_first_and_for_nobody_else(tmp_path: Path) -> None:
    inside, leave, steps = threading.Event(), threading.Event(), []

    def first() -> None:
        with cache_folder.alone(tmp_path / "head.npz", lambda: None):
            inside.set()
            leave.wait(60)
            steps.append("made")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(60)
    with cache_folder.alone(tmp_path / "another.npz", lambda: steps.append("never")):
        assert steps == []
    with cache_folder.alone(tmp_path / "head.npz", lambda: leave.set()):
        assert steps == ["made"]
    thread.join()


def test_a_wait_ends_with_what_is_raised_meanwhile(tmp_path: Path) -> None:
    def cancelled() -> None:
        raise KeyboardInterrupt

    with (
        cache_folder.alone(tmp_path / "head.npz", lambda: None),
        pytest.raises(KeyboardInterrupt),
        cache_folder.alone(tmp_path / "head.npz", cancelled),
    ):
        pytest.fail("it is taken")


def test_where_nothing_can_be_locked_each_works_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    worked = []
    with cache_folder.alone(tmp_path / "file" / "head.npz", lambda: worked.append("waited")):
        worked.append("worked")
    assert worked == ["worked"]
