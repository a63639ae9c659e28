"""Lists for `vfa batch`: what they say, and what is wrong with them, by the line."""

from pathlib import Path

import pytest

from core.errors import InputError
from realtime.batch.job_list import Job, read_list
from realtime.batch_command import BatchOptions, _planned, option_kinds

HEADS = ("realistic", "lowpoly")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "heads/x.obj", "heads/y.glb", "odd [1].mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def jobs(folder: Path, text: str, name: str = "list.csv") -> list[Job]:
    (folder / name).write_text(text)
    return read_list(folder / name, option_kinds(), HEADS)


def test_rows_of_a_csv_file_in_their_order(folder: Path) -> None:
    found = jobs(
        folder,
        "# takes of the second day\n\n--driving;Avatar_x\n".replace("Avatar_x", "avatar; film;eye;start-frame;morphs")
        + "b.mp4;realistic;grid;0 1 8;;\n"
        + f"{folder}/a.mp4;heads/x.obj;;0, 1, 8;best;true\n",
    )
    assert [(job.driving.name, job.avatar, job.settings) for job in found] == [
        ("b.mp4", "realistic", {"film": ("grid",), "eye": ("0", "1", "8")}),
        ("a.mp4", str(folder / "heads/x.obj"), {"eye": ("0", "1", "8"), "start-frame": ("best",), "morphs": ("on",)}),
    ]
    assert [job.name for job in found] == ["b--realistic", "a--x"]
    assert [job.driving for job in found] == [folder / "b.mp4", folder / "a.mp4"]


def test_patterns_are_recordings_times_heads(folder: Path) -> None:
    found = jobs(folder, "driving,avatar\n?.mp4,heads/*\n")
    assert [job.name for job in found] == ["a--x", "a--y", "b--x", "b--y"]
    assert [job.name for job in jobs(folder, "driving,avatar\nodd [1].mp4,lowpoly\n")] == ["odd_1_--lowpoly"]


def test_tables_of_a_toml_file(folder: Path) -> None:
    text = """
    [settings]
    film = "grid"
    size = [320, 240]
    [[job]]
    driving = ["a.mp4", "b.mp4"]
    avatar = ["lowpoly", "heads/*.obj"]
    [[job]]
    driving = "a.mp4"
    avatar = "realistic"
    film = "avatar"
    smoothing_rounds = 3
    engine = "flow"
    morphs = false
    texture = "skin.png"
    out = "the same/again"
    """
    found = jobs(folder, text, "list.toml")
    assert [job.name for job in found] == ["a--lowpoly", "a--x", "b--lowpoly", "b--x", "the_same_again"]
    assert found[0].settings == {"film": ("grid",), "size": ("320", "240")}
    assert found[4].settings == {
        "film": ("avatar",), "size": ("320", "240"), "smoothing-rounds": ("3",), "engine": ("flow",),
        "morphs": ("off",), "texture": (str(folder / "skin.png"),),
    }  # fmt: skip


def test_no_two_jobs_share_a_folder(folder: Path) -> None:
    found = jobs(folder, "driving,avatar,engine\na.mp4,lowpoly,flow\na.mp4,lowpoly,landmark\nA.mp4,lowpoly,\n")
    assert [job.name for job in found] == ["a--lowpoly", "a--lowpoly-2", "A--lowpoly-3"]


