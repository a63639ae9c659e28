"""The order of the rooms: imports only ever point left, and every module imports on a bare machine."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from tools.house import House

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
    """They run seldom, and none of the checks of types reads them."""
    names = [f"benchmarks.{path.stem}" for path in sorted((ROOT / "benchmarks").glob("*.py"))]
    code = f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


def test_packages_are_listed_for_the_wheel() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert {module.room for module in HOUSE.modules.values()} == listed
