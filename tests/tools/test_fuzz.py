"""The fuzzing harness notices every kind of fault, and no loader shows one in a short run."""

import json
import random
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tools import made_up_loaders
from tools.fuzz import __main__ as command
from tools.fuzz.harness import Harness, Limits, SeedError
from tools.fuzz.mutations import damaged, mutate
from tools.fuzz.seeds import Seed, read_seed, write_case

_MADE_UP = "tests.tools.made_up_loaders"
_LIMITS = Limits(seconds=0.2, memory=64 << 20)


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    with Harness([_MADE_UP], _LIMITS, tmp_path_factory.mktemp("kept")) as made:
        yield made


def test_it_lists_the_targets_of_its_modules(harness):
    assert harness.names == [target.name for target in made_up_loaders.TARGETS]


def test_a_sound_loader_shows_no_fault(harness):
    counts = harness.run("sound", 40, 1)

    assert counts.cases == 40
    assert counts.faults == 0
    assert counts.ok > 0  # the file beside it was damaged
    assert counts.refused > 0


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("raises", "other"),
        ("two_lines", "other"),
        ("crashes", "other"),
        ("spins", "hang"),
        ("waits", "hang"),
        ("grows", "too_big"),
        ("grows_briefly", "too_big"),
    ],
)
def test_every_kind_of_fault_is_noticed(harness, name, verdict):
    counts = harness.run(name, 3, 5).as_dict()

    assert counts[verdict] > 0
    assert counts[verdict] + counts["ok"] == 3


def test_it_goes_on_after_the_worker_had_to_be_ended(harness):
    harness.run("crashes", 3, 5)

    assert harness.run("sound", 3, 1).faults == 0


def test_it_keeps_what_shows_a_fault_and_where(tmp_path):
    with Harness([_MADE_UP], _LIMITS, tmp_path) as harness:
        harness.run("raises", 3, 5)
        harness.run("spins", 3, 5)

    assert "KeyError: 'made up'" in next((tmp_path / "raises").glob("*-other/why.txt")).read_text()
    assert "_spins" in next((tmp_path / "spins").glob("*-hang/why.txt")).read_text()
    assert next((tmp_path / "raises").glob("*-other/files")).is_dir()


def test_good_files_that_do_not_load_are_a_fault_of_the_target(harness):
    with pytest.raises(SeedError, match="expected something else"):
        harness.run("bad_seeds", 3, 0)


def test_the_same_seed_gives_the_same_files(tmp_path):
    seeds = _made_up_seeds(tmp_path)

    def run(seed):
        return [mutate(random.Random(f"{seed} {number}"), seeds) for number in range(50)]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_files_of_one_folder_come_together_and_go_together(tmp_path):
    seed = _made_up_seeds(tmp_path)[0]

    assert seed.entry == "unit/main.txt"
    assert set(seed.files) == {"unit/main.txt", "unit/beside.json"}
    write_case(tmp_path / "case", {**seed.files, "unit/beside.json": None})
    assert (tmp_path / "case/unit/main.txt").is_file()
    assert (tmp_path / "case/unit/beside.json").is_dir()


def test_the_command_reports_and_fails_where_there_are_faults(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "MODULES", (_MADE_UP,))
    report = tmp_path / "fuzz.json"

    assert command.main(["--cases", "3", "--seed", "5", "--only", "sound", "--json", str(report)]) == 0
    assert json.loads(report.read_text())["sound"]["cases"] == 3
    assert command.main(["--cases", "3", "--seed", "5", "--only", "sound", "raises"]) == 1
    assert "raises" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="expected some of sound"):
        command.main(["--only", "nothing"])


def _made_up_seeds(tmp_path: Path) -> list[Seed]:
    folder = tmp_path / "seeds"
    folder.mkdir()
    return [read_seed(folder, path) for path in made_up_loaders.TARGETS[0].make_seeds(folder)]


def test_archives_are_damaged_inside_with_right_checksums():
    file = BytesIO()
    np.savez(file, numbers=np.arange(50.0), text=np.array("words and more words"))
    reached = 0
    for number in range(60):
        changed = damaged(random.Random(number), file.getvalue())
        try:
            with zipfile.ZipFile(BytesIO(changed)) as archive:
                small = [item for item in archive.infolist() if item.file_size < 1 << 20]
                entries = {item.filename: archive.read(item) for item in small}
        except Exception:  # damaged in some other way
            continue
        reached += any(zlib.crc32(entry) not in _checksums(file) for entry in entries.values())

    assert reached > 5


def _checksums(file: BytesIO) -> set[int]:
    with zipfile.ZipFile(file) as archive:
        return {item.CRC for item in archive.infolist()}


def test_there_are_bombs_among_the_archives():
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata", json.dumps({"w": 3}))
    cases = [damaged(random.Random(number), file.getvalue()) for number in range(100)]
    largest = 0
    for case in cases:
        try:
            with zipfile.ZipFile(BytesIO(case)) as archive:
                largest = max(largest, *(item.file_size for item in archive.infolist()))
        except Exception:
            continue

    assert largest > 1 << 30
    assert max(map(len, cases)) < 16 << 20


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_are_damaged_with_right_checksums():
    file = BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(file, "PNG")
    sizes = set()
    for number in range(60):
        try:
            with Image.open(BytesIO(damaged(random.Random(number), file.getvalue()))) as picture:
                sizes.add(picture.size)
        except Exception:
            continue

    assert (13000, 13000) in sizes
    assert len(sizes) > 2


def test_no_loader_shows_a_fault_in_a_short_run(tmp_path):
    """60 damaged files each; `python -m tools.fuzz --cases 3000` is the long run."""
    with Harness(command.MODULES, Limits(), tmp_path) as harness:
        found = {name: harness.run(name, 60, 2026) for name in harness.names}
    why = [path.read_text()[-2000:] for path in tmp_path.glob("*/*/why.txt")]

    assert not any(counts.faults for counts in found.values()), "\n".join(why)
    assert all(counts.cases == counts.ok + counts.refused == 60 for counts in found.values()), found
