"""Reads from a torch-tensorrt wheel, without importing it, which operators it converts.

    pip download --no-deps -d /tmp torch-tensorrt
    python tests/engine/read_torch_tensorrt.py /tmp/torch_tensorrt-*.whl tests/engine/torch_tensorrt_operators.json

The list is kept beside this script as data, with the version it was read from.
"""

import ast
import json
import sys
import zipfile
from pathlib import Path

_CONVERTERS = ("aten_ops_converters", "prims_ops_converters", "custom_ops_converters", "ops_evaluators")
_ROOT = "torch_tensorrt/dynamo"


def operator_name(node: ast.expr) -> str:
    """`torch.ops.aten.add.Tensor` and `aten.add.Tensor` alike -> "aten.add.Tensor"."""
    return ast.unparse(node).removeprefix("torch.ops.")


def decorated(source: str, decorator: str) -> set[str]:
    """First arguments of every use of `decorator(...)`."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {operator_name(call.args[0]) for call in calls if ast.unparse(call.func) == decorator and call.args}


def assigned_set(source: str, name: str) -> set[str]:
    """Elements of the set assigned to `name`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and isinstance(node.value, ast.Set):
            return {operator_name(element) for element in node.value.elts}
    raise ValueError(f"{name}: no such set; the source has another shape")


def read(wheel: Path) -> dict[str, object]:
    with zipfile.ZipFile(wheel) as archive:

        def text(name: str) -> str:
            return archive.read(f"{_ROOT}/{name}.py").decode()

        converters: set[str] = set()
        for name in _CONVERTERS:
            converters |= decorated(text(f"conversion/{name}"), "dynamo_tensorrt_converter")
        groups = text("lowering/_decomposition_groups")
        version = next(n.split("-")[1].removesuffix(".dist") for n in archive.namelist() if ".dist-info/" in n)
        return {
            "version": version.removesuffix(".dist-info/METADATA").split(".dist")[0],
            "converters": sorted(converters),
            "own_decompositions": sorted(
                decorated(text("lowering/_decompositions"), "register_torch_trt_decomposition")
            ),
            "enabled_decompositions": sorted(assigned_set(groups, "torch_enabled_decompositions")),
            "disabled_decompositions": sorted(assigned_set(groups, "torch_disabled_decompositions")),
        }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(read(Path(sys.argv[1])), indent=0) + "\n")
