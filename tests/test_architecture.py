"""The order of the rooms: imports only ever point left, and every module imports on a bare machine."""

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from types import FrameType

import pytest

from calib.avatar import Avatar
from engine.flow.published.flow_options import FlowOptions
from realtime.api import MotionOptions, make_engine
from realtime.config import EngineName
from tools.house import ROOMS, House

ROOT = Path(__file__).parents[1]
HOUSE = House.at(ROOT)
OPTIONAL = {
    "pyk4a",
    "record3d",
    "liblzfse",
    "torch_tensorrt",
    "tensorrt",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "ray",
    "pxr",
}


def imports_at_the_top(path: Path) -> set[str]:
    """First part of every import that runs when the module is imported."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_imports_point_left() -> None:
    assert HOUSE.wrong_ways() == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert HOUSE.circle() == []


def test_rooms_are_small_and_say_what_belongs_in_them() -> None:
    assert HOUSE.overfull() == []
    assert HOUSE.undescribed() == []


def test_imports_name_their_room() -> None:
    relative = [
        f"{module.path}:{node.lineno}"
        for module in HOUSE.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == [], "relative imports hide the direction; write the room's name"


def test_optional_packages_are_imported_at_the_point_of_use() -> None:
    wrong = {name for name, module in HOUSE.modules.items() if OPTIONAL & imports_at_the_top(module.path)}
    assert wrong == set()


def test_every_module_imports_without_display_or_extras() -> None:
    names = [name.removesuffix(".__init__") for name in HOUSE.modules if not name.endswith("__main__")]
    code = f"""
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
for name in {names!r}:
    importlib.import_module(name)
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


def test_every_benchmark_finds_what_it_measures() -> None:
    """They run seldom."""
    names = [f"benchmarks.{path.stem}" for path in sorted((ROOT / "benchmarks").glob("*.py"))]
    code = f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("engine", ["landmark", "expression", "flow"])
def test_making_an_engine_can_be_read_downwards(engine: EngineName, lowpoly: Avatar) -> None:
    """No function is called, by whatever detour, from a room that may not import it: nobody has to climb back up."""
    place = {room: number for number, room in enumerate(ROOMS)}

    @functools.cache
    def room_of(file: str) -> str | None:
        path = Path(file)
        room = ".".join(path.relative_to(ROOT).parts[:-1]) if path.is_relative_to(ROOT) else ""
        return room if room in place else None

    climbs, entered = [], set()

    def called(frame: FrameType, event: str, _: object) -> None:
        into = room_of(frame.f_code.co_filename) if event == "call" else None
        if into is None or frame.f_code.co_name.startswith("<"):  # a lambda is read where it is written
            return
        caller = frame.f_back
        while caller is not None and room_of(caller.f_code.co_filename) is None:
            caller = caller.f_back
        entered.add(into)
        if caller is not None and place[into] > place[room_of(caller.f_code.co_filename) or into]:
            climbs.append(f"{caller.f_code.co_qualname} calls {frame.f_code.co_qualname}")

    flow = FlowOptions(backend="eager") if engine == "flow" else FlowOptions()
    options = MotionOptions(engine=engine, flow=flow)
    sys.setprofile(called)
    try:
        make_engine(options, lowpoly)
    finally:
        sys.setprofile(None)
    assert climbs == []
    assert {"realtime", "core", "engine.motion"} <= entered


def test_the_page_on_the_house_names_what_is_there() -> None:
    """Files stand in full, or beside one before them in the same line or a room above it; classes are classes."""
    text = re.sub(r"```.*?```", "", (ROOT / "docs/architecture.md").read_text(), flags=re.DOTALL)
    defined = {
        node.name
        for module in HOUSE.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    lost, found = [], 0
    for line in text.splitlines():
        folders = [ROOT]
        for word in re.findall(r"`([^`\s]+)`", line):
            if "/" in word or word.endswith(".py"):
                paths = [path for folder in folders for name in (word, f"{word}.py") for path in folder.glob(name)]
                found += bool(paths)
                rooms = [path if path.is_dir() else path.parent for path in paths[:1]]
                folders += [*rooms, *(room.parent for room in rooms)]
                if not paths and word != "__init__.py":
                    lost.append(word)
            elif re.fullmatch(r"[A-Z][a-z]+([A-Z][a-z]+)+", word) and word not in defined:
                lost.append(word)
    assert lost == []
    assert found > 80


def test_packages_are_listed_for_the_wheel() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert {module.room for module in HOUSE.modules.values()} == listed
