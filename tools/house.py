"""The house and its rooms: what may import what, how full each room is, and what in it is more fragment than function.

    python -m tools.house

prints files per room, imports that point the wrong way, circles of modules, rooms without a word on what belongs there,
and private functions that are called once. The exit status is 1 where the order is broken.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_FILES = 21
ROOMS = (
    "core",
    "core.native",
    "core.networks",
    "render",
    "render.mesh",
    "render.mesh.export",
    "render.native",
    "render.skin",
    "render.gl",
    "render.window",
    "capture.face.networks",
    "capture.face",
    "capture.sound",
    "capture.phones",
    "capture.cameras",
    "capture.recordings",
    "capture.synthetic.head",
    "capture.synthetic",
    "capture.synthetic.performer",
    "capture.synthetic.studio",
    "capture",
    "calib.rig",
    "calib.survey",
    "calib.surgery",
    "calib.rigging",
    "calib.published",
    "calib",
    "calib.person",
    "calib.by_hand",
    "engine.motion",
    "engine.landmark",
    "engine.expression",
    "engine.flow.network",
    "engine.flow.backends",
    "engine.flow",
    "engine.flow.ours",
    "engine.flow.published",
    "engine",
    "engine.training.loop",
    "engine.training.expression",
    "engine.training.flow",
    "engine.training",
    "realtime.threads",
    "realtime.session",
    "realtime.rig",
    "realtime.outputs",
    "realtime.editing",
    "realtime.recording",
    "realtime.export",
    "realtime.live",
    "realtime.offline",
    "realtime.batch",
    "realtime",
)
"""From left to right: a room may import from itself and from those before it."""


@dataclass(frozen=True)
class Module:
    """One file of a room."""

    name: str
    path: Path

    @property
    def room(self) -> str:
        return self.name.rpartition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    def imported(self) -> Iterator[str]:
        """Full names of everything that is imported, wherever it stands; not what is only named in annotations."""
        for node in _running(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


@dataclass(frozen=True)
class House:
    """All modules of all rooms under a folder."""

    modules: dict[str, Module]

    @staticmethod
    def at(root: Path = ROOT) -> "House":
        tops = sorted({room.split(".")[0] for room in ROOMS})
        paths = [path for top in tops for path in sorted((root / top).rglob("*.py"))]
        named = [Module(".".join(path.relative_to(root).with_suffix("").parts), path) for path in paths]
        return House({module.name: module for module in named})

    def edges(self) -> dict[str, set[str]]:
        """Which modules each module imports."""
        return {name: set(module.imported()) & set(self.modules) - {name} for name, module in self.modules.items()}

    def files(self) -> Counter[str]:
        """How many files each room has, its own description left out."""
        return Counter(module.room for module in self.modules.values() if not module.name.endswith("__init__"))

    def wrong_ways(self) -> list[str]:
        """Imports from a room that stands further right, and modules that stand in no known room."""
        place = {room: number for number, room in enumerate(ROOMS)}
        lost = [f"{name} is in no room that tools/house.py knows" for name in self._strangers(place)]
        lost += [f"{name} imports {other}, which is not in the wheel" for name, other in self._outside()]
        return lost + [
            f"{name} imports {other}"
            for name, others in self.edges().items()
            for other in sorted(others)
            if place.get(self.modules[other].room, -1) > place.get(self.modules[name].room, len(place))
        ]

    def _outside(self) -> list[tuple[str, str]]:
        named = ((name, other) for name, module in self.modules.items() for other in module.imported())
        return [(name, other) for name, other in named if other.split(".")[0] in ("tools", "tests", "benchmarks")]

    def _strangers(self, place: dict[str, int]) -> list[str]:
        return [name for name, module in self.modules.items() if module.room not in place]

    def circle(self) -> list[str]:
        """Modules that import each other in a circle; empty where there is none."""
        try:
            TopologicalSorter(self.edges()).prepare()
        except CycleError as error:
            return list(error.args[1])
        return []

    def undescribed(self) -> list[str]:
        """Rooms whose `__init__.py` does not say what belongs there."""
        inits = {module.room: module for name, module in self.modules.items() if name.endswith("__init__")}
        return [room for room in ROOMS if room not in inits or len(ast.get_docstring(inits[room].tree) or "") < 40]

    def overfull(self) -> list[str]:
        """Rooms with more files than a newcomer reads through."""
        counts = self.files().items()
        return [
            f"{room} has {count} files, expected {MOST_FILES} at most" for room, count in counts if count > MOST_FILES
        ]

    def called_once(self) -> dict[str, list[str]]:
        """Per module, private functions and methods that could stand where they are called: their one mention beside
        the definition is a call.

        Not among them is what could not: a function that is handed on by name (a thread's, a key, a callback), or
        decorated (a property, a cache, a context manager); a generator; a method that a subclass has its own of; and
        one of several statements that is called for each item of a comprehension.
        """
        replaced = self._replaced()
        found = {}
        for name, module in self.modules.items():
            if once := [function.name for function in _fragments(module.tree, replaced)]:
                found[name] = once
        return found

    def _replaced(self) -> set[tuple[str, str]]:
        """(class, method) of methods that one class has and another, derived from it, has its own of, both of them."""
        classes = [node for it in self.modules.values() for node in ast.walk(it.tree) if isinstance(node, ast.ClassDef)]
        bases = {node.name: [name for base in node.bases for name in _names(base)] for node in classes}
        own = {node.name: {each.name for each in node.body if isinstance(each, ast.FunctionDef)} for node in classes}
        found = set()
        for name, methods in own.items():
            above = list(bases[name])
            for base in above:
                above += [each for each in bases.get(base, ()) if each not in above]
                found |= {(each, method) for method in methods & own.get(base, set()) for each in (base, name)}
        return found


_ALSO_PLAIN = ("staticmethod", "classmethod")
_EXPRESSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)


def _fragments(tree: ast.Module, replaced: set[tuple[str, str]]) -> Iterator[ast.FunctionDef]:
    """What `House.called_once` counts."""
    parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    mentions: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            mentions.setdefault(node.id if isinstance(node, ast.Name) else node.attr, []).append(node)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        named = mentions.get(function.name, [])
        if not function.name.startswith("_") or function.name.endswith("__") or len(named) != 1:
            continue
        call, owner = parent[named[0]], parent[function]
        if not isinstance(call, ast.Call) or call.func is not named[0]:
            continue
        if any(not set(_names(decorator)) & set(_ALSO_PLAIN) for decorator in function.decorator_list):
            continue
        if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function)):
            continue
        if isinstance(owner, ast.ClassDef) and (owner.name, function.name) in replaced:
            continue
        statements = len(function.body) - (ast.get_docstring(function) is not None)
        if statements > 1 and _within_expression(call, parent):
            continue
        yield function


def _within_expression(node: ast.AST, parent: dict[ast.AST, ast.AST]) -> bool:
    while not isinstance(node, ast.stmt):
        if isinstance(node, _EXPRESSIONS):
            return True
        node = parent[node]
    return False


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def main() -> int:
    """Print the state of the house; returns the exit status."""
    house = House.at()
    for room in ROOMS:
        print(f"{house.files()[room]:4} files  {room}")
    once = house.called_once()
    wrong, circle, undescribed = house.wrong_ways(), house.circle(), house.undescribed()
    overfull = house.overfull()
    print(f"imports the wrong way: {len(wrong)}", *wrong, sep="\n  ")
    print(f"circles: {int(bool(circle))}", *([" -> ".join(circle)] if circle else []), sep="\n  ")
    print(f"rooms without a description: {len(undescribed)}", *undescribed, sep="\n  ")
    print(f"rooms that are too full: {len(overfull)}", *overfull, sep="\n  ")
    most = sorted(once.items(), key=lambda item: -len(item[1]))[:10]
    print(f"private functions called once: {sum(map(len, once.values()))} in {len(once)} files; most of them in")
    for name, functions in most:
        print(f"  {len(functions):3}  {name}")
    return int(bool(wrong or circle or undescribed or overfull))


if __name__ == "__main__":
    sys.exit(main())
