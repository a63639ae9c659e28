"""The backends by name, apart from them so that asking for one does not import torch."""

from typing import Literal

BackendName = Literal["auto", "native", "eager", "openvino", "openvino-int8", "openvino-mixed", "cuda", "tensorrt"]