def test_a_recording_that_is_missing_is_one_job_that_fails_not_the_list(folder: Path) -> None:
    assert [job.driving for job in jobs(folder, "driving,avatar\ngone.mp4,lowpoly\n")] == [folder / "gone.mp4"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected at least one recording"),
        ("driving,avatar\n", "expected at least one recording"),
        ("clip,avatar\na.mp4,lowpoly\n", "line 1: 'clip' is no option"),
        ("driving,out\na.mp4,x\n", "avatar among them"),
        ("driving,avatar,avatar\na.mp4,lowpoly,lowpoly\n", "column avatar is there twice"),
        ("driving,avatar\na.mp4,lowpoly,grid\n", "line 2: 3 cells, expected 2"),
        ("driving,avatar\na.mp4\n", "line 2: no avatar"),
        ("driving,avatar\nz*.mp4,lowpoly\n", "line 2: z*.mp4: nothing matches"),
        ('driving,avatar\n"a.mp4,lowpoly\n', "line 2: "),
        ("driving,avatar,retrack\na.mp4,lowpoly,maybe\n", "line 2: retrack = 'maybe': expected true or false"),
        ("driving,avatar,overwrite\na.mp4,lowpoly,true\n", "'overwrite' is no option"),
        ("driving,avatar\na\0.mp4,lowpoly\n", "line 2: "),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_told_by_its_line(text: str, told: str, folder: Path) -> None:
    with pytest.raises(InputError, match=r"list\.csv") as raised:
        jobs(folder, text)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[job]\n", "expected a TOML file"),
        ("[[jobs]]\ndriving = 'a.mp4'\n", r"expected [[job]] tables"),
        ("job = 3\n", r"expected [[job]] tables"),
        ("[[job]]\ndriving = 'a.mp4'\n", "job 1: no avatar"),
        ("[[job]]\ndriving = 3\navatar = 'lowpoly'\n", "job 1: driving = 3: expected text"),
        ("[[job]]\ndriving = 'a.mp4'\navatar = 'lowpoly'\nfilm = true\n", "job 1: film = True"),
        ("[[job]]\ndriving = 'a.mp4'\navatar = 'lowpoly'\nfilm = {a = 1}\n", "job 1: film = "),
        ("x = " + "[" * 5000 + "]" * 5000, "expected a TOML file"),
    ],
)
def test_what_is_wrong_with_a_toml_file_is_told(text: str, told: str, folder: Path) -> None:
    with pytest.raises(InputError, match=r"list\.toml") as raised:
        jobs(folder, text, "list.toml")
    assert told in str(raised.value)


def test_a_file_of_something_else_is_no_list(folder: Path) -> None:
    (folder / "list.csv").write_bytes(b"\xff\xfe\0\1" * 99)
    with pytest.raises(InputError, match="as text"):
        read_list(folder / "list.csv", option_kinds(), HEADS)
    with pytest.raises(InputError, match="no such file"):
        read_list(folder / "none.csv", option_kinds(), HEADS)


@pytest.mark.parametrize(
    ("columns", "cells", "told"),
    [
        ("engine", "floow", "invalid choice 'floow'"),
        ("offset", "x", "--offset"),
        ("offset", "-3", "--offset"),
        ("morphs", "maybe", "invalid choice 'maybe'"),
        ("smoothing", "0.5", "only the flow engine uses it"),
        ("eye", "1 2", "--eye"),
        ("target-frame,length", "3,9", "leave out --offset and --length"),
    ],
)
def test_settings_are_checked_before_anything_begins(columns: str, cells: str, told: str, folder: Path) -> None:
    found = jobs(folder, f"driving,avatar,{columns}\na.mp4,lowpoly,\nb.mp4,lowpoly,{cells}\n")
    with pytest.raises(InputError) as raised:
        _planned(found, BatchOptions(list=folder / "list.csv", out=folder / "out"))
    assert "list.csv, line 3: " in str(raised.value)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_list_gives_every_option_of_animate(folder: Path) -> None:
    kinds = option_kinds()
    assert {"engine", "checkpoint", "weights-k", "profile", "size", "target-frame", "head-pose", "landmarks"} <= set(
        kinds
    )
    assert not {"out", "driving", "overwrite", "cache-dir", "flow", "view"} & set(kinds)
    assert kinds["checkpoint"].path
    assert kinds["landmarks"].path
    assert kinds["retrack"].flag
    assert kinds["morphs"].switch
    assert kinds["eye"].many
    assert kinds["size"].many


@pytest.mark.parametrize(
    ("cell", "given"), [("", "auto"), ("auto", "auto"), ("true", "on"), ("on", "on"), ("no", "off")]
)
def test_a_switch_takes_true_and_false_too_and_an_axis_a_minus(cell: str, given: str, folder: Path) -> None:
    found = jobs(folder, f"driving,avatar,up,morphs\na.mp4,lowpoly,-z,{cell}\n")
    ((_, options),) = _planned(found, BatchOptions(list=folder / "list.csv", out=folder / "out"))
    assert (options.preparation.morphs, options.preparation.up) == (given, "-z")
