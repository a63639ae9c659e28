"""A stand-in for torch_tensorrt and tensorrt at the import boundary: "compiles" to the exported program itself."""

import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch


@dataclass
class FakeTorchTensorRt:
    """Counts what is asked of it. `scale` falsifies results, `fails` makes the builder refuse."""

    scale: float = 1.0
    fails: bool = False
    builds: int = 0
    loads: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def compile(self, program: Any, *, arg_inputs: Any, **settings: Any) -> Any:
        if self.fails:
            raise RuntimeError("Node not supported:\n  conversion failed for aten.something")
        self.builds += 1
        self.settings = settings
        return _Engine(program, self.scale)

    def save(self, module: Any, path: str, *, output_format: str, arg_inputs: list[Any]) -> None:
        assert output_format == "exported_program"
        assert len(arg_inputs) == 2
        torch.export.save(module.program, path + ".pt2")
        Path(path + ".pt2").replace(path)

    def load(self, path: str) -> Any:
        self.loads += 1
        with Path(path).open("rb") as file:
            return torch.export.load(file)


class _Engine(torch.nn.Module):
    def __init__(self, program: Any, scale: float) -> None:
        super().__init__()
        self.program, self.module, self.scale = program, program.module(), scale

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        return tuple(value * self.scale for value in self.module(*inputs))


class FakeCuda:
    """What the backends use of torch.cuda, on the CPU. A captured graph is replayed by calling it again."""

    def __init__(self, name: str = "Fake GPU", *, available: bool = True) -> None:
        self.name, self.available = name, available
        self.replays = 0

    def is_available(self) -> bool:
        return self.available

    def get_device_name(self) -> str:
        return self.name

    def get_device_capability(self) -> tuple[int, int]:
        return 9, 0


def install(monkeypatch: pytest.MonkeyPatch, version: str = "2.13.0", tensorrt: str = "11.0.0") -> FakeTorchTensorRt:
    fake = FakeTorchTensorRt()
    vendor, runtime = ModuleType("torch_tensorrt"), ModuleType("tensorrt")
    vendor.__dict__.update(
        __version__=version, dynamo=SimpleNamespace(compile=fake.compile), save=fake.save, load=fake.load
    )
    runtime.__dict__.update(__version__=tensorrt)
    for module in (vendor, runtime):
        module.__spec__ = ModuleSpec(module.__name__, None)  # PyTorch looks vendors up by it
    monkeypatch.setitem(sys.modules, "torch_tensorrt", vendor)
    monkeypatch.setitem(sys.modules, "tensorrt", runtime)
    return fake
