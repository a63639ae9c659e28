"""Foreign compilers take the live graph whole: ONNX Runtime by running it, torch-tensorrt by its list of converters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._export.utils import _collect_all_valid_cia_ops_for_aten_namespace, _get_decomp_for_cia

from core.errors import MissingExtraError
from engine.flow.backends.onnx_export import INPUTS, OUTPUTS, export_onnx
from engine.flow.network.motion_network import MotionNetwork, sample_inputs
from tests.engine.stand_in import SMALL, picture, published_network, small_network

OPERATORS: dict[str, Any] = json.loads((Path(__file__).parent / "torch_tensorrt_operators.json").read_text())


@pytest.mark.parametrize("size", ["small", "published"])
def test_onnxruntime_gives_the_same_numbers(size: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    small = size == "small"
    network = small_network() if small else published_network(request.getfixturevalue("shared_reference"))
    live = MotionNetwork(network, picture(0, network.config.image_size))
    path = tmp_path / "motion.onnx"
    export_onnx(live, path)
    assert list(tmp_path.iterdir()) == [path]  # weights inside
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = sample_inputs(network.config, 3)
    given = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
    flow, depth, alpha = session.run(list(OUTPUTS), given)
    with torch.no_grad():
        expected = live(*inputs)
    assert np.abs(flow - expected[0].numpy()).max() * network.config.image_size / 2 < 2e-2
    assert np.abs(depth - expected[1].numpy()).max() < 1e-3
    assert np.abs(alpha - expected[2].numpy()).max() < 1e-3


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"\[onnx\]"):
        export_onnx(MotionNetwork(small_network(), picture(0, 32)), tmp_path / "motion.onnx")
    assert not list(tmp_path.iterdir())


def lowered_operators() -> set[str]:
    """Operators of the exported graph after the decompositions that torch-tensorrt runs first."""
    program = torch.export.export(MotionNetwork(small_network(), picture(0, 32)), sample_inputs(SMALL))
    disabled = set(OPERATORS["disabled_decompositions"])
    composite = _collect_all_valid_cia_ops_for_aten_namespace()
    wanted = {op: _get_decomp_for_cia(op) for op in composite if str(op) not in disabled}
    names = [name.removeprefix("aten.") for name in OPERATORS["enabled_decompositions"] if name.startswith("aten.")]
    packets = [getattr(torch.ops.aten, name.split(".")[0]) for name in names]
    wanted |= torch._decomp.get_decompositions(packets)
    lowered = program.run_decompositions(wanted)
    return {str(node.target) for node in lowered.graph.nodes if node.op == "call_function"}


def known(operator: str, names: list[str]) -> bool:
    """A converter is registered for an overload, or for all of an operator's."""
    return operator in names or operator.rsplit(".", 1)[0] in names


def test_torch_tensorrt_converts_every_operator() -> None:
    operators = lowered_operators()
    assert {"aten.convolution.default", "aten.grid_sampler_2d.default"} <= operators
    accepted = [*OPERATORS["converters"], *OPERATORS["own_decompositions"]]
    python_builtins = {name for name in operators if name.startswith("<built-in function getitem")}
    assert sorted(name for name in operators - python_builtins if not known(name, accepted)) == []


def test_an_operator_without_converter_would_be_noticed() -> None:
    assert OPERATORS["version"].startswith("2.13")
    assert not known("aten.linalg_qr.default", [*OPERATORS["converters"], *OPERATORS["own_decompositions"]])
