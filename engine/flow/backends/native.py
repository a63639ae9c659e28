"""The backend of this project's own kernels: packs the live graph's weights for them."""

from core.native.compiled_library import NativeError, missing
from engine.flow.backends.backend import CompileRequest
from engine.flow.backends.compiled import BackendError, CompiledMotion, OtherSizesError
from engine.flow.backends.generator_packing import packed_generator, refusal
from engine.flow.backends.native_generator import NativeGenerator, generator_kernels
from engine.flow.backends.native_layout import PANEL
from engine.flow.backends.native_library import flow_kernels
from engine.flow.backends.native_motion import NativeMotion
from engine.flow.backends.native_packing import packed


class NativeBackend:
    """Needs a C compiler on the machine, and channel counts divisible by 64, as the published network has; of networks
    without head motion, divisible by 8, as the compact one has."""

    name = "native"
    precision = "fp32"

    def __init__(self, *, matrix_unit: bool = True) -> None:
        """`matrix_unit`: use the processor's own matrix products where it has them."""
        self._matrix_unit = matrix_unit

    def missing(self) -> str | None:
        return missing()

    def compile(self, request: CompileRequest) -> CompiledMotion:
        config = request.network.config
        if not config.head_motion:
            return self._own(request)
        widths = {config.widths[size] for size in config.resolutions(from_size=4)}
        if any(width % PANEL for width in widths) or config.depth_motion_dim != 5 or config.input_channels != 4:
            raise OtherSizesError(
                f"--backend native: expected channels divisible by {PANEL}, 4 inputs and 5 depth directions, "
                f"got widths {sorted(widths)}; use --backend openvino"
            )
        try:
            kernels = flow_kernels()
            for_matrix_unit = self._matrix_unit and kernels.matrix_parts() > 0
            return NativeMotion(packed(request.network, for_matrix_unit=for_matrix_unit), kernels)
        except NativeError as error:
            raise BackendError(f"--backend native: {error}") from error

    def _own(self, request: CompileRequest) -> NativeGenerator:
        if reason := refusal(request.network.config):
            raise OtherSizesError(f"--backend native: {reason}; use --backend openvino")
        try:
            kernels = generator_kernels()
            return NativeGenerator(packed_generator(request.network, kernels.panel_width()), kernels)
        except NativeError as error:
            raise BackendError(f"--backend native: {error}") from error
