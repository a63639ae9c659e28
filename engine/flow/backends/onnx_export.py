"""The live graph as ONNX, for compilers this project knows nothing of."""

from pathlib import Path

import torch

from core.errors import MissingExtraError
from core.whole_file import whole_file
from engine.flow.network.motion_network import MotionNetwork, sample_inputs

INPUTS = ("driving", "alpha_offset")
OUTPUTS = ("flow", "depth", "alpha")


def export_onnx(network: MotionNetwork, path: Path) -> None:
    """Write one self-contained ONNX file with fixed shapes, whole or not at all.

    Inputs `driving` [1, 4, N, N] and `alpha_offset` [1, M]; outputs `flow` [N, N, 2], `depth` [N, N], `alpha` [1, M],
    and `mask` [N, N] of networks without head motion. Raises MissingExtraError without the extra "onnx".
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("onnx", "exporting the network") from error
    outputs = OUTPUTS if network.config.head_motion else (*OUTPUTS, "mask")
    with whole_file(path) as partial, torch.no_grad():
        program = torch.export.export(network, sample_inputs(network.config))
        exported = torch.onnx.export(
            program, dynamo=True, input_names=INPUTS, output_names=outputs, opset_version=20, verbose=False
        )
        assert exported is not None
        exported.save(str(partial), include_initializers=True, external_data=False)
