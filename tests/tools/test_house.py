"""The house inspector sees what it is there for, on made-up houses."""

from pathlib import Path

import pytest

from tools.house import MOST_FILES, House


@pytest.fixture
def house(tmp_path: Path):
    """Writes {path: code} and inspects it."""

    def build(files: dict[str, str]) -> House:
        for name, code in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        return House.at(tmp_path)

    return build


def test_an_import_from_the_right_is_wrong(house) -> None:
    built = house({"core/a.py": "def f():\n    from render.mesh import b\n", "render/mesh/b.py": "import core.a\n"})
    assert built.wrong_ways() == ["core.a imports render.mesh.b"]


def test_names_for_annotations_only_do_not_count(house) -> None:
    code = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from render.mesh import b\n"
    assert house({"core/a.py": code, "render/mesh/b.py": ""}).wrong_ways() == []


def test_a_circle_is_found(house) -> None:
    built = house({"core/a.py": "import core.b", "core/b.py": "import core.c", "core/c.py": "import core.a"})
    assert set(built.circle()) == {"core.a", "core.b", "core.c"}


def test_a_room_that_nobody_knows_is_told(house) -> None:
    assert house({"render/attic/a.py": ""}).wrong_ways() == ["render.attic.a is in no room that tools/house.py knows"]


def test_a_full_room_and_one_without_a_word(house) -> None:
    built = house({f"core/m{number}.py": "" for number in range(MOST_FILES + 1)})
    assert built.overfull() == [f"core has {MOST_FILES + 1} files, expected {MOST_FILES} at most"]
    assert "core" in built.undescribed()


def test_functions_that_are_called_once_are_counted(house) -> None:
    code = "def _once(): ...\ndef _twice(): ...\ndef g():\n    _once(), _twice(), _twice()\n"
    assert house({"core/a.py": code}).called_once() == {"core.a": ["_once"]}


@pytest.mark.parametrize(
    "code",
    [
        "def _key(x): return x\nprint(sorted([], key=_key))",
        "from functools import cache\n@cache\ndef _kept(): return 1\n_kept()",
        "class A:\n    @property\n    def _size(self): return 1\n    def f(self): return self._size",
        "def _each():\n    yield 1\nprint(list(_each()))",
        "def _of(x):\n    y = x\n    return y\nprint([_of(x) for x in ()])",
        "class A:\n    def f(self): self._own()\n    def _own(self): ...\nclass B(A):\n    def _own(self): ...",
    ],
    ids=["handed on", "cached", "a property", "a generator", "for each item", "a subclass has its own"],
)
def test_what_cannot_stand_where_it_is_called_is_no_fragment(house, code) -> None:
    assert house({"core/a.py": code}).called_once() == {}


def test_one_expression_may_stand_in_a_comprehension(house) -> None:
    code = "def _of(x):\n    return x\nprint([_of(x) for x in ()])"
    assert house({"core/a.py": code}).called_once() == {"core.a": ["_of"]}
